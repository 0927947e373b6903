"""ECR and the images of functions behave as on AWS: each gap that `gaps_registry.py` closes, by real calls."""

from __future__ import annotations

import hashlib
import json
import unittest
from typing import Any

from botocore.exceptions import ClientError

from instance import ACCOUNT, REGION
from local_aws import LocalAwsTest, allow, names


class Images(LocalAwsTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.ecr = cls.instance.client("ecr")

    def repository(self) -> str:
        name = f"bank/pay-{next(names)}"
        self.ecr.create_repository(repositoryName=name)
        return name

    def push(self, repository: str, tag: str, content: str) -> str:
        """Puts an image under a tag; gives its digest."""
        manifest = json.dumps({"schemaVersion": 2, "annotations": {"content": content}})
        self.ecr.put_image(repositoryName=repository, imageManifest=manifest, imageTag=tag)
        return "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()

    def uri(self, repository: str, tag: str) -> str:
        return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{repository}:{tag}"

    def resolved(self, function: str) -> str:
        return self.functions.get_function(FunctionName=function)["Code"]["ResolvedImageUri"]

    def create(self, image: str) -> str:
        name = f"function-{next(names)}"
        self.functions.create_function(FunctionName=name, PackageType="Image", Code={"ImageUri": image}, Role=self.role())
        return name

    def test_an_image_that_is_not_there_is_told(self) -> None:
        repository = self.repository()
        digest = self.push(repository, "v1", "one")
        found = self.ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "v1"}])
        self.assertEqual([it["imageDigest"] for it in found["imageDetails"]], [digest])
        self.assertRefused("ImageNotFoundException", self.ecr.describe_images, repositoryName=repository,
                           imageIds=[{"imageTag": "v2"}])
        self.assertRefused("RepositoryNotFoundException", self.ecr.describe_images, repositoryName="bank/none")

    def test_a_function_runs_what_its_tag_was_when_its_code_was_set(self) -> None:
        repository = self.repository()
        first = self.push(repository, "v1", "one")
        function = self.create(self.uri(repository, "v1"))
        image = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{repository}@"
        self.assertEqual(self.resolved(function), image + first)
        second = self.push(repository, "v1", "two")
        self.assertEqual(self.resolved(function), image + first)
        self.functions.update_function_code(FunctionName=function, ImageUri=self.uri(repository, "v1"))
        self.assertEqual(self.resolved(function), image + second)
        by_digest = self.create(image + first)
        self.assertEqual(self.resolved(by_digest), image + first)
        with self.assertRaisesRegex(ClientError, "InvalidParameterValueException.*does not exist"):
            self.create(self.uri(repository, "v2"))

    def template(self, repository: str, tag: str, memory: int = 128) -> str:
        uri = {"Fn::Sub": f"${{AWS::AccountId}}.dkr.ecr.${{AWS::Region}}.${{AWS::URLSuffix}}/{repository}:{tag}"}
        properties: dict[str, Any] = {"Role": self.role(), "PackageType": "Image", "Code": {"ImageUri": uri}, "MemorySize": memory}
        return json.dumps({"Resources": {"Pay": {"Type": "AWS::Lambda::Function", "Properties": properties}}})

    def test_a_template_s_function_keeps_its_image_until_the_template_names_another(self) -> None:
        repository, stack = self.repository(), f"stack-{next(names)}"
        first = self.push(repository, "v1", "one")
        self.cloudformation.create_stack(StackName=stack, TemplateBody=self.template(repository, "v1"))
        self.cloudformation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
        function = self.cloudformation.describe_stack_resource(
            StackName=stack, LogicalResourceId="Pay")["StackResourceDetail"]["PhysicalResourceId"]
        self.assertTrue(self.resolved(function).endswith(f"/{repository}@{first}"))
        self.push(repository, "v1", "two")
        third = self.push(repository, "v3", "three")
        for tag, memory, digest in (("v1", 256, first), ("v3", 256, third)):
            self.cloudformation.update_stack(StackName=stack, TemplateBody=self.template(repository, tag, memory))
            self.cloudformation.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
            self.assertTrue(self.resolved(function).endswith(f"@{digest}"), tag)

    def test_one_repository_is_described_by_the_permission_for_it(self) -> None:
        mine, other = self.repository(), self.repository()
        arn = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{mine}"
        reader = self.as_role({**allow("ecr:DescribeRepositories"), "Resource": arn}, service="ecr")
        found = reader.describe_repositories(repositoryNames=[mine])["repositories"]
        self.assertEqual([it["imageTagMutability"] for it in found], ["MUTABLE"])
        self.assertRefused("AccessDeniedException", reader.describe_repositories, repositoryNames=[other])


if __name__ == "__main__":
    unittest.main()
