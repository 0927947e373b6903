"""Starts the local AWS: MiniStack, with the gaps closed that the gatekeeper would otherwise fall into.

Each gap is closed by one small function that replaces a name inside of MiniStack before its server
starts. A name that has gone, or that takes other parameters than those we wrote against, ends the
start with a message: a gap that silently came open again would make the tests prove nothing.

What MiniStack needs from its environment is set by `instance.py`; what stays different from AWS is in
`README.md`.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import socketserver
import sys
from importlib.metadata import version
from types import ModuleType
from typing import Any, Callable
from urllib.parse import parse_qsl

import ministack.app
import samtranslator.translator.transform as sam
from ministack.core import iam_actions, iam_evaluator, responses
from ministack.services import eventbridge, iam, s3
from ministack.services.cloudformation import changesets, engine, handlers

TAGGING_WRITES = ("s3:PutObjectTagging", "s3:PutObjectVersionTagging")
TAGGING_CALLS = TAGGING_WRITES + (
    "s3:GetObjectTagging", "s3:GetObjectVersionTagging",
    "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging",
)


class GapChanged(Exception):
    """A name inside of MiniStack that we replace is gone or is another one now."""


def replace(module: ModuleType, name: str, parameters: str, wrap: Callable[[Callable], Callable]) -> None:
    """Puts `wrap(original)` in the place of `module.name`.

    `parameters` are the names of the original's parameters, in order, as they were when the gap was
    closed; anything else raises `GapChanged`.
    """
    original = getattr(module, name, None)
    found = " ".join(inspect.signature(original).parameters) if callable(original) else "nothing"
    if found != parameters:
        raise GapChanged(
            f"`{module.__name__}.{name}` takes `{found}`, not `{parameters}`, in MiniStack "
            f"{version('ministack')}: see whether the gap is still there, then adapt or remove its closer"
        )
    setattr(module, name, functools.wraps(original)(wrap(original)))


def stored_version(bucket: str, key: str, version_id: str | None) -> dict:
    """MiniStack's record of an object version; of the current one when there is no version id."""
    for entry in s3._object_versions.get((bucket, key), []):
        if entry["version_id"] == version_id:
            return entry
    return (s3._buckets.get(bucket) or {}).get("objects", {}).get(key, {})


# S3 notifications


def tagging_notifications() -> None:
    """`s3:ObjectTagging:Put` and `s3:ObjectTagging:Delete`, which MiniStack never sends.

    S3 sends them after PutObjectTagging and DeleteObjectTagging (not for tags that came with
    PutObject), with the version id; EventBridge calls them "Object Tags Added" and "Object Tags Deleted".
    Source: S3 user guide, "Event notification types and destinations" and "Using EventBridge".
    """
    details = s3._S3_EVENTBRIDGE_EVENT_DETAIL_TYPE
    details["ObjectTagging:Put"] = "Object Tags Added"
    details["ObjectTagging:Delete"] = "Object Tags Deleted"

    def notifying(event: str) -> Callable[[Callable], Callable]:
        def wrap(original: Callable) -> Callable:
            def tag(bucket_name: str, key: str, *args: Any, **kwargs: Any) -> tuple:
                status, headers, body = original(bucket_name, key, *args, **kwargs)
                if status < 300:
                    version_id = headers.get("x-amz-version-id")
                    entry = stored_version(bucket_name, key, version_id)
                    s3._fire_s3_event_async(
                        bucket_name, key, event, size=entry.get("size", 0), etag=entry.get("etag", ""),
                        version_id=version_id,
                    )
                return status, headers, body
            return tag
        return wrap

    replace(s3, "_put_object_tagging", "bucket_name key body query_params",
            notifying("s3:ObjectTagging:Put"))
    replace(s3, "_delete_object_tagging", "bucket_name key query_params",
            notifying("s3:ObjectTagging:Delete"))


def tagging_behind_a_delete_marker() -> None:
    """Tagging calls that name a version reach it under a delete marker too; MiniStack says `NoSuchKey`.

    In S3 a delete marker hides an object only from calls without a version id.
    Source: S3 user guide, "Working with delete markers".
    """
    def wrap(original: Callable) -> Callable:
        def tagging(bucket_name: str, key: str, *args: Any) -> tuple:
            query_params = args[-1] or {}
            version_id = s3._qp(query_params, "versionId", "")
            objects = (s3._buckets.get(bucket_name) or {}).get("objects", {})
            hidden = None if key in objects or not version_id else stored_version(bucket_name, key, version_id)
            if not hidden or hidden.get("is_delete_marker"):
                return original(bucket_name, key, *args)
            # Requests to S3 are handled one after the other, so nobody else sees this.
            objects[key] = s3._object_record_from_version(hidden)
            try:
                return original(bucket_name, key, *args)
            finally:
                del objects[key]
        return tagging

    replace(s3, "_get_object_tagging", "bucket_name key query_params", wrap)
    replace(s3, "_put_object_tagging", "bucket_name key body query_params", wrap)
    replace(s3, "_delete_object_tagging", "bucket_name key query_params", wrap)


