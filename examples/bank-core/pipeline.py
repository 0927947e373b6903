"""Takes this SST app from `sst build` to two stages on a local AWS, and shows what is refused. `make pipeline-sst`.

GATEKEEPER_OUTPUTS names the outputs of the local AWS, whose stages `uat` and `sit` become this app's.
"""

from __future__ import annotations

import argparse
import base64
import functools
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
APP, STACK_NAME = "bank-core", "{stage}-bank-core-{stack}"
BRANCH = f"run-{secrets.token_hex(4)}"  # each run has a repository of its own, whose history is another one
AUTHOR = ["-c", "user.name=Jane", "-c", "user.email=jane@bank.example"]
OUTPUTS = json.loads(Path(os.environ["GATEKEEPER_OUTPUTS"]).read_text())
ACCOUNT, REGION = OUTPUTS["AccountId"], OUTPUTS["Region"]
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")}, "PATH": f"{ROOT / 'target' / 'debug'}{os.pathsep}{os.environ['PATH']}", "AWS_ENDPOINT_URL": OUTPUTS["Endpoint"],
    "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": OUTPUTS["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": OUTPUTS["SecretAccessKey"],
    "NO_PROXY": "127.0.0.1,localhost", "RUN_INTEGRATION": "1", "SST_TELEMETRY_DISABLED": "1", "CI": "true", "NO_COLOR": "1",
}
# `uat` is in an account of its own, `sit` in that of dev.
STAGES = {"uat": OUTPUTS["StageRoleArn"], "sit": None}
TESTED = "apiLambdaGEThealth"  # the logical id of the function that tells its stage begins so
STEP_SECONDS = 300


class Failed(Exception):
    """What was expected didn't come."""


def expect(holds: bool, what: str, seen: object = "") -> None:
    """A check: says that it holds, or ends the pipeline with what was seen instead."""
    if not holds:
        raise Failed(f"not so: {what}\n{seen}")
    print(f"   ✓ {what}", flush=True)


@functools.cache
def client(service: str, role: str | None = None) -> Any:
    """A client of dev's account, or of the account of a stage's role."""
    given = {"endpoint_url": OUTPUTS["Endpoint"], "region_name": REGION}
    keys = {"AccessKeyId": OUTPUTS["AccessKeyId"], "SecretAccessKey": OUTPUTS["SecretAccessKey"]}
    if role:
        keys = client("sts").assume_role(RoleArn=role, RoleSessionName="pipeline")["Credentials"]
    return boto3.client(service, **given, aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
                        aws_session_token=keys.get("SessionToken"))


# ---- the local AWS, once

def bootstrap_sst() -> None:
    """What `sst deploy` asks for: the outputs of two stacks. A bootstrapped account has both."""
    stacks = {stack["StackName"] for stack in client("cloudformation").describe_stacks()["Stacks"]}
    cdk, sst = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}", f"sstbootstrap-{REGION.replace('-', '')}-1a2b3c4d5e6f"
    wanted = {
        "CDKToolkit": {"BucketName": cdk, "BucketDomainName": f"{cdk}.s3.{REGION}.amazonaws.com", "BootstrapVersion": "30"},
        "SSTBootstrap": {"BucketName": sst, "Version": "7.4"},
    }
    for name, outputs in wanted.items():
        if name in stacks:
            continue
        template = {"Resources": {"Nothing": {"Type": "AWS::CloudFormation::WaitConditionHandle"}},
                    "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
        client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))
        client("cloudformation").get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    if "SSTBootstrap" not in stacks:
        client("s3").create_bucket(Bucket=sst, CreateBucketConfiguration={"LocationConstraint": REGION})


def source_maps_of(stage: str) -> str:
    """The bucket that a stage's source maps go to; each run has its own."""
    return f"source-maps-{stage}-{BRANCH}"


