"""The local AWS behaves as AWS does where the gatekeeper depends on it: each closed gap, by real calls.

    .local/venv/bin/python infra/local/test_launcher.py

Runs against an instance of its own, under IAM enforcement, and leaves nothing behind.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import itertools
import json
import shutil
import statistics
import tempfile
import time
import unittest
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError

import gaps_compute
import gaps_s3
import patching
from instance import ACCOUNT, REGION, Instance

PATIENCE_SECONDS = 10
names = itertools.count(1)

# A Lambda runtime in a few lines. Its events: `{"sleep": seconds}`, `{"tag": PutObjectTagging's input}`; it fails for
# those of S3, and it logs its process id.
BOOTSTRAP = '''#!/usr/bin/env python3
import http.client, json, os, sys, time
sys.path[:0] = json.loads(os.environ["MODULES"])
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event, request_id = json.loads(answer.read()), answer.getheader("Lambda-Runtime-Aws-Request-Id")
    print("pid", os.getpid(), flush=True)  # MiniStack waits 50 ms for a function's first log line
    path, body = "response", event
    if "tag" in event:
        import boto3
        boto3.client("s3").put_object_tagging(**event["tag"])
    time.sleep(event.get("sleep", 0))
    if "Records" in event:
        path, body = "error", {"errorType": "Refused", "errorMessage": "as asked"}
    api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/{path}", json.dumps(body))
    api.getresponse().read()
'''


def tag_set(**tags: str) -> dict:
    return {"TagSet": [{"Key": key.replace("_", "-"), "Value": value} for key, value in tags.items()]}


def allow(*actions: str, **conditions: Any) -> dict:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **({"Condition": conditions} if conditions else {})}


def deny(*actions: str, **conditions: Any) -> dict:
    return {**allow(*actions, **conditions), "Effect": "Deny"}


class LocalAwsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="local-aws-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.instance = Instance(cls.folder)
        cls.addClassCleanup(cls.instance.stop)
        cls.instance.start()
        for service in ("s3", "sqs", "iam", "sts", "lambda", "events", "kms", "logs", "cloudformation", "stepfunctions"):
            setattr(cls, {"lambda": "functions"}.get(service, service), cls.instance.client(service))

    # Set-up that the tests share

    def bucket(self, **options: Any) -> str:
        name = f"bucket-{next(names)}"
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}, **options)
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def put(self, bucket: str, key: str = "key", body: bytes = b"content", **options: Any) -> str:
        return self.s3.put_object(Bucket=bucket, Key=key, Body=body, **options)["VersionId"]

    def queue(self) -> tuple[str, str]:
        name = f"queue-{next(names)}"
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        policy = {"Statement": [{"Effect": "Allow", "Principal": {"Service": ["s3.amazonaws.com", "events.amazonaws.com"]},
                                 "Action": "sqs:SendMessage", "Resource": arn}]}
        return self.sqs.create_queue(QueueName=name, Attributes={"Policy": json.dumps(policy)})["QueueUrl"], arn

    def notified_bucket(self, *events: str) -> tuple[str, str]:
        bucket, (url, arn) = self.bucket(), self.queue()
        self.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": list(events)}]})
        self.receive(url)  # S3's test event
        return bucket, url

    def receive(self, url: str) -> dict:
        """The next message, as JSON; a failure when none comes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for message in self.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                return json.loads(message["Body"])
        self.fail("no message came")

    def role(self, *statements: dict, path: str = "/") -> str:
        name = f"role-{next(names)}"
        trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
            "AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "lambda.amazonaws.com"}}]}
        arn = self.iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        if statements:
            self.iam.put_role_policy(RoleName=name, PolicyName="it", PolicyDocument=json.dumps({"Statement": statements}))
        return arn

    def as_role(self, *statements: dict, path: str = "/", session: str = "session") -> Any:
        """An S3 client with a session of a new role that has these statements."""
        keys = self.sts.assume_role(RoleArn=self.role(*statements, path=path), RoleSessionName=session)["Credentials"]
        return boto3.client(
            "s3", endpoint_url=self.instance.endpoint, region_name=REGION, aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])

    def function(self, *statements: dict, **options: Any) -> str:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, BOOTSTRAP)
        name = f"function-{next(names)}"
        self.logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
        modules = json.dumps([str(Path(boto3.__file__).parent.parent)])
        self.functions.create_function(
            FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role=self.role(*statements),
            Code={"ZipFile": buffer.getvalue()}, Timeout=20, Environment={"Variables": {"MODULES": modules}}, **options)
        return name

    def assertRefused(self, code: str, call: Any, **arguments: Any) -> None:
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)


