"""An action of a workflow that act runs: what actions.py does in its place, told by act's own files. act.py makes it an `action.yml`.

    act_action.py ACTION      `GIVEN` are its inputs, `PIPELINE` is what act.py wrote down
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(1, str(ROOT / "demo"))

import actions  # noqa: E402
from actions import GATEKEEPER, TOOLS, Inputs  # noqa: E402
from expressions import fill  # noqa: E402
from workflow import WORKFLOWS, Job, WorkflowError, read  # noqa: E402


class Settings:
    """What an action asks of `Dev`, as act.py wrote it down."""

    def __init__(self, pipeline: Mapping[str, Any]) -> None:
        self.outputs, self.variables = pipeline["outputs"], pipeline["variables"]
        self.stacks, self.snowflake = pipeline["stacks"], pipeline["snowflake"]

    def settings(self, environment: str | None) -> tuple[dict[str, str], dict[str, str]]:
        return self.variables.get(environment, {}), {}


class OfAct:
    """The job that act runs this action in."""

    def __init__(self, pipeline: Mapping[str, Any]) -> None:
        self.folder, self.origin, self.handed_over = (Path(pipeline[name]) for name in ("folder", "origin", "handed_over"))
        self.sha, self.remote = pipeline["sha"], pipeline["remote"]
        self.workspace = Path(os.environ["GITHUB_WORKSPACE"])
        key = os.environ["GITHUB_JOB"]
        given = read(WORKFLOWS / pipeline["workflow"])["jobs"][key]
        self.job = Job(key, {**given, "environment": fill(given["environment"], {"inputs": pipeline["inputs"]})}, [])
        self.dev = Settings(pipeline)

    def tool(self, *command: str | Path, cwd: Path) -> str:
        return subprocess.run([str(part) for part in command], cwd=cwd, check=True, text=True, stdout=subprocess.PIPE).stdout

    def set_env(self, variables: Mapping[str, str]) -> None:
        self.append("GITHUB_ENV", *(f"{name}={value}" for name, value in variables.items()))
        os.environ.update(variables)

    def add_path(self, *folders: Path) -> None:
        self.append("GITHUB_PATH", *map(str, folders))
        os.environ["PATH"] = os.pathsep.join([*map(str, folders), os.environ["PATH"]])

    def hide(self, *values: str) -> None:
        for value in values:
            print(f"::add-mask::{value}")

    def append(self, file: str, *lines: str) -> None:
        """To one of the files by which a step speaks to its runner."""
        with Path(os.environ[file]).open("a") as out:
            out.writelines(f"{line}\n" for line in lines)


def checkout(run: OfAct, given: Inputs) -> str:
    """The pushed commit, or the gatekeeper: act has no `job.workflow_sha`, so it is the commit of this working folder, with what was changed there."""
    if given.get("path") != ".gatekeeper":
        run.sha = given.pop("ref", run.sha)
        actions.checkout(run, given)
        run.tool("git", "remote", "set-url", "origin", run.remote, cwd=run.workspace)
        return ""
    target = run.workspace / ".gatekeeper"
    run.tool("git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", target, cwd=run.folder)
    for changed in (".github", "infra/local"):
        shutil.copytree(ROOT / changed, target / changed, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    # The machine has Flyway already; the action looks whether it is the one that it wants.
    (target / ".local").mkdir()
    (target / ".local" / "flyway").symlink_to(TOOLS / "flyway")
    return ""


def restore(run: OfAct, given: Inputs) -> str:
    """The command that is built already, in place of the one that an earlier run would have left."""
    programs = Path(given["path"]) / "bin"
    programs.mkdir(parents=True)
    (programs / "gatekeeper").symlink_to(GATEKEEPER / "gatekeeper")
    run.append("GITHUB_OUTPUT", "cache-hit=true")
    return ""


def save(_: OfAct, __: Inputs) -> str:
    raise WorkflowError("a cache that was hit is not saved")


OWN = {"actions/checkout": checkout, "actions/cache/restore": restore, "actions/cache/save": save}

if __name__ == "__main__":
    name = sys.argv[1]
    run = OfAct(json.loads(Path(os.environ["PIPELINE"]).read_text()))
    given = {key: value for key, value in json.loads(os.environ["GIVEN"]).items() if value != ""}
    try:
        OWN[name](run, given) if name in OWN else actions.use(run, name, given)
    except WorkflowError as error:
        sys.exit(f"error: {error}")
