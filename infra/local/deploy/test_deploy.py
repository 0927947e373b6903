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

    def test_5_an_account_that_cannot_be_looked_at_is_not_a_new_one(self) -> None:
        told = self.deploy("--plan", AWS_ENDPOINT_URL_CLOUDFORMATION="http://127.0.0.1:9")
        self.assertEqual(told.returncode, 1)
        self.assertIn(f"error: the stack `{STACK}` of account {ACCOUNT} in {REGION} can't be looked at", told.stderr)


if __name__ == "__main__":
    unittest.main()
