"""A commit that went through its pipeline goes to UAT, and a runner carries out its part: `pulumi up` or `dbt build`, at the commit.

It does what the jobs of promote-to-uat.yml do: a runner previews, the promoter starts the promotion and gets a lease, the runner does
what the lease says with the stage's deploy role, and the promoter hands in what that left.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

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
REASONS = {"promote": "the pipeline went through", "rollback": "the release was wrong"}
GATEKEEPER = ROOT / "target" / "debug" / "gatekeeper"


class Promotion:
    """The promotion of a run's commit."""

    def __init__(self, run: Run) -> None:
        self.run, self.lease, self.preview, self.evidence = run, run.folder / "lease.json", run.folder / "preview.json", run.folder / "evidence"
        outputs = run.dev.outputs
        # Where the gatekeeper is; who asks is in the environment.
        self.outputs = run.folder / "outputs.json"
        self.outputs.write_text(json.dumps({name: value for name, value in outputs.items() if name not in ("AccessKeyId", "SecretAccessKey")}))

    def go(self, term: Terminal, command: str = "promote") -> None:
        """From the stage's configuration to the evidence; with `rollback` as the command back to this commit."""
        request = ["--repo", self.run.repo, "--sha", self.run.sha, "--stage", STAGE, "--reason", REASONS[command]]
        for left in (self.lease, self.preview, self.evidence, *(self.run.folder / it for it in ("runner", "promoter", "auditor"))):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
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
