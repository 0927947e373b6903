"""The AWS account of the demo: the local one, and what CI, a promoter, an auditor and the administrator do in it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from database import DATABASE
from service import REPO, Build

ROOT = Path(__file__).resolve().parent.parent
FALSE = "integration-passed=false"
ROLES = {"ci": "CiRoleArn", "jane": "PromoterRoleArn", "auditor": "AuditorRoleArn"}
T = TypeVar("T")


class Unexpected(Exception):
    """Something did not hold."""

    def __init__(self, what: str, expected: object, seen: object) -> None:
        super().__init__(what)
        self.expected, self.seen = expected, seen


def expect(what: str, expected: object, seen: object) -> None:
    """Raises `Unexpected` unless both are equal."""
    if expected != seen:
        raise Unexpected(what, expected, seen)


def eventually(what: str, expected: object, look: Callable[[], T], holds: Callable[[T], bool], within: float,
               pause: float = 0.03) -> T:
    """What `look` sees as soon as it `holds`; raises `Unexpected` when it doesn't within so many seconds."""
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if holds(seen):
            return seen
        if time.monotonic() > deadline:
            raise Unexpected(f"{what} (within {within:g} s)", expected, seen)
        time.sleep(pause)


def hex_of(checksum: str) -> str:
    """AWS's base64 of a SHA-256 as the manifest writes it."""
    return base64.b64decode(checksum).hex()


@dataclass(frozen=True)
class StepDone:
    """One step of a promotion that has ended: `answer` is the state's, with `status` and `progress`."""

    step: str
    direction: str
    seconds: float
    answer: dict[str, Any]

    def reports(self) -> list[dict[str, Any]]:
        return self.answer.get("progress", [])


