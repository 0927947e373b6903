"""A commit that went through its pipeline goes to UAT, and a runner carries out its part: `pulumi up` or `dbt build`, at the commit.

It does what the jobs of promote-to-uat.yml do: a runner previews, the promoter starts the promotion and gets a lease, the runner does
what the lease says with the stage's deploy role, and the promoter hands in what that left.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

import actions
from processes import Failed
from run import BRANCH
from stacks import PROJECT
from workflow import ROOT

if TYPE_CHECKING:
    from run import Run
    from terminal import Terminal

STAGE = "uat"
CONFIGURATION = "config/stages.json"
REASONS = {"promote": "the pipeline went through", "rollback": "the release was wrong"}
GATEKEEPER = ROOT / "target" / "debug" / "gatekeeper"


class Promotion:
    """The promotion of a run's commit."""

    def __init__(self, run: Run) -> None:
        self.run, folder = run, Path(tempfile.mkdtemp(prefix="promotion-", dir=run.folder))
        self.lease, self.preview, self.evidence = folder / "lease.json", folder / "preview.json", folder / "evidence"
        outputs = run.dev.outputs
        # Where the gatekeeper is; who asks is in the environment.
        self.outputs = folder / "outputs.json"
        self.outputs.write_text(json.dumps({name: value for name, value in outputs.items() if name not in ("AccessKeyId", "SecretAccessKey")}))

    def go(self, term: Terminal, command: str = "promote") -> None:
        """From the stage's configuration to the evidence; with `rollback` as the command back to this commit."""
        request = ["--repo", self.run.repo, "--sha", self.run.sha, "--stage", STAGE, "--reason", REASONS[command]]
        with term.doing(f"{STAGE}: its configuration names what a runner does"):
            self.configure()
        with term.doing("the runner: the commit, and what it needs"):
            self.runner()
            workspace, env = self.run.workspace, self.run.env
        # A rollback goes without a preview: to look at it costs minutes that an outage doesn't have.
        if self.run.dev.stacks is not None and command == "promote":
            with term.doing(f"pulumi preview --stack {STAGE} --json"):
                self.preview.write_text(self.run.processes.run(["pulumi", "preview", "--stack", STAGE, "--json"], workspace, env)[1])
            request += ["--preview", str(self.preview)]
        with term.doing(f"gatekeeper {command} --stage {STAGE} --lease"):
            self.assume("promoter", self.run.dev.outputs["PromoterRoleArn"], "jane")
            self.gatekeeper(command, *request, "--lease", self.lease)
        leased = json.loads(self.lease.read_text())
        evidence: list[str] = []
        for each in leased["runs"]:
            with term.doing(" ".join(each["command"])):
                self.run.processes.run(each["command"], workspace, {**env, **each["environment"]})
            if each.get("evidence"):
                shutil.copytree(workspace / "target", self.evidence)
                evidence += ["--evidence", str(self.evidence)]
        with term.doing(f"gatekeeper {command} --complete"):
            self.gatekeeper(command, "--complete", self.lease, *evidence)
        with term.doing(f"gatekeeper evidence --stage {STAGE}"):
            self.assume("auditor", self.run.dev.outputs["AuditorRoleArn"], "audit")
            self.gatekeeper("evidence", "--repo", self.run.repo, "--stage", STAGE)

    def drift(self, term: Terminal) -> None:
        """Of a Pulumi stack: what was changed behind its back, and what went past the gatekeeper, is drift; a promotion ends it."""
        stacks = self.run.dev.stacks
        if stacks is None:
            return
        bucket, s3 = f"bank-artefacts-{STAGE}", stacks.client("s3", STAGE)
        with term.doing("the runner, again"):
            self.runner()
        for status, wanted in (("Enabled", set()), ("Suspended", {"pulumi-drifted"}), ("Enabled", set())):
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
            with term.doing(f"pulumi refresh --preview-only, where the bucket's versioning is {status.lower()}"):
                printed = self.run.processes.run(["pulumi", "refresh", "--stack", STAGE, "--preview-only", "--json"], self.run.workspace, self.run.env)[1]
                stacks.client("s3", STAGE).put_object(Bucket=stacks.buckets[STAGE], Key=f".pulumi/gatekeeper/{PROJECT}/{STAGE}/refresh.json", Body=printed.encode())
            with term.doing(f"watch-drift finds {', '.join(wanted) or 'nothing'}"):
                self.finds(wanted)
        with term.doing("pulumi refresh, which writes what it finds"):
            self.run.processes.run(["pulumi", "refresh", "--stack", STAGE, "--yes", "--skip-preview"], self.run.workspace, self.run.env)
        with term.doing("watch-drift finds pulumi-stack-changed"):
            self.finds({"pulumi-stack-changed"})

    def finds(self, wanted: set[str]) -> None:
        """Has watch-drift look, and reads what it wrote."""
        outputs = self.run.dev.outputs
        administrator = {"endpoint_url": outputs["Endpoint"], "region_name": outputs["Region"], "aws_access_key_id": outputs["AccessKeyId"],
                         "aws_secret_access_key": outputs["SecretAccessKey"]}
        asked = json.dumps({"stage": STAGE, "repo": self.run.repo}).encode()
        answer = boto3.client("lambda", **administrator).invoke(FunctionName=outputs["WatchDriftFunction"], Payload=asked)
        if "FunctionError" in answer:
            raise Failed(f"watch-drift: {answer['Payload'].read().decode()}")
        written = boto3.client("s3", **administrator).get_object(Bucket=outputs["RecordsBucket"], Key=f"drift/{STAGE}/{self.run.repo}.json")
        drift = json.loads(written["Body"].read())
        if {it["code"] for it in drift["findings"]} != wanted:
            raise Failed(f"watch-drift found {json.dumps([drift['findings'], drift['notes']], indent=1)}, and not {wanted}")

    # ---- who asks

    def assume(self, machine: str, arn: str, name: str) -> None:
        """A machine as new, with a role."""
        self.run.on_a_machine(machine)
        outputs = self.run.dev.outputs
        sts = boto3.client("sts", endpoint_url=outputs["Endpoint"], region_name=outputs["Region"], aws_access_key_id=outputs["AccessKeyId"],
                           aws_secret_access_key=outputs["SecretAccessKey"])
        got = sts.assume_role(RoleArn=arn, RoleSessionName=name)["Credentials"]
        self.run.hide(got["SecretAccessKey"], got["SessionToken"])
        self.run.env.update({"AWS_ACCESS_KEY_ID": got["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"],
                             "AWS_SESSION_TOKEN": got["SessionToken"], "AWS_REGION": outputs["Region"], "AWS_DEFAULT_REGION": outputs["Region"],
                             "GATEKEEPER_OUTPUTS": str(self.outputs)})

    def gatekeeper(self, *arguments: str | Path) -> None:
        """The command; what it says is told where it fails."""
        self.run.tool(GATEKEEPER, *arguments, cwd=self.run.folder)

    # ---- the parts

    def configure(self) -> None:
        """Writes the repository's run into the stage; several pipelines share one installation, and each keeps the others'."""
        outputs = self.run.dev.outputs
        s3 = boto3.client("s3", endpoint_url=outputs["Endpoint"], region_name=outputs["Region"], aws_access_key_id=outputs["AccessKeyId"],
                          aws_secret_access_key=outputs["SecretAccessKey"])
        while True:
            there = s3.get_object(Bucket=outputs["RecordsBucket"], Key=CONFIGURATION)
            stages = json.loads(there["Body"].read())
            for kind, target in self.run.dev.targets(STAGE).items():
                stages["stages"][STAGE].setdefault(kind, {})[self.run.repo] = target
            try:
                s3.put_object(Bucket=outputs["RecordsBucket"], Key=CONFIGURATION, Body=json.dumps(stages, indent=2), IfMatch=there["ETag"],
                              ContentType="application/json", ChecksumAlgorithm="SHA256")
            except ClientError as error:
                if error.response["Error"]["Code"] != "PreconditionFailed":
                    raise
            else:
                return

    def runner(self) -> None:
        """The machine of who carries it out: the commit, its tools, the stage's deploy role."""
        run, dev = self.run, self.run.dev
        if dev.stacks is not None:
            self.assume("runner", dev.stacks.roles[STAGE], "GitHubActions")
            run.env["PULUMI_BACKEND_URL"] = dev.stacks.backend(STAGE)
            actions.setup_pulumi(run, None)
            actions.setup_pnpm(run, {})
        else:
            run.on_a_machine("runner")
            run.env.update(dev.warehouse(STAGE))
            actions.setup_python(run, {})
        run.tool("git", "clone", "--quiet", "--no-checkout", f"file://{run.origin}", run.workspace, cwd=run.folder)
        run.tool("git", "checkout", "--quiet", "-B", BRANCH, run.sha, cwd=run.workspace)
        for command in PROGRAM if dev.stacks is not None else WAREHOUSE:
            run.tool(*command, cwd=run.workspace)


PROGRAM = (["pnpm", "install", "--frozen-lockfile"],)
# What the models read is DCM's and the core systems', in every stage.
WAREHOUSE = (["make", "dcm-plan"], ["make", "dcm-deploy"], ["make", "sample"])
