"""Gaps in IAM enforcement (`AUTH=true`): condition keys that S3's calls carry, and who the caller is."""

from __future__ import annotations

import functools
import json
import re
from typing import Any, Callable
from urllib.parse import parse_qsl

import ministack.app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import iam, s3
from ministack.services.cloudformation import provisioners

from gaps_s3 import role_of_session
from patching import replace

TAGGING_WRITES = ("s3:PutObjectTagging", "s3:PutObjectVersionTagging")
TAGGING_CALLS = TAGGING_WRITES + (
    "s3:GetObjectTagging", "s3:GetObjectVersionTagging",
    "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging",
)


def wildcards_match_every_character() -> None:
    """`*` and `?` of a policy match a line feed too; MiniStack's end at one.

    Source: IAM user guide, "IAM JSON policy elements: Resource": any combination of characters.
    """
    def wrap(original: Callable) -> Callable:
        @functools.cache
        def compiled(pattern: str, ignore_case: bool) -> re.Pattern:
            found = original(pattern, ignore_case)
            return re.compile(found.pattern.removesuffix("$") + r"\Z", found.flags | re.DOTALL)
        return compiled

    replace(iam_evaluator, "_fnmatch_compile", "pattern ignore_case", wrap)


def request_object_tags(pairs: list[tuple[str, str]]) -> dict:
    """The condition keys for the tags that a request sets: `s3:RequestObjectTag/…`, `s3:RequestObjectTagKeys`."""
    context: dict = {f"s3:RequestObjectTag/{name}": value for name, value in pairs}
    if pairs:
        context["s3:RequestObjectTagKeys"] = [name for name, _ in pairs]
    return context


def tags_in_body(body: bytes) -> list[tuple[str, str]]:
    """The tags of a PutObjectTagging body; none for a body that the call itself will refuse."""
    try:
        return list(s3._parse_tags_xml(body).items())
    except Exception:  # whatever the XML parser raises
        return []


def tag_conditions() -> None:
    """The tag condition keys of S3's tagging calls, and of tags that come with PutObject.

    `s3:RequestObjectTag/<key>` and `s3:RequestObjectTagKeys` are what a request would set,
    `s3:ExistingObjectTag/<key>` what is there. MiniStack knows only the last, and only for reads of the object.
    Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3".
    """
    def with_body(original: Callable) -> Callable:
        def context(service: str, iam_action: str, body: bytes, params: dict) -> dict:
            known = original(service, iam_action, body, params)
            if service == "s3" and iam_action in TAGGING_WRITES:
                known = {**known, **request_object_tags(tags_in_body(body))}
            return known
        return context

    def with_headers(original: Callable) -> Callable:
        def context(iam_action: str, query_params: dict | None, path: str = "", headers: dict | None = None) -> dict:
            known = original(iam_action, query_params, path, headers)
            bucket, _, key = path.lstrip("/").partition("/")
            if iam_action == "s3:PutObject":
                tags = parse_qsl((headers or {}).get("x-amz-tagging", ""), keep_blank_values=True)
                known = {**known, **request_object_tags(tags)}
            elif iam_action in TAGGING_CALLS and key:
                existing = s3.object_tags_for_condition(bucket, key, query_params or {})
                known = {**known, **{f"s3:ExistingObjectTag/{name}": value for name, value in existing.items()}}
            return known
        return context

    replace(iam_actions, "request_tag_context", "service iam_action body params", with_body)
    replace(iam_actions, "s3_service_context", "iam_action query_params path headers", with_headers)


def tags_of_a_put_need_permission() -> None:
    """PutObject with an `x-amz-tagging` header needs `s3:PutObjectTagging` too; MiniStack asks for PutObject only.

    Without it the header would be a way around a deny on tagging.
    Source: S3 API reference, PutObject, "Permissions".
    """
    def wrap(original: Callable) -> Callable:
        def enforce(access_key_id: str, iam_action: str, service: str, region: str, resource_arn: str = "*",
                    service_context: dict | None = None) -> Any:
            rest = (service, region, resource_arn, service_context)
            denied = original(access_key_id, iam_action, *rest)
            if not denied and iam_action == "s3:PutObject" and "s3:RequestObjectTagKeys" in (service_context or {}):
                denied = original(access_key_id, "s3:PutObjectTagging", *rest)
            return denied
        return enforce

    replace(iam_evaluator, "enforce", "access_key_id iam_action service region resource_arn service_context", wrap)


def upload_headers_as_condition_keys() -> None:
    """A PutObject's headers for key, customer key, copy source and condition are condition keys; MiniStack knows fewer of them.

    Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3".
    """
    known_headers = ("x-amz-server-side-encryption-aws-kms-key-id", "x-amz-storage-class",
                     "x-amz-server-side-encryption-customer-algorithm", "x-amz-copy-source", "if-none-match")

    def wrap(original: Callable) -> Callable:
        def context(iam_action: str, query_params: dict | None, path: str = "", headers: dict | None = None) -> dict:
            known = original(iam_action, query_params, path, headers)
            if iam_action == "s3:PutObject":
                found = {f"s3:{name}": (headers or {}).get(name) for name in known_headers}
                known = {**known, **{key: value for key, value in found.items() if value}}
            return known
        return context

    replace(iam_actions, "s3_service_context", "iam_action query_params path headers", wrap)


