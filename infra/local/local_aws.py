"""What the tests of the local AWS share: one instance of their own, under IAM enforcement, and ready-made resources.

    cd infra/local && ../../.local/venv/bin/python -m unittest

The instance starts with the first test that needs it, ends with the tests and leaves nothing behind. Each test makes its
own resources, with names that no other test has.
"""

from __future__ import annotations

import atexit
import functools
import io
import itertools
import json
import os
import shutil
import tempfile
import time
import unittest
import zipfile
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from instance import ACCOUNT, REGION, Instance

PATIENCE_SECONDS = 60
names = itertools.count(1)
os.environ.pop("GATEKEEPER_LOCAL_PORT", None)  # tests take free ports

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


@functools.cache
def shared_instance() -> Instance:
    """The one instance of this run of tests."""
    folder = Path(tempfile.mkdtemp(prefix="local-aws-test-"))
    instance = Instance(folder)
    atexit.register(shutil.rmtree, folder)
    atexit.register(instance.stop)  # runs first
    instance.start()
    return instance


@functools.cache
def shared_clients() -> dict[str, Any]:
    """A client for each service, as the account's root."""
    services = ("s3", "sqs", "iam", "sts", "lambda", "events", "kms", "logs", "cloudformation", "stepfunctions")
    return {{"lambda": "functions"}.get(service, service): shared_instance().client(service) for service in services}


class LocalAwsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.instance = shared_instance()
        for name, client in shared_clients().items():
            setattr(cls, name, client)

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

    def as_role(self, *statements: dict, path: str = "/", session: str = "session", service: str = "s3") -> Any:
        """A client with a session of a new role that has these statements."""
        keys = self.sts.assume_role(RoleArn=self.role(*statements, path=path), RoleSessionName=session)["Credentials"]
        return boto3.client(
            service, endpoint_url=self.instance.endpoint, region_name=REGION, aws_access_key_id=keys["AccessKeyId"],
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

    def stack(self, kind: str, template: dict, name: str | None = None, **parameters: str) -> tuple[str, dict]:
        """Creates or updates (`kind`) a stack and waits for it: its name and outputs."""
        name = name or f"stack-{next(names)}"
        getattr(self.cloudformation, f"{kind}_stack")(
            StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()])
        self.cloudformation.get_waiter(f"stack_{kind}_complete").wait(
            StackName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100})
        outputs = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
        return name, {output["OutputKey"]: output["OutputValue"] for output in outputs}

    def assertRefused(self, code: str, call: Any, **arguments: Any) -> None:
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