class Cloud:
    """The account behind `outputs.json`; `who` is a role of the gatekeeper's stack, or the account's administrator."""

    def __init__(self, outputs: dict[str, str]) -> None:
        self.outputs = outputs
        self.keys: dict[str | None, dict[str, str]] = {
            None: {"aws_access_key_id": outputs["AccessKeyId"], "aws_secret_access_key": outputs["SecretAccessKey"]},
        }
        self.clients: dict[tuple[str, str | None], Any] = {}

    def client(self, service: str, who: str | None = None) -> Any:
        """A client with the credentials of `who`, made once."""
        if (service, who) not in self.clients:
            if who not in self.keys:
                got = self.client("sts").assume_role(RoleArn=self.outputs[ROLES[who]], RoleSessionName=who)["Credentials"]
                self.keys[who] = {
                    "aws_access_key_id": got["AccessKeyId"], "aws_secret_access_key": got["SecretAccessKey"],
                    "aws_session_token": got["SessionToken"],
                }
            self.clients[service, who] = boto3.client(
                service, endpoint_url=self.outputs["Endpoint"], region_name=self.outputs["Region"],
                config=Config(retries={"max_attempts": 1}, max_pool_connections=32), **self.keys[who],
            )
        return self.clients[service, who]

    def entry(self, who: str, outputs: Path) -> dict[str, str]:
        """The environment that gives a program the credentials of `who`, and says where the gatekeeper is."""
        self.client("sts", who)  # assumes the role
        keys = {f"AWS_{name.removeprefix('aws_').upper()}": value for name, value in self.keys[who].items()}
        return {**keys, "AWS_ENDPOINT_URL": self.outputs["Endpoint"], "AWS_REGION": self.outputs["Region"], "GATEKEEPER_OUTPUTS": str(outputs)}

    # ---- CI's side of the store

    def upload(self, build: Build, only: Callable[[str], bool] = lambda _: True) -> tuple[int, str]:
        """Uploads as CI, each object with its checksum and tagged false, the manifest last; how many, and the manifest's version."""
        s3, version, count = self.client("s3", "ci"), "", 0
        for name, content in build.files().items():
            if only(name):
                version = s3.put_object(
                    Bucket=self.outputs["ArtefactBucket"], Key=f"{build.prefix}/{name}", Body=content, Tagging=FALSE,
                    ChecksumSHA256=base64.b64encode(hashlib.sha256(content).digest()).decode(),
                )["VersionId"]
                count += 1
        return count, version

    def tag(self, who: str | None, key: str, value: str) -> None:
        """Sets `integration-passed`, and nothing else, on an object."""
        self.client("s3", who).put_object_tagging(
            Bucket=self.outputs["ArtefactBucket"], Key=key, Tagging={"TagSet": [{"Key": "integration-passed", "Value": value}]})

    def passed(self, key: str) -> str | None:
        """What `integration-passed` says on an object."""
        tags = self.client("s3", "ci").get_object_tagging(Bucket=self.outputs["ArtefactBucket"], Key=key)["TagSet"]
        return next((tag["Value"] for tag in tags if tag["Key"] == "integration-passed"), None)

    def all_passed(self, build: Build) -> dict[str, str | None]:
        """The same for every object of a commit, by key."""
        keys = self.keys_under(self.outputs["ArtefactBucket"], build.prefix + "/", "ci")
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(keys, pool.map(self.passed, keys)))

    def keys_under(self, bucket: str, prefix: str, who: str) -> list[str]:
        """The keys that begin so."""
        pages = self.client("s3", who).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    # ---- what the gatekeeper wrote

    def text(self, key: str, who: str = "auditor") -> str | None:
        """A record's text; none when there is none."""
        try:
            return self.client("s3", who).get_object(Bucket=self.outputs["RecordsBucket"], Key=key)["Body"].read().decode()
        except self.client("s3", who).exceptions.NoSuchKey:
            return None

    def record(self, key: str, who: str = "auditor") -> dict[str, Any] | None:
        """A record; none when there is none."""
        text = self.text(key, who)
        return None if text is None else json.loads(text)

    def verdict(self, build: Build, manifest_version: str, outcome: str, *codes: str) -> dict[str, Any]:
        """The gate's verdict on that version of the manifest, for reasons with these codes, once every object's tag agrees with it."""
        def look() -> dict[str, Any]:
            return self.record(f"{build.prefix}/verdict.json", "ci") or {}

        verdict = eventually(
            f"the verdict on {REPO} {build.short}", f"{outcome} for manifest version {manifest_version}", look,
            lambda it: it.get("manifest_version_id") == manifest_version and it.get("outcome") in (outcome, "rejected"), 10)
        if (verdict["outcome"], [of["code"] for of in verdict["reasons"]]) != (outcome, [*codes]):
            raise Unexpected(f"the verdict on {REPO} {build.short}", (outcome, codes), (verdict["outcome"], verdict["reasons"]))
        wanted = {"true" if outcome == "built" else "false"}
        eventually("`integration-passed` on every object", wanted, lambda: self.all_passed(build),
                   lambda tags: set(tags.values()) == wanted, 5, pause=0.2)
        return verdict

    # ---- the platform's configuration

    def configure_policy(self) -> int:
        """Uploads infra/policy.json, which a new installation has; how many conditions it asks for beyond ADR-053's."""
        policy = (ROOT / "infra" / "policy.json").read_bytes()
        self.client("s3").put_object(Bucket=self.outputs["RecordsBucket"], Key="config/policy.json", Body=policy,
                                     ContentType="application/json", ChecksumAlgorithm="SHA256")
        return len(json.loads(policy)["all"]["require"])

    def configure_database(self, stage: str, url: str) -> str:
        """Puts the way into a stage's database into Secrets Manager and names it in config/stages.json, as the platform's team would; its ARN."""
        text = json.dumps({"url": url})
        arn = self.client("secretsmanager").create_secret(Name=f"gatekeeper/{stage}/{DATABASE}", SecretString=text)["ARN"]
        s3, place = self.client("s3"), {"Bucket": self.outputs["RecordsBucket"], "Key": "config/stages.json"}
        config = json.load(s3.get_object(**place)["Body"])
        config["stages"][stage]["databases"] = {DATABASE: {"secret_arn": arn}}
        s3.put_object(**place, Body=json.dumps(config, indent=2).encode(), ContentType="application/json", ChecksumAlgorithm="SHA256")
        return arn

    # ---- stacks and functions

    def deploy_to_dev(self, build: Build) -> dict[str, str]:
        """Applies the stored templates to dev (ADR-053, CI step 7), as CI's deploy tool would; the stacks' outputs."""
        cloudformation = self.client("cloudformation")
        with ThreadPoolExecutor() as pool:
            outputs = pool.map(lambda stack: self._apply(cloudformation, build, stack), build.stacks)
            return {name: value for of in outputs for name, value in of.items()}

    def publish_assets(self, build: Build) -> int:
        """Copies each ZIP to where its template looks for it in CDK's bucket, as `cdk deploy` does before; how many."""
        s3, bucket, count = self.client("s3"), f"cdk-hnb659fds-assets-{self.outputs['AccountId']}-{self.outputs['Region']}", 0
        for name, of in build.functions.items():
            template = json.loads((build.out / "modules" / of["module"] / "cloudformation" / f"{of['stack']}.json").read_text())
            key = template["Resources"][of["logical_id"]]["Properties"]["Code"]["S3Key"]
            if isinstance(key, str):  # the other templates take their code from the artefact store
                s3.put_object(Bucket=bucket, Key=key, Body=(build.out / "modules" / of["module"] / "functions" / f"{name}.zip").read_bytes())
                count += 1
        return count

    def _apply(self, cloudformation: Any, build: Build, stack: str) -> dict[str, str]:
        """One stack, by a change set."""
        name, module = f"{REPO}-dev-{stack}", build.stacks[stack]
        body = (build.out / "modules" / module / "cloudformation" / f"{stack}.json").read_text()
        values = {"Stage": "dev", "CommitSha": build.sha, "ArtefactBucket": self.outputs["ArtefactBucket"],
                  "ArtefactPrefix": f"{build.prefix}/modules/{module}"}
        change_set = cloudformation.create_change_set(
            StackName=name, ChangeSetName=f"commit-{build.sha}", ChangeSetType="UPDATE" if self.has_stack(name) else "CREATE",
            TemplateURL=f"{self.outputs['Endpoint']}/{self.outputs['ArtefactBucket']}/{build.prefix}/modules/{module}/cloudformation/{stack}.json",
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items() if key in json.loads(body)["Parameters"]],
            Capabilities=["CAPABILITY_IAM"],
        )["Id"]
        eventually(f"the change set of `{name}`", "CREATE_COMPLETE", lambda: cloudformation.describe_change_set(ChangeSetName=change_set),
                   lambda it: it["Status"] == "CREATE_COMPLETE", 30)
        cloudformation.execute_change_set(ChangeSetName=change_set)
        described = eventually(f"the stack `{name}`", "…_COMPLETE", lambda: cloudformation.describe_stacks(StackName=name)["Stacks"][0],
                               lambda it: not it["StackStatus"].endswith("_IN_PROGRESS"), 60)
        expect(f"`{name}` is deployed", True, described["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"))
        return {of["OutputKey"]: of["OutputValue"] for of in described["Outputs"]}

    def has_stack(self, name: str) -> bool:
        """Whether there is a stack of that name."""
        try:
            return bool(self.client("cloudformation").describe_stacks(StackName=name)["Stacks"])
        except ClientError:
            return False

    def stack_outputs(self, build: Build, stage: str) -> dict[str, str]:
        """The outputs of all the commit's stacks in a stage."""
        described = [self.client("cloudformation", "auditor").describe_stacks(StackName=f"{REPO}-{stage}-{stack}")["Stacks"][0]
                     for stack in build.stacks]
        return {of["OutputKey"]: of["OutputValue"] for stack in described for of in stack["Outputs"]}

    def live_code(self, build: Build, stage: str) -> dict[str, str]:
        """The SHA-256 of what each function of a stage runs now, from Lambda."""
        cloudformation, functions = self.client("cloudformation", "auditor"), self.client("lambda", "auditor")
        live = {}
        for name, of in build.functions.items():
            found = cloudformation.describe_stack_resource(StackName=f"{REPO}-{stage}-{of['stack']}", LogicalResourceId=of["logical_id"])
            function = found["StackResourceDetail"]["PhysicalResourceId"]
            live[name] = hex_of(functions.get_function_configuration(FunctionName=function)["CodeSha256"])
        return live

    def live_templates(self, build: Build, stage: str) -> dict[str, str]:
        """The SHA-256 of the template that each stack of a stage has: the stored one's where it is the same JSON."""
        live = {}
        for stack, module in build.stacks.items():
            stored = (build.out / "modules" / module / "cloudformation" / f"{stack}.json").read_bytes()
            given = self.client("cloudformation").get_template(StackName=f"{REPO}-{stage}-{stack}", TemplateStage="Original")["TemplateBody"]
            given = given if isinstance(given, str) else json.dumps(given)
            same = json.loads(given) == json.loads(stored)
            live[stack] = hashlib.sha256(stored if same else given.encode()).hexdigest()
        return live

    def stored_code(self, build: Build) -> dict[str, str]:
        """The SHA-256 that S3 keeps of each stored ZIP."""
        s3 = self.client("s3", "auditor")
        return {name: hex_of(s3.head_object(
            Bucket=self.outputs["ArtefactBucket"], Key=f"{build.prefix}/modules/{of['module']}/functions/{name}.zip",
            ChecksumMode="ENABLED")["ChecksumSHA256"]) for name, of in build.functions.items()}

    def public_keys(self, folder: Path) -> list[str | Path]:
        """The signing keys as an auditor gets them from KMS, for `gatekeeper verify`."""
        arguments: list[str | Path] = []
        for option, output in (("--gate-key", "SigningKeyArn"), ("--promotion-key", "PromotionSigningKeyArn"),
                               ("--approval-key", "ApprovalSigningKeyArn")):
            der = self.client("kms", "auditor").get_public_key(KeyId=self.outputs[output])["PublicKey"]
            pem = folder / f"{option.strip('-')}.pem"
            lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
            pem.write_text("\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]))
            arguments += [option, pem]
        return arguments

    def update_by_hand(self, build: Build, function: str, stage: str) -> str:
        """Gives a live function other code, as the account's administrator; its name."""
        of = build.functions[function]
        found = self.client("cloudformation").describe_stack_resource(
            StackName=f"{REPO}-{stage}-{of['stack']}", LogicalResourceId=of["logical_id"])
        name = found["StackResourceDetail"]["PhysicalResourceId"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("index.js", "exports.handler = async () => ({statusCode: 200});\n")
        self.client("lambda").update_function_code(FunctionName=name, ZipFile=code.getvalue())
        return name

    # ---- promotion

    def promote(self, sha: str, reason: str, **more: Any) -> dict[str, Any]:
        """Invokes PromoteFunction as the promoter; what it answers."""
        event = {"repo": REPO, "commit_sha": sha, "stage": "uat", "requested_by": "jane@bank.example", "reason": reason, **more}
        answer = self.client("lambda", "jane").invoke(FunctionName=self.outputs["PromoteFunction"], Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        expect("PromoteFunction answers", None, answer.get("FunctionError") and payload)
        return payload

    def executions(self) -> int:
        """How many promotions were ever started."""
        machine = self.outputs["PromotionStateMachine"]
        return len(self.client("stepfunctions", "auditor").list_executions(stateMachineArn=machine)["executions"])

    def follow(self, execution: str, within: float) -> Iterator[StepDone | str]:
        """The steps of an execution as they end, and before each the name of the state that is under way."""
        seen, deadline = 0, time.monotonic() + within
        entered: tuple[str, float] | None = None
        while True:
            pages = self.client("stepfunctions", "jane").get_paginator("get_execution_history").paginate(executionArn=execution)
            events = [event for page in pages for event in page["events"]]
            for event in events[seen:]:
                if event["type"] == "TaskStateEntered":
                    name = event["stateEnteredEventDetails"]["name"]
                    if entered is None or entered[0] != name:
                        entered = (name, event["timestamp"].timestamp())
                    yield name
                elif event["type"] == "TaskStateExited" and entered:
                    details = event["stateExitedEventDetails"]
                    done = self._step_done(details["name"], json.loads(details["output"]), event["timestamp"].timestamp() - entered[1])
                    if done.answer.get("status") != "in-progress":
                        yield done
                        entered = None
                elif event["type"].startswith("Execution") and event["type"] != "ExecutionStarted":
                    return
            seen = len(events)
            if time.monotonic() > deadline:
                raise Unexpected(f"the promotion ends within {within:g} s", "the end of its execution", events[-1]["type"])
            time.sleep(0.1)

    @staticmethod
    def _step_done(state: str, output: dict[str, Any], seconds: float) -> StepDone:
        step, field = {"ApplyStack": ("apply-stack", "stacks"), "DeployFunction": ("deploy-function", "functions"),
                       "MigrateDatabase": ("migrate-database", "databases"),
                       "SmokeTest": ("smoke-test", "smoke"), "RecordOutcome": ("record-promotion", "outcome")}[state]
        return StepDone(step, output.get("direction", "forward"), seconds, output[field])

    # ---- logs and letters

    def dead_letters(self) -> int:
        """Events that no function could take."""
        queue = self.client("sqs", "auditor").get_queue_attributes(QueueUrl=self.outputs["DeadLetterQueueUrl"], AttributeNames=["All"])
        return sum(int(queue["Attributes"].get(f"ApproximateNumberOfMessages{kind}", 0)) for kind in ("", "NotVisible", "Delayed"))

    def log_lines(self) -> list[dict[str, Any]]:
        """What the functions logged, from CloudWatch Logs, in the order of their time stamps; metrics left out."""
        logs, lines = self.client("logs", "auditor"), []
        for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/gatekeeper-")["logGroups"]:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
            for event in (event for page in pages for event in page["events"] if event["message"].startswith("{")):
                line = json.loads(event["message"])
                if "_aws" not in line:
                    lines.append({**line, "log": group["logGroupName"].rsplit("/gatekeeper-", 1)[1]})
        return sorted(lines, key=lambda line: line["timestamp"])