def variables_in_conditions() -> None:
    """`${key}` and `${key, 'default'}` in a condition's values stand for the request's; MiniStack takes them literally.

    Source: IAM user guide, "IAM policy elements: Variables and tags".
    """
    variable = re.compile(r"\$\{([^},]+?)\s*(?:,\s*'([^']*)')?\}")

    def wrap(original: Callable) -> Callable:
        def met(conditions: dict, ctx: Any) -> bool:
            def value(match: re.Match) -> str:
                found = iam_evaluator._resolve_condition_key(match[1], ctx)
                known = found if isinstance(found, str) else match[2]
                return match[0] if known is None else known

            def filled(expected: Any) -> Any:
                if isinstance(expected, list):
                    return [filled(one) for one in expected]
                return variable.sub(value, expected) if isinstance(expected, str) else expected

            return original({
                operator: {key: filled(expected) for key, expected in keys.items()} if isinstance(keys, dict) else keys
                for operator, keys in (conditions or {}).items()
            }, ctx)
        return met

    replace(iam_evaluator, "_conditions_met", "conditions ctx", wrap)


def loopback_counts_as_tls() -> None:
    """`aws:SecureTransport` is true for callers at 127.0.0.1, who speak plain HTTP but never leave the machine.

    Else a bucket policy that asks for TLS would refuse everybody. It stays false for other addresses of the
    loopback: a test that binds its end to 127.0.0.2 sees what a caller without TLS sees.
    """
    def wrap(original: Callable) -> Callable:
        def pin(source_ip: str, secure_transport: bool) -> None:
            original(source_ip, secure_transport or source_ip == "127.0.0.1")
        return pin

    replace(ministack.app, "pin_request_origin", "source_ip secure_transport", wrap)


def principal_arn_of_a_session_is_the_role() -> None:
    """`aws:PrincipalArn` is the role's ARN, path included, for a session; in MiniStack it is the session's.

    Source: IAM user guide, "AWS global condition context keys", `aws:PrincipalArn`.
    """
    def wrap(original: Callable) -> Callable:
        def resolve(key: str, ctx: Any) -> Any:
            if key.lower() == "aws:principalarn":
                role = role_of_session(ctx.principal_arn)
                if role is not None:
                    return role["Arn"]
            return original(key, ctx)
        return resolve

    replace(iam_evaluator, "_resolve_condition_key", "key ctx", wrap)


def each_parameter_needs_permission() -> None:
    """GetParameters needs the permission for each parameter that it names; MiniStack asks for it on `*`.

    Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Systems Manager".
    """
    def with_names(original: Callable) -> Callable:
        def extract(service: str, method: str, path: str, headers: dict, body: bytes, query_params: dict,
                    region: str, account_id: str) -> str:
            rest = (query_params, region, account_id)
            if service != "ssm" or iam_actions._action_from_target(headers) != "GetParameters":
                return original(service, method, path, headers, body, *rest)
            try:
                names = json.loads(body)["Names"]
            except (ValueError, KeyError, TypeError):
                names = []  # the call itself refuses it
            arns = [original(service, method, path, headers, json.dumps({"Name": name}).encode(), *rest) for name in names]
            return "\n".join(arns) or "*"
        return extract

    def wrap(original: Callable) -> Callable:
        def enforce(access_key_id: str, iam_action: str, service: str, region: str, resource_arn: str = "*",
                    service_context: dict | None = None) -> Any:
            denied = None
            for arn in resource_arn.split("\n") if service == "ssm" else [resource_arn]:
                denied = denied or original(access_key_id, iam_action, service, region, arn, service_context)
            return denied
        return enforce

    replace(iam_actions, "extract_resource_arn", "service method path headers body query_params region account_id", with_names)
    replace(iam_evaluator, "enforce", "access_key_id iam_action service region resource_arn service_context", wrap)


def a_layer_version_is_read_by_its_own_permission() -> None:
    """Reading one layer version asks `lambda:GetLayerVersion`; MiniStack asks `lambda:ListLayers` for all that is read of layers.

    Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Lambda".
    """
    def wrap(original: Callable) -> Callable:
        def action(method: str, path: str) -> str | None:
            is_one = re.fullmatch(r"/[\d-]+/layers/[^/]+/versions/\d+", path)
            return "GetLayerVersion" if is_one and method == "GET" else original(method, path)
        return action

    replace(iam_actions, "_lambda_action", "method path", wrap)


def role_boundaries_are_applied() -> None:
    """A template's `PermissionsBoundary` reaches the role; MiniStack's CloudFormation drops a role's, and applies a user's.

    Source: CloudFormation template reference, `AWS::IAM::Role`.
    """
    def applying(properties_at: int) -> Callable[[Callable], Callable]:
        def wrap(original: Callable) -> Callable:
            def provision(*args: Any, **named: Any) -> tuple:
                role, attributes = original(*args, **named)
                iam._roles[role]["PermissionsBoundary"] = args[properties_at].get("PermissionsBoundary")
                return role, attributes
            return provision
        return wrap

    replace(provisioners, "_iam_role_create", "logical_id props stack_name", applying(1))
    replace(provisioners, "_iam_role_update", "physical_id old_props new_props stack_name logical_id", applying(2))
    provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"].update(
        create=provisioners._iam_role_create, update=provisioners._iam_role_update)