class Notifications(LocalAwsTest):
    def test_tagging_an_object_is_notified_with_its_version(self) -> None:
        bucket, url = self.notified_bucket("s3:ObjectTagging:*")
        version = self.put(bucket, "a b/ü+.zip")
        self.s3.put_object_tagging(Bucket=bucket, Key="a b/ü+.zip", Tagging=tag_set(integration_passed="true"))
        record = self.receive(url)["Records"][0]
        self.assertEqual(record["eventName"], "ObjectTagging:Put")
        self.assertEqual(record["s3"]["object"]["key"], "a+b/%C3%BC%2B.zip")
        self.assertEqual(record["s3"]["object"]["versionId"], version)
        self.assertEqual(record["s3"]["object"]["eTag"], hashlib.md5(b"content").hexdigest())

    def test_tagging_an_older_version_names_that_version(self) -> None:
        bucket, url = self.notified_bucket("s3:ObjectTagging:Put")
        older = self.put(bucket)
        self.put(bucket)
        self.s3.put_object_tagging(Bucket=bucket, Key="key", VersionId=older, Tagging=tag_set(a="b"))
        self.assertEqual(self.receive(url)["Records"][0]["s3"]["object"]["versionId"], older)

    def test_deleting_tags_is_notified(self) -> None:
        bucket, url = self.notified_bucket("s3:ObjectTagging:Delete")
        version = self.put(bucket)
        self.s3.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(a="b"))
        self.s3.delete_object_tagging(Bucket=bucket, Key="key")
        record = self.receive(url)["Records"][0]
        self.assertEqual((record["eventName"], record["s3"]["object"]["versionId"]), ("ObjectTagging:Delete", version))

    def test_a_refused_tagging_is_not_notified(self) -> None:
        bucket, url = self.notified_bucket("s3:ObjectTagging:*")
        self.put(bucket)
        self.assertRefused("NoSuchKey", self.s3.put_object_tagging, Bucket=bucket, Key="other", Tagging=tag_set(a="b"))
        self.s3.delete_object_tagging(Bucket=bucket, Key="key")  # comes first, so nothing came before it
        self.assertEqual(self.receive(url)["Records"][0]["eventName"], "ObjectTagging:Delete")

    def test_tags_that_come_with_an_upload_are_not_a_tagging_event(self) -> None:
        bucket, url = self.notified_bucket("s3:ObjectTagging:*", "s3:ObjectCreated:*")
        self.put(bucket, Tagging="integration-passed=true")
        self.put(bucket, "marker")
        self.assertEqual({self.receive(url)["Records"][0]["eventName"] for _ in range(2)}, {"ObjectCreated:Put"})

    def test_events_name_the_role_session_that_caused_them(self) -> None:
        bucket, url = self.notified_bucket("s3:ObjectCreated:*", "s3:ObjectTagging:*")
        client = self.as_role(allow("s3:*"), session="run-17")
        role_id = self.iam.get_role(RoleName=f"role-{next(names) - 1}")["Role"]["RoleId"]
        client.put_object(Bucket=bucket, Key="key", Body=b"")
        self.assertEqual(self.receive(url)["Records"][0]["userIdentity"], {"principalId": f"AWS:{role_id}:run-17"})
        client.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(a="b"))
        self.assertEqual(self.receive(url)["Records"][0]["userIdentity"], {"principalId": f"AWS:{role_id}:run-17"})

    def test_events_name_the_user_that_caused_them(self) -> None:
        bucket, url = self.notified_bucket("s3:ObjectCreated:*")
        user_id = self.iam.create_user(UserName="jane")["User"]["UserId"]
        self.iam.put_user_policy(UserName="jane", PolicyName="it", PolicyDocument=json.dumps({"Statement": [allow("s3:*")]}))
        key = self.iam.create_access_key(UserName="jane")["AccessKey"]
        boto3.client("s3", endpoint_url=self.instance.endpoint, region_name=REGION, aws_access_key_id=key["AccessKeyId"],
                     aws_secret_access_key=key["SecretAccessKey"]).put_object(Bucket=bucket, Key="key", Body=b"")
        self.assertEqual(self.receive(url)["Records"][0]["userIdentity"], {"principalId": f"AWS:{user_id}"})

    def test_events_name_the_function_that_caused_them(self) -> None:
        bucket, url = self.notified_bucket("s3:ObjectTagging:*")
        self.put(bucket)
        function = self.function(allow("s3:*"))
        tag = {"Bucket": bucket, "Key": "key", "Tagging": tag_set(a="b")}
        answer = self.functions.invoke(FunctionName=function, Payload=json.dumps({"tag": tag}))
        self.assertNotIn("FunctionError", answer)
        role = self.functions.get_function_configuration(FunctionName=function)["Role"].rsplit("/", 1)[-1]
        role_id = self.iam.get_role(RoleName=role)["Role"]["RoleId"]
        self.assertEqual(self.receive(url)["Records"][0]["userIdentity"], {"principalId": f"AWS:{role_id}:{function}"})

    def test_eventbridge_hears_of_tags_with_the_version(self) -> None:
        bucket, (url, arn) = self.bucket(), self.queue()
        rule = f"rule-{next(names)}"
        self.events.put_rule(Name=rule, EventPattern=json.dumps({"source": ["aws.s3"]}))
        self.events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
        self.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
        version = self.put(bucket, "a b.zip")
        created = self.receive(url)
        self.assertEqual(created["detail-type"], "Object Created")
        self.assertEqual(created["detail"]["object"]["version-id"], version)
        self.s3.put_object_tagging(Bucket=bucket, Key="a b.zip", Tagging=tag_set(a="b"))
        added = self.receive(url)
        self.assertEqual(added["detail-type"], "Object Tags Added")
        self.assertEqual((added["detail"]["object"]["key"], added["detail"]["object"]["version-id"]), ("a b.zip", version))
        self.s3.delete_object_tagging(Bucket=bucket, Key="a b.zip")
        self.assertEqual(self.receive(url)["detail-type"], "Object Tags Deleted")


