"""Faults: uploads and promotions while calls fail, answers get lost and functions are killed; then everything must agree.

    make faults                      # many runs; SEED=N RUNS=N choose which
    infra/local/faults.py --short    # a few, within a minute: part of `make test`

Each run is a repository of its own with two commits, uploaded and promoted under a plan of faults (`faulty.py`). Then the faults
end, what an operator does is done (dead letters are redriven, a promotion that died is asked for once more), and must hold:

* verdicts say what is stored, and no tag is `true` against them;
* the ledger verifies, with an entry for each promotion that ended;
* each promotion has succeeded or failed, and its record says which;
* the lock is free, and the stage's state names the last promotion that succeeded;
* no dead letter is left, and redriving one changes nothing that holds.

A run that breaks prints its seed and what was done to which call.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any, Callable

from botocore.exceptions import ClientError

import faulty
import gatekeeper_local
from instance import ACCOUNT, REGION, ROOT, Instance

STAGE = "faults"
GATEKEEPER = os.environ.get("GATEKEEPER", ROOT / "target" / "debug" / "gatekeeper")
PATIENCE_SECONDS = 180
UNSURE_SECONDS = 125  # a lock whose execution there isn't is free after two minutes
SHORT_SECONDS = 45
VISIBILITY_SECONDS = 20
STAGES = {"schema_version": 1, "stages": {STAGE: {"smoke": [
    {"function": "probe", "payload": {}, "expect_json": {"ok": True}, "deadline_seconds": 5}]}}}


class Broken(Exception):
    """What must hold and doesn't."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def commit(repo: str, number: int) -> tuple[str, dict[str, bytes]]:
    """A commit that is Built once it is there: its SHA, and its objects by their paths, the manifest last."""
    sha = hashlib.sha1(f"{repo} {number}".encode()).hexdigest()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        entry = zipfile.ZipInfo("index.js", (2026, 1, 1, 0, 0, 0))
        entry.external_attr = 0o100644 << 16
        bundle.writestr(entry, f"exports.handler = async () => ({{ok: true, commit: '{sha}'}});\n")
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    code = {"S3Bucket": {"Ref": "ArtefactBucket"}, "S3Key": {"Fn::Sub": "${ArtefactPrefix}/functions/probe.zip"}}
    template = json.dumps({
        "Parameters": {name: {"Type": "String"} for name in ("ArtefactBucket", "ArtefactPrefix")},
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
            "Fn": {"Type": "AWS::Lambda::Function", "Properties": {
                "Runtime": "nodejs22.x", "Handler": "index.handler", "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": code}}},
    }).encode()
    bundle, report = archive.getvalue(), b'<testsuite name="it" tests="1"><testcase classname="a" name="b"/></testsuite>'
    listed = lambda name, content, **more: {"name": name, "sha256": sha256(content), "size": len(content), **more}
    suite = {"failed": 0, "skipped": 0, "exit_code": 0}
    manifest = {
        "schema_version": 1, "repo": repo, "commit_sha": sha, "branch": "main", "author": "jane@bank.example",
        "timestamp": "2026-05-02T03:04:05Z",
        "modules": [{"id": "MOD-901", "functions": [listed("probe", bundle, stack="probe", logical_id="Fn")],
                     "stacks": [listed("probe", template)]}],
        "tests": {
            "typecheck": {"errors": 0, "exit_code": 0},
            "unit": {"passed": 9, "line_coverage": 91.0, "function_coverage": 90.0, **suite},
            "policy": {"passed": 1, "policies_satisfied": ["POL-001"], **suite},
            "integration": {"passed": 1, "run_integration": True, **suite,
                            "deployed": [{"function": "probe", "code_sha256": sha256(bundle)}]}},
        "reports": [{"suite": "integration", "format": "junit", "file": "integration.xml",
                     "sha256": sha256(report), "size": len(report)}],
        "deploy": {"stage": "dev", "succeeded": True},
    }
    module = "modules/MOD-901"
    return sha, {
        f"{module}/functions/probe.zip": bundle, f"{module}/cloudformation/probe.json": template,
        "reports/integration.xml": report, "build-manifest.json": json.dumps(manifest).encode()}


