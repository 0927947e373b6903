"""Runs a repository's workflow by act, which reads workflows as GitHub's runner does, and tells what became of each job and step.

The actions are those of actions.py (act_action.py is how act calls them); `setup-gatekeeper` is the real one. The repository's origin
is an HTTP server that asks for a token. What act does otherwise than GitHub: docs/contributing/testing.md.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from actions import EQUIVALENTS, GATEKEEPER, TOOLS
from expressions import fill
from git_server import GitServer
from run import BRANCH, OWNER, Run
from workflow import CALL, ROOT, WORKFLOWS, WorkflowError, read

ACT = TOOLS / "act" / "act"
CALLED = f"{OWNER}/artefact-gatekeeper"
SETUP = "./.gatekeeper/.github/actions/setup-gatekeeper"  # the real one
USED = re.compile(r"([\w.-]+/[\w.-]+)((?:/[\w.-]+)*)@([0-9a-f]{40})")
# GitHub gives every job a token; the branch is protected, so that it takes another one to push.
GITHUB_TOKEN, PUSH_TOKEN = "ghs-of-the-job", "pat-of-who-pushes"
ACTION = """name: {name}
inputs: {inputs}
outputs: {{cache-hit: {{description: of a cache, value: "${{{{ steps.it.outputs.cache-hit }}}}"}}}}
runs:
  using: composite
  steps:
    - id: it
      shell: bash
      run: "{python} {script} {name}"
      env: {{GIVEN: "${{{{ toJSON(inputs) }}}}"}}