class Conditions(LocalAwsTest):
    ONLY_THE_GATE = {"StringEquals": {"s3:RequestObjectTag/integration-passed": "true"}}

    def test_a_role_denied_one_tag_value_may_set_another(self) -> None:
        bucket = self.bucket()
        self.put(bucket)
        ci = self.as_role(allow("s3:*"), deny("s3:PutObjectTagging", **self.ONLY_THE_GATE))
        self.assertRefused("AccessDenied", ci.put_object_tagging,
                           Bucket=bucket, Key="key", Tagging=tag_set(a="b", integration_passed="true"))
        ci.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(integration_passed="false"))

    def test_the_condition_holds_for_a_named_version(self) -> None:
        bucket = self.bucket()
        version = self.put(bucket)
        ci = self.as_role(allow("s3:*"), deny("s3:PutObjectVersionTagging", **self.ONLY_THE_GATE))
        self.assertRefused("AccessDenied", ci.put_object_tagging, Bucket=bucket, Key="key", VersionId=version,
                           Tagging=tag_set(integration_passed="true"))

    def test_the_condition_holds_for_tags_that_come_with_an_upload(self) -> None:
        bucket = self.bucket()
        ci = self.as_role(allow("s3:*"), deny("s3:PutObjectTagging", **self.ONLY_THE_GATE))
        self.assertRefused("AccessDenied", ci.put_object,
                           Bucket=bucket, Key="key", Body=b"", Tagging="integration-passed=true")
        ci.put_object(Bucket=bucket, Key="key", Body=b"", Tagging="integration-passed=false")

    def test_an_upload_with_tags_needs_the_permission_to_tag(self) -> None:
        bucket = self.bucket()
        ci = self.as_role(allow("s3:PutObject"))
        ci.put_object(Bucket=bucket, Key="key", Body=b"")
        self.assertRefused("AccessDenied", ci.put_object, Bucket=bucket, Key="key", Body=b"", Tagging="a=b")

    def test_tag_keys_can_be_limited(self) -> None:
        bucket = self.bucket()
        self.put(bucket)
        limit = {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["integration-passed", "team"]}}
        ci = self.as_role(allow("s3:PutObjectTagging", **limit))
        ci.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(team="a", integration_passed="true"))
        self.assertRefused("AccessDenied", ci.put_object_tagging, Bucket=bucket, Key="key", Tagging=tag_set(other="a"))

    def test_tagging_can_depend_on_the_tags_that_are_there(self) -> None:
        bucket = self.bucket()
        self.put(bucket)
        ci = self.as_role(allow("s3:*"), deny("s3:PutObjectTagging", "s3:DeleteObjectTagging", "s3:GetObjectTagging",
                                              StringEquals={"s3:ExistingObjectTag/integration-passed": "true"}))
        ci.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(integration_passed="true"))
        again = {"Bucket": bucket, "Key": "key", "Tagging": tag_set(integration_passed="false")}
        self.assertRefused("AccessDenied", ci.put_object_tagging, **again)
        self.assertRefused("AccessDenied", ci.delete_object_tagging, Bucket=bucket, Key="key")
        self.assertRefused("AccessDenied", ci.get_object_tagging, Bucket=bucket, Key="key")

    def test_a_bucket_policy_can_spare_one_role(self) -> None:
        bucket = self.bucket()
        self.put(bucket)
        gate = self.as_role(allow("s3:*"), path="/gatekeeper/")
        gate_arn = self.iam.get_role(RoleName=f"role-{next(names) - 1}")["Role"]["Arn"]
        self.assertIn(":role/gatekeeper/", gate_arn)
        statement = {
            "Effect": "Deny", "Principal": "*", "Action": "s3:PutObjectTagging", "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": {**self.ONLY_THE_GATE, "ArnNotEquals": {"aws:PrincipalArn": gate_arn}}}
        self.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [statement]}))
        tag = {"Bucket": bucket, "Key": "key", "Tagging": tag_set(integration_passed="true")}
        gate.put_object_tagging(**tag)
        self.assertRefused("AccessDenied", self.as_role(allow("s3:*")).put_object_tagging, **tag)


    def test_a_tag_may_be_written_back_as_it_is_but_not_changed(self) -> None:
        bucket = self.bucket()
        self.put(bucket, Tagging="outcome=built")
        existing = "${s3:ExistingObjectTag/outcome, 'none'}"
        ci = self.as_role(allow("s3:*"), deny("s3:PutObjectTagging", StringNotEquals={"s3:RequestObjectTag/outcome": existing}))
        ci.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(outcome="built", team="a"))
        self.assertRefused("AccessDenied", ci.put_object_tagging, Bucket=bucket, Key="key", Tagging=tag_set(outcome="x"))
        self.put(bucket, "untagged")
        ci.put_object_tagging(Bucket=bucket, Key="untagged", Tagging=tag_set(outcome="none"))
        self.assertRefused("AccessDenied", ci.put_object_tagging, Bucket=bucket, Key="untagged", Tagging=tag_set(outcome="x"))

    def test_uploads_can_be_limited_to_one_encryption_key(self) -> None:
        bucket = self.bucket()
        ours, other = (self.kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
        ci = self.as_role(allow("s3:*"), deny("s3:PutObject", Null={"s3:x-amz-server-side-encryption": "false"}, StringNotEquals={
            "s3:x-amz-server-side-encryption-aws-kms-key-id": ours}))
        upload = {"Bucket": bucket, "Key": "key", "Body": b""}
        ci.put_object(**upload)
        ci.put_object(**upload, ServerSideEncryption="aws:kms", SSEKMSKeyId=ours)
        self.assertRefused("AccessDenied", ci.put_object, **upload, ServerSideEncryption="aws:kms", SSEKMSKeyId=other)
        self.assertRefused("AccessDenied", ci.put_object, **upload, ServerSideEncryption="AES256")

    def test_copies_can_be_refused(self) -> None:
        bucket = self.bucket()
        self.put(bucket)
        ci = self.as_role(allow("s3:*"), deny("s3:PutObject", Null={"s3:x-amz-copy-source": "false"}))
        ci.put_object(Bucket=bucket, Key="other", Body=b"")
        self.assertRefused("AccessDenied", ci.copy_object, Bucket=bucket, Key="other", CopySource=f"{bucket}/key")

    def test_a_policy_that_asks_for_tls_lets_the_loopback_in_and_others_not(self) -> None:
        bucket = self.bucket()
        self.put(bucket)
        ci = self.as_role(allow("s3:*"), deny("s3:*", Bool={"aws:SecureTransport": "false"}))
        url = urlsplit(ci.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"}))
        for address, status in (("127.0.0.1", 200), ("127.0.0.2", 403)):
            connection = http.client.HTTPConnection(url.netloc, source_address=(address, 0))
            connection.request("GET", f"{url.path}?{url.query}")
            self.assertEqual(connection.getresponse().status, status, address)
            connection.close()


class Store(LocalAwsTest):
    """What the gate relies on in S3, closed gaps and MiniStack's own."""

    def test_a_version_under_a_delete_marker_keeps_its_tags(self) -> None:
        bucket = self.bucket()
        version = self.put(bucket, Tagging="a=b")
        self.s3.delete_object(Bucket=bucket, Key="key")
        named = {"Bucket": bucket, "Key": "key", "VersionId": version}
        self.assertEqual(self.s3.get_object_tagging(**named)["TagSet"], tag_set(a="b")["TagSet"])
        self.s3.put_object_tagging(**named, Tagging=tag_set(c="d"))
        self.assertEqual(self.s3.get_object_tagging(**named)["TagSet"], tag_set(c="d")["TagSet"])
        self.s3.delete_object_tagging(**named)
        self.assertEqual(self.s3.get_object_tagging(**named)["TagSet"], [])
        self.assertRefused("404", self.s3.head_object, Bucket=bucket, Key="key")

    def test_versions_are_listed_newest_first_page_by_page(self) -> None:
        bucket = self.bucket()
        first, second = self.put(bucket, "k/1"), self.put(bucket, "k/1")
        other = self.put(bucket, "k/2")
        marker = self.s3.delete_object(Bucket=bucket, Key="k/2")["VersionId"]
        pages = list(self.s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Prefix="k/", PaginationConfig={"PageSize": 1}))
        self.assertEqual(len(pages), 4)
        versions = [(v["VersionId"], v["IsLatest"]) for page in pages for v in page.get("Versions", [])]
        markers = [(v["VersionId"], v["IsLatest"]) for page in pages for v in page.get("DeleteMarkers", [])]
        self.assertEqual(versions, [(second, True), (first, False), (other, False)])
        self.assertEqual(markers, [(marker, True)])

    def test_the_stored_checksum_is_the_digest_of_a_version(self) -> None:
        bucket = self.bucket()
        version = self.put(bucket, body=b"one", ChecksumAlgorithm="SHA256")
        self.put(bucket, body=b"two", ChecksumAlgorithm="SHA256")
        head = self.s3.head_object(Bucket=bucket, Key="key", VersionId=version, ChecksumMode="ENABLED")
        self.assertEqual(head["ChecksumSHA256"], base64.b64encode(hashlib.sha256(b"one").digest()).decode())
        self.assertEqual(head["ChecksumType"], "FULL_OBJECT")

    def test_a_wrong_checksum_is_refused(self) -> None:
        wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
        self.assertRefused("BadDigest", self.s3.put_object,
                           Bucket=self.bucket(), Key="key", Body=b"content", ChecksumSHA256=wrong)

    def test_a_multipart_upload_has_a_composite_checksum(self) -> None:
        bucket = self.bucket()
        target = {"Bucket": bucket, "Key": "key"}
        upload = self.s3.create_multipart_upload(**target, ChecksumAlgorithm="SHA256")["UploadId"]
        parts = []
        for number, body in ((1, b"a" * 5 * 1024 * 1024), (2, b"b")):
            part = self.s3.upload_part(**target, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
            parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
        self.s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
        head = self.s3.head_object(**target, ChecksumMode="ENABLED")
        self.assertEqual(head["ChecksumType"], "COMPOSITE")
        self.assertTrue(head["ChecksumSHA256"].endswith("-2"))

    def test_create_only_and_replace_only_writes(self) -> None:
        bucket = self.bucket()
        lock = {"Bucket": bucket, "Key": "locks/uat/r.json", "Body": b"x"}
        etag = self.s3.put_object(**lock, IfNoneMatch="*")["ETag"]
        self.assertRefused("PreconditionFailed", self.s3.put_object, **lock, IfNoneMatch="*")
        self.assertRefused("PreconditionFailed", self.s3.put_object, **lock, IfMatch='"other"')
        self.s3.put_object(**lock, IfMatch=etag)
        self.s3.delete_object(Bucket=bucket, Key=lock["Key"])
        self.assertRefused("NoSuchKey", self.s3.put_object, **lock, IfMatch=etag)
        self.s3.put_object(**lock, IfNoneMatch="*")  # a delete marker counts as nothing there

    def test_the_bucket_default_encrypts_with_its_key(self) -> None:
        bucket, key = self.bucket(), self.kms.create_key()["KeyMetadata"]["Arn"]
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
        self.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        self.put(bucket)
        head = self.s3.head_object(Bucket=bucket, Key="key")
        self.assertEqual((head["ServerSideEncryption"], head["SSEKMSKeyId"]), ("aws:kms", key))

    def test_the_bucket_default_retains_each_version(self) -> None:
        bucket = self.bucket(ObjectLockEnabledForBucket=True)
        self.s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}})
        version = self.put(bucket)
        self.assertRefused("AccessDenied", self.s3.delete_object, Bucket=bucket, Key="key", VersionId=version)
        self.assertEqual(self.s3.get_object_retention(Bucket=bucket, Key="key")["Retention"]["Mode"], "COMPLIANCE")


