"""One run of a pipeline: a repository with an origin, a push, and the jobs' steps as GitHub's runners take them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

import actions
from dev import Dev
from expressions import fill, holds
from processes import Processes
from workflow import ROOT, Job, Pipeline, Step

OWNER = "example-bank"
BRANCH = "main"
AUTHOR = {"GIT_AUTHOR_NAME": "Jane", "GIT_AUTHOR_EMAIL": "jane@bank.example", "GIT_COMMITTER_NAME": "Jane", "GIT_COMMITTER_EMAIL": "jane@bank.example"}
# How the machine gets out is its own business: proxies, certificates, package registries.
OF_THE_MACHINE = re.compile(r"PATH|LANG|(?i:https?_proxy|no_proxy)|PIP_\w+|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|REQUESTS_CA_BUNDLE")
FILES = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")


class StepFailed(Exception):
    """A step that ended with another exit code than 0; `printed` is all that it said."""

    def __init__(self, step: Step, code: int, printed: str) -> None:
        super().__init__(f"`{step.given['run']}` ended with {code}")
        self.step, self.code, self.printed = step, code, printed


class Run:
    """A pushed commit on its way through the jobs of a pipeline. Each job has a machine of its own: a home, a workspace, an environment."""

    def __init__(self, folder: Path, pipeline: Pipeline, repo: str, processes: Processes, outputs: Mapping[str, str]) -> None:
        self.folder, self.pipeline, self.repo, self.processes = folder, pipeline, repo, processes
        self.origin, self.source, self.handed_over = folder / "origin.git", folder / "source", folder / "handed-over"
        self.machine = {
            **of_the_machine(os.environ), "NO_COLOR": "1", "npm_config_userconfig": str(Path.home() / ".npmrc"), "GIT_CONFIG_NOSYSTEM": "1",
            "AWS_ENDPOINT_URL": outputs["Endpoint"], "PGSSLROOTCERT": outputs["PostgresCaFile"],
            "JAVA_ARGS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC", "REDGATE_DISABLE_TELEMETRY": "true",
        }
        self.hidden: set[str] = set()
        self.sha = ""
        self.on_a_machine("push")
        self.dev = Dev(processes, outputs, self.env)

    def on_a_machine(self, name: str) -> None:
        """A machine as new, on which nothing of an earlier one is left."""
        machine = self.folder / name
        shutil.rmtree(machine, ignore_errors=True)
        self.workspace, self.outputs = machine / "workspace", {}
        for folder in ("home", "tmp"):
            (machine / folder).mkdir(parents=True)
        self.env = {**self.machine, "HOME": str(machine / "home"), "TMPDIR": str(machine / "tmp"), "RUNNER_TEMP": str(machine / "tmp")}

    # ---- the push

    def commit(self, example: Path, change: Callable[[Path], None] | None = None) -> None:
        """Makes the repository of the example's files with an origin, pushes it, and on top of it a commit that `change` makes."""
        self.tool("git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", self.origin, cwd=self.folder)
        self.tool("git", "clone", "--quiet", self.origin, self.source, cwd=self.folder)
        copy_files(example, self.source)
        if self.dev.stacks is not None:
            self.dev.stacks.init(self, self.source)
        self.push(f"{self.repo} as it is")
        if change is not None:
            change(self.source)
            self.push("a change")
        self.sha = self.tool("git", "rev-parse", "HEAD", cwd=self.source).strip()

    def earlier(self) -> Run:
        """A run before this one, of the commit before, in the same repository and dev."""
        folder = self.folder / "earlier"
        folder.mkdir()
        run = Run(folder, self.pipeline, self.repo, self.processes, self.dev.outputs)
        run.dev = self.dev
        self.tool("git", "clone", "--quiet", "--bare", self.origin, run.origin, cwd=folder)
        run.sha = self.tool("git", "-C", run.origin, "rev-parse", f"{BRANCH}~1", cwd=folder).strip()
        self.tool("git", "-C", run.origin, "update-ref", f"refs/heads/{BRANCH}", run.sha, cwd=folder)
        return run

    def push(self, message: str) -> None:
        """Commits what is there, and pushes it."""
        self.tool("git", "add", "--all", cwd=self.source)
        self.tool("git", "commit", "--quiet", "--allow-empty", f"--message={message}", cwd=self.source, environment=AUTHOR)
        self.tool("git", "push", "--quiet", "origin", f"HEAD:{BRANCH}", cwd=self.source)

    def pushed(self) -> list[str]:
        """What CI pushed to the branch behind the commit: each commit and its files."""
        log = self.tool("git", "-C", self.origin, "log", "--reverse", "--format=%s", "--name-only", f"{self.sha}..{BRANCH}", cwd=self.folder)
        return [line for line in log.splitlines() if line]

    # ---- the jobs

    def begin(self, job: Job) -> None:
        """What the runner knows when a job starts."""
        self.job = job
        self.on_a_machine(job.key)
        self.env.update({
            "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_SHA": self.sha, "GITHUB_REPOSITORY": f"{OWNER}/{self.repo}", "GITHUB_REF_NAME": BRANCH,
            "GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": "1", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "jane",
            "GITHUB_WORKSPACE": str(self.workspace),
        })
        for name in FILES:
            (self.folder / name).touch()
            self.env[name] = str(self.folder / name)
        self.hide(*self.dev.secrets.values())
        self.env.update({name: fill(value, self.contexts()) for name, value in (job.given.get("env") or {}).items()})

    def contexts(self) -> dict[str, object]:
        """What expressions can ask for; the environment's settings only where the job is bound to it."""
        variables, secrets = self.dev.settings(self.job.environment)
        return {
            "inputs": self.pipeline.inputs, "vars": variables, "secrets": secrets,
            "steps": {name: {"outputs": of} for name, of in self.outputs.items()},
            "github": {"repository": f"{OWNER}/{self.repo}", "sha": self.sha, "ref_name": BRANCH, "actor": "jane", "token": "",
                       "event": {"repository": {"name": self.repo}}},
            # the gatekeeper is the working folder that this lies in
            "job": {"workflow_repository": f"{OWNER}/artefact-gatekeeper", "workflow_sha": ""},
        }

    def groups(self) -> Iterator[list[Step]]:
        """The job's steps, those that are one step of ADR-053 together."""
        for number, steps in groupby(self.job.steps, key=lambda step: step.number):
            if number is None:
                yield from ([step] for step in steps)
            else:
                yield list(steps)

    def do(self, step: Step) -> bool:
        """Runs one step; false when its condition doesn't hold."""
        contexts = self.contexts()
        if not holds(step.given.get("if"), contexts):
            return False
        filled = {name: fill(value, contexts) for name, value in (step.given.get("env") or {}).items()}
        if "uses" in step.given:
            actions.use(self, step.given["uses"], {name: fill(value, contexts) for name, value in (step.given.get("with") or {}).items()})
            return True
        script = self.folder / "step.sh"
        script.write_text(fill(step.given["run"], contexts) + "\n")
        # as GitHub's runner does where a step names no shell
        code, printed = self.processes.run(["bash", "-e", script], self.workspace, {**self.env, **filled}, may_fail=True)
        self.take_over(step)
        if code != 0:
            raise StepFailed(step, code, self.masked(printed))
        return True

    def take_over(self, step: Step) -> None:
        """What a step wrote for those behind it."""
        env, output, path = (self.folder / name for name in FILES[:3])
        self.env.update(assignments(env.read_text()))
        if name := step.given.get("id"):
            self.outputs[name] = assignments(output.read_text())
        self.add_path(*map(Path, path.read_text().splitlines()))
        for file in (env, output, path):
            file.write_text("")

    # ---- what the parts share

    def tool(self, *command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
        """Runs a program that isn't part of the pipeline; what it printed. It must end with 0."""
        return self.processes.run(command, cwd, {**self.env, **(environment or {})})[1]

    def set_env(self, variables: Mapping[str, str]) -> None:
        """For the steps behind this one."""
        self.env.update(variables)

    def add_path(self, *folders: Path) -> None:
        """Puts folders in front of the path."""
        self.env["PATH"] = os.pathsep.join([*map(str, folders), self.env["PATH"]])

    def hide(self, *values: str) -> None:
        """Values that are not to be printed."""
        self.hidden.update(values)

    def masked(self, text: str) -> str:
        """A text without them."""
        for value in sorted(self.hidden, key=len, reverse=True):
            text = text.replace(value, "***")
        return text


def copy_files(example: Path, target: Path) -> None:
    """Copies an example's files; what else is not the repository's is in its own .gitignore."""
    shutil.copytree(example, target, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)


def of_the_machine(environment: Mapping[str, str]) -> dict[str, str]:
    """What a job takes over of its machine's environment. Dev is on loopback, where no proxy leads."""
    taken = {name: value for name, value in environment.items() if OF_THE_MACHINE.fullmatch(name)}
    direct = ",".join(filter(None, (taken.get("NO_PROXY") or taken.get("no_proxy"), "127.0.0.1", "localhost")))
    return {**taken, "NO_PROXY": direct, "no_proxy": direct}


def assignments(text: str) -> dict[str, str]:
    """`NAME=value` lines; GitHub's form for more than one line is not needed here."""
    pairs = (line.partition("=") for line in text.splitlines() if line)
    return {name: value for name, _, value in pairs}