class World:
    """One local AWS with the gatekeeper, whose functions call it through the proxy."""

    def __init__(self, state: Path) -> None:
        self.proxy = faulty.Proxy()
        self.instance = Instance(state)
        self.instance.functions_endpoint = self.proxy.endpoint
        self.state = state

    def up(self) -> None:
        self.instance.start()
        self.proxy.upstream_port = self.instance.record()["port"]
        gatekeeper_local.deploy_to(self.instance)
        self.outputs = json.loads(self.instance.outputs_file.read_text())
        for name in ("s3", "sqs", "stepfunctions"):
            setattr(self, name, self.instance.client(name))
        self.functions = self.instance.client("lambda")
        # Who is killed names no event, and here nobody waits half an hour until his events come again.
        self.sqs.set_queue_attributes(QueueUrl=self.outputs["EventQueueUrl"], Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)})
        self.s3.put_object(Bucket=self.outputs["RecordsBucket"], Key="config/stages.json", Body=json.dumps(STAGES).encode())

    def down(self) -> None:
        self.instance.stop()
        self.proxy.stop()

    # What is seen

    def record(self, key: str) -> dict | None:
        try:
            return json.loads(self.s3.get_object(Bucket=self.outputs["RecordsBucket"], Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def records(self, prefix: str) -> list[dict]:
        listed = self.s3.list_objects_v2(Bucket=self.outputs["RecordsBucket"], Prefix=prefix).get("Contents", [])
        return [self.record(it["Key"]) for it in listed if it["Key"].count("/") == prefix.count("/")]

    def tags(self, repo: str, sha: str) -> dict[str, str | None]:
        bucket, found = self.outputs["ArtefactBucket"], {}
        for listed in self.s3.list_objects_v2(Bucket=bucket, Prefix=f"{repo}/{sha}/").get("Contents", []):
            tags = self.s3.get_object_tagging(Bucket=bucket, Key=listed["Key"])["TagSet"]
            found[listed["Key"]] = {tag["Key"]: tag["Value"] for tag in tags}.get("integration-passed")
        return found

    def is_built(self, repo: str, sha: str) -> bool:
        verdict = self.record(f"{repo}/{sha}/verdict.json") or {}
        return verdict.get("outcome") == "built" and set(self.tags(repo, sha).values()) == {"true"}

    def runs(self, arn: str) -> bool:
        try:
            return self.stepfunctions.describe_execution(executionArn=arn)["status"] == "RUNNING"
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return False
            raise

    def until(self, what: str, seen: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := seen()):
            if time.monotonic() > deadline:
                raise Broken(f"{what}: not within {seconds:.0f} s")
            time.sleep(0.1)
        return found

    # What people and pipelines do

    def upload(self, repo: str, number: int) -> str:
        sha, objects = commit(repo, number)
        for path, content in objects.items():
            self.s3.put_object(Bucket=self.outputs["ArtefactBucket"], Key=f"{repo}/{sha}/{path}", Body=content,
                               ChecksumAlgorithm="SHA256", Tagging="integration-passed=false")
        return sha

    def redrive(self) -> int:
        """Gives every dead letter back to the gate's queue, as SQS's own redrive does, which the local AWS doesn't know."""
        count = 0
        while letters := self.sqs.receive_message(
                QueueUrl=self.outputs["DeadLetterQueueUrl"], MaxNumberOfMessages=10, VisibilityTimeout=30).get("Messages"):
            for letter in letters:
                self.sqs.send_message(QueueUrl=self.outputs["EventQueueUrl"], MessageBody=letter["Body"])
                self.sqs.delete_message(QueueUrl=self.outputs["DeadLetterQueueUrl"], ReceiptHandle=letter["ReceiptHandle"])
                count += 1
        return count

    def promote(self, repo: str, sha: str) -> dict:
        """Asks for a promotion; what `promote` answers, or its error."""
        event = {"repo": repo, "commit_sha": sha, "stage": STAGE, "requested_by": "faults", "reason": "a run of faults"}
        answer = self.functions.invoke(FunctionName=self.outputs["PromoteFunction"], Payload=json.dumps(event))
        document = json.loads(answer["Payload"].read() or b"{}")
        return {"status": "error", **document} if "FunctionError" in answer else document

    def promotions(self, repo: str) -> list[dict]:
        return sorted(self.records(f"promotions/{STAGE}/{repo}/"), key=lambda it: it["promotion_id"])

    def ended(self, repo: str) -> bool:
        """Whether nothing is under way any more."""
        lock = self.record(f"locks/{STAGE}/{repo}.json")
        return not (lock and lock["released_at"] is None and self.runs(lock["execution_arn"]))


def settle(world: World, repo: str, shas: list[str]) -> None:
    """The faults are over: what comes by itself is waited for, and an operator does the rest."""
    world.until("executions end", lambda: world.ended(repo))

    def all_built() -> bool:
        if all(world.is_built(repo, sha) for sha in shas):
            return True
        world.redrive()
        return False
    world.until("commits are Built, dead letters redriven", all_built)
    lock = world.record(f"locks/{STAGE}/{repo}.json")
    promoted = (world.record(f"stages/{STAGE}/{repo}.json") or {}).get("commit_sha")
    if promoted == shas[-1] and lock and lock["released_at"]:
        return
    # A promotion that died is asked for once more: the request takes its lock over.
    began = time.monotonic()
    while (answer := world.promote(repo, shas[-1]))["status"] != "started":
        codes = {reason["code"] for reason in answer.get("reasons", [])}
        if codes != {"promotion-in-progress"} or time.monotonic() - began > UNSURE_SECONDS:
            raise Broken(f"asked for once more, it does not start: {json.dumps(answer)}")
        time.sleep(1)
    world.until("the promotion that was asked for once more ends", lambda: not world.runs(answer["execution_arn"]))


def check(world: World, repo: str, shas: list[str]) -> None:
    """What must hold after every run."""
    for sha in shas:
        verdict, tags = world.record(f"{repo}/{sha}/verdict.json"), world.tags(repo, sha)
        if verdict["outcome"] != "built" or set(tags.values()) != {"true"}:
            raise Broken(f"verdict and tags disagree: {verdict['outcome']}, {tags}")
    lock, state = world.record(f"locks/{STAGE}/{repo}.json"), world.record(f"stages/{STAGE}/{repo}.json")
    if lock is None or lock["released_at"] is None:
        raise Broken(f"the lock is held by a promotion that is over: {lock}")
    records = world.promotions(repo)
    for record in records:
        if record["ended_at"] is None or record["status"] not in ("succeeded", "failed", "rolled-back"):
            raise Broken(f"a promotion has not ended in its record: {record['promotion_id']} is {record['status']}")
    succeeded = [record["promotion_id"] for record in records if record["status"] == "succeeded"]
    history = [it["promotion_id"] for it in (state or {}).get("history", [])]
    if history != succeeded or state["promotion_id"] != succeeded[-1]:
        raise Broken(f"the stage's state tells of {history}, the records of {succeeded}")
    entries = {entry["id"] for entry in ledger(world, repo)}
    missing = {f"promotion/{record['promotion_id']}" for record in records} - entries
    if missing:
        raise Broken(f"the ledger has no entry of {missing}")
    # Not as the account's root: the witness is another account's, and lets in who audits.
    auditor = world.instance.client("sts").assume_role(RoleArn=world.outputs["AuditorRoleArn"], RoleSessionName="faults")["Credentials"]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": auditor["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": auditor["SecretAccessKey"],
                   "AWS_SESSION_TOKEN": auditor["SessionToken"], "AWS_REGION": REGION,
                   "AWS_ENDPOINT_URL": world.instance.endpoint, "GATEKEEPER_OUTPUTS": str(world.instance.outputs_file)}
    proved = subprocess.run([GATEKEEPER, "ledger", "verify", "--stage", STAGE, "--repo", repo],
                            env=environment, capture_output=True, text=True)
    if proved.returncode != 0:
        raise Broken(f"the ledger does not verify: {proved.stdout}{proved.stderr}")
    # Lambda tries an event three times, so that its dead letter comes late. Redriven, it changes nothing.
    if world.redrive():
        check(world, repo, shas)


def ledger(world: World, repo: str) -> list[dict]:
    listed = world.s3.list_objects_v2(Bucket=world.outputs["RecordsBucket"], Prefix=f"ledger/{STAGE}/{repo}/")["Contents"]
    return [entry for entry in (world.record(it["Key"]) for it in listed) if "sequence" in entry]


def run(world: World, repo: str, plans: tuple[faulty.Plan, faulty.Plan]) -> list[str]:
    """Uploads and promotes two commits of a new repository under faults. Gives what was done to which call."""
    shas, told = [], []
    for number, plan in enumerate(plans):
        world.proxy.begin(plan)
        try:
            shas.append(world.upload(repo, number))
            # Under faults it may never come to that before the dead letters are redriven.
            patience = time.monotonic() + 10
            while not world.is_built(repo, shas[-1]) and time.monotonic() < patience:
                time.sleep(0.1)
            world.promote(repo, shas[-1])
            world.until("executions end", lambda: world.ended(repo))
        finally:
            told += world.proxy.end()
        settle(world, repo, shas)
        check(world, repo, shas)
    return told


def plans_of(seed: int) -> tuple[str, tuple[faulty.Plan, faulty.Plan]]:
    """Two plans, one for each commit: a fault at one place, or a mix."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        kind, times = rng.choice(faulty.KINDS), rng.choice((1, 1, 3, 5))
        places = [rng.randrange(1, 160) for _ in range(2)]
        if kind in ("delay", "kill"):
            times = 1
        return (f"{kind} at call {places[0]}, then {places[1]}, {times} times",
                tuple(faulty.at_call(kind, place, times) for place in places))
    return "a mix", (faulty.mix(seed, 0.04, 6), faulty.mix(seed + 1, 0.04, 6))


def main() -> None:
    parser = argparse.ArgumentParser(description="uploads and promotions under faults")
    parser.add_argument("--seed", type=int, default=None, help="the first run's seed; the next ones count on")
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--short", action="store_true", help=f"as many runs as fit into {SHORT_SECONDS} s, always the same ones")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else 1 if arguments.short else random.randrange(1 << 31)
    state = Path(tempfile.mkdtemp(prefix="faults-"))
    world, broken, done, began = World(state), [], 0, time.monotonic()
    try:
        world.up()
        for number in range(seed, seed + arguments.runs):
            if arguments.short and time.monotonic() - began > SHORT_SECONDS:
                break
            name, plans = plans_of(number)
            started = time.monotonic()
            try:
                told = run(world, f"faults-{number}", plans)
                print(f"held    seed {number}: {name}; {len(told)} faults in {time.monotonic() - started:.1f} s", flush=True)
            except Broken as error:
                broken.append(number)
                print(f"broken  seed {number}: {name}\n  {error}", *world.proxy.told, sep="\n  ", flush=True)
            done += 1
    finally:
        world.down()
        shutil.rmtree(state, ignore_errors=True)
    print(f"{done - len(broken)} of {done} runs held" + (f"; broken: seeds {broken}, try `make faults SEED=N RUNS=1`" if broken else ""))
    sys.exit(1 if broken or not done else 0)


if __name__ == "__main__":
    main()