class OtherAccounts(LocalAwsTest):
    """A stage in an account of its own reads artefacts from ours, when our bucket's policy lets its role."""

    STAGE_ACCOUNT = "444455556666"

    def setUp(self) -> None:
        self.trust = json.dumps({"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
            "AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "lambda.amazonaws.com"}}]})
        self.bucket_name = self.bucket()
        self.template = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})
        self.put(self.bucket_name, "template.json", self.template.encode())
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as code:
            code.writestr("bootstrap", "code")
        self.code = archive.getvalue()
        self.put(self.bucket_name, "code.zip", self.code)

    def stage_role(self) -> tuple[str, dict]:
        """A role of the other account that may do anything there: its ARN and keys for a session."""
        iam = self.instance.client("iam", self.STAGE_ACCOUNT)
        name = f"role-{next(names)}"
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=self.trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="it", PolicyDocument=json.dumps({"Statement": [allow("*")]}))
        keys = self.sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
        return arn, {"aws_access_key_id": keys["AccessKeyId"], "aws_secret_access_key": keys["SecretAccessKey"],
                     "aws_session_token": keys["SessionToken"]}

    def client_as(self, keys: dict, service: str) -> Any:
        return boto3.client(service, endpoint_url=self.instance.endpoint, region_name=REGION, **keys)

    def let_in(self, arn: str) -> None:
        self.s3.put_bucket_policy(Bucket=self.bucket_name, Policy=json.dumps({"Statement": [{
            "Effect": "Allow", "Principal": {"AWS": arn}, "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": f"arn:aws:s3:::{self.bucket_name}/*"}]}))

    def create_function(self, keys: dict, role: str) -> str:
        return self.client_as(keys, "lambda").create_function(
            FunctionName=f"function-{next(names)}", Runtime="provided.al2023", Handler="bootstrap", Role=role,
            Code={"S3Bucket": self.bucket_name, "S3Key": "code.zip"})["CodeSha256"]

    def test_the_role_that_the_policy_names_gets_templates_and_code(self) -> None:
        role, keys = self.stage_role()
        self.let_in(role)
        self.client_as(keys, "s3").head_object(Bucket=self.bucket_name, Key="code.zip")
        self.client_as(keys, "cloudformation").create_change_set(
            StackName=f"stack-{next(names)}", ChangeSetName="it", ChangeSetType="CREATE",
            TemplateURL=f"{self.instance.endpoint}/{self.bucket_name}/template.json")
        digest = base64.b64encode(hashlib.sha256(self.code).digest()).decode()
        self.assertEqual(self.create_function(keys, role), digest)

    def test_another_role_gets_nothing(self) -> None:
        named, _ = self.stage_role()
        self.let_in(named)
        role, keys = self.stage_role()
        self.assertRefused("403", self.client_as(keys, "s3").head_object, Bucket=self.bucket_name, Key="code.zip")
        self.assertRefused(
            "ValidationError", self.client_as(keys, "cloudformation").create_change_set,
            StackName=f"stack-{next(names)}", ChangeSetName="it", ChangeSetType="CREATE",
            TemplateURL=f"{self.instance.endpoint}/{self.bucket_name}/template.json")


