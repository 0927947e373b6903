"""The workflows: what they may do, what they run, and that it exists. actionlint (check_workflows.sh) knows their grammar."""

from __future__ import annotations

import json
import os
import re
import subprocess
import unittest
from pathlib import Path
from typing import Any, Iterator

import yaml

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
HELP = ROOT / "cli" / "tests" / "cli" / "snapshots"  # held to be what the command prints by its own tests
PINNED = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)\s*$")
OWN_ACTION = "./.gatekeeper/.github/actions/setup-gatekeeper"

# Which repository each reusable pipeline's commands are of, and what those of the others are about.
PIPELINES = {"reusable-lambda.yml": "bank-payments", "reusable-dbt.yml": "bank-risk-platform", "reusable-pulumi.yml": "bank-platform"}
BY_HAND = ("promote-to-uat.yml", "rollback.yml")
DRIFT = "pulumi-drift.yml"
RELEASE = "release.yml"  # of the gatekeeper itself: test_release.py
PROMOTION_STEPS = 8
PUSHING_TOKEN = "${{ secrets.PUSH_TOKEN || github.token }}"
CI_ROLE = "${{ vars.CI_ROLE_ARN }}"
DEPLOY_ROLE = "${{ vars.DEPLOY_ROLE_ARN }}"
# Of what runs, everything else is code of the commit, or code that the commit decides on.
OF_THE_GATEKEEPER = re.compile(r"gatekeeper (publish|handoffs|promote|rollback) |git |node -p 'const of = require\(process.env.LEASE\); |node -p 'Object\.entries\(JSON\.parse\(process\.env\.VARIABLES")

