"""What a platform team sets up once for bank-platform: for each stage an account's bucket for Pulumi's state, a key for its secrets and
a role that deploys, and the stack itself. It is Pulumi's own engine that works on them."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from workflow import ROOT

if TYPE_CHECKING:
    from run import Run

PULUMI = ROOT / ".local" / "pulumi" / "bin"
# The stand-in for the plugin that @pulumi/aws asks for.
PLUGINS = ROOT / "infra" / "local" / "pulumi-aws" / "bin"
KEY = "alias/pulumi"
PROJECT = "bank-platform"
# Nothing is fetched: the engine, the host of Node.js programs and the plugin are on the path. The types were checked in step 1.
ENVIRONMENT = {"PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true", "PULUMI_NODEJS_TRANSPILE_ONLY": "true"}


class Stacks:
    """The stacks of both stages: dev's in the gatekeeper's account, UAT's in an account of its own."""

    def __init__(self, outputs: Mapping[str, str], repo: str) -> None:
        self.outputs = outputs
        of_its_own = outputs["StageRoleArn"].split(":")[4]
        end = secrets.token_hex(4)
        self.accounts = {"dev": outputs["AccessKeyId"], "uat": of_its_own}
        self.buckets = {stage: f"{repo}-pulumi-{stage}-{end}" for stage in self.accounts}
        self.roles = {stage: self.set_up(stage, f"{repo}-{stage}-deploy-{end}") for stage in self.accounts}

    def client(self, service: str, stage: str) -> Any:
        """As the root user of the stage's account, who is its own key here."""
        account = self.accounts[stage]
        return boto3.client(service, endpoint_url=self.outputs["Endpoint"], region_name=self.outputs["Region"], aws_access_key_id=account,
                            aws_secret_access_key=account)

    def backend(self, stage: str) -> str:
        """Where the stage's state is."""
        return f"s3://{self.buckets[stage]}"

    def target(self, stage: str) -> dict[str, str | None]:
        """What the gatekeeper is told of the stack: where its history and state are, and who may read them."""
        return {"backend": self.backend(stage), "project": PROJECT, "stack": stage, "read_role_arn": self.outputs["BackendReadRoleArn"]}

    def set_up(self, stage: str, role: str) -> str:
        """The account's bucket and key, and the role that deploys; its ARN."""
        s3, kms, iam = (self.client(of, stage) for of in ("s3", "kms", "iam"))
        bucket, region = self.buckets[stage], self.outputs["Region"]
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        if not any(of["AliasName"] == KEY for of in kms.list_aliases()["Aliases"]):
            kms.create_alias(AliasName=KEY, TargetKeyId=kms.create_key(Description="secrets of Pulumi's stacks")["KeyMetadata"]["KeyId"])
        root = f"arn:aws:iam::{self.outputs['AccessKeyId']}:root"
        trust = [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": root}, "Condition": {"ArnEquals": {"aws:PrincipalArn": root}}}]
        made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=role, PolicyName="deploy", PolicyDocument=policy(self.rights(stage)))
        return made

    def rights(self, stage: str) -> list[dict[str, Any]]:
        """What deploying asks for: the stack's state, and what the program makes."""
        state, store, account = (f"arn:aws:s3:::{self.buckets[stage]}", f"arn:aws:s3:::bank-artefacts-{stage}", self.accounts[stage])
        return [
            {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "Resource": [state, f"{state}/*"]},
            {"Effect": "Allow", "Action": "s3:*", "Resource": [store, f"{store}/*"]},
            {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Action": ["iam:CreateOpenIDConnectProvider", "iam:GetOpenIDConnectProvider"], "Resource": "*"},  # MiniStack asks for them without the provider's name
            {"Effect": "Allow", "Action": "iam:*", "Resource": [f"arn:aws:iam::{account}:role/*-{stage}-ci", f"arn:aws:iam::{account}:oidc-provider/*"]},
        ]

    def environment(self, run: Run, stage: str) -> dict[str, str]:
        """The environment of somebody who sets a stack up, in the stage's account."""
        path = os.pathsep.join([str(PLUGINS), str(PULUMI), run.env["PATH"]])
        account = self.accounts[stage]
        return {**ENVIRONMENT, "PATH": path, "PULUMI_BACKEND_URL": self.backend(stage), "AWS_REGION": self.outputs["Region"],
                "AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": account}

    def init(self, run: Run, source: Path) -> None:
        """The stacks, whose settings get the encrypted keys of their secrets: README.md of bank-platform."""
        for stage in self.accounts:
            provider = f"awskms:///{KEY}?region={self.outputs['Region']}"
            run.tool("pulumi", "stack", "init", stage, "--secrets-provider", provider, "--non-interactive", cwd=source,
                     environment=self.environment(run, stage))


def policy(statements: list[dict[str, Any]]) -> str:
    """A policy's document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
