"""The pipelines of bank-risk-platform and bank-platform, which differ from the Lambda repositories' in the middle.

The quick ones are part of `make test`; with `dbt-snowflake` and Pulumi's engine they are part of `make pipeline-all`.

    infra/local/with_instance.sh .local/venv/bin/python examples/pipeline/test_other_pipelines.py
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import unittest
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[1:1] = [str(ROOT / "demo"), str(Path(__file__).parent)]

from breaks import BREAKS  # noqa: E402
from run import copy_files  # noqa: E402
from test_pipeline import AT_ONCE, STOPPED, pipeline  # noqa: E402

RISK, PLATFORM = "bank-risk-platform", "bank-platform"
OF_RISK = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14]
# Breaks of steps that bank-payments doesn't have, and what the step that stopped it says.
SAYS = {
    "4:definitions": "holds another statement than `DEFINE SCHEMA` and `DEFINE TABLE`: DROP TABLE",
    "6:dbt-manifest": "dbt-manifest-invalid",
    "7:dcm-deploy": "is not what has to change any more",
    "8:dbt-test": "Failure in test unique_stg_exposures_exposure_id",
    "11:dbt-selected": "dbt-build-partial",
}


class Breaks(unittest.TestCase):
    def test_each_still_finds_what_it_changes(self) -> None:
        for repo in (RISK, PLATFORM):
            for of in BREAKS[repo]:
                with self.subTest(repo, name=of.name), tempfile.TemporaryDirectory() as folder:
                    example, copy = ROOT / "examples" / repo, Path(folder)
                    copy_files(example, copy)
                    of.commit(copy)


@unittest.skipUnless(os.environ.get("GATEKEEPER_OUTPUTS"), "needs a local AWS: infra/local/with_instance.sh")
class Pipelines(unittest.TestCase):
    runs: dict[str, Future[tuple[int, str]]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        cls.pool = ThreadPoolExecutor(AT_ONCE)
        cls.addClassCleanup(cls.pool.shutdown, cancel_futures=True)
        cls.runs[RISK] = cls.pool.submit(pipeline, "--quick", "--repo", RISK)
        cls.runs[PLATFORM] = cls.pool.submit(pipeline, "--quick", "--repo", PLATFORM)
        for name in SAYS:
            cls.runs[name] = cls.pool.submit(pipeline, "--quick", "--repo", RISK, "--break", name, "--as", f"{RISK}-{name.replace(':', '-')}")

    def test_the_risk_platform_goes_through_all_its_steps(self) -> None:
        code, printed = self.runs[RISK].result()
        self.assertEqual((code, numbers(printed)), (0, OF_RISK), printed)

    def test_without_pulumis_engine_the_platform_stops_where_it_would_deploy(self) -> None:
        code, printed = self.runs[PLATFORM].result()
        self.assertEqual((code, numbers(printed)), (1, [1, 2, 3, 5, 6, 7]), printed)
        # A Pulumi of the machine's own has no stack here.
        self.assertIn("pulumi" if shutil.which("pulumi") else "`pulumi` can't be started", printed)

    def test_what_is_broken_stops_at_its_step_and_says_why(self) -> None:
        for name, wanted in SAYS.items():
            with self.subTest(name):
                code, printed = self.runs[name].result()
                stopped = STOPPED.search(printed.rstrip())
                self.assertEqual((code, stopped and stopped[1]), (1, name.split(":")[0]), printed)
                self.assertIn(wanted, printed)


@unittest.skipUnless(os.environ.get("GATEKEEPER_OUTPUTS"), "needs a local AWS: infra/local/with_instance.sh")
class RealTools(unittest.TestCase):
    """With Pulumi's own engine, and with dbt-snowflake on Snowflake's own connector: `make pipeline-all`."""

    def test_pulumi_deploys_the_platform_to_dev_and_uat(self) -> None:
        code, printed = pipeline("--repo", PLATFORM, "--promote", "--roll-back")
        self.assertEqual((code, numbers(printed)), (0, [1, 2, 3, 5, 6, 7, 9, 11, 12, 13, 14]), printed)
        self.assertRegex(printed, r"MOD-401-ci-built-[0-9a-f]{40}\.handoff\.md(?s:.*)is in UAT(?s:.*)is in UAT again")

    def test_dbt_builds_the_risk_platform_on_snowflake_for_dev_and_uat(self) -> None:
        code, printed = pipeline("--repo", RISK, "--promote", "--roll-back")
        self.assertEqual((code, numbers(printed)), (0, OF_RISK), printed)
        self.assertRegex(printed, r"MOD-301-ci-built-[0-9a-f]{40}\.handoff\.md(?s:.*)is in UAT(?s:.*)is in UAT again")


def numbers(printed: str) -> list[int]:
    """ADR-053's numbers of the steps that a run came to."""
    return [int(of) for of in re.findall(r"(?m)^ +\S+ (\d+)\. ", printed)]


if __name__ == "__main__":
    unittest.main()