def configure() -> None:
    """The stages, the policy of a new installation, and for each stage a secret and a bucket of its own."""
    stages = {}
    for name, role in STAGES.items():
        client("s3", role).create_bucket(Bucket=source_maps_of(name), CreateBucketConfiguration={"LocationConstraint": REGION})
        parameters = {"SSTBootstrapBucket": source_maps_of(name)}
        stages[name] = {"requires": "built", "role_arn": role, "stack_name": STACK_NAME, "smoke": [], "parameters": parameters}
    documents = {"stages": json.dumps({"schema_version": 1, "stages": stages}), "policy": (ROOT / "infra" / "policy.json").read_text()}
    for name, text in documents.items():
        client("s3").put_object(Bucket=OUTPUTS["RecordsBucket"], Key=f"config/{name}.json", Body=text.encode(),
                                ContentType="application/json", ChecksumAlgorithm="SHA256")
    for stage, role in {"dev": None, **STAGES}.items():
        # as `sst secrets set` writes it, which also wants AWS IoT; the local AWS has none
        client("ssm", role).put_parameter(Name=f"/sst/{APP}/{stage}/Secret/DATABASE_URL/value", Type="SecureString", Overwrite=True,
                                          Value=f"postgresql://ledger.{stage}.bank.example/core")


# ---- a commit

class Commit:
    """A commit of the app in a repository of its own, on its way through the pipeline."""

    def __init__(self, repository: Path) -> None:
        self.repository, self.build = repository, repository / "build" / "commit"

    def run(self, *command: str | Path, may_fail: bool = False) -> tuple[int, str]:
        """Runs a program in the repository: its exit code and what it printed."""
        name = " ".join(str(part) for part in command if part not in AUTHOR)
        began = time.monotonic()
        ran = subprocess.run(list(map(str, command)), cwd=self.repository, env=ENVIRONMENT, stdin=subprocess.DEVNULL, timeout=STEP_SECONDS,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"   {time.monotonic() - began:5.1f} s  {name.replace(str(self.repository), '.')}", flush=True)
        if ran.returncode != 0 and not may_fail:
            raise Failed(f"`{name}` ended with {ran.returncode}:\n{ran.stdout}")
        return ran.returncode, ran.stdout

    def push(self, message: str, file: str | None = None, old: str = "", new: str = "") -> None:
        """Commits what is there, after a change of one file."""
        if file:
            text = (self.repository / file).read_text()
            if old not in text:
                raise Failed(f"{file} doesn't have `{old}`")
            (self.repository / file).write_text(text.replace(old, new))
        self.run("git", "add", "--all")
        self.run("git", *AUTHOR, "commit", "--quiet", "--allow-empty", f"--message={message}")
        self.sha = self.run("git", "rev-parse", "HEAD")[1].strip()

    def collect(self) -> None:
        """Builds, and makes the commit's folder; then the tests that need no deployment."""
        shutil.rmtree(self.repository / "build", ignore_errors=True)
        self.run("npx", "sst", "build", "--stage", "dev")
        self.run("gatekeeper", "collect", ".sst/dist", "--module", "MOD-001")
        for step, script in {"typecheck": "typecheck", "unit": "test:unit", "policy": "test:policy"}.items():
            self.run("gatekeeper", "run", step, "--dir", self.build, "--", "npm", "run", script)
        # the rows of ADR-053's table that the policy tests are of; no report tells them
        manifest = self.build / "build-manifest.json"
        document = json.loads(manifest.read_text())
        document["tests"]["policy"]["policies_satisfied"] = ["POL-001 nobody is paid 0", "POL-001 nobody is paid -1"]
        manifest.write_text(json.dumps(document, indent=2) + "\n")

    def deploy(self) -> None:
        """Has dev run the collected ZIPs, by SST."""
        self.run("gatekeeper", "stage-assets", self.build)
        self.run("gatekeeper", "run", "deploy", "--dir", self.build, "--", "npx", "sst", "deploy", "--stage", "dev", "--from", ".sst/dist")

    def observe(self) -> tuple[int, str]:
        """What dev runs, for `publish`; 0 where that is what was collected."""
        return self.run("gatekeeper", "observe", self.build, "--stage", "dev", "--repo", APP, "--stack-name", STACK_NAME,
                        "--write", "build/observed.json", may_fail=True)

    def test_dev(self) -> None:
        """The integration tests."""
        self.run("gatekeeper", "run", "integration", "--dir", self.build, "--", "npm", "run", "test:integration")

    def publish(self) -> tuple[int, str]:
        """Publishes the commit and waits for the gate's verdict."""
        return self.run("gatekeeper", "publish", self.build, "--repo", APP, "--sha", self.sha, "--branch", BRANCH,
                        "--observed", "build/observed.json", "--wait", may_fail=True)

    def go(self, command: str, stage: str) -> tuple[int, str]:
        """`promote` or `rollback`."""
        sha = ["--sha", self.sha] if command == "promote" else []
        return self.run("gatekeeper", command, "--repo", APP, *sha, "--stage", stage, "--reason", "an example", may_fail=True)

    def built(self) -> str:
        """All steps until the gate says Built; what `publish` printed."""
        self.collect()
        self.deploy()
        code, printed = self.observe()
        expect(code == 0, "dev runs the collected ZIPs and has the collected templates", printed)
        self.test_dev()
        code, printed = self.publish()
        expect(code == 0, f"the gate says Built of {self.sha[:8]}", printed)
        return printed

    def zips(self) -> dict[tuple[str, str], str]:
        """The CodeSha256 of each ZIP, as hexadecimal digits, by stack and logical id."""
        module, = json.loads((self.build / "build-manifest.json").read_text())["modules"]
        folder = self.build / "modules" / module["id"] / "functions"
        return {(it["stack"], it["logical_id"]): hashlib.sha256((folder / f"{it['name']}.zip").read_bytes()).hexdigest()
                for it in module["functions"]}