"""
# What a repository writes into its workflow by hand.
KIND = "kind: lambda"
# `setup-gatekeeper` builds the command where no cache is to be trusted. It is built already.
CARGO = """#!/bin/bash
[ "$1 $2 $3 $4 $5" = 'install --locked --path cli --root' ] || {{ echo "no such cargo here: $*" >&2; exit 1; }}
mkdir -p "$6/bin" && ln -s {built} "$6/bin/gatekeeper"
"""


@dataclass
class Ran:
    """What a run came to: `jobs` in the order in which they ended, `steps` as they were run with what became of them, and all that was printed."""

    code: int
    jobs: dict[str, str] = field(default_factory=dict)
    steps: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    printed: str = ""

    @property
    def failed(self) -> list[str]:
        """The steps that failed."""
        return [name for steps in self.steps.values() for name, result in steps if result == "failure"]


class Act:
    """A repository whose workflows act runs."""

    def __init__(self, run: Run, push_token: str | None = PUSH_TOKEN) -> None:
        """`push_token`: the secret PUSH_TOKEN, which a repository may lack."""
        self.run, self.push_token = run, push_token
        repositories = run.folder / "repositories"
        (repositories / OWNER).mkdir(parents=True)
        (repositories / OWNER / run.repo).symlink_to(run.origin)
        self.server = GitServer(repositories, {GITHUB_TOKEN: False, PUSH_TOKEN: True})
        self.actions = run.folder / "actions"
        self.used: dict[str, Path] = {}
        called = (path for path in WORKFLOWS.glob("*.yml") if "workflow_call" in read(path)["on"])
        for path in (*called, *(WORKFLOWS.parent / "actions").glob("*/action.yml")):
            self.use(path)
        self.programs = run.folder / "programs"
        self.programs.mkdir()
        (self.programs / "cargo").write_text(CARGO.format(built=GATEKEEPER / "gatekeeper"))
        (self.programs / "cargo").chmod(0o755)

    def use(self, path: Path) -> None:
        """Makes the actions that a workflow uses, each with the inputs that it is given anywhere."""
        document = read(path)
        steps = [step for job in document.get("jobs", {}).values() for step in job["steps"]] or document["runs"]["steps"]
        for step in steps:
            if "uses" not in step or step["uses"] == SETUP:
                continue
            used = USED.fullmatch(step["uses"])
            if used is None or used[1] + used[2] not in {*EQUIVALENTS, "actions/cache/restore", "actions/cache/save"}:
                raise WorkflowError(f"`{step['uses']}` has no equivalent here: add one to examples/pipeline/actions.py")
            folder = self.actions / used[1].replace("/", "+") / used[2].strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / "inputs"
            names = sorted({*(kept.read_text().split() if kept.is_file() else ()), *step.get("with", {})})
            kept.write_text(" ".join(names))
            (folder / "action.yml").write_text(ACTION.format(
                name=used[1] + used[2], inputs=json.dumps({name: {"default": ""} for name in names}),
                python=TOOLS / "venv" / "bin" / "python", script=Path(__file__).parent / "act_action.py"))
            self.used[f"{used[1]}@{used[3]}"] = self.actions / used[1].replace("/", "+")

    def push(self) -> Ran:
        """The workflow of a push, at the newest commit."""
        return self.start("push", self.run.source / ".github" / "workflows" / "ci.yml", {})

    def dispatch(self, workflow: str, inputs: Mapping[str, str]) -> Ran:
        """A workflow that somebody starts by hand, on the branch as it is now."""
        self.run.tool("git", "pull", "--quiet", "origin", BRANCH, cwd=self.run.source)
        self.run.sha = self.run.tool("git", "rev-parse", "HEAD", cwd=self.run.source).strip()
        return self.start("workflow_dispatch", self.run.source / ".github" / "workflows" / workflow, inputs)

    def start(self, event: str, workflow: Path, inputs: Mapping[str, str]) -> Ran:
        """Runs it to its end."""
        run = self.run
        call = next(job for job in read(workflow)["jobs"].values() if "uses" in job)
        uses = CALL.fullmatch(call["uses"])
        if uses is None:
            raise WorkflowError(f"`{workflow}` calls `{call['uses']}`, which is none of the gatekeeper's workflows at a commit")
        run.on_a_machine(f"act-{len(list(run.folder.glob('act-*')))}")
        run.add_path(self.programs)
        files = run.workspace.parent
        dev = run.dev
        written = {"folder": files, "origin": run.origin, "handed_over": files / "handed-over", "sha": run.sha, "workflow": uses[1],
                   "remote": f"{self.server.url}/{OWNER}/{run.repo}", "outputs": dict(dev.outputs), "inputs": {"stage": "uat", **inputs},
                   "variables": {name: variables for name, (variables, _) in dev.environments().items()},
                   "stacks": True if dev.stacks else None, "snowflake": True if dev.snowflake else None}
        (files / "pipeline.json").write_text(json.dumps(written, default=str))
        (files / "event.json").write_text(json.dumps({
            "repository": {"name": run.repo, "full_name": f"{OWNER}/{run.repo}", "default_branch": BRANCH}, "inputs": dict(inputs)}))
        # act knows no environments: every job of a workflow sees the variables and secrets of all that its jobs are bound to.
        bound = {fill(job["environment"], {"inputs": written["inputs"]}) for job in read(WORKFLOWS / uses[1])["jobs"].values()}
        variables, secrets = zip(*(dev.settings(environment) for environment in sorted(bound, reverse=True)))  # the runner's own win
        (files / "vars").write_text(lines(ChainMap(*variables)))
        (files / "secrets").write_text(lines({**ChainMap(*secrets), "GITHUB_TOKEN": GITHUB_TOKEN, **({"PUSH_TOKEN": self.push_token} if self.push_token else {})}))
        for empty in ("env", "input"):
            (files / empty).touch()
        commit = call["uses"].rpartition("@")[2]
        command: list[str | Path] = [
            ACT, event, "--workflows", workflow, "--eventpath", files / "event.json", "--json", "--verbose", "--platform", "ubuntu-24.04=-self-hosted",
            "--no-skip-checkout", "--action-offline-mode", "--no-cache-server", "--no-recurse", "--defaultbranch", BRANCH, "--rm",
            "--action-cache-path", files / "cache", "--actor", "jane", "--concurrent-jobs", "1",
            "--var-file", files / "vars", "--secret-file", files / "secrets", "--env-file", files / "env", "--input-file", files / "input",
            "--local-repository", f"{CALLED}@{commit}={ROOT}",
            *(part for name, folder in self.used.items() for part in ("--local-repository", f"{name}={folder}")),
            "--env", f"GITHUB_REPOSITORY={OWNER}/{run.repo}", "--env", f"PIPELINE={files / 'pipeline.json'}",
            "--env", "REQUESTED_BY=jane",  # act has no `github.triggering_actor`
        ]
        code, printed = run.processes.run(command, run.source, run.env, may_fail=True)
        return told(code, printed)

    def close(self) -> None:
        """Nothing of it is left."""
        self.server.close()
        self.run.dev.close()
        self.run.processes.end_all()
        shutil.rmtree(self.run.folder, ignore_errors=True)


def lines(values: Mapping[str, str]) -> str:
    """A file of settings as act reads it."""
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def told(code: int, printed: str) -> Ran:
    """What act's own lines of JSON say."""
    ran, text = Ran(code), []
    for line in printed.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            text.append(line)
            continue
        job = said.get("jobID", "")
        if "jobResult" in said:
            ran.jobs[job] = said["jobResult"]
        elif said.get("stage") == "Main" and "stepResult" in said and len(said.get("stepID", ())) == 1:
            ran.steps.setdefault(job, []).append((said["step"], said["stepResult"]))
        if said.get("raw_output") or said.get("level") in ("error", "fatal", "warning"):
            text.append(said.get("msg", "").rstrip("\n"))
    ran.printed = "\n".join(text)
    return ran


def by_hand(name: str, kind: str) -> str:
    """The workflow by hand that .github/README.md tells a repository of this kind to write, for one of ours."""
    readme = (WORKFLOWS.parent / "README.md").read_text()
    block = next(text for text in re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL) if "workflow_dispatch" in text)
    text = block.replace("<commit of the gatekeeper>", "0" * 40).replace("promote-to-uat.yml", name)
    if not all(of in text for of in (name, KIND)):
        raise WorkflowError("`.github/README.md` shows no workflow by hand that names the kind of repository")
    text = text.replace(KIND, f"kind: {kind}")
    return text
