"""Workflows as they lie in the repositories: a repository's own, and the reusable one that it calls."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = ROOT / ".github" / "workflows"
CALL = re.compile(r"[\w.-]+/artefact-gatekeeper/\.github/workflows/([\w-]+\.yml)@[0-9a-f]{40}")  # a branch or tag can be moved
NUMBERED = re.compile(r"(\d+)\. (.+)")
# What is understood of a job and of a step; anything else would silently not happen here.
OF_A_JOB = {"name", "needs", "runs-on", "environment", "timeout-minutes", "permissions", "env", "steps"}
OF_A_STEP = {"name", "id", "if", "uses", "with", "run", "env"}
ACCESS = ["none", "read", "write"]
TYPES = {"boolean": bool, "string": str, "number": int}


class WorkflowError(Exception):
    """What is wrong with a workflow."""


@dataclass(frozen=True)
class Step:
    """A step of a job; `number` is ADR-053's, none for what only prepares."""

    name: str
    number: int | None
    given: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A job of a reusable workflow, by its key."""

    key: str
    given: dict[str, Any]
    steps: list[Step]

    @property
    def permissions(self) -> dict[str, str]:
        return self.given.get("permissions") or {}

    @property
    def environment(self) -> str | None:
        return self.given.get("environment")


@dataclass(frozen=True)
class Pipeline:
    """A reusable workflow, called with `inputs`: its jobs in their order."""

    workflow: str
    inputs: dict[str, Any]
    jobs: list[Job]

    @property
    def steps(self) -> list[Step]:
        return [step for job in self.jobs for step in job.steps]


def called_by(repository: Path) -> Pipeline:
    """The pipeline that a repository's workflow calls when it is pushed to."""
    calls = []
    for path in sorted((repository / ".github" / "workflows").glob("*.yml")):
        document = read(path)
        for job in document["jobs"].values():
            if "push" in document["on"] and (call := CALL.fullmatch(job.get("uses", ""))):
                calls.append((path, call[1], job))
    if len(calls) != 1:
        raise WorkflowError(f"`{repository}` calls {len(calls)} of the gatekeeper's workflows on a push, not one")
    path, name, caller = calls[0]
    if caller.get("secrets") != "inherit":
        raise WorkflowError(f"`{path}`: the secrets of the environment reach `{name}` with `secrets: inherit` only")
    pipeline = load(name, caller.get("with") or {})
    given = caller.get("permissions") or {}
    for job in pipeline.jobs:
        for permission, access in job.permissions.items():
            if ACCESS.index(given.get(permission, "none")) < ACCESS.index(access):
                raise WorkflowError(f"`{path}`: `{job.key}` of `{name}` asks for `{permission}: {access}`, which the caller doesn't give")
    return pipeline


def load(name: str, given: dict[str, Any]) -> Pipeline:
    """A reusable workflow whose jobs follow each other, its inputs checked as GitHub does."""
    document = read(WORKFLOWS / name)
    declared = (document["on"]["workflow_call"] or {}).get("inputs") or {}
    for key, value in given.items():
        if key not in declared or not isinstance(value, TYPES[declared[key]["type"]]):
            raise WorkflowError(f"`{name}` has no input `{key}` that may be `{value}`")
    if missing := [key for key, of in declared.items() if of.get("required") and key not in given]:
        raise WorkflowError(f"`{name}` needs the inputs {missing}")
    inputs = {key: given.get(key, of.get("default", "")) for key, of in declared.items()}
    jobs: list[Job] = []
    for key, job in document["jobs"].items():
        if unknown := set(job) - OF_A_JOB:
            raise WorkflowError(f"`{name}`: {sorted(unknown)} of the job `{key}` is not understood here")
        before = jobs[-1].key if jobs else None
        if job.get("needs") != before:
            raise WorkflowError(f"`{name}`: the job `{key}` needs {job.get('needs')}, and the one before it is {before}: here one follows the other")
        jobs.append(Job(key, job, [step_of(name, step) for step in job["steps"]]))
    return Pipeline(name, inputs, jobs)


def step_of(workflow: str, given: dict[str, Any]) -> Step:
    """A step as it is written."""
    if unknown := set(given) - OF_A_STEP:
        raise WorkflowError(f"`{workflow}`: {sorted(unknown)} of a step is not understood here")
    if ("run" in given) == ("uses" in given):
        raise WorkflowError(f"`{workflow}`: a step has either `run` or `uses`: {given}")
    name = given.get("name") or given.get("run") or given["uses"]
    numbered = NUMBERED.fullmatch(name)
    return Step(name, int(numbered[1]) if numbered else None, given)


def read(path: Path) -> dict[str, Any]:
    """A workflow's document; YAML 1.1 takes the key `on` for a truth."""
    document = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in document.items()}
