"""Gaps in S3: its notifications, and objects that are read across accounts or under a delete marker."""

from __future__ import annotations

import contextvars
import dataclasses
import re
from typing import Any, Callable
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import unescape

from ministack.core import iam_evaluator, responses
from ministack.services import eventbridge, iam, s3
from ministack.services.cloudformation import helpers, provisioners

from patching import replace


def stored_version(bucket: str, key: str, version_id: str | None) -> dict:
    """MiniStack's record of an object version; of the current one when there is no version id."""
    for entry in s3._object_versions.get((bucket, key), []):
        if entry["version_id"] == version_id:
            return entry
    return (s3._buckets.get(bucket) or {}).get("objects", {}).get(key, {})


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


def heads_count_tags() -> None:
    """HeadObject answers with `x-amz-tagging-count` as GetObject does; MiniStack's doesn't.

    Source: S3 API reference, `HeadObject`, "Response Elements".
    """
    def wrap(original: Callable) -> Callable:
        def head(bucket_name: str, key: str, *args: Any, **kwargs: Any) -> tuple:
            status, headers, body = original(bucket_name, key, *args, **kwargs)
            if status == 200:
                headers.update(s3._object_tagging_count_header(bucket_name, key, headers.get("x-amz-version-id")))
            return status, headers, body
        return head

    replace(s3, "_head_object", "bucket_name key headers query_params", wrap)


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


def listed_versions_are_encoded() -> None:
    """`encoding-type=url` of ListObjectVersions, which MiniStack heeds in its other listings only.

    XML 1.0 can't hold every character that a key can, so a key with a control character breaks a listing without.
    Source: S3 API reference, `ListObjectVersions`, "EncodingType".
    """
    elements = re.compile(r"<(Key|Prefix|KeyMarker|NextKeyMarker|Delimiter)>(.*?)</\1>", re.DOTALL)

    def encode(match: re.Match) -> str:
        name, text = match.groups()
        return f"<{name}>{s3._url_encode(unescape(text))}</{name}>"

    def wrap(original: Callable) -> Callable:
        def list_versions(bucket_name: str, query_params: dict) -> tuple:
            status, headers, body = original(bucket_name, query_params)
            if status == 200 and s3._qp(query_params, "encoding-type", "") == "url":
                text = elements.sub(encode, body.decode())
                body = text.replace("<MaxKeys>", "<EncodingType>url</EncodingType><MaxKeys>", 1).encode()
            return status, headers, body
        return list_versions

    replace(s3, "_list_object_versions", "bucket_name query_params", wrap)


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


def template_location(url: str) -> tuple[str, str, str | None]:
    """Bucket, key and version id that a `TemplateURL` names, path-style or with the bucket in the host."""
    parts = urlsplit(url)
    path = unquote(parts.path.lstrip("/"))
    bucket_in_host = re.fullmatch(r"(.+)\.s3[.-].*", parts.hostname or "")
    bucket, key = (bucket_in_host[1], path) if bucket_in_host else path.split("/", 1)
    return bucket, key, parse_qs(parts.query).get("versionId", [None])[0]


def template_urls_name_a_version() -> None:
    """A `TemplateURL` may have the bucket in its host, an encoded key and `?versionId=`; MiniStack takes none of these.

    Source: CloudFormation API reference, CreateChangeSet, `TemplateURL`; S3 user guide, "Virtual hosting of buckets".
    """
    asked: contextvars.ContextVar[str] = contextvars.ContextVar("template_url", default="")

    def remember(original: Callable) -> Callable:
        def resolve(params: Any, body_key: str, url_key: str, label: str) -> tuple:
            token = asked.set(helpers._p(params, url_key))
            try:
                return original(params, body_key, url_key, label)
            finally:
                asked.reset(token)
        return resolve

    def fetch(original: Callable) -> Callable:
        def get(bucket_name: str, key: str, version_id: str | None = None) -> bytes | None:
            if asked.get():
                bucket_name, key, version_id = template_location(asked.get())
            return original(bucket_name, key, version_id)
        return get

    replace(helpers, "_resolve_document", "params body_key url_key label", remember)
    replace(s3, "_get_object_data", "bucket_name key version_id", fetch)


def code_and_templates_across_accounts() -> None:
    """Lambda and CloudFormation read another account's bucket when its policy lets the caller; MiniStack finds nothing.

    Source: Lambda API reference, UpdateFunctionCode, `S3Bucket` ("can be in a different AWS account").
    """
    def wrap(original: Callable) -> Callable:
        def get(bucket_name: str, key: str, version_id: str | None = None) -> bytes | None:
            owner, caller = s3._bucket_owner_account(bucket_name), responses.get_account_id()
            if owner in (None, caller):
                return original(bucket_name, key, version_id)
            query = {"versionId": [version_id]} if version_id else {}
            if not s3._foreign_bucket_allows(owner, bucket_name, key, "GET", query, caller):
                return None
            with responses.request_scope(owner, responses.get_region()):
                return original(bucket_name, key, version_id)
        return get

    replace(s3, "_get_object_data", "bucket_name key version_id", wrap)


