"""`infra/deploy.sh` itself, with the real AWS CLI, on a local AWS that has nothing yet. `make deploy-local`.

    .local/venv/bin/python infra/local/deploy/test_deploy.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "infra" / "local"))

from instance import ACCOUNT, REGION, Instance  # noqa: E402

AWS = ROOT / ".local" / "bench" / "bin"
STACK = "gatekeeper"
BUCKET = f"gatekeeper-code-{ACCOUNT}-{REGION}"
PARAMETERS = ("--parameter", "SharedAccount=", "--parameter", "RecordLockDays=1")


class Deploy(unittest.TestCase):
    """The steps of one installation, one after the other."""

    @classmethod
    def setUpClass(cls) -> None:
        os.environ.pop("GATEKEEPER_LOCAL_PORT", None)  # another instance may have it
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.instance = Instance(Path(cls.folder.name) / "aws")
        cls.addClassCleanup(cls.instance.stop)
        cls.instance.start()
        cls.s3, cls.cloudformation = cls.instance.client("s3"), cls.instance.client("cloudformation")

    def deploy(self, *arguments: str, region: str | None = REGION, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{AWS}:{os.environ['PATH']}", "HOME": self.folder.name, "AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.instance.record()['port']}", "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            **({"AWS_REGION": region} if region else {}), **settings,
        }
        return subprocess.run([ROOT / "infra" / "deploy.sh", "--skip-build", "--architecture", "x86_64", *arguments], env=environment, text=True,
                              capture_output=True, check=False)

    def left(self) -> dict[str, Any]:
        """Everything that an installation leaves in the account."""
        buckets = [it["Name"] for it in self.s3.list_buckets()["Buckets"]]
        objects = self.s3.list_object_versions(Bucket=BUCKET).get("Versions", []) if BUCKET in buckets else []
        stacks = [it for it in self.cloudformation.list_stacks()["StackSummaries"] if it["StackStatus"] != "DELETE_COMPLETE"]
        sets = [it["ChangeSetName"] for stack in stacks
                for it in self.cloudformation.list_change_sets(StackName=stack["StackName"])["Summaries"]]
        return {"buckets": buckets, "objects": sorted((it["Key"], it["VersionId"]) for it in objects),
                "stacks": [(it["StackName"], it["StackStatus"]) for it in stacks], "change sets": sets}

    def test_1_a_region_is_never_guessed(self) -> None:
        told = self.deploy("--plan", region=None)
        self.assertEqual((told.returncode, told.stderr), (2, "error: which region? Give `--region`, or set AWS_REGION\n"))

    def test_2_a_plan_of_a_new_installation_shows_what_would_be_made_and_leaves_nothing(self) -> None:
        before = self.left()
        told = self.deploy("--plan", *PARAMETERS)
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        for resource in ("RecordsBucket", "SigningKey", "IntakeFunction"):
            self.assertRegex(told.stdout, rf"Add +\| +{resource} ")
        self.assertEqual(self.left(), before)

    def test_3_it_deploys(self) -> None:
        told = self.deploy(*PARAMETERS)
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        self.assertIn("RecordsBucket", told.stdout)
        self.assertEqual(self.left()["stacks"], [(STACK, "CREATE_COMPLETE")])
        records = next(it["OutputValue"] for it in self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
                       if it["OutputKey"] == "RecordsBucket")
        policy = self.s3.get_object(Bucket=records, Key="config/policy.json")["Body"].read()
        self.assertEqual(policy, (ROOT / "infra" / "policy.json").read_bytes())

    def test_4_a_plan_of_a_change_shows_it_and_leaves_the_installation_as_it_is(self) -> None:
        before = self.left()
        told = self.deploy("--plan", "--parameter", "LogRetentionDays=30")
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        self.assertRegex(told.stdout, r"Modify +\| +IntakeLogs ")
        self.assertEqual(self.left(), before)

    def meanwhile(self, call: str, does: str) -> str:
        """The PATH with a stand-in for the AWS CLI that does something else before one of the calls."""
        folder = Path(tempfile.mkdtemp(dir=self.folder.name))
        program = folder / "aws"
        program.write_text(f'#!/usr/bin/env bash\nreal={AWS}/aws\ncase "$*" in *"{call}"*) {does} ;; esac\nexec "$real" "$@"\n')
        program.chmod(0o755)
        return f"{folder}:{AWS}:{os.environ['PATH']}"

    def test_4a_a_change_set_that_somebody_else_makes_meanwhile_stays(self) -> None:
        before = self.left()
        theirs = (f'"$real" cloudformation create-change-set --stack-name {STACK} --change-set-name theirs --use-previous-template '
                  "--capabilities CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND --parameters ParameterKey=LogRetentionDays,ParameterValue=90 >&2")
        told = self.deploy("--plan", "--parameter", "LogRetentionDays=30", PATH=self.meanwhile("cloudformation package", theirs))
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        self.assertIn("left to whoever made them: theirs", told.stderr)
        self.assertEqual(self.left(), {**before, "change sets": [*before["change sets"], "theirs"]})

    def test_4b_change_sets_that_can_not_be_looked_at_are_not_none(self) -> None:
        before = self.left()
        for call, why in (("list-change-sets", "the change sets of the stack `gatekeeper` can't be looked at"),
                          ("MigrateDatabaseImageUri", "whether the stack `gatekeeper` has migrate-database could not be looked at")):
            told = self.deploy("--plan", "--parameter", "LogRetentionDays=30", PATH=self.meanwhile(call, "echo Throttling >&2; exit 254"))
            self.assertEqual(told.returncode, 1, told.stdout + told.stderr)
            self.assertIn(f"error: {why}", told.stderr)
            self.assertEqual(self.left(), before)

    def test_4c_a_plan_never_deletes_what_somebody_installed_meanwhile(self) -> None:
        installs = f'"$real" cloudformation deploy --stack-name other --template-file {self.folder.name}/other.yaml >&2'
        (Path(self.folder.name) / "other.yaml").write_text("Resources: {Topic: {Type: 'AWS::SNS::Topic'}}\n")
        told = self.deploy("--plan", "--stack", "other", *PARAMETERS, PATH=self.meanwhile("cloudformation package", installs))
        self.assertIn(("other", "CREATE_COMPLETE"), self.left()["stacks"], told.stdout + told.stderr)
        self.cloudformation.delete_stack(StackName="other")

    def test_5_an_account_that_cannot_be_looked_at_is_not_a_new_one(self) -> None:
        told = self.deploy("--plan", AWS_ENDPOINT_URL_CLOUDFORMATION="http://127.0.0.1:9")
        self.assertEqual(told.returncode, 1)
        self.assertIn(f"error: the stack `{STACK}` of account {ACCOUNT} in {REGION} can't be looked at", told.stderr)


if __name__ == "__main__":
    unittest.main()