WORKFLOWS = {path.name: path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")) if path.name != RELEASE}
ACTIONS = {path.parent.name: path for path in sorted((ROOT / ".github" / "actions").glob("*/action.yml"))}
CALLERS = sorted(EXAMPLES.glob("*/.github/workflows/*.yml"))
Node = dict[str, Any]


def read(path: Path) -> Node:
    """A workflow's document; YAML 1.1 takes the key `on` for a truth."""
    return {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}


def jobs() -> Iterator[tuple[str, Node]]:
    for name, path in WORKFLOWS.items():
        for job in read(path)["jobs"].values():
            yield name, job


def steps() -> Iterator[tuple[str, Node]]:
    for name, job in jobs():
        yield from ((name, step) for step in job["steps"])
    for name, path in ACTIONS.items():
        yield from ((name, step) for step in read(path)["runs"]["steps"])


def roles_of(job: Node) -> set[str]:
    """The roles in AWS that a job puts on."""
    return {step["with"]["role-to-assume"] for step in job["steps"] if "role-to-assume" in step.get("with", {})}


def commands() -> Iterator[tuple[str, str]]:
    """The workflows' commands. What `gatekeeper run … --` runs is one too."""
    for name, step in steps():
        if name in WORKFLOWS and "run" in step:
            for part in re.split(r" -- | \|\| ", step["run"].strip()):
                yield name, part


class Workflows(unittest.TestCase):
    def test_all_six_are_there(self) -> None:
        self.assertEqual(set(WORKFLOWS), {*PIPELINES, *BY_HAND, DRIFT})

    def test_an_action_is_pinned_by_its_commit_with_its_version_and_is_the_same_everywhere(self) -> None:
        found: dict[str, set[tuple[str, str]]] = {}
        for path in (*WORKFLOWS.values(), *ACTIONS.values()):
            for line in path.read_text().splitlines():
                if "uses:" in line and OWN_ACTION not in line:
                    with self.subTest(path.name, line=line.strip()):
                        pinned = PINNED.search(line)
                        self.assertIsNotNone(pinned)
                        found.setdefault(pinned[1], set()).add((pinned[2], pinned[3]))
        self.assertIn("actions/checkout", found)
        self.assertEqual({action: of for action, of in found.items() if len(of) > 1}, {})

    def test_nothing_is_permitted_but_what_a_job_needs(self) -> None:
        for name, path in WORKFLOWS.items():
            with self.subTest(name):
                self.assertEqual(read(path)["permissions"], {})
        for name, job in jobs():
            with self.subTest(name, job=job["name"]):
                pushes = any(step.get("run", "").startswith("git push") for step in job["steps"])
                role = {"id-token": "write"} if roles_of(job) else {}
                attests = any(step.get("uses", "").startswith("actions/attest@") for step in job["steps"])
                attested = {"attestations": "write"} if attests else {}
                self.assertEqual(job["permissions"], {"contents": "write" if pushes else "read", **role, **attested})

    def test_code_of_the_commit_runs_without_the_gatekeepers_role_and_without_a_token_that_pushes(self) -> None:
        """A job's rights are those of all its steps: whoever ran in it before may have changed what runs next."""
        running = 0
        for name, job in jobs():
            if any("run" in step and not OF_THE_GATEKEEPER.match(step["run"]) for step in job["steps"]):
                running += 1
                with self.subTest(name, job=job["name"]):
                    # By an environment AWS tells jobs apart: that of the runner is not the one by which a job is the promoter.
                    environment = "dev" if name in PIPELINES else "${{ inputs.stage }}-runner"
                    self.assertEqual((job["environment"], job["permissions"]["contents"]), (environment, "read"))
                    self.assertLessEqual(roles_of(job), {DEPLOY_ROLE})
                    self.assertNotIn("PUSH_TOKEN", json.dumps(job))
        self.assertEqual(running, 3 * len(PIPELINES) + len(BY_HAND) + 2)  # the preview, and the look for drift

    def test_what_is_attested_is_what_is_published_then(self) -> None:
        """Each manifest that is judged anew is attested by a job in which no code of the commit runs, if the caller wants it."""
        for name in PIPELINES:
            published = 0
            for job in read(WORKFLOWS[name])["jobs"].values():
                for at, step in enumerate(job["steps"]):
                    if not re.match(r"gatekeeper publish .* --wait(?! --expect)", step.get("run", "")):
                        continue
                    published += 1
                    subjects, attest = job["steps"][at - 2 : at]
                    with self.subTest(name, job=job["name"]):
                        self.assertEqual({subjects["if"], attest["if"]}, {"inputs.attest"})
                        self.assertEqual(attest["with"], {"subject-checksums": "build/attest/subjects.sha256"})
                        options = step["run"].removesuffix(' ${BUNDLE:+--prepared build/attest --provenance "$BUNDLE"}')
                        self.assertEqual(subjects["run"], options.replace("--wait", "--prepare build/attest"))
                        self.assertEqual(step["env"], {"BUNDLE": "${{ steps.attest.outputs.bundle-path }}"})
            self.assertEqual(published, 2, name)

    def test_a_job_is_bound_to_an_environment_and_ends(self) -> None:
        for name, job in jobs():
            with self.subTest(name, job=job["name"]):
                of_a_pipeline = "gatekeeper" if CI_ROLE in roles_of(job) else "dev"
                runner = "-runner" if DEPLOY_ROLE in roles_of(job) else ""
                self.assertEqual(job["environment"], of_a_pipeline if name in PIPELINES else "${{ inputs.stage }}" + runner)
                self.assertLessEqual(job["timeout-minutes"], 90)

    def test_a_workflow_is_alone_in_its_stage(self) -> None:
        for name, path in WORKFLOWS.items():
            with self.subTest(name):
                concurrency = read(path)["concurrency"]
                self.assertIn("${{ github.repository }}", concurrency["group"])
                self.assertIs(concurrency["cancel-in-progress"], False)

    def test_one_job_follows_the_other(self) -> None:
        for name, path in WORKFLOWS.items():
            keys = list(read(path)["jobs"])
            with self.subTest(name):
                self.assertEqual([job.get("needs") for job in read(path)["jobs"].values()], [None, *keys[:-1]])

    def test_what_a_job_takes_an_earlier_one_handed_over(self) -> None:
        for name in PIPELINES:
            handed_over: set[str] = set()
            for job in read(WORKFLOWS[name])["jobs"].values():
                for step in job["steps"]:
                    of = step.get("uses", "").split("@")[0]
                    with self.subTest(name, job=job["name"], step=step.get("name")):
                        if of == "actions/download-artifact":
                            self.assertIn(step["with"]["name"], handed_over)
                            self.assertEqual(step["with"]["path"], "build")
                        elif of == "actions/upload-artifact":
                            self.assertEqual((step["with"]["path"], step["with"]["if-no-files-found"]), ("build", "error"))
                            handed_over.add(step["with"]["name"])
            self.assertEqual(handed_over, {"built", "tested", "smoke-tested"})

    def test_promotion_and_rollback_of_a_stage_wait_for_each_other(self) -> None:
        self.assertEqual(len({read(WORKFLOWS[name])["concurrency"]["group"] for name in BY_HAND}), 1)

    def test_no_expression_gets_into_a_command(self) -> None:
        for name, step in steps():
            with self.subTest(name, step=step.get("name")):
                self.assertNotIn("${{", step.get("run", ""))

    def test_there_are_no_long_lived_keys_and_secrets_go_to_single_steps(self) -> None:
        for name, job in jobs():
            with self.subTest(name):
                self.assertNotIn("secrets.", json.dumps(job.get("env", {})))
                self.assertNotRegex(json.dumps(job), r"(?i)access.?key|AWS_SECRET")
        for name, step in steps():
            if step.get("uses", "").startswith("aws-actions/configure-aws-credentials"):
                with self.subTest(name, step=step["name"]):
                    self.assertRegex(step["with"]["role-to-assume"], r"^\$\{\{ vars\.\w+_ROLE_ARN \}\}$")

    def test_the_gatekeepers_own_checkout_is_this_workflows_commit(self) -> None:
        for name, job in jobs():
            if not any(step.get("run", "").startswith("gatekeeper ") for step in job["steps"]):
                continue
            (own,) = [step["with"] for step in job["steps"] if step.get("with", {}).get("path") == ".gatekeeper"]
            with self.subTest(name, job=job["name"]):
                self.assertEqual(own["repository"], "${{ job.workflow_repository }}")
                self.assertEqual(own["ref"], "${{ job.workflow_sha }}")

    def test_no_checkout_leaves_a_token_on_disk(self) -> None:
        for name, step in steps():
            if step.get("uses", "").startswith("actions/checkout@"):
                with self.subTest(name, step=step["name"]):
                    self.assertIs(step["with"]["persist-credentials"], False)

    def test_the_token_that_pushes_is_known_to_what_pulls_and_pushes_alone(self) -> None:
        for name, job in jobs():
            for step in job["steps"]:
                with self.subTest(name, step=step.get("name")):
                    if re.match(r"git (pull|push) ", step.get("run", "")):
                        self.assertEqual(step["env"], {"PUSH_TOKEN": PUSHING_TOKEN})
                        self.assertEqual({key: job["env"][key] for key in ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0")},
                                         {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper"})
                    else:
                        self.assertNotIn("PUSH_TOKEN", json.dumps(step))

    def test_git_gets_the_token_from_the_environment_and_writes_it_nowhere(self) -> None:
        helpers = {job["env"]["GIT_CONFIG_VALUE_0"] for _, job in jobs() if "GIT_CONFIG_VALUE_0" in job["env"]}
        (helper,) = helpers
        environment = {"PATH": os.environ["PATH"], "PUSH_TOKEN": "s3cret", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper",
                       "GIT_CONFIG_VALUE_0": helper, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        asked = subprocess.run(["git", "credential", "fill"], input="protocol=https\nhost=github.com\n\n", env=environment, capture_output=True,
                               text=True, check=True)
        self.assertIn("username=x-access-token\npassword=s3cret\n", asked.stdout)

    def test_what_pushes_can_be_given_a_token_that_a_protected_branch_lets_in(self) -> None:
        for name, path in WORKFLOWS.items():
            if any(step.get("run", "").startswith("git push") for job in read(path)["jobs"].values() for step in job["steps"]):
                with self.subTest(name):
                    self.assertIs(read(path)["on"]["workflow_call"]["secrets"]["PUSH_TOKEN"]["required"], False)

    def test_what_publishes_has_the_whole_history_in_which_the_authors_are(self) -> None:
        for name, job in jobs():
            if any(step.get("run", "").startswith("gatekeeper publish ") for step in job["steps"]):
                with self.subTest(name, job=job["name"]):
                    self.assertEqual(job["steps"][0]["with"]["fetch-depth"], 0)

    def test_what_workflows_commit_is_nobodys(self) -> None:
        """`github-actions[bot]` is a name that shared/promotion/src/identities.rs knows."""
        for name, job in jobs():
            if any(step.get("run", "").startswith("git commit") or "git commit" in step.get("run", "") for step in job["steps"]):
                with self.subTest(name):
                    for who in ("AUTHOR", "COMMITTER"):
                        self.assertEqual(job["env"][f"GIT_{who}_EMAIL"], "41898282+github-actions[bot]@users.noreply.github.com")

    def test_every_command_is_told_the_repositorys_name_by_one_input(self) -> None:
        for name, job in jobs():
            with self.subTest(name):
                self.assertEqual(read(WORKFLOWS[name])["on"]["workflow_call"]["inputs"]["repo"]["default"], "")
                self.assertEqual(job["env"]["REPO"], "${{ inputs.repo || github.event.repository.name }}")
        for name, command in commands():
            if re.match(r"gatekeeper (publish|observe|handoffs|promote|rollback)\b", command):
                if "--complete" in command:
                    continue # the lease's file tells it
                with self.subTest(name, command=command):
                    self.assertRegex(command, r'--repo "\$(REPO|\{REPO,,\})"' if name in PIPELINES else r'--repo "\$\{REPO,,\}"')

    def test_what_changes_a_stage_takes_no_command_from_a_cache(self) -> None:
        for name, step in steps():
            if name in BY_HAND and step.get("uses") == OWN_ACTION:
                with self.subTest(name):
                    self.assertEqual(step["with"]["cache"], "false")

    def test_the_command_is_built_outside_the_callers_folder_and_saved_before_the_callers_code_runs(self) -> None:
        steps = read(ACTIONS["setup-gatekeeper"])["runs"]["steps"]
        moved, restored, built, saved = (
            next(at for at, step in enumerate(steps) if step.get("run", step.get("uses", "")).startswith(what))
            for what in ("mv ", "actions/cache/restore@", "cargo install ", "actions/cache/save@")
        )
        self.assertLess(moved, restored)
        self.assertEqual(saved, built + 1)
        self.assertEqual(steps[restored]["with"], steps[saved]["with"])
        self.assertRegex(steps[saved]["with"]["path"], r"^\$\{\{ runner\.temp \}\}/(?!.*\.\.)")  # the cache refuses `..`
        for step in steps[moved + 1 :]:
            if "run" in step:
                with self.subTest(run=step["run"]):
                    self.assertEqual(step["working-directory"], "${{ runner.temp }}/gatekeeper")

    def test_the_parts_of_an_action_are_of_one_commit(self) -> None:
        found: dict[str, set[str]] = {}
        for _, step in steps():
            if (action := step.get("uses", OWN_ACTION)) != OWN_ACTION:
                name, commit = action.split("@")
                found.setdefault("/".join(name.split("/")[:2]), set()).add(commit)
        self.assertEqual({name: of for name, of in found.items() if len(of) > 1}, {})

    def test_the_examples_call_them_at_a_commit(self) -> None:
        self.assertEqual({path.parents[2].name for path in CALLERS}, set(PIPELINES.values()))
        for path in CALLERS:
            for job in read(path)["jobs"].values():
                with self.subTest(path.parents[2].name):
                    self.assertRegex(job["uses"], r"^[\w.-]+/artefact-gatekeeper/\.github/workflows/[\w-]+\.yml@[0-9a-f]{40}$")

    def test_no_file_sets_run_integration(self) -> None:
        """ADR-053 "RUN_INTEGRATION requirement": the environment's settings do."""
        for path in (*WORKFLOWS.values(), *ACTIONS.values(), *CALLERS):
            with self.subTest(path.name):
                self.assertNotIn("RUN_INTEGRATION", json.dumps(read(path)))

    def test_who_requested_it_is_who_started_this_very_run(self) -> None:
        """`github.actor` stays the first one's when somebody else runs it again."""
        for name, job in jobs():
            if name in BY_HAND and DEPLOY_ROLE not in roles_of(job):
                with self.subTest(name, job=job["name"]):
                    self.assertEqual(job["env"]["REQUESTED_BY"], "${{ github.triggering_actor }}")

    def test_by_hand_both_are_asked_for_the_same(self) -> None:
        for name in BY_HAND:
            on = read(WORKFLOWS[name])["on"]
            with self.subTest(name):
                self.assertEqual(on["workflow_dispatch"]["inputs"], on["workflow_call"]["inputs"])
                self.assertEqual(set(on["workflow_dispatch"]["inputs"]), {"accept_replacement", "commit_sha", "reason", "dry_run", "kind", "stage", "repo"})
                self.assertEqual(on["workflow_dispatch"]["inputs"]["commit_sha"]["required"], name == "promote-to-uat.yml")

    def test_a_dry_run_only_looks(self) -> None:
        for name in BY_HAND:
            first, carry_out, complete = list(read(WORKFLOWS[name])["jobs"].values())[-3:]
            acting = [step for step in first["steps"] if "run" in step and "--dry-run" not in step["run"]]
            self.assertTrue(acting)
            for step in (*acting, carry_out):
                with self.subTest(name, run=step.get("run")):
                    self.assertTrue(step["if"].startswith("${{ !inputs.dry_run "), step["if"])
            self.assertEqual(complete["if"], "${{ !cancelled() && needs.carry-out.result != 'skipped' }}")

    def test_what_a_runner_does_is_somebodys_whatever_the_kind_is_called(self) -> None:
        """A kind that is misspelt asks for no lease: where a runner has a part, promote refuses that."""
        leased, alone = "(inputs.kind == 'pulumi' || inputs.kind == 'dbt')", "inputs.kind != 'pulumi' && inputs.kind != 'dbt'"
        for name in BY_HAND:
            first, carry_out, _ = list(read(WORKFLOWS[name])["jobs"].values())[-3:]
            for step in (step for step in first["steps"] if "run" in step and "--dry-run" not in step["run"]):
                with self.subTest(name, run=step["run"]):
                    of_the_lease = "LEASE" in step["run"]
                    self.assertEqual(step["if"], f"${{{{ !inputs.dry_run && {leased if of_the_lease else alone} }}}}")
            # Behind a job that may be skipped, as the preview is, GitHub skips every job that doesn't say otherwise.
            alive = "!cancelled() && needs.promote.result == 'success' && " if "needs" in first else ""
            self.assertEqual(carry_out["if"], f"${{{{ !inputs.dry_run && {alive}{leased} }}}}")

    def test_the_token_goes_from_the_first_job_to_the_last_and_past_the_commits_code(self) -> None:
        for name in BY_HAND:
            first, carry_out, complete = list(read(WORKFLOWS[name])["jobs"].values())[-3:]
            self.assertEqual(set(first["outputs"]), {"promotion", "commit"})
            self.assertNotIn("lease.json", json.dumps(carry_out))
            self.assertFalse([step for step in carry_out["steps"] if "download-artifact" in step.get("uses", "")])
            taken = [step["with"]["name"] for step in complete["steps"] if "download-artifact" in step.get("uses", "")]
            self.assertEqual(taken, ["lease", "evidence"])

    def test_the_steps_bear_the_numbers_of_adr_053_in_its_order(self) -> None:
        for name in (*PIPELINES, "promote-to-uat.yml"):
            numbers = [
                number
                for job in read(WORKFLOWS[name])["jobs"].values()
                for step in job["steps"]
                if (of := re.match(r"(\d+)\. (?:to (\d+)\. )?", step.get("name", "")))
                for number in range(int(of[1]), int(of[2] or of[1]) + 1)
            ]
            with self.subTest(name):
                self.assertEqual(numbers, sorted(numbers))
                if name not in PIPELINES:
                    self.assertEqual(set(numbers), set(range(1, PROMOTION_STEPS + 1)))
                else:  # 4, 8 and 10 are a database's
                    self.assertLessEqual({1, 2, 3, 5, 6, 7, 9, 11, 12, 13, 14}, set(numbers))


class Commands(unittest.TestCase):
    def test_each_is_short_and_one(self) -> None:
        for name, step in steps():
            if "run" in step:
                with self.subTest(name, run=step["run"]):
                    self.assertNotIn("\n", step["run"].strip())
                    self.assertLessEqual(len(step["run"]), 210)
                    self.assertNotRegex(step["run"].replace("git diff --cached --quiet || ", ""), r" (&&|;) ")

    def test_each_is_known(self) -> None:
        for name, command in commands():
            with self.subTest(name, command=command):
                self.assertIn(command.split()[0], ("aws", "dbt", "flyway", "gatekeeper", "git", "make", "node", "pnpm", "pulumi"))

    def test_the_gatekeepers_exist_with_their_options(self) -> None:
        for name, command in commands():
            words = command.split()
            if words[0] != "gatekeeper":
                continue
            of = next("_".join(words[1:count]) for count in (3, 2) if (HELP / f"cli__help__help_{'_'.join(words[1:count])}.snap").exists())
            text = (HELP / f"cli__help__help_{of}.snap").read_text()
            with self.subTest(name, command=command):
                for option in re.findall(r"(?<=[ +])--[a-z-]+", command):
                    self.assertRegex(text, rf"(?m)^ +{option}\b")

    def test_the_repositorys_own_exist(self) -> None:
        for name, command in commands():
            of = PIPELINES.get(name) or ("bank-risk-platform" if command.startswith("make ") else "bank-platform")
            words, example = command.split(), EXAMPLES / of
            with self.subTest(name, command=command):
                if words[0] == "make":
                    self.assertRegex((example / "Makefile").read_text(), rf"(?m)^{words[1]}:")
                elif words[0] == "pnpm" and words[1] != "install":
                    self.assertIn(words[1], json.loads((example / "package.json").read_text())["scripts"])
                elif words[0] == "node" and not words[1].startswith("-"):
                    self.assertTrue((example / words[1]).is_file())


if __name__ == "__main__":
    unittest.main()
