"""A template that passed the gate plays its attack in the gatekeeper's own account: a role with `*` and a function called like a
person, under the template's own trust policies and stage boundary.

`infra/test_access.py` tries more by the policies alone, and what the local AWS doesn't enforce.
"""

from __future__ import annotations

import io
import json
import sys
import unittest
import zipfile
from pathlib import Path
from typing import Any

import boto3

from instance import HERE
from local_aws import ACCOUNT, REGION, LocalAwsTest, names

sys.path.insert(0, str(HERE.parent))
from rendered import Rendered  # noqa: E402

PEOPLE = ("ApproverRole", "PromoterRole", "AuditorRole", "CiRole")
LAMBDA = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

# Calls what its event says, each as `[service, operation, arguments]`, with its own credentials; answers with what AWS said.
ATTACKER = '''#!/usr/bin/env python3
import http.client, json, os, sys
sys.path[:0] = json.loads(os.environ["MODULES"])
import boto3
from botocore.exceptions import ClientError
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

def call(service, operation, arguments):
    try:
        getattr(boto3.client(service), operation)(**arguments)
        return "done"
    except ClientError as error:
        return error.response["Error"]["Code"]

while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event, request_id = json.loads(answer.read()), answer.getheader("Lambda-Runtime-Aws-Request-Id")
    print("attacking", flush=True)
    body = {name: call(*attack) for name, attack in event.items()}
    api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", json.dumps(body))
    api.getresponse().read()
'''


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        made.writestr(entry, ATTACKER)
    return buffer.getvalue()


class Takeover(LocalAwsTest):
    roles: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        gatekeeper = Rendered(**{f"{who}PrincipalArns": f"arn:aws:iam::{ACCOUNT}:user/jane" for who in ("Ci", "Promoter", "Approver", "Auditor")})
        iam = cls.client("iam")
        cls.roles = {
            role: iam.create_role(RoleName=role, Path="/gatekeeper/", AssumeRolePolicyDocument=json.dumps(
                gatekeeper.properties(role)["AssumeRolePolicyDocument"]))["Role"]["Arn"] for role in PEOPLE}
        boundary = gatekeeper.properties("StageBoundary")
        cls.boundary = iam.create_policy(PolicyName=boundary["ManagedPolicyName"], Path=boundary["Path"], PolicyDocument=json.dumps(
            boundary["PolicyDocument"]))["Policy"]["Arn"]
        gate = iam.create_role(RoleName="IntakeRole", Path="/gatekeeper/", AssumeRolePolicyDocument=json.dumps(LAMBDA))["Role"]["Arn"]
        cls.client("lambda").create_function(
            FunctionName="gatekeeper-intake", Runtime="provided.al2023", Handler="bootstrap", Role=gate, Code={"ZipFile": archive()}, MemorySize=512)

    @classmethod
    def client(cls, service: str) -> Any:
        return cls.instance.client(service)

    def attack(self, person: str, bound: bool, **attacks: tuple) -> dict[str, str]:
        """Deploys the template, and invokes its function as a smoke check does."""
        role: dict = {"AssumeRolePolicyDocument": LAMBDA, "Policies": [{"PolicyName": "everything", "PolicyDocument": EVERYTHING}]}
        if bound:
            role["PermissionsBoundary"] = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/gatekeeper/gatekeeper-stage-boundary"}
        code = self.bucket()
        self.put(code, "bob.zip", archive())
        self.stack("create", {"Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": role},
            "Function": {"Type": "AWS::Lambda::Function", "Properties": {
                "FunctionName": person, "Runtime": "provided.al2023", "Handler": "bootstrap", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Timeout": 60,
                "Code": {"S3Bucket": code, "S3Key": "bob.zip"},
                "Environment": {"Variables": {"MODULES": json.dumps([str(Path(boto3.__file__).parent.parent)]), "AWS_DEFAULT_REGION": REGION}}}},
        }}, name=f"takeover-{next(names)}")
        answer = self.client("lambda").invoke(FunctionName=person, Payload=json.dumps(attacks))
        told = json.loads(answer["Payload"].read())
        self.assertNotIn("FunctionError", answer, told)
        return told

    def entering(self, *people: str) -> dict[str, tuple]:
        return {f"{role} as {person}": ("sts", "assume_role", {"RoleArn": arn, "RoleSessionName": person})
                for role, arn in self.roles.items() for person in people}

    def test_a_function_called_bob_takes_nothing_over(self) -> None:
        everything = json.dumps(EVERYTHING)
        attacks = self.entering("bob", "jane") | {
            "a gate function": ("lambda", "update_function_configuration", {"FunctionName": "gatekeeper-intake", "MemorySize": 128}),
            "its code": ("lambda", "update_function_code", {"FunctionName": "gatekeeper-intake", "S3Bucket": "any", "S3Key": "any"}),
            "a policy for CI": ("iam", "put_role_policy", {"RoleName": "CiRole", "PolicyName": "x", "PolicyDocument": everything}),
            "its trust": ("iam", "update_assume_role_policy", {"RoleName": "ApproverRole", "PolicyDocument": json.dumps(LAMBDA)}),
            "a free role": ("iam", "create_role", {"RoleName": "free", "AssumeRolePolicyDocument": json.dumps(LAMBDA)}),
            "the boundary itself": ("iam", "create_policy_version", {"PolicyArn": self.boundary, "PolicyDocument": everything, "SetAsDefault": True}),
        }
        told = self.attack("bob", True, **attacks, itself=("sts", "get_caller_identity", {}), work=("s3", "list_buckets", {}))
        self.assertEqual((told.pop("itself"), told.pop("work")), ("done", "done"))
        self.assertEqual({name: code for name, code in told.items() if not code.startswith("AccessDenied")}, {})
        self.assertEqual(told.keys(), attacks.keys())
        self.assertEqual(self.client("lambda").get_function_configuration(FunctionName="gatekeeper-intake")["MemorySize"], 512)

    def test_nor_does_it_enter_a_role_of_people_where_nothing_binds_it(self) -> None:
        told = self.attack("jane", False, **self.entering("jane", "bob"), free=("iam", "list_roles", {}))
        self.assertEqual(told.pop("free"), "done")
        self.assertEqual(set(told.values()), {"AccessDenied"}, told)


if __name__ == "__main__":
    unittest.main()
