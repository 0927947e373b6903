"""Gaps in ECR, and in what Lambda makes of an image there."""

from __future__ import annotations

import json
import re
from typing import Any, Callable

from ministack.core import iam_actions, responses
from ministack.services import ecr, lambda_svc
from ministack.services.cloudformation import provisioners

from patching import GapChanged, replace

IN_ECR = re.compile(r"(?P<repository>(?P<account>\d{12})\.dkr\.ecr\.[^./]+\.[^/]+/(?P<name>[^:@]+)):(?P<tag>[^:@]+)")


def images_that_are_not_there_are_told() -> None:
    """DescribeImages of an image that isn't there is an `ImageNotFoundException`; MiniStack answers with an empty list.

    Source: Amazon ECR API reference, "DescribeImages".
    """
    def wrap(original: Callable) -> Callable:
        def describe(data: dict) -> tuple:
            status, headers, body = original(data)
            if status == 200 and any(ecr._find_image(data["repositoryName"], it) is None for it in data.get("imageIds") or []):
                return responses.error_response_json("ImageNotFoundException", "The image requested does not exist", 400)
            return status, headers, body
        return describe

    replace(ecr, "_describe_images", "data", wrap)


def repositories_are_described_by_their_names() -> None:
    """DescribeRepositories of one repository needs the permission for that; MiniStack asks for it on `*`.

    Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon ECR".
    """
    def wrap(original: Callable) -> Callable:
        def extract(service: str, method: str, path: str, headers: dict, body: bytes, query_params: dict,
                    region: str, account_id: str) -> str:
            if service == "ecr" and iam_actions._action_from_target(headers) == "DescribeRepositories":
                try:
                    (name,) = json.loads(body)["repositoryNames"]
                    body = json.dumps({"repositoryName": name}).encode()
                except (ValueError, KeyError, TypeError):
                    pass  # it asks for all of them, or for several
            return original(service, method, path, headers, body, query_params, region, account_id)
        return extract

    replace(iam_actions, "extract_resource_arn", "service method path headers body query_params region account_id", wrap)


def tags_of_images_are_resolved_once() -> None:
    """A function runs the image that its tag was when the function was made or its code updated, and GetFunction tells the
    digest; MiniStack knows no digest. A tag that is no image is refused.

    Source: Lambda developer guide, "Create a Lambda function using a container image": "Lambda resolves the tag to a
    specific image digest"; `FunctionCodeLocation` of the API reference.
    """
    def resolved(image: Any) -> str | None:
        """The image by its digest; none where it is named so already."""
        if not isinstance(image, str) or (found := IN_ECR.fullmatch(image)) is None:
            return None
        caller = responses.get_account_id()
        try:
            responses.set_request_account_id(found["account"])
            there = ecr._find_image(found["name"], {"imageTag": found["tag"]})
        finally:
            responses.set_request_account_id(caller)
        if there is None:
            raise LookupError(f"Source image {image} does not exist. Provide a valid source image.")
        return f"{found['repository']}@{there['imageDigest']}"

    def keep(name: str, image: str | None) -> None:
        lambda_svc._functions[name]["resolved_image_uri"] = image

    def refusal(error: LookupError) -> tuple:
        return responses.error_response_json("InvalidParameterValueException", str(error), 400)

    def by_api(original: Callable) -> Callable:
        def create(data: dict) -> tuple:
            try:
                image = resolved((data.get("Code") or {}).get("ImageUri"))
            except LookupError as error:
                return refusal(error)
            answer = original(data)
            if answer[0] < 300:
                keep(data["FunctionName"], image)
            return answer
        return create

    def by_update(original: Callable) -> Callable:
        def update(name: str, data: dict) -> tuple:
            try:
                image = resolved(data.get("ImageUri"))
            except LookupError as error:
                return refusal(error)
            answer = original(name, data)
            if answer[0] < 300:
                keep(name, image)
            return answer
        return update

    def by_template(original: Callable) -> Callable:
        def create(logical_id: str, props: dict, stack_name: str) -> tuple:
            image = resolved(props.get("Code", {}).get("ImageUri"))  # what is raised fails the resource
            name, attributes = original(logical_id, props, stack_name)
            keep(name, image)
            return name, attributes
        return create

    def told(original: Callable) -> Callable:
        def get(name: str, qualifier: str | None = None) -> tuple:
            status, headers, body = original(name, qualifier)
            image = lambda_svc._functions[name].get("resolved_image_uri") if status == 200 else None
            if image is None:
                return status, headers, body
            answer = json.loads(body)
            answer["Code"]["ResolvedImageUri"] = image
            return responses.json_response(answer)
        return get

    replace(lambda_svc, "_create_function", "data", by_api)
    replace(lambda_svc, "_update_code", "name data", by_update)
    replace(lambda_svc, "_get_function", "name qualifier", told)
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    if handlers["create"] is not provisioners._lambda_create:
        raise GapChanged("MiniStack makes a template's functions by another name: adapt `tags_of_images_are_resolved_once`")
    replace(provisioners, "_lambda_create", "logical_id props stack_name", by_template)
    handlers["create"] = provisioners._lambda_create
