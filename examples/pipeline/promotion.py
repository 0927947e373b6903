"""A commit that went through its pipeline goes to UAT, and a runner carries out its part: `pulumi up` or `dbt build`, at the commit.

It does what the jobs of promote-to-uat.yml do: the promoter starts the promotion and gets a lease, a job of its own runs what the
lease says with the stage's deploy role, and the promoter hands in what that left.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

import actions
from run import BRANCH
from workflow import ROOT

if TYPE_CHECKING:
    from run import Run
    from terminal import Terminal

STAGE = "uat"
CONFIGURATION = "config/stages.json"
GATEKEEPER = ROOT / "target" / "debug" / "gatekeeper"


class Promotion:
    """The promotion of a run's commit."""

    def __init__(self, run: Run) -> None:
        self.run, self.lease = run, run.folder / "lease.json"
        outputs = run.dev.outputs
        # Where the gatekeeper is; who asks is in the environment.
        self.outputs = run.folder / "outputs.json"
        self.outputs.write_text(json.dumps({name: value for name, value in outputs.items() if name not in ("AccessKeyId", "SecretAccessKey")}))

    def go(self, term: Terminal) -> None:
        """From the stage's configuration to the Deployed handoff."""
        with term.doing(f"{STAGE}: its configuration names what a runner does"):
            self.configure()
        with term.doing(f"promotion to {STAGE}, as far as the runner's part"):
            self.as_promoter("started")
            self.gatekeeper("promote", "--repo", self.run.repo, "--sha", self.run.sha, "--stage", STAGE, "--reason", "the pipeline's last step",
                            "--lease", self.lease)
        leased = json.loads(self.lease.read_text())
        evidence = self.carry_out(term, leased)
        with term.doing("what the runner did is handed in, judged and recorded"):
            self.as_promoter("completed")
            self.gatekeeper("promote", "--complete", self.lease, *evidence)
        with term.doing("the evidence of what the stage runs"):
            self.as_auditor()
            self.gatekeeper("evidence", "--repo", self.run.repo, "--stage", STAGE)

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

    def as_promoter(self, machine: str) -> None:
        """A person who promotes."""
        self.assume(machine, self.run.dev.outputs["PromoterRoleArn"], "jane")

    def as_auditor(self) -> None:
        """A person who looks."""
        self.assume("audited", self.run.dev.outputs["AuditorRoleArn"], "audit")

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

    def check_out(self, sha: str) -> None:
        """A commit of the repository."""
        run = self.run
        run.tool("git", "clone", "--quiet", "--no-checkout", f"file://{run.origin}", run.workspace, cwd=run.folder)
        run.tool("git", "checkout", "--quiet", "-B", BRANCH, sha, cwd=run.workspace)

    def fill_warehouse(self) -> None:
        """The stage's database, as DCM and the core systems fill it, from a checkout of the commit."""
        self.run.on_a_machine("carried-out")
        self.run.env.update(self.run.dev.warehouse(STAGE))
        actions.setup_python(self.run, {})
        self.check_out(self.run.sha)
        for command in WAREHOUSE:
            self.run.tool(*command, cwd=self.run.workspace)

    def carry_out(self, term: Terminal, leased: dict[str, Any]) -> list[str]:
        """What the lease says, at the promotion's commit; how its evidence is handed in."""
        run, dev = self.run, self.run.dev
        with term.doing("the runner: the promotion's commit, and what it needs"):
            if dev.stacks is not None:
                self.assume("carried-out", dev.stacks.roles[STAGE], "GitHubActions")
                actions.setup_pulumi(run, None)
                actions.setup_pnpm(run, {})
                self.check_out(leased["commit_sha"])
                run.tool("pnpm", "install", "--frozen-lockfile", cwd=run.workspace)
            else:
                self.fill_warehouse()
        evidence = []
        for each in leased["runs"]:
            with term.doing(" ".join(each["command"])):
                run.tool(*each["command"], cwd=run.workspace, environment=each["environment"])
            if each.get("evidence"):
                left = run.folder / "evidence"
                shutil.copytree(run.workspace / "target", left)
                evidence = ["--evidence", str(left)]
        return evidence


# What the models read is DCM's and the core systems', in every stage.
WAREHOUSE = (["make", "dcm-plan"], ["make", "dcm-deploy"], ["make", "sample"])
