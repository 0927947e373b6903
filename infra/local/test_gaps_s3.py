"""S3 behaves as on AWS where the gatekeeper depends on it: each gap that `gaps_s3.py` closes, by real calls."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import unittest
import zipfile
from typing import Any
from urllib.parse import unquote_plus

import boto3

from instance import ACCOUNT, REGION
from local_aws import LocalAwsTest, allow, names, tag_set


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


class Store(LocalAwsTest):
    """What the gate relies on in S3, closed gaps and MiniStack's own."""

    def test_versions_are_listed_with_encoded_keys_where_asked_for(self) -> None:
        bucket = self.bucket()
        keys = sorted(["line\nfeed", "bell\x07&<é>", "a+b c%2F/d"])
        for key in keys:
            self.put(bucket, key)
        listed = self.s3.list_object_versions(Bucket=bucket, EncodingType="url")
        self.assertEqual([unquote_plus(it["Key"]) for it in listed["Versions"]], keys)
        # Left to itself, boto3 asks for it and decodes what it gets.
        self.assertEqual([it["Key"] for it in self.s3.list_object_versions(Bucket=bucket, Prefix="line\n")["Versions"]], keys[-1:])

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

    def test_a_template_s_bucket_encrypts_with_its_key(self) -> None:
        bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketEncryption": {"ServerSideEncryptionConfiguration": [{
            "BucketKeyEnabled": True,
            "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]}}}]}}}
        template = {"Resources": {"Key": {"Type": "AWS::KMS::Key", "Properties": {}}, "Bucket": bucket},
                    "Outputs": {"Bucket": {"Value": {"Ref": "Bucket"}}, "Key": {"Value": {"Fn::GetAtt": ["Key", "Arn"]}}}}
        _, made = self.stack("create", template)
        self.s3.put_object(Bucket=made["Bucket"], Key="key", Body=b"")
        head = self.s3.head_object(Bucket=made["Bucket"], Key="key")
        self.assertEqual((head["ServerSideEncryption"], head["SSEKMSKeyId"]), ("aws:kms", made["Key"]))
        rule = self.s3.get_bucket_encryption(Bucket=made["Bucket"])["ServerSideEncryptionConfiguration"]["Rules"][0]
        self.assertTrue(rule["BucketKeyEnabled"])

    def test_a_template_s_bucket_retains_each_version(self) -> None:
        template = {"Parameters": {"Days": {"Type": "Number"}}, "Outputs": {"Bucket": {"Value": {"Ref": "Bucket"}}},
                    "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {
                        "VersioningConfiguration": {"Status": "Enabled"}, "ObjectLockEnabled": True, "ObjectLockConfiguration": {
                            "ObjectLockEnabled": "Enabled",
                            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": {"Ref": "Days"}}}}}}}}
        stack, made = self.stack("create", template, Days="2")
        version = self.put(made["Bucket"])
        self.assertRefused("AccessDenied", self.s3.delete_object, Bucket=made["Bucket"], Key="key", VersionId=version)
        self.stack("update", template, stack, Days="400")
        lock = self.s3.get_object_lock_configuration(Bucket=made["Bucket"])["ObjectLockConfiguration"]
        self.assertEqual(lock["Rule"]["DefaultRetention"], {"Mode": "GOVERNANCE", "Days": 400})


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

    def own_bucket(self, keys: dict) -> str:
        name = f"stage-{next(names)}"
        self.client_as(keys, "s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def copy(self, keys: dict, bucket: str, version: str) -> dict:
        source = {"Bucket": self.bucket_name, "Key": "code.zip", "VersionId": version}
        return self.client_as(keys, "s3").copy_object(
            CopySource=source, Bucket=bucket, Key="asset.zip", ChecksumAlgorithm="SHA256", TaggingDirective="REPLACE")

    def test_a_version_is_copied_into_a_bucket_of_the_other_account(self) -> None:
        role, keys = self.stage_role()
        self.let_in(role)
        version = self.s3.head_object(Bucket=self.bucket_name, Key="code.zip")["VersionId"]
        self.put(self.bucket_name, "code.zip", b"a later version")
        bucket = self.own_bucket(keys)
        self.assertTrue(self.copy(keys, bucket, version)["CopyObjectResult"]["ETag"])
        copied = self.client_as(keys, "s3").get_object(Bucket=bucket, Key="asset.zip", ChecksumMode="ENABLED")
        self.assertEqual(copied["Body"].read(), self.code)
        self.assertEqual(copied["ChecksumSHA256"], base64.b64encode(hashlib.sha256(self.code).digest()).decode())

    def test_another_role_gets_nothing(self) -> None:
        named, _ = self.stage_role()
        self.let_in(named)
        role, keys = self.stage_role()
        version = self.s3.head_object(Bucket=self.bucket_name, Key="code.zip")["VersionId"]
        self.assertRefused("AccessDenied", self.copy, keys=keys, bucket=self.own_bucket(keys), version=version)
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


if __name__ == "__main__":
    unittest.main()