class Templates(LocalAwsTest):
    def test_a_template_url_names_a_version_in_either_style(self) -> None:
        bucket, key = self.bucket(), "r/modules/a b.json"
        older = self.put(bucket, key, json.dumps({"Resources": {"Older": {"Type": "AWS::SNS::Topic"}}}).encode())
        self.put(bucket, key, json.dumps({"Resources": {"Newer": {"Type": "AWS::SNS::Topic"}}}).encode())
        for base in (f"{self.instance.endpoint}/{bucket}", f"https://s3.{REGION}.amazonaws.com/{bucket}",
                     f"https://{bucket}.s3.{REGION}.amazonaws.com"):
            for query, expected in ((f"?versionId={older}", "Older"), ("", "Newer")):
                made = self.cloudformation.create_change_set(
                    StackName=f"stack-{next(names)}", ChangeSetName="it", ChangeSetType="CREATE",
                    TemplateURL=f"{base}/r/modules/a%20b.json{query}")
                changes = self.cloudformation.describe_change_set(ChangeSetName=made["Id"])["Changes"]
                self.assertEqual([change["ResourceChange"]["LogicalResourceId"] for change in changes], [expected], base)


class Functions(LocalAwsTest):
    def test_a_warm_invocation_does_not_wait_for_nagle(self) -> None:
        function = self.function()
        took = []
        for _ in range(12):
            began = time.perf_counter()
            self.functions.invoke(FunctionName=function, Payload=b"{}")
            took.append(time.perf_counter() - began)
        self.assertLess(statistics.median(took), 0.035, took)

    def test_an_event_that_keeps_failing_ends_whole_in_the_dead_letter_queue(self) -> None:
        bucket, (url, arn) = self.bucket(), self.queue()
        function = self.function(allow("sqs:SendMessage"))
        self.functions.put_function_event_invoke_config(
            FunctionName=function, MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": arn}})
        self.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
            "LambdaFunctionConfigurations": [{
                "LambdaFunctionArn": self.functions.get_function(FunctionName=function)["Configuration"]["FunctionArn"],
                "Events": ["s3:ObjectTagging:*"]}]})
        version = self.put(bucket)
        self.s3.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(a="b"))
        letter = self.receive(url)
        self.assertEqual(letter["requestPayload"]["Records"][0]["s3"]["object"]["versionId"], version)
        self.assertEqual(letter["requestContext"]["condition"], "RetriesExhausted")
        self.assertEqual(letter["responsePayload"]["errorType"], "Refused")

    def processes_of(self, function: str, events: int) -> list[str]:
        """The process ids that the function's log names, once for each of so many events."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
            lines = [event["message"].strip() for page in pages for event in page["events"]]
            found = [line for line in lines if line.startswith("pid ")]
            if len(found) >= events:
                return found
            time.sleep(0.05)
        self.fail(f"{len(found)} of {events} events were handled")

    def test_events_beyond_the_concurrency_of_a_function_wait(self) -> None:
        url, arn = self.queue()
        function = self.function(allow("sqs:SendMessage"))
        self.functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
        self.functions.put_function_event_invoke_config(
            FunctionName=function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}})
        for _ in range(8):
            self.functions.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"sleep": 0.1}')
        self.assertEqual(len(self.processes_of(function, 8)), 8)
        self.assertNotIn("Messages", self.sqs.receive_message(QueueUrl=url))

    def test_a_burst_of_events_does_not_start_a_process_for_each(self) -> None:
        function = self.function()
        for _ in range(30):
            self.functions.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"sleep": 0.2}')
        self.assertLessEqual(len(set(self.processes_of(function, 30))), gaps_compute.ASYNC_CONCURRENCY)

    def test_a_missing_execution_is_named_as_such(self) -> None:
        machine = self.stepfunctions.create_state_machine(
            name=f"machine-{next(names)}", roleArn=self.role(),
            definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}))["stateMachineArn"]
        self.assertRefused("ExecutionDoesNotExist", self.stepfunctions.describe_execution,
                           executionArn=machine.replace(":stateMachine:", ":execution:") + ":none")

    def test_sam_publishes_a_new_version_when_the_code_comes_by_parameter(self) -> None:
        bucket = self.bucket()
        template = {
            "Transform": "AWS::Serverless-2016-10-31",
            "Parameters": {"Key": {"Type": "String"}},
            "Resources": {"Function": {"Type": "AWS::Serverless::Function", "Properties": {
                "Runtime": "provided.al2023", "Handler": "bootstrap", "AutoPublishAlias": "live",
                "CodeUri": {"Bucket": bucket, "Key": {"Ref": "Key"}}}}},
            "Outputs": {"Version": {"Value": {"Ref": "Function.Version"}}}}
        stack = f"stack-{next(names)}"

        def deployed(kind: str, key: str, content: bytes) -> str:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("bootstrap", content)
            self.put(bucket, key, buffer.getvalue())
            arguments = {"StackName": stack, "TemplateBody": json.dumps(template), "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
                         "Parameters": [{"ParameterKey": "Key", "ParameterValue": key}]}
            getattr(self.cloudformation, f"{kind}_stack")(**arguments)
            waiter = self.cloudformation.get_waiter(f"stack_{kind}_complete")
            waiter.wait(StackName=stack, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100})
            return self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"][0]["OutputValue"]

        first = deployed("create", "one", b"1")
        self.assertNotEqual(first, deployed("update", "two", b"2"))


    def test_a_template_may_hold_a_saved_query(self) -> None:
        stack = f"stack-{next(names)}"
        query = {"Type": "AWS::Logs::QueryDefinition", "Properties": {"Name": "q", "QueryString": "fields @message"}}
        for kind in ("create", "update"):
            query["Properties"]["QueryString"] += " | limit 1"
            getattr(self.cloudformation, f"{kind}_stack")(
                StackName=stack, TemplateBody=json.dumps({"Resources": {"Query": query}}))
            self.cloudformation.get_waiter(f"stack_{kind}_complete").wait(
                StackName=stack, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100})
        self.cloudformation.delete_stack(StackName=stack)
        self.cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=stack, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100})


class ClosingGaps(unittest.TestCase):
    def test_a_name_that_is_gone_stops_the_start(self) -> None:
        with self.assertRaisesRegex(patching.GapChanged, "_no_such_name.*takes `nothing`"):
            patching.replace(gaps_s3.s3, "_no_such_name", "a", lambda original: original)

    def test_a_name_with_other_parameters_stops_the_start(self) -> None:
        with self.assertRaisesRegex(patching.GapChanged, "_delete_object_tagging.*bucket_name key query_params"):
            patching.replace(gaps_s3.s3, "_delete_object_tagging", "bucket key", lambda original: original)


if __name__ == "__main__":
    unittest.main()
