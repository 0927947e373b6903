"""End to end: the workflows as act runs them, on one local AWS. `make workflows`; not a part of `make test`.

    infra/local/with_instance.sh .local/venv/bin/python examples/pipeline/test_act.py
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import unittest
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(1, str(ROOT / "demo"))

from cloud import Cloud  # noqa: E402
from database import Database  # noqa: E402
from processes import Processes  # noqa: E402

from act import GITHUB_TOKEN, PUSH_TOKEN, Act, Ran, by_hand  # noqa: E402
from breaks import find, nothing, replaced  # noqa: E402
from expressions import holds  # noqa: E402
from promotion import Promotion  # noqa: E402
from run import BRANCH, Run  # noqa: E402
from workflow import WORKFLOWS, called_by, read  # noqa: E402

EXAMPLES = ROOT / "examples"
PAYMENTS, RISK, PLATFORM = "bank-payments", "bank-risk-platform", "bank-platform"
KINDS = {PAYMENTS: "lambda", PLATFORM: "pulumi", RISK: "dbt"}
PROMOTE, ROLL_BACK = "promote-to-uat.yml", "rollback.yml"
NOT_PUSHED = "12. CI writes CI handoff document (Built), push"
# The steps of a promotion and a rollback, by how their names begin.
PREPARED, DRY, DONE = ("Check out", "Set up", "Be the"), ("1. to 3.", "verify, and"), ("4. to 7.", "8. ", "roll back")
MAIN = "promote"  # the job, of rollback.yml too
# What a runner's part is not for the one kind and the other.
NOT_FOR = {"pulumi": ("Set up Python", "Install what requirements", "dbt build", "Hand over what dbt", "Take what dbt"),
           "dbt": ("Set up pnpm", "Set up Node", "Set up Pulumi", "Install what pnpm", "Be who deploys", "pulumi up", "Take the preview")}
# What is broken, the step that stops it, and what it says.
BROKEN = {
    (PAYMENTS, "2:unit-test"): ("2. pnpm test:unit", "Tests  1 failed"),
    (PAYMENTS, "7:deploy"): ("7. sst deploy --stage dev", "`WrongPolicy` (AWS::IAM::Policy) CREATE_FAILED"),
    (PAYMENTS, "11:guard"): ("11. Tag S3 objects integration-passed=true", "integration-guard-off"),
    (PAYMENTS, "13:smoke-test"): ("13. node tests/verify-deployment.mjs", "answered 500"),
    (RISK, "8:dbt-test"): ("8. dbt build", "Failure in test unique_stg_exposures_exposure_id"),
}


def repository(example: str, name: str, change: Callable[[Path], None] = nothing, push_token: str | None = PUSH_TOKEN,
               real_tools: bool = False) -> Act:
    """The example as a repository of that name with a commit that changes something, and with the workflows by hand that .github/README.md shows;
    with `real_tools` Pulumi's engine deploys it, or dbt builds it in a Snowflake and not in DuckDB."""
    def commit(source: Path) -> None:
        for kind in (PROMOTE, ROLL_BACK):
            (source / ".github" / "workflows" / kind).write_text(by_hand(kind, KINDS[example]))
        change(source)

    outputs = json.loads(Path(os.environ["GATEKEEPER_OUTPUTS"]).read_text())
    run = Run(Path(tempfile.mkdtemp(prefix="act-")), called_by(EXAMPLES / example), name, Processes(), outputs)
    if real_tools:
        run.dev.create_stacks(name) if example == PLATFORM else run.dev.start_snowflake(run.folder)
    run.dev.configure_policy()
    run.dev.create_database()
    run.commit(EXAMPLES / example, commit)
    return Act(run, push_token)


def steps_of(workflow: str) -> dict[str, list[str]]:
    """The names of a workflow's steps, by its jobs."""
    return {key: [step["name"] for step in job["steps"]] for key, job in read(WORKFLOWS / workflow)["jobs"].items()}


def broken(example: str, name: str) -> tuple[Act, Ran]:
    """A push of what is broken."""
    it = find(example, name)
    act = repository(example, f"{example}-{name.replace(':', '-')}", it.commit)
    it.before_all(act.run)
    return act, act.push()