def role_of_session(arn: str) -> dict | None:
    """The IAM role behind `arn:aws:sts::<account>:assumed-role/<role>/<session>`; None for other callers."""
    if ":assumed-role/" not in arn:
        return None
    account = arn.split(":")[4]
    return iam._roles.get_scoped(account, None, iam_evaluator._role_name_from_assumed_arn(arn))


def caller_principal_id() -> str:
    """Who sent the present request, as S3 writes it into its events.

    `AWS:AIDA…` for a user, `AWS:AROA…:session` for a role's session; the account's id after `AWS:` for
    its root, whose keys MiniStack doesn't verify.
    """
    key = iam_evaluator._verified_key.get()
    if not key:
        return f"AWS:{responses.get_account_id()}"
    account = responses._account_from_sts_session(key) or iam_evaluator.find_iam_access_key_account(key)
    credential = iam_evaluator.resolve_credential(key, account)
    if isinstance(credential, iam_evaluator.CredentialResolutionError):
        return "AWS:unknown"
    role = role_of_session(credential.principal_arn)
    if role is not None and role.get("RoleId"):
        # A function's session has the role's name here, where AWS has its unique id.
        return f"AWS:{role['RoleId']}:{credential.principal_arn.rsplit('/', 1)[-1]}"
    return f"AWS:{credential.principal_id}"


def notifications_name_the_caller() -> None:
    """`userIdentity.principalId` is who did it; in MiniStack it is always `EXAMPLE`.

    Source: S3 user guide, "Event message structure".
    """
    def wrap(original: Callable) -> Callable:
        def fire(*args: Any, **kwargs: Any) -> None:
            extra = {"userIdentity": {"principalId": caller_principal_id()}}
            kwargs["record_extra"] = {**extra, **(kwargs.get("record_extra") or {})}
            original(*args, **kwargs)
        return fire

    replace(s3, "_fire_s3_event_async",
            "bucket_name key event_name size etag deletion_type version_id object_extra record_extra", wrap)


def eventbridge_events_name_the_version() -> None:
    """S3's events on EventBridge carry `detail.object.version-id`; MiniStack leaves it out.

    Source: S3 user guide, "EventBridge event message structure".
    """
    version_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("event_version_id", default=None)

    def remember(original: Callable) -> Callable:
        def fire(*args: Any, **kwargs: Any) -> None:
            token = version_id.set(kwargs.get("version_id"))
            try:
                original(*args, **kwargs)
            finally:
                version_id.reset(token)
        return fire

    def add(original: Callable) -> Callable:
        def dispatch(event: dict, view: Any = None) -> Any:
            if event.get("Source") == "aws.s3" and version_id.get() and view is None:
                detail = s3.json.loads(event["Detail"])
                detail["object"]["version-id"] = version_id.get()
                event = {**event, "Detail": s3.json.dumps(detail)}
            return original(event, view)
        return dispatch

    replace(s3, "_fire_s3_event",
            "bucket_name key event_name size etag deletion_type restore_event_data version_id sequencer "
            "object_extra record_extra", remember)
    replace(eventbridge, "_dispatch_event", "event view", add)


# IAM under AUTH=true


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


# Lambda, CloudFormation


def runtime_api_without_nagle() -> None:
    """Answers of the Lambda Runtime API leave at once; MiniStack's wait some 45 ms for Nagle and delayed ACK."""
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def sam_knows_parameter_values() -> None:
    """SAM's transform sees the values of the stack's parameters; MiniStack hands it none.

    Without them `AutoPublishAlias` misses code that changes by parameter.
    Source: SAM specification, "AutoPublishAlias"; CloudFormation runs transforms on a template with its parameters.
    """
    values: contextvars.ContextVar[dict] = contextvars.ContextVar("sam_parameter_values", default={})

    def remember(original: Callable) -> Callable:
        def apply(template: dict, provided_params: Any = None, previous_params: Any = None) -> Any:
            token = values.set(engine._transform_parameters(template, provided_params, previous_params))
            try:
                return original(template, provided_params, previous_params)
            finally:
                values.reset(token)
        return apply

    def supply(original: Callable) -> Callable:
        def transform(input_fragment: dict, parameter_values: dict, *args: Any, **kwargs: Any) -> dict:
            return original(input_fragment, {**values.get(), **parameter_values}, *args, **kwargs)
        return transform

    for module in (changesets, handlers):
        replace(module, "_apply_transforms", "template provided_params previous_params", remember)
    replace(sam, "transform",
            "input_fragment parameter_values managed_policy_loader feature_toggle passthrough_metadata",
            supply)


# Order matters in one place: a tagging call first finds its version, then notifies.
CLOSERS = (
    tagging_behind_a_delete_marker,
    tagging_notifications,
    notifications_name_the_caller,
    eventbridge_events_name_the_version,
    tag_conditions,
    tags_of_a_put_need_permission,
    principal_arn_of_a_session_is_the_role,
    runtime_api_without_nagle,
    sam_knows_parameter_values,
)


def main() -> None:
    """Closes the gaps and serves until it is told to end."""
    try:
        for close in CLOSERS:
            close()
    except GapChanged as changed:
        sys.exit(f"error: {changed}")
    sys.argv = sys.argv[:1]
    ministack.app.main()


if __name__ == "__main__":
    main()
