"""The Lambda pipeline as it is written, and what the local runner makes of workflows. What holds for all workflows: infra/test_workflows.py."""

from __future__ import annotations

import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[1:1] = [str(ROOT / "demo"), str(Path(__file__).parent)]

import workflow  # noqa: E402
from actions import EQUIVALENTS  # noqa: E402
from breaks import BREAKS, find, listed  # noqa: E402
from dev import Dev  # noqa: E402
from expressions import Unsupported, evaluate, fill, holds  # noqa: E402
from run import assignments, of_the_machine  # noqa: E402
from workflow import WorkflowError, called_by, load  # noqa: E402

LAMBDA = "reusable-lambda.yml"
COMMIT = "3f1c9a0b5d7e2468ace013579bdf02468ace1357"
# ADR-053, "CI pipeline shape (Lambda repos)".
STEPS = [
    "pnpm typecheck", "pnpm test:unit", "pnpm test:policy", "flyway validate", "sst build --stage dev", "Upload artefacts to S3", "sst deploy --stage dev",
    "flyway migrate", "pnpm test:integration", "pg_dump --schema-only", "Tag S3 objects integration-passed=true", "CI writes CI handoff document",
    "node tests/verify-deployment.mjs", "CI writes CI handoff document",
]
OF_A_DATABASE = {4, 8, 10}
CONTEXTS: dict[str, Any] = {
    "inputs": {"has_postgres": True, "database": "payments"}, "vars": {"AWS_REGION": "ap-southeast-2"}, "secrets": {},
    "github": {"token": "t", "event": {"repository": {"name": "bank-payments"}}},
}


class TheLambdaPipeline(unittest.TestCase):
    def setUp(self) -> None:
        self.pipeline = called_by(ROOT / "examples" / "bank-payments")
        self.numbered = [step for step in self.pipeline.steps if step.number]

    def test_has_the_14_steps_of_adr_053_in_its_order_and_by_its_names(self) -> None:
        numbers = [step.number for step in self.numbered]
        self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(set(numbers), set(range(1, 15)))
        for step in self.numbered:
            self.assertTrue(step.name.startswith(f"{step.number}. {STEPS[step.number - 1]}"), step.name)

    def test_only_what_is_a_databases_depends_on_has_postgres(self) -> None:
        conditions = {(step.number, step.given.get("if")) for step in self.numbered}
        self.assertEqual({number for number, condition in conditions if condition == "inputs.has_postgres"}, OF_A_DATABASE)
        self.assertEqual({condition for number, condition in conditions if number not in OF_A_DATABASE}, {None})

    def test_nothing_that_fails_is_passed_over(self) -> None:
        for step in self.pipeline.steps:
            self.assertFalse({"continue-on-error", "shell"} & set(step.given), step.name)
            self.assertNotIn("||", step.given.get("run", ""), step.name)

    def test_the_results_of_tests_reach_the_manifest(self) -> None:
        wanted = {1: "typecheck", 2: "unit", 3: "policy", 7: "deploy", 9: "integration", 13: "smoke"}
        for number, of in wanted.items():
            first = next(step for step in self.numbered if step.number == number)
            self.assertTrue(first.given["run"].startswith(f"gatekeeper run {of} --dir build/commit "), first.given["run"])

    def test_every_role_is_put_on_before_it_is_needed_and_none_else(self) -> None:
        roles: dict[int, str] = {}
        for job in self.pipeline.jobs:
            role = ""
            for step in job.steps:
                role = (step.given.get("with") or {}).get("role-to-assume", role)
                if step.number:
                    roles.setdefault(step.number, role)
        self.assertEqual({number for number, of in roles.items() if of == "${{ vars.CI_ROLE_ARN }}"}, {6, 11, 12, 14})
        self.assertEqual({number for number, of in roles.items() if of == "${{ vars.DEPLOY_ROLE_ARN }}"}, {7, 8, 9, 10})
        self.assertEqual({number for number, of in roles.items() if not of}, {1, 2, 3, 4, 5, 13})


class Expressions(unittest.TestCase):
    def test_what_is_understood(self) -> None:
        for expression, value in {
            "inputs.has_postgres": True, "!inputs.has_postgres": False, "vars.AWS_REGION": "ap-southeast-2", "vars.MISSING": "",
            "secrets.GATEKEEPER_TOKEN || github.token": "t", "github.event.repository.name": "bank-payments", "'text'": "text",
            "toJSON(vars)": '{\n  "AWS_REGION": "ap-southeast-2"\n}',
        }.items():
            with self.subTest(expression):
                self.assertEqual(evaluate(expression, CONTEXTS), value)
        self.assertEqual(fill("${{ inputs.database }}-${{inputs.has_postgres}}", CONTEXTS), "payments-true")

    def test_what_is_not_is_refused(self) -> None:
        for expression in ("inputs.unknown", "runner.os", "success()", "inputs.database == 'payments'", "always() && inputs.has_postgres", "toJSON(unknown)"):
            with self.subTest(expression), self.assertRaises(Unsupported):
                evaluate(expression, CONTEXTS)

    def test_a_condition_is_true_or_false(self) -> None:
        self.assertEqual([holds(None, CONTEXTS), holds("${{ !inputs.has_postgres }}", CONTEXTS)], [True, False])
        with self.assertRaises(Unsupported):
            holds("inputs.database", CONTEXTS)