# ---- a stage

def functions_of(stage: str, stacks: set[str]) -> dict[tuple[str, str], dict[str, Any]]:
    """The configuration of each function of the stage, by stack and logical id."""
    role, found = STAGES[stage], {}
    for stack in stacks:
        name = STACK_NAME.format(stage=stage, stack=stack)
        for resource in client("cloudformation", role).list_stack_resources(StackName=name)["StackResourceSummaries"]:
            if resource["ResourceType"] == "AWS::Lambda::Function":
                physical = resource["PhysicalResourceId"]
                found[stack, resource["LogicalResourceId"]] = client("lambda", role).get_function_configuration(FunctionName=physical)
    return found


def look_at(stage: str, zips: dict[tuple[str, str], str], release: int) -> None:
    """Checks that the stage runs these ZIPs under names of its own, and asks a function of it."""
    live = functions_of(stage, {stack for stack, _ in zips})
    digests = {at: base64.b64decode(it["CodeSha256"]).hex() for at, it in live.items()}
    expect(digests == zips, f"the CodeSha256 of all {len(zips)} functions in {stage} are those of the tested ZIPs", digests)
    mine = {at: it for at, it in live.items() if "SST_STAGE" in it.get("Environment", {}).get("Variables", {})}
    said = {it["Environment"]["Variables"]["SST_STAGE"] for it in mine.values()}
    expect(said == {stage} and len(mine) >= 5, f"SST_STAGE is {stage} in all {len(mine)} functions of the app", said)
    named = [it["FunctionName"] for it in live.values()]
    expect(all(name.startswith(f"{stage}-{APP}-") for name in named), f"all {len(named)} functions are called {stage}-{APP}-…", named)
    expect(f"dev-{APP}" not in json.dumps([it["Environment"] for it in mine.values()]), "no environment names a resource of dev")
    at, = (at for at in mine if at[1].startswith(TESTED))
    maps = client("s3", STAGES[stage]).list_objects_v2(Bucket=source_maps_of(stage)).get("Contents", [])
    expect(len(maps) >= len(mine), f"{stage} has {len(maps)} source maps in a bucket of its own", maps)
    body = json.loads(json.load(client("lambda", STAGES[stage]).invoke(FunctionName=live[at]["FunctionName"])["Payload"])["body"])
    wanted = {"status": "ok", "release": release, "stage": stage, "database": f"ledger.{stage}.bank.example"}
    expect(body == wanted, f"it answers {json.dumps(wanted)}", body)


# ---- what runs