def copies_across_accounts() -> None:
    """CopyObject reads another account's bucket when its policy lets the caller; MiniStack looks in the caller's account only.

    The source's bytes are put where they shall go by MiniStack's own PutObject. Tags are not copied.
    Source: S3 API reference, CopyObject ("You must have read access to the source object and write access to the
    destination bucket").
    """
    def wrap(original: Callable) -> Callable:
        def copy(bucket_name: str, dest_key: str, headers: dict) -> tuple:
            path, _, query = headers.get("x-amz-copy-source", "").lstrip("/").partition("?")
            bucket, _, key = unquote(path).partition("/")
            if s3._bucket_owner_account(bucket) in (None, responses.get_account_id()):
                return original(bucket_name, dest_key, headers)
            body = s3._get_object_data(bucket, key, parse_qs(query).get("versionId", [None])[0])
            if body is None:  # not there, or not for this caller: S3 doesn't tell a stranger which
                return s3._error("AccessDenied", "Access Denied", 403)
            put = {name: value for name, value in headers.items() if not name.startswith("x-amz-copy-source")}
            if algorithm := put.pop("x-amz-checksum-algorithm", None):
                put["x-amz-sdk-checksum-algorithm"] = algorithm
            status, answered, answer = s3._put_object(bucket_name, dest_key, body, put)
            if status >= 300:
                return status, answered, answer
            result = (f'<CopyObjectResult xmlns="{s3.S3_NS}"><LastModified>{responses.now_iso()}</LastModified>'
                      f"<ETag>{answered['ETag']}</ETag></CopyObjectResult>")
            version = {name: value for name, value in answered.items() if name == "x-amz-version-id"}
            return 200, {"Content-Type": "application/xml", **version}, result.encode()
        return copy

    replace(s3, "_copy_object", "bucket_name dest_key headers", wrap)


def bucket_policies_name_foreign_roles() -> None:
    """A bucket's policy can let in one role of another account; MiniStack asks it about that account's root only.

    Source: S3 user guide, "Bucket owner granting cross-account bucket permissions".
    """
    foreign: contextvars.ContextVar[bool] = contextvars.ContextVar("foreign_caller", default=False)

    def mark(original: Callable) -> Callable:
        def allows(*args: Any, **kwargs: Any) -> bool:
            token = foreign.set(True)
            try:
                return original(*args, **kwargs)
            finally:
                foreign.reset(token)
        return allows

    def ask(original: Callable) -> Callable:
        def evaluate(doc: Any, ctx: Any, *args: Any, **kwargs: Any) -> Any:
            caller = iam_evaluator._request_caller_arn.get()
            if foreign.get() and ctx.principal_account and f":{ctx.principal_account}:" in caller:
                ctx = dataclasses.replace(ctx, principal_arn=caller)
            return original(doc, ctx, *args, **kwargs)
        return evaluate

    replace(s3, "_foreign_bucket_allows", "owner_account bucket_name key method query_params caller headers", mark)
    replace(iam_evaluator, "evaluate_resource_policy", "doc ctx service named_only direct_only", ask)


def put_bucket_settings(bucket: str, properties: dict) -> None:
    """Encryption and object lock of a template's bucket, by MiniStack's own PutBucketEncryption and PutObjectLockConfiguration."""
    requests = []
    for rule in properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", []):
        default = rule.get("ServerSideEncryptionByDefault", {"SSEAlgorithm": "AES256"})
        key = default.get("KMSMasterKeyID")
        requests.append((s3._put_bucket_encryption, (
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
            f"<SSEAlgorithm>{default['SSEAlgorithm']}</SSEAlgorithm>"
            + (f"<KMSMasterKeyID>{key}</KMSMasterKeyID>" if key else "")
            + "</ApplyServerSideEncryptionByDefault>"
            f"<BucketKeyEnabled>{str(rule.get('BucketKeyEnabled', False)).lower()}</BucketKeyEnabled>"
            "</Rule></ServerSideEncryptionConfiguration>")))
    if retention := properties.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention"):
        requests.append((s3._put_object_lock_configuration, (
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
            + "".join(f"<{name}>{value}</{name}>" for name, value in retention.items())
            + "</DefaultRetention></Rule></ObjectLockConfiguration>")))
    for put, body in requests:
        status, _, answer = put(bucket, body.encode())
        if status >= 300:
            raise ValueError(f"`{bucket}`: {answer!r}")


def bucket_properties_are_applied() -> None:
    """A template's `BucketEncryption` and `ObjectLockConfiguration` reach the bucket; MiniStack's CloudFormation drops them.

    Source: CloudFormation template reference, `AWS::S3::Bucket`.
    """
    def applying(properties_at: int) -> Callable[[Callable], Callable]:
        def wrap(original: Callable) -> Callable:
            def provision(*args: Any) -> tuple:
                bucket, attributes = original(*args)
                put_bucket_settings(bucket, args[properties_at])
                return bucket, attributes
            return provision
        return wrap

    replace(provisioners, "_s3_create", "logical_id props stack_name", applying(1))
    replace(provisioners, "_s3_update", "physical_id old_props new_props stack_name", applying(2))
    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"].update(
        create=provisioners._s3_create, update=provisioners._s3_update)
