"""End to end: the pipeline of bank-payments on one local AWS, once as it is and once for each way to break it.

    infra/local/with_instance.sh .local/venv/bin/python -m unittest discover -s examples/pipeline -p test_pipeline.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import unittest
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = "bank-payments"
# More only wait for each other: there are as many JVMs, compilers and bundlers.
AT_ONCE = max(2, len(os.sched_getaffinity(0)))
STOPPED = re.compile(r"`.*` ended with \d+, step (.+)$")
# How each ends: what stands in the output of the step that stopped it.
SAYS = {
    "1:type-error": "src/wrong.ts(3,32): error TS2345",
    "2:unit-test": "Tests  1 failed",
    "2:coverage": "does not meet global threshold (80%)",
    "3:policy-test": "says that POL-017 is satisfied, and there is no `tests/policy/POL-017.test.ts`",
    "4:edited-migration": "was edited after it was applied",
    "5:build": 'Could not resolve "src/functions/refund-payment.ts"',
    "6:unsafe-zip": "zip-unsafe-path",
    "7:deploy": "`WrongPolicy` (AWS::IAM::Policy) CREATE_FAILED: The role with name no-such-role cannot be found.",
    "7:rebuilt": "3 of 4 functions",
    "8:migration": 'relation "ledger.no_such_table" does not exist',
    "9:integration-test": "no stack has the output `ReconcileLedgerFunction`",
    "10:snapshot-with-rows": "schema-snapshot-holds-data",
    "11:guard": "integration-guard-off",
    "11:skipped": "integration-skipped",
    "11:removed": "integration-vanished",
    "11:rebuilt": "tested-bytes-mismatch",
    "11:report": "report-contradictory",
    "12:protected-branch": "the branch main is protected",
    "13:smoke-test": "answered 500",
    "14:report": "report-contradictory",
}


def pipeline(*arguments: str) -> tuple[int, str]:
    """Its exit code and what it printed."""
    ended = subprocess.run([sys.executable, HERE / "pipeline.py", *arguments], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ended.returncode, ended.stdout


@unittest.skipUnless(os.environ.get("GATEKEEPER_OUTPUTS"), "needs a local AWS: infra/local/with_instance.sh")
class Pipeline(unittest.TestCase):
    runs: dict[str, Future[tuple[int, str]]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        cls.pool = ThreadPoolExecutor(AT_ONCE)
        cls.addClassCleanup(cls.pool.shutdown, cancel_futures=True)
        cls.began = time.monotonic()
        cls.runs[""] = cls.pool.submit(pipeline)
        for name in sorted(SAYS, key=lambda name: -int(name.split(":")[0])):  # the long ones first
            cls.runs[name] = cls.pool.submit(pipeline, "--break", name, "--as", f"{REPO}-{name.replace(':', '-')}")

    def test_everything_as_it_is_goes_through_all_14_steps(self) -> None:
        code, printed = self.runs[""].result()
        self.assertEqual(code, 0, printed)
        self.assertEqual([int(of) for of in re.findall(r"(?m)^ +\S+ (\d+)\. ", printed)], list(range(1, 15)), printed)
        handoff = r"docs/handoffs/MOD-01[23]-ci-{}-[0-9a-f]{{40}}\.handoff\.md\s+"
        self.assertRegex(printed, rf"Built handoffs \[skip ci\]\s+({handoff.format('built')}){{2}}Deployed handoffs \[skip ci\]\s+({handoff.format('deployed')}){{2}}")

    def test_every_break_stops_at_its_step_and_says_why(self) -> None:
        for name, wanted in SAYS.items():
            with self.subTest(name):
                code, printed = self.runs[name].result()
                self.assertEqual(code, 1, printed)
                stopped = STOPPED.search(printed.rstrip())
                self.assertEqual(stopped and stopped[1], name.split(":")[0], printed)
                self.assertIn(wanted, printed)

    def test_nothing_secret_is_printed(self) -> None:
        for name, run in self.runs.items():
            with self.subTest(name):
                self.assertNotRegex(run.result()[1], r"postgresql://[^:*]+:[^*@]+@")

    def test_what_can_be_broken_is_what_is_tried_here(self) -> None:
        code, printed = pipeline("--break")
        self.assertEqual((code, set(re.findall(r"(?m)^  (\d+:\S+)", printed))), (0, set(SAYS)))
        self.assertEqual(pipeline("--break", "15")[0], 2)


if __name__ == "__main__":
    unittest.main()