def main_path(commit: Commit) -> None:
    """Two commits go through; each stage gets both, and goes back to the first."""
    commit.built()
    first = commit.zips()
    for stage in STAGES:
        code, printed = commit.go("promote", stage)
        expect(code == 0, f"{stage} has the first commit", printed)
        look_at(stage, first, release=1)
    commit.push("release 2", "src/health.ts", "RELEASE = 1", "RELEASE = 2")
    commit.built()
    second = commit.zips()
    expect(sum(first[at] != second[at] for at in first) == 1, "the second commit has other bytes in one function")
    for stage in STAGES:
        code, printed = commit.go("promote", stage)
        expect(code == 0, f"{stage} has the second commit", printed)
        look_at(stage, second, release=2)
        code, printed = commit.go("rollback", stage)
        expect(code == 0, f"{stage} is back at the first commit", printed)
        look_at(stage, first, release=1)


def refused(answer: tuple[int, str], code: str) -> None:
    """The gate's no, with this reason."""
    line = next((line for line in answer[1].splitlines() if code in line), None)
    expect(answer[0] == 1 and line is not None, f"refused: {(line or code).strip()}", answer[1])


def rewritten_template(commit: Commit) -> None:
    """A template is edited between the build and the deploy."""
    # CDK leaves a template alone that the asset bucket has already: it must be a new one
    commit.push("every second day", "stacks/JobsStack.ts", "rate(1 day)", "rate(2 days)")
    commit.collect()
    template = commit.repository / ".sst" / "dist" / f"dev-{APP}-JobsStack.template.json"
    document = json.loads(template.read_text())
    function, = (it for name, it in document["Resources"].items() if name.startswith("reconcileJob") and it["Type"] == "AWS::Lambda::Function")
    function["Properties"]["MemorySize"] = 512
    template.write_text(json.dumps(document))
    commit.deploy()
    code, printed = commit.observe()
    expect(code == 1, "`observe` sees another template in dev", printed)
    commit.test_dev()
    refused(commit.publish(), "tested-templates-mismatch")


def rebuilt_zip(commit: Commit) -> None:
    """A ZIP is made anew from the same files, after dev got the collected one."""
    commit.collect()
    commit.deploy()
    bundle = next(commit.build.glob("modules/*/functions/JobsStack-reconcile*.zip"))
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    code, printed = commit.run("gatekeeper", "stage-assets", commit.build, may_fail=True)
    expect(code == 1, "`stage-assets` doesn't write it over the object that is there", printed)
    code, printed = commit.observe()
    expect(code == 1, "`observe` sees other code in dev", printed)
    commit.test_dev()
    refused(commit.publish(), "tested-bytes-mismatch")


def stage_literal(commit: Commit) -> None:
    """A name of dev is written into the app, where the gate can't know what it means."""
    commit.push("the URL of dev", "sst.config.ts", 'runtime: "nodejs20.x"',
                'runtime: "nodejs20.x", environment: { BANK_URL: "/bank/dev/url" }')
    printed = commit.built()
    expect("template-names-stage" in printed and "/bank/dev/url" in printed, "`publish` warns of /bank/dev/url: template-names-stage", printed)
    answer = commit.go("promote", "sit")
    refused(answer, "template-names-stage")
    expect("Environment/Variables/BANK_URL" in answer[1], "the reason names the variable BANK_URL", answer[1])


BREAKS: dict[str, Callable[[Commit], None]] = {
    "rewritten-template": rewritten_template, "rebuilt-zip": rebuilt_zip, "stage-literal": stage_literal,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="pipeline.py", description=__doc__)
    parser.add_argument("--break", dest="broken", choices=BREAKS, metavar="NAME",
                        help=f"only this break, which the gate refuses: {', '.join(BREAKS)}; without it: the whole way, then all breaks")
    broken = parser.parse_args().broken
    began, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="bank-core-"))
    try:
        bootstrap_sst()
        configure()
        shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("node_modules", ".sst", "build", "__pycache__"), dirs_exist_ok=True)
        (folder / "node_modules").symlink_to(HERE / "node_modules")
        commit = Commit(folder)
        commit.run("git", "init", "--quiet", f"--initial-branch={BRANCH}")
        runs = {broken: BREAKS[broken]} if broken else {"the whole way": main_path, **BREAKS}
        for name, what in runs.items():
            print(f"\n{name}: {what.__doc__}")
            commit.push(name)
            what(commit)
        print(f"\nall as expected in {time.monotonic() - began:.0f} s")
        return 0
    except (Failed, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
