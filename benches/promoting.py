"""A promotion of 40 functions beside what deploys the same template without a gate: `aws cloudformation deploy` and `sam deploy`.

All against the local AWS, in turn. Ours is every step as the state machine asks for it, with the waits that the steps ask for; it
verifies each object, takes the stack's change set and its template back before it executes, brings each function to a version
whose code is the tested one, and writes the signed records. The others upload nothing, because the code is stored already.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from function import Function
from instance import ACCOUNT, REGION
from store import ARTEFACTS, MODULE, REPO, STACK, STAGE, Commit, Store, created, small_bundle

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = 40
ROUNDS = 3


def tool(name: str) -> Path:
    """A command of benches/requirements.txt."""
    return ROOT / ".local" / "bench" / "bin" / name


class Promoting:
    """Commits whose functions differ from each other's, and the ways to deploy them."""

    def __init__(self, store: Store, folder: Path, function: Callable[[str], Function]) -> None:
        self.store, self.folder, self.function = store, folder, function

    def figures(self) -> dict[str, Any]:
        """The seconds of each way: all functions changed, and then the same commit again."""
        ways: dict[str, Callable[[Commit], None]] = {
            "promotion": self.promotion, "aws cloudformation deploy": self.aws, "sam deploy": self.sam}
        seconds: dict[str, dict[str, list[float]]] = {name: {"changed": [], "unchanged": []} for name in ways}
        for round_ in range(ROUNDS + 1):
            commit = Commit({f"promoted-{n:02}": small_bundle(f"promoted {round_} {n}") for n in range(FUNCTIONS)})
            self.store.upload(commit)
            with self.function("intake") as intake:
                intake.invoke(created(commit.manifest_key))
            if (outcome := self.store.outcome(commit)) != "built":
                raise RuntimeError(f"the verdict is `{outcome}`")
            for name, way in ways.items():
                for what in ("changed", "unchanged"):
                    wait_for_another_second()
                    began = time.perf_counter()
                    way(commit)
                    # The first round creates what the others update.
                    if round_:
                        seconds[name][what].append(time.perf_counter() - began)
        return {"functions": FUNCTIONS, "median_s": {
            name: {what: round(statistics.median(of), 2) for what, of in both.items()} for name, both in seconds.items()}}

    def promotion(self, commit: Commit) -> None:
        """Every step, as the state machine of infra/promotion.asl.json asks for them."""
        with self.function("promote") as promote:
            answer, _ = promote.invoke({"repo": REPO, "commit_sha": commit.sha, "stage": STAGE,
                                        "requested_by": "jane@bank.example", "reason": "release 2026-05"})
        if answer["status"] != "started":
            raise RuntimeError(f"`promote` answered {answer}")
        promotion = {"promotion": {"stage": STAGE, "repo": REPO, "promotion_id": answer["promotion_id"]}, "direction": "forward"}
        done = {"status": "done", "wait_seconds": 0, "progress": []}
        steps = {name: self.step(step, promotion) for name, step in (("stacks", "apply-stack"), ("functions", "deploy-function"))}
        with self.function("record-promotion") as record:
            outcome, _ = record.invoke({**promotion, **steps, "databases": done, "smoke": done, "error": None})
        if outcome["status"] != "succeeded":
            raise RuntimeError(f"`record-promotion` answered {outcome}")

    def step(self, name: str, promotion: dict[str, Any]) -> dict[str, Any]:
        """A step's last answer: it is asked until it is done, and waits as long as it says."""
        event = {**promotion, "progress": []}
        with self.function(name) as step:
            while True:
                answer, _ = step.invoke(event)
                if answer["status"] == "done":
                    return answer
                if answer["status"] != "in-progress":
                    raise RuntimeError(f"`{name}` answered {json.dumps(answer)[:2000]}")
                event = {**event, "progress": answer["progress"]}
                time.sleep(answer["wait_seconds"])

    def aws(self, commit: Commit) -> None:
        """The AWS CLI, on a stack of its own."""
        self.deploy([tool("aws"), "cloudformation", "deploy", "--no-fail-on-empty-changeset"], "by-aws", commit)

    def sam(self, commit: Commit) -> None:
        """The SAM CLI, on a stack of its own."""
        self.deploy([tool("sam"), "deploy", "--no-fail-on-empty-changeset", "--no-confirm-changeset", "--no-progressbar",
                     "--s3-bucket", ARTEFACTS], "by-sam", commit)

    def deploy(self, command: list[Any], stack: str, commit: Commit) -> None:
        template = self.folder / f"{stack}.json"
        template.write_bytes(commit.objects[f"modules/{MODULE}/cloudformation/{STACK}.json"])
        parameters = {"ArtefactBucket": ARTEFACTS, "ArtefactPrefix": f"{commit.prefix}/modules/{MODULE}", "RoleArn": self.store.role_arn}
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.store.port}",
                       "AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT,
                       "AWS_EC2_METADATA_DISABLED": "true", "SAM_CLI_TELEMETRY": "0"}
        done = subprocess.run(
            [*command, "--template-file", template, "--stack-name", stack, "--capabilities", "CAPABILITY_IAM", "--parameter-overrides",
             *(f"{key}={value}" for key, value in parameters.items())],
            env=environment, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"`{Path(command[0]).name} deploy` ended with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}")


def wait_for_another_second() -> None:
    """The AWS CLI names a change set by the second in which it is made, so a stack takes one in each."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.01)