class Workflows(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.repository = Path(folder.name)
        (self.repository / ".github" / "workflows").mkdir(parents=True)

    def calling(self, **change: Any) -> workflow.Pipeline:
        """The pipeline that a repository calls whose call of the Lambda pipeline is changed in something."""
        call = {"uses": f"example-bank/artefact-gatekeeper/.github/workflows/{LAMBDA}@{COMMIT}", "secrets": "inherit",
                "permissions": {"contents": "write", "id-token": "write", "attestations": "write"}, **change}
        (self.repository / ".github" / "workflows" / "ci.yml").write_text(yaml.safe_dump({"on": {"push": None}, "jobs": {"pipeline": call}}))
        return called_by(self.repository)

    def test_inputs_have_their_defaults(self) -> None:
        self.assertEqual(self.calling().inputs, {"repo": "", "has_postgres": False, "database": "", "database_module": "", "attest": False})

    def test_a_call_that_github_would_refuse_is_refused(self) -> None:
        for change in ({"with": {"has_postgres": "yes"}}, {"with": {"unknown": True}}, {"permissions": {"contents": "write", "id-token": "write"}}, {"secrets": {}}, {"uses": f"x/y.yml@{COMMIT}"}):
            with self.subTest(change), self.assertRaises(WorkflowError):
                self.calling(**change)

    def test_a_workflow_is_called_at_a_commit(self) -> None:
        for ref in ("main", "v1", COMMIT[:12]):
            with self.subTest(ref), self.assertRaises(WorkflowError):
                self.calling(uses=f"example-bank/artefact-gatekeeper/.github/workflows/{LAMBDA}@{ref}")

    def test_what_is_not_understood_of_a_step_is_refused(self) -> None:
        for step in ({"run": "true", "continue-on-error": True}, {"run": "true", "uses": "actions/checkout@v1"}, {"name": "nothing"}):
            with self.subTest(step), self.assertRaises(WorkflowError):
                workflow.step_of(LAMBDA, step)

    def test_every_action_has_an_equivalent(self) -> None:
        for step in load(LAMBDA, {}).steps:
            if "uses" in step.given:
                self.assertIn(step.given["uses"].split("@")[0], EQUIVALENTS)

    def test_jobs_that_do_not_follow_each_other_are_refused(self) -> None:
        whole = workflow.read(workflow.WORKFLOWS / LAMBDA)
        for key, needs in (("deploy", "build"), ("store", None)):
            changed = {**whole, "jobs": {**whole["jobs"], key: {**whole["jobs"][key], "needs": needs}}}
            with self.subTest(key), mock.patch.object(workflow, "read", return_value=changed), self.assertRaises(WorkflowError):
                load(LAMBDA, {})

    def test_settings_reach_only_a_job_that_is_bound_to_their_environment(self) -> None:
        dev = Dev.__new__(Dev)
        dev.vars, dev.secrets, dev.gatekeeper = {"RUN_INTEGRATION": "1"}, {"DATABASE_URL": "postgresql://"}, {"CI_ROLE_ARN": "arn"}
        dev.uat, dev.stacks, dev.snowflake = {"PROMOTER_ROLE_ARN": "arn"}, None, None
        for environment, settings in (("dev", (dev.vars, dev.secrets)), ("gatekeeper", (dev.gatekeeper, {})), ("uat", (dev.uat, {})),
                                      ("sit", ({}, {})), (None, ({}, {}))):
            self.assertEqual(dev.settings(environment), settings)

    def test_of_the_machine_only_what_leads_out_of_it_gets_into_a_job(self) -> None:
        taken = dict.fromkeys(("PATH", "LANG", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "PIP_INDEX_URL", "PIP_CERT",
                               "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"), "of the machine")
        left = dict.fromkeys(("HOME", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "RUN_INTEGRATION", "DATABASE_URL", "GITHUB_TOKEN", "PIPX_HOME", "NODE_OPTIONS"), "")
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        self.assertEqual(of_the_machine({**taken, **left}), {**taken, **direct})

    def test_no_proxy_stands_between_a_job_and_dev(self) -> None:
        for given in ("NO_PROXY", "no_proxy"):
            with self.subTest(given):
                self.assertEqual(set(of_the_machine({given: ".bank.example"}).values()), {".bank.example,127.0.0.1,localhost"})

    def test_assignments_are_lines(self) -> None:
        self.assertEqual(assignments("A=1\n\nURL=postgresql://a?b=c\n"), {"A": "1", "URL": "postgresql://a?b=c"})


class Breaks(unittest.TestCase):
    def test_every_step_can_be_broken(self) -> None:
        self.assertEqual({of.step for of in BREAKS["bank-payments"]}, set(range(1, 15)))

    def test_each_is_found_by_its_step_and_name(self) -> None:
        for of in BREAKS["bank-payments"]:
            self.assertIs(find("bank-payments", f"{of.step}:{of.name}"), of)
            self.assertIn(f"{of.step}:{of.name}", listed("bank-payments"))
        self.assertEqual(find("bank-payments", "11").name, "guard")
        for unknown in ("15", "1:guard", "guard", ""):
            with self.assertRaises(KeyError):
                find("bank-payments", unknown)


if __name__ == "__main__":
    unittest.main()
