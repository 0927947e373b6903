"""IAM enforcement knows what our policies ask: each gap that `gaps_iam.py` closes, by real calls."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import unittest
import zipfile
from typing import Any
from urllib.parse import urlsplit

import boto3
from samtranslator.yaml_helper import yaml_parse

from instance import HERE
from local_aws import ACCOUNT, REGION, LocalAwsTest, allow, deny, names, tag_set


class Conditions(LocalAwsTest):
    ONLY_THE_GATE = {"StringEquals": {"s3:RequestObjectTag/integration-passed": "true"}}

    def test_a_role_denied_one_tag_value_may_set_another(self) -> None:
        bucket = self.bucket()
        self.put(bucket)
        ci = self.as_role(allow("s3:*"), deny("s3:PutObjectTagging", **self.ONLY_THE_GATE))
        self.assertRefused("AccessDenied", ci.put_object_tagging,
                           Bucket=bucket, Key="key", Tagging=tag_set(a="b", integration_passed="true"))
        ci.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(integration_passed="false"))

    def test_a_wildcard_matches_a_line_feed(self) -> None:
        bucket = self.bucket()
        keys = ("line\nfeed", "at the end\n", "bell\x07")
        below = {**allow("s3:PutObject"), "Resource": f"arn:aws:s3:::{bucket}/*"}
        ci = self.as_role(below, {**deny("s3:PutObject"), "Resource": f"arn:aws:s3:::{bucket}/denied/*"})
        for key in keys:
            ci.put_object(Bucket=bucket, Key=key, Body=b"")
            self.assertRefused("AccessDenied", ci.put_object, Bucket=bucket, Key=f"denied/{key}", Body=b"")

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


class Parameters(LocalAwsTest):
    def test_each_parameter_that_is_read_needs_the_permission(self) -> None:
        parameters = self.instance.client("ssm")
        mine, other = (f"/sst/app-{next(names)}/secret" for _ in range(2))
        for name in (mine, other):
            parameters.put_parameter(Name=name, Value="x", Type="SecureString")
        below = {**allow("ssm:GetParameters"), "Resource": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{mine}"}
        function = self.as_role(below, service="ssm")
        read = function.get_parameters(Names=[mine], WithDecryption=True)["Parameters"]
        self.assertEqual([it["Value"] for it in read], ["x"])
        for refused in ([other], [mine, other]):
            self.assertRefused("AccessDeniedException", function.get_parameters, Names=refused)


class Layers(LocalAwsTest):
    def test_one_layer_version_is_read_by_the_permission_for_it(self) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("nodejs/shared.js", "")
        layer = self.functions.publish_layer_version(LayerName="shared", Content={"ZipFile": content.getvalue()})
        arn = layer["LayerArn"]
        reader = self.as_role(allow("lambda:GetLayerVersion"), service="lambda")
        read = reader.get_layer_version(LayerName=arn, VersionNumber=1)
        self.assertEqual(read["Content"]["CodeSha256"], base64.b64encode(hashlib.sha256(content.getvalue()).digest()).decode())
        other = self.as_role(allow("lambda:ListLayers"), service="lambda")
        self.assertRefused("AccessDeniedException", other.get_layer_version, LayerName=arn, VersionNumber=1)


class NamedPeople(LocalAwsTest):
    """Whom `PromoterRole` and `ApproverRole` let in, word for word (infra/test_access.py evaluates the same with what AWS knows)."""

    DENIED = (
        {"Null": {"aws:username": "false"}, "StringNotEquals": {"sts:RoleSessionName": "${aws:username}"}},
        {"Null": {"aws:username": "true"}, "StringNotLike": {"aws:userid": "*:${sts:RoleSessionName}"}},
        {"Null": {"aws:username": "true", "saml:sub": "true"}, "StringNotLike": {"aws:FederatedProvider": "*:saml-provider/*"}},
    )

    def test_the_template_says_so(self) -> None:
        resources = yaml_parse((HERE.parent / "template.yaml").read_text())["Resources"]
        for role in ("PromoterRole", "ApproverRole"):
            statements = resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            self.assertEqual([one["Condition"] for one in statements if one["Effect"] == "Deny"], list(self.DENIED), role)

    def people(self, principal: str) -> str:
        statements = [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": principal}}]
        statements += [{"Effect": "Deny", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}, "Condition": condition} for condition in self.DENIED]
        name = f"people-{next(names)}"
        return self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": statements}))["Role"]["Arn"]

    def sts_of(self, keys: dict) -> Any:
        return boto3.client("sts", endpoint_url=self.instance.endpoint, region_name=REGION, aws_access_key_id=keys["AccessKeyId"],
                            aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys.get("SessionToken"))

    def user(self) -> tuple[str, str, Any]:
        name = f"jane-{next(names)}"
        arn = self.iam.create_user(UserName=name)["User"]["Arn"]
        self.iam.put_user_policy(UserName=name, PolicyName="it", PolicyDocument=json.dumps({"Statement": [allow("sts:AssumeRole")]}))
        return name, arn, self.sts_of(self.iam.create_access_key(UserName=name)["AccessKey"])

    def test_an_iam_user_comes_under_his_own_name_only(self) -> None:
        name, arn, who = self.user()
        role = self.people(arn)
        who.assume_role(RoleArn=role, RoleSessionName=name)
        for other in ("john", f"{name}x", f"x{name}"):
            self.assertRefused("AccessDenied", who.assume_role, RoleArn=role, RoleSessionName=other)

    def test_who_is_not_named_does_not_come_in(self) -> None:
        (_, arn, _), (other, _, who) = self.user(), self.user()
        self.assertRefused("AccessDenied", who.assume_role, RoleArn=self.people(arn), RoleSessionName=other)

    def test_no_session_comes_by_another_role_whatever_it_may_and_is_called(self) -> None:
        """Even a role that is named: MiniStack's sessions come from no identity provider."""
        made = self.role(allow("*"))
        session = self.sts_of(self.sts.assume_role(RoleArn=made, RoleSessionName="bob")["Credentials"])
        for principal in (made, f"arn:aws:iam::{ACCOUNT}:user/bob", f"arn:aws:iam::{ACCOUNT}:root"):
            self.assertRefused("AccessDenied", session.assume_role, RoleArn=self.people(principal), RoleSessionName="bob")


class Boundaries(LocalAwsTest):
    """What a role's permissions boundary takes from its policies, which MiniStack enforces by itself."""

    def test_what_a_boundary_does_not_allow_its_role_cannot_do(self) -> None:
        document = {"Statement": [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, deny("sts:AssumeRole")]}
        name = f"boundary-{next(names)}"
        boundary = self.iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
        role = self.role(allow("*"))
        self.iam.put_role_permissions_boundary(RoleName=role.rsplit("/", 1)[-1], PermissionsBoundary=boundary)
        keys = self.sts.assume_role(RoleArn=role, RoleSessionName="bob")["Credentials"]
        client = lambda service: boto3.client(  # noqa: E731
            service, endpoint_url=self.instance.endpoint, region_name=REGION, aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys["SessionToken"])
        client("s3").list_buckets()
        short = role.rsplit("/", 1)[-1]
        iam, policy = client("iam"), json.dumps({"Statement": [allow("*")]})
        self.assertRefused("AccessDenied", iam.put_role_policy, RoleName=short, PolicyName="x", PolicyDocument=policy)
        self.assertRefused("AccessDenied", iam.delete_role_permissions_boundary, RoleName=short)
        self.assertRefused("AccessDenied", client("sts").assume_role, RoleArn=self.role(allow("*")), RoleSessionName="bob")


if __name__ == "__main__":
    unittest.main()
