"""`gatekeeper evidence` on a store that has grown: 1,000 commits that the gate judged, 200 of them promoted one after another.

Everything in it was written by the functions themselves; only CloudFormation's and Lambda's part of a promotion is done by
hand, because nothing is deployed here.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from function import Function
from network import Network
from store import ARTEFACTS, MODULE, RECORDS, REPO, STACK, STAGE, Commit, Store, created, small_bundle

COMMITS = 1000
PROMOTIONS = 200
RUNS = 7
COUNTING_DELAY_SECONDS = 0.5
FUNCTIONS = ("authorise-payment", "payment-status", "post-ledger-entry")


class Evidence:
    """The grown store, and the command that is measured."""

    def __init__(self, gatekeeper: Path, store: Store, folder: Path, function: Callable[[str], Function]) -> None:
        self.gatekeeper, self.store, self.folder, self.function = gatekeeper, store, folder, function

    def figures(self) -> dict[str, Any]:
        """How long it takes, over how many calls that wait for one another, and how large its page is."""
        began = time.perf_counter()
        self.grow()
        grown = time.perf_counter() - began
        with Network(self.store.port) as network:
            seconds = [self.evidence(network, 0)[0] for _ in range(RUNS)]
            _, document = self.evidence(network, COUNTING_DELAY_SECONDS)
            calls, round_trips = len(network.arrivals), network.round_trips()
            _, page = self.evidence(network, 0, "html")
        answer = json.loads(document)
        if answer["verdict"] != "holds":
            raise RuntimeError(f"the evidence does not hold: {answer['answer']}")
        return {
            "commits": COMMITS, "promotions": PROMOTIONS, "functions": len(FUNCTIONS), "store_grown_in_s": round(grown, 1),
            "median_s": round(statistics.median(seconds), 3), "least_s": round(min(seconds), 3),
            "calls": calls, "round_trips": round_trips, "page_bytes": len(page),
            "checks": len(answer["evidence"][0]["checks"]),
        }

    def grow(self) -> None:
        """Judges the commits, and promotes the last of them one after another."""
        commits = [Commit({name: small_bundle(f"{name} {number}") for name in FUNCTIONS}) for number in range(COMMITS)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self.judge, [commits[start::4] for start in range(4)]))
        with self.function("promote") as promote, self.function("record-promotion") as record:
            for commit in commits[-PROMOTIONS:-1]:
                self.promote(promote, record, commit)
            self.deploy(commits[-1])
            self.promote(promote, record, commits[-1])

    def judge(self, commits: list[Commit]) -> None:
        """Uploads commits and has one function judge them."""
        with self.function("intake") as intake:
            for commit in commits:
                self.store.upload(commit)
                intake.invoke(created(commit.manifest_key))
                if (outcome := self.store.outcome(commit)) != "built":
                    raise RuntimeError(f"the verdict is `{outcome}`")

    def promote(self, promote: Function, record: Function, commit: Commit) -> None:
        """Starts a promotion, and tells `record-promotion` what the steps would have answered."""
        answer, _ = promote.invoke({"repo": REPO, "commit_sha": commit.sha, "stage": STAGE,
                                    "requested_by": "jane@bank.example", "reason": "release 2026-05"})
        if answer["status"] != "started":
            raise RuntimeError(f"`promote` answered {answer}")
        done: dict[str, Any] = {"status": "done", "wait_seconds": 0, "progress": []}
        at = {"started_at": "2026-05-02T03:10:00Z", "ended_at": "2026-05-02T03:10:04Z", "status": "applied"}
        stacks = [{"subject": it["stack_name"], "detail": "updated", **at} for it in answer["plan"]["stacks"]]
        functions = [{"subject": it["function"], "detail": "code updated, version `1`", **at,
                      "facts": {"code_sha256": it["sha256"], "version": "1"}} for it in answer["plan"]["functions"]]
        outcome, _ = record.invoke({
            "promotion": {"stage": STAGE, "repo": REPO, "promotion_id": answer["promotion_id"]}, "direction": "forward",
            "stacks": {**done, "progress": stacks}, "functions": {**done, "progress": functions},
            "databases": done, "smoke": done, "error": None,
        })
        if outcome["status"] != "succeeded":
            raise RuntimeError(f"`record-promotion` answered {outcome}")

    def deploy(self, commit: Commit) -> None:
        """What CloudFormation makes of the last commit."""
        formation = self.store.instance.client("cloudformation")
        parameters = {"ArtefactBucket": ARTEFACTS, "ArtefactPrefix": f"{commit.prefix}/modules/{MODULE}", "RoleArn": self.store.role_arn}
        template = commit.objects[f"modules/{MODULE}/cloudformation/{STACK}.json"].decode()
        name = f"{REPO}-{STAGE}-{STACK}"
        formation.create_stack(StackName=name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"], Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()])
        formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    def evidence(self, network: Network, delay: float, output: str = "json") -> tuple[float, bytes]:
        """Asks for one function's evidence: the seconds, and what was answered."""
        network.delay = delay
        network.arrivals.clear()
        outputs = self.folder / "outputs.json"
        outputs.write_text(json.dumps({
            "ArtefactBucket": ARTEFACTS, "RecordsBucket": RECORDS,
            "SigningKeyArn": self.store.signing_key_arn, "PromotionSigningKeyArn": self.store.promotion_signing_key_arn,
            "ApprovalSigningKeyArn": self.store.approval_signing_key_arn,
        }))
        environment = {**self.store.environment(network.port), "PATH": os.environ["PATH"], "GATEKEEPER_OUTPUTS": str(outputs)}
        command = [self.gatekeeper, "evidence", "--stage", STAGE, "--function", FUNCTIONS[0], "--output", output]
        began = time.perf_counter()
        answer = subprocess.run(command, env=environment, capture_output=True)
        seconds = time.perf_counter() - began
        if answer.returncode != 0:
            raise RuntimeError(f"`gatekeeper evidence` ended with {answer.returncode}: {answer.stdout.decode()[-2000:]}{answer.stderr.decode()}")
        return seconds, answer.stdout
