"""What the measured functions find: a local AWS with both buckets, both signing keys and a state machine, and commits in it.

Nothing is deployed there: the functions run as processes of the benchmark's own.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from instance import ACCOUNT, REGION, Instance

ARTEFACTS, RECORDS = "bench-artefacts", "bench-records"
REPO, MODULE, STACK, STAGE = "bank-payments", "MOD-012", "payments-api", "uat"
FUNCTIONS_A_STACK = 400
STATE_MACHINE = {"StartAt": "Nothing", "States": {"Nothing": {"Type": "Pass", "End": True}}}


def sha256_of(content: bytes) -> str:
    """As manifests write it."""
    return hashlib.sha256(content).hexdigest()


def bundle(*files: tuple[str, bytes, int]) -> bytes:
    """A ZIP of these files: name, content and method."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, method in files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content, method, compresslevel=1)
    return buffer.getvalue()


def small_bundle(word: str) -> bytes:
    """A Node.js function of a line."""
    return bundle(("index.js", f"exports.handler = async () => '{word}';\n".encode(), zipfile.ZIP_DEFLATED))


def large_bundle(size: int) -> bytes:
    """The same with `size` bytes that compression makes no smaller, half of them stored and half deflated."""
    code = ("index.js", b"exports.handler = async () => 'large';\n", zipfile.ZIP_DEFLATED)
    return bundle(code, ("stored.bin", os.urandom(size // 2), zipfile.ZIP_STORED),
                  ("deflated.bin", os.urandom(size // 2), zipfile.ZIP_DEFLATED))


class Commit:
    """A commit that ought to be Built: functions, their template, and the manifest that tells of them."""

    def __init__(self, bundles: dict[str, bytes], repo: str = REPO) -> None:
        self.repo = repo
        self.sha = hashlib.sha1(b"".join(hashlib.sha256(it).digest() for it in bundles.values())).hexdigest()
        self.prefix = f"{repo}/{self.sha}"
        names = list(bundles)
        # As many stacks as it takes: a template holds 500 resources at most.
        self.stack_of = {name: STACK if at < FUNCTIONS_A_STACK else f"{STACK}-{at // FUNCTIONS_A_STACK}" for at, name in enumerate(names)}
        templates = {stack: json.dumps(self.template([name for name in names if self.stack_of[name] == stack])).encode()
                     for stack in dict.fromkeys(self.stack_of.values())}
        self.objects = {f"modules/{MODULE}/functions/{name}.zip": content for name, content in bundles.items()}
        self.objects |= {f"modules/{MODULE}/cloudformation/{stack}.json": template for stack, template in templates.items()}
        self.manifest = json.dumps(self.manifest_of(bundles, templates)).encode()
        self.manifest_key = f"{self.prefix}/build-manifest.json"

    @staticmethod
    def logical_id(function: str) -> str:
        return function.replace("-", "")

    def template(self, functions: list[str]) -> dict[str, Any]:
        resources = {self.logical_id(name): {"Type": "AWS::Lambda::Function", "Properties": {
            "Runtime": "nodejs22.x", "Handler": "index.handler", "Role": {"Ref": "RoleArn"},
            "Code": {"S3Bucket": {"Ref": "ArtefactBucket"},
                     "S3Key": {"Fn::Sub": f"${{ArtefactPrefix}}/functions/{name}.zip"}},
        }} for name in functions}
        parameters = {name: {"Type": "String"} for name in ("ArtefactBucket", "ArtefactPrefix", "RoleArn")}
        return {"Parameters": parameters, "Resources": resources}

    def manifest_of(self, bundles: dict[str, bytes], templates: dict[str, bytes]) -> dict[str, Any]:
        passed = {"passed": 31, "failed": 0, "skipped": 0}
        digests = {name: sha256_of(content) for name, content in bundles.items()}
        return {
            "schema_version": 1, "repo": self.repo, "commit_sha": self.sha, "branch": "main", "timestamp": "2026-05-02T03:04:05Z",
            "build": {"run_url": "https://github.com/example-bank/bank-payments/actions/runs/1", "run_attempt": 1, "actor": "ci"},
            "modules": [{
                "id": MODULE,
                "functions": [{"name": name, "sha256": digests[name], "size": len(content), "stack": self.stack_of[name],
                               "logical_id": self.logical_id(name)} for name, content in bundles.items()],
                "stacks": [{"name": stack, "sha256": sha256_of(template), "size": len(template)} for stack, template in templates.items()],
            }],
            "tests": {
                "typecheck": {"errors": 0},
                "unit": {**passed, "line_coverage": 87.1, "function_coverage": 84.0},
                "policy": {**passed, "policies_satisfied": ["POL-004"]},
                "integration": {**passed, "run_integration": True, "deployed": [
                    {"function": name, "code_sha256": digest} for name, digest in digests.items()]},
            },
            "deploy": {"stage": "dev", "succeeded": True},
        }


class Store:
    """The buckets and the state machine of a running instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.s3 = instance.client("s3")
        for bucket in (ARTEFACTS, RECORDS):
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            self.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        stages = {"schema_version": 1, "stages": {STAGE: {"requires": "built", "parameters": {"RoleArn": "unused"}}}}
        self.s3.put_object(Bucket=RECORDS, Key="config/stages.json", Body=json.dumps(stages).encode())
        trust = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        role = instance.client("iam").create_role(RoleName="bench", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        self.role_arn = role["Arn"]
        kms = instance.client("kms")
        self.signing_key_arn, self.promotion_signing_key_arn, self.approval_signing_key_arn = (
            kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"] for _ in range(3))
        self.state_machine_arn = instance.client("stepfunctions").create_state_machine(
            name="promotion", definition=json.dumps(STATE_MACHINE), roleArn=self.role_arn)["stateMachineArn"]

    @property
    def port(self) -> int:
        return self.instance.record()["port"]

    def environment(self, port: int) -> dict[str, str]:
        """What the template gives a function, with AWS at this port."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT,
            "ARTEFACT_BUCKET": ARTEFACTS, "RECORDS_BUCKET": RECORDS, "STATE_MACHINE_ARN": self.state_machine_arn,
            "STAGE_BOUNDARY_ARN": f"arn:aws:iam::{ACCOUNT}:policy/bench/bench-stage-boundary", "SHARED_ACCOUNT": "accepted",
            "STACK_ROLE_ARN": self.role_arn, "ACCOUNT_ID": ACCOUNT, "PERSON_ROLE_ID": "AROAEXAMPLE",
            "ALARM_TOPIC_ARN": f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms",
            "GATE_ROLE_IDS": "AROAGATE", "EVENT_QUEUE_URL": f"http://127.0.0.1:{port}/{ACCOUNT}/events",
            "SIGNING_KEY_ARN": self.signing_key_arn, "PROMOTION_SIGNING_KEY_ARN": self.promotion_signing_key_arn,
            "APPROVAL_SIGNING_KEY_ARN": self.approval_signing_key_arn, "JUDGE_RUN_FUNCTION": "judge-run",
        }

    def upload(self, commit: Commit) -> None:
        """Uploads a commit with checksums, its manifest last."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda item: self.put(f"{commit.prefix}/{item[0]}", item[1]), commit.objects.items()))
        self.put(commit.manifest_key, commit.manifest)

    def put(self, key: str, content: bytes) -> str:
        """Uploads an object; gives its version."""
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        return self.s3.put_object(Bucket=ARTEFACTS, Key=key, Body=content, ChecksumSHA256=checksum)["VersionId"]

    def outcome(self, commit: Commit) -> str:
        """What the verdict on a commit says, with its reasons."""
        body = self.s3.get_object(Bucket=RECORDS, Key=f"{commit.prefix}/verdict.json")["Body"].read()
        verdict = json.loads(body)
        return " ".join([verdict["outcome"], *(f"{it['code']}: {it['message']}" for it in verdict["reasons"])])

    def unlock(self) -> None:
        """Removes the lock of a promotion whose state machine does nothing."""
        self.s3.delete_object(Bucket=RECORDS, Key=f"locks/{STAGE}/{REPO}.json")


def notification(name: str, who: str, key: str, version: str | None = None) -> dict[str, Any]:
    """What S3 tells of a change."""
    return {"Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION, "eventTime": "2026-05-02T03:04:05.000Z",
        "eventName": name, "userIdentity": {"principalId": who},
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": ARTEFACTS, "arn": f"arn:aws:s3:::{ARTEFACTS}"},
               "object": {"key": key, **({"versionId": version} if version else {})}},
    }]}


def message(event: dict[str, Any]) -> dict[str, Any]:
    """The same as a message that comes from the queue for the first time, a second later."""
    return {"messageId": str(uuid.uuid4()), "receiptHandle": "handle", "body": json.dumps(event), "eventSource": "aws:sqs",
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1777691046000"}}


def created(key: str) -> dict[str, Any]:
    """What the gate gets when an object was created."""
    return {"Records": [message(notification("ObjectCreated:Put", "AWS:AROAEXAMPLEID0000000C1:pipeline", key))]}