def pushed(example: str, name: str, **given: Any) -> tuple[Act, Ran]:
    """A push of the example as it is."""
    act = repository(example, name, **given)
    return act, act.push()


@unittest.skipUnless(os.environ.get("GATEKEEPER_OUTPUTS"), "needs a local AWS: infra/local/with_instance.sh")
class Workflows(unittest.TestCase):
    others: dict[Any, Future[tuple[Act, Ran]]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        cls.cloud = Cloud(json.loads(Path(os.environ["GATEKEEPER_OUTPUTS"]).read_text()))
        cls.pool = ThreadPoolExecutor(2)
        cls.addClassCleanup(cls.pool.shutdown, cancel_futures=True)
        for example in (RISK, PLATFORM):
            cls.others[example] = cls.pool.submit(pushed, example, example, real_tools=True)
        for example, name in BROKEN:
            cls.others[example, name] = cls.pool.submit(broken, example, name)
        cls.others[NOT_PUSHED] = cls.pool.submit(pushed, PAYMENTS, f"{PAYMENTS}-protected", push_token=None)

    def ran(self, of: Any) -> tuple[Act, Ran]:
        """One of the other runs; what it left behind goes with the test."""
        act, ran = self.others[of].result()
        self.addCleanup(act.close)
        return act, ran

    def went(self, ran: Ran, wanted: dict[str, list[str]], until: str | None = None) -> None:
        """These steps ran in these jobs, in this order and well; or up to the step `until`, which failed, and after which nothing ran."""
        jobs, steps = {}, {}
        for job, names in wanted.items():
            last = next((at for at, name in enumerate(names) if name == until), None)
            steps[job] = [(name, "failure" if at == last else "success") for at, name in enumerate(names[:None if last is None else last + 1])]
            jobs[job] = "success" if last is None else "failure"
            if last is not None:
                break
        self.assertEqual({job: [of for of in of_job if of[1] != "skipped"] for job, of_job in ran.steps.items()}, steps, ran.printed)
        self.assertEqual({job: ran.jobs.get(job) for job in jobs}, jobs, ran.printed)
        self.assertEqual(ran.code, 0 if until is None else 1, ran.printed)
        for secret in (GITHUB_TOKEN, PUSH_TOKEN):
            self.assertNotIn(secret, ran.printed)
        self.assertNotRegex(ran.printed, r"postgresql://[^:*]+:[^*@]+@")

    def pipeline_went(self, act: Act, ran: Ran, until: str | None = None) -> None:
        """The same of a push: all that its workflow has for its inputs."""
        contexts = {"inputs": act.run.pipeline.inputs}
        self.went(ran, {job.key: [step.name for step in job.steps if holds(step.given.get("if"), contexts)] for job in act.run.pipeline.jobs}, until)

    def verdict(self, act: Act) -> str | None:
        """The gate's word on the commit that was pushed."""
        return (self.cloud.record(f"{act.run.repo}/{act.run.sha}/verdict.json") or {}).get("outcome")

    def on_stage(self, repo: str) -> str | None:
        """The commit that UAT runs."""
        return (self.cloud.record(f"stages/uat/{repo}.json") or {}).get("commit_sha")

    def promoted(self, act: Act) -> None:
        """The commit gets to UAT, where a runner carries out its part, which is handed in and judged."""
        promoted, kind = act.run.sha, KINDS[act.run.repo]
        ran = act.dispatch(PROMOTE, {"commit_sha": promoted, "reason": "the release of May", "dry_run": "false"})
        wanted = {job: [name for name in names if not name.startswith(NOT_FOR[kind] + DONE[:2] if job == MAIN else NOT_FOR[kind])]
                  for job, names in steps_of(PROMOTE).items() if job != "preview" or kind == "pulumi"}
        self.went(ran, wanted)
        self.assertEqual(self.on_stage(act.run.repo), promoted)
        self.assertIn("Deployed to uat [skip ci]", act.run.pushed())

    def handed_over(self, act: Act, documents: int) -> None:
        """CI pushed the documents of Built and of dev's Deployed, one of each for a module."""
        lines = act.run.pushed()
        self.assertEqual([line for line in lines if line.endswith("[skip ci]")], ["Built handoffs [skip ci]", "Deployed handoffs [skip ci]"])
        self.assertEqual(sum(line.endswith(f"{act.run.sha}.handoff.md") for line in lines), documents, lines)
        self.assertEqual(act.server.refused, [])

    # ---- as it is

    def test_a_lambda_repository_is_pushed_promoted_and_taken_back(self) -> None:
        act = repository(PAYMENTS, PAYMENTS)
        self.addCleanup(act.close)
        run = act.run
        uat = Database(run.processes, "uat", run.dev.outputs, run.env)
        uat.create()
        self.cloud.configure_database("uat", uat.url)

        def by_hand(workflow: str, until: str | None = None, **given: str) -> None:
            ran = act.dispatch(workflow, {"reason": "the release of May", "dry_run": "false", **given})
            does = PREPARED + DRY if given.get("dry_run") == "true" else PREPARED + DRY + DONE
            self.went(ran, {MAIN: [name for name in steps_of(workflow)[MAIN] if name.startswith(does)]}, until)

        self.pipeline_went(act, act.push())
        self.handed_over(act, 4)
        first = run.sha
        self.assertEqual(self.verdict(act), "built")
        by_hand(PROMOTE, until="1. to 3. verify objects and tag, pin templates and ZIPs", commit_sha="0" * 40)
        by_hand(PROMOTE, commit_sha=first, dry_run="true")
        self.assertIsNone(self.on_stage(PAYMENTS))
        by_hand(PROMOTE, commit_sha=first)
        self.assertEqual(self.on_stage(PAYMENTS), first)
        self.assertIn("Deployed to uat [skip ci]", run.pushed())

        run.tool("git", "pull", "--quiet", "origin", BRANCH, cwd=run.source)
        replaced("src/http.ts", "only POST is served", "POST it")(run.source)
        run.push("a change")
        second = run.sha = run.tool("git", "rev-parse", "HEAD", cwd=run.source).strip()
        self.pipeline_went(act, act.push())
        by_hand(PROMOTE, commit_sha=second)
        self.assertEqual(self.on_stage(PAYMENTS), second)
        by_hand(ROLL_BACK, dry_run="true")
        self.assertEqual(self.on_stage(PAYMENTS), second)
        by_hand(ROLL_BACK)
        self.assertEqual(self.on_stage(PAYMENTS), first)
        state = self.cloud.record(f"stages/uat/{PAYMENTS}.json") or {}
        record = self.cloud.record(f"promotions/uat/{PAYMENTS}/{state['promotion_id']}.json") or {}
        self.assertEqual((record["status"], record["requested_by"]), ("succeeded", "jane"), record)
        self.assertEqual(act.server.refused, [])

    def test_a_dbt_repository_goes_through(self) -> None:
        act, ran = self.ran(RISK)
        self.pipeline_went(act, ran)
        self.assertEqual(self.verdict(act), "built")
        self.handed_over(act, 2)
        promotion = Promotion(act.run)
        promotion.configure()
        promotion.runner()  # fills the stage's database, as DCM and the core systems do
        self.promoted(act)

    def test_a_pulumi_repository_goes_through(self) -> None:
        act, ran = self.ran(PLATFORM)
        self.pipeline_went(act, ran)
        self.assertEqual(self.verdict(act), "built")
        self.handed_over(act, 2)
        Promotion(act.run).configure()
        self.promoted(act)

    # ---- broken

    def test_what_is_broken_stops_its_job_and_all_behind_it(self) -> None:
        for (example, name), (until, says) in BROKEN.items():
            with self.subTest(example, name=name):
                act, ran = self.ran((example, name))
                self.pipeline_went(act, ran, until)
                self.assertIn(says, ran.printed)
                self.assertEqual(act.run.pushed(), [] if int(name.split(":")[0]) < 12 else act.run.pushed()[:3])
                self.assertEqual(self.verdict(act), None if name.startswith("2:") else "built" if name.startswith("13:") else "registered")

    def test_the_jobs_own_token_does_not_push_to_a_protected_branch(self) -> None:
        act, ran = self.ran(NOT_PUSHED)
        self.pipeline_went(act, ran, NOT_PUSHED)
        self.assertEqual((len(act.server.refused), act.run.pushed()), (1, []))


if __name__ == "__main__":
    unittest.main()
