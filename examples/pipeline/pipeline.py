"""A pipeline of an example repository on a local AWS: the steps of its own workflow, in their order. `make pipeline`.

It reads the workflow of the repository and the reusable one that it calls, and runs what stands there, so that nothing here can
drift from what GitHub would run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(1, str(ROOT / "demo"))  # what the demo tells, starts and asks its databases with

from processes import Failed, Processes  # noqa: E402
from terminal import RED, Terminal  # noqa: E402

import breaks  # noqa: E402
from expressions import Unsupported  # noqa: E402
from promotion import Promotion  # noqa: E402
from run import Run, StepFailed  # noqa: E402
from workflow import Step, WorkflowError, called_by  # noqa: E402

EXAMPLES = ROOT / "examples"
SHOWN_LINES = 60
# What a repository's pipeline runs that is not a part of `make tools`.
SET_UP = {
    "bank-platform": ("Pulumi's engine, which the first time takes minutes", ("setup_pulumi.sh",), ("setup_npm.sh", "pulumi-aws")),
    "bank-risk-platform": ("dbt-snowflake, which the first time takes a minute", ("setup_snowflake.sh",)),
}
# What the commit changes that comes back.
CHANGES = {
    "bank-platform": breaks.replaced("src/artefact-store.ts", "deletionWindowInDays: 30", "deletionWindowInDays: 20"),
    "bank-risk-platform": breaks.replaced("models/marts/large_exposures.sql", ", 2) as", ", 3) as"),
}
LAST_STEP = 14


def arguments() -> argparse.Namespace:
    """The command line."""
    repositories = sorted(path.parent.parent.name for path in EXAMPLES.glob("*/.github/workflows"))
    parser = argparse.ArgumentParser(prog="make pipeline", description="runs an example repository's pipeline on a local AWS")
    parser.add_argument("--repo", default="bank-payments", choices=repositories, help="default: bank-payments")
    parser.add_argument("--break", dest="broken", nargs="?", const="", metavar="STEP[:NAME]",
                        help="breaks a step on purpose, to show how it fails; without a step: lists what can be broken")
    parser.add_argument("--quick", action="store_true", help="without the tools that take minutes to set up: bank-platform then stops where Pulumi's engine "
                        "would deploy, and DuckDB is the warehouse of bank-risk-platform")
    parser.add_argument("--promote", action="store_true", help="promotes the commit to UAT when it is through, with a runner that does what the gatekeeper's lease says: "
                        "bank-platform and bank-risk-platform")
    parser.add_argument("--roll-back", action="store_true", help="with `--promote`: promotes the commit before first, and goes back to it, in Pulumi's case from a stack that drifted")
    parser.add_argument("--as", dest="name", metavar="NAME", help="what the repository is called there, where several share one local AWS")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    if given.broken == "":
        print(breaks.listed(given.repo))
        return 0
    if given.promote and (given.quick or given.broken or given.repo not in SET_UP):
        print(f"error: `--promote` is for {' and '.join(SET_UP)}, whole and with their real tools", file=sys.stderr)
        return 2
    if given.roll_back and not given.promote:
        print("error: `--roll-back` goes with `--promote`", file=sys.stderr)
        return 2
    try:
        broken = breaks.find(given.repo, given.broken) if given.broken else None
    except KeyError:
        print(f"error: there is no `{given.broken}` to break in {given.repo}\n{breaks.listed(given.repo)}", file=sys.stderr)
        return 2
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda *_: sys.exit(1))
    term, folder, processes = Terminal(), Path(tempfile.mkdtemp(prefix="pipeline-")), Processes()
    example = EXAMPLES / given.repo
    try:
        called = called_by(example)
        with local_aws(term, folder) as outputs:
            run = Run(folder, called, given.name or given.repo, processes, outputs)
            with contextlib.closing(run.dev):
                if not given.quick:
                    real_tools(term, run, given.repo, processes)
                push(term, run, example, broken.commit if broken else CHANGES[given.repo] if given.roll_back else None)
                earlier = run.earlier() if given.roll_back else None
                if earlier is not None:
                    with term.doing(f"the commit before, {earlier.sha[:8]}, goes through the pipeline"):
                        go(earlier, LAST_STEP)
                    promote(term, earlier)
                code = follow(term, run, broken)
                if code == 0 and given.promote:
                    promote(term, run)
                    if earlier is not None:
                        Promotion(run).drift(term)
                        promote(term, earlier, "rollback")
                return code
    except (WorkflowError, Unsupported, Failed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        processes.end_all()
        shutil.rmtree(folder)


@contextlib.contextmanager
def local_aws(term: Terminal, folder: Path) -> Iterator[dict[str, str]]:
    """The outputs of the local AWS that `GATEKEEPER_OUTPUTS` names, or of one that is gone afterwards."""
    if running := os.environ.get("GATEKEEPER_OUTPUTS"):
        yield json.loads(Path(running).read_text())
        return
    processes, state = Processes(), folder / "aws"
    command = [sys.executable, ROOT / "infra" / "local" / "gatekeeper_local.py"]
    environment = {name: value for name, value in os.environ.items() if name != "GATEKEEPER_LOCAL_PORT"} | {"GATEKEEPER_LOCAL_STATE": str(state)}
    try:
        with term.doing("starting a local AWS with the gatekeeper"):
            processes.run([*command, "up"], ROOT, environment)
        yield json.loads((state / "outputs.json").read_text())
    finally:
        processes.run([*command, "down"], ROOT, environment)


def real_tools(term: Terminal, run: Run, example: str, processes: Processes) -> None:
    """Sets up what the example's pipeline needs besides: tools, and what is behind its environments."""
    if example not in SET_UP:
        return
    name, *commands = SET_UP[example]
    with term.doing(name):
        for script, *rest in commands:
            processes.run([ROOT / "infra" / "local" / script, *rest], ROOT)
    if example == "bank-platform":
        with term.doing("the accounts' buckets, keys and roles for Pulumi's stacks"):
            run.dev.create_stacks(run.repo)
    else:
        with term.doing("starting a local Snowflake"):
            run.dev.start_snowflake(run.folder)


def promote(term: Terminal, run: Run, command: str = "promote") -> None:
    """The commit goes to UAT, or UAT goes back to it."""
    began = time.monotonic()
    term.say(f"\n{run.repo} {run.sha[:8]}: {command}")
    Promotion(run).go(term, command)
    came = "is in UAT" if command == "promote" else "is in UAT again"
    term.say(f"\n{term.tick} {run.repo} {run.sha[:8]} {came} after {time.monotonic() - began:.0f} s")


def push(term: Terminal, run: Run, example: Path, change: Callable[[Path], None] | None) -> None:
    """The environments of the repository, and the commit in it."""
    run.dev.configure_policy()
    run.dev.create_database()
    run.commit(example, change)
    term.say(f"\n{run.repo} {run.sha[:8]}: {run.pipeline.workflow}")


def follow(term: Terminal, run: Run, broken: breaks.Break | None) -> int:
    """The jobs, step by step; the exit code."""
    began = time.monotonic()
    if broken:
        term.say(f"breaks step {broken.step} on purpose: {broken.tells}")
        if broken.after_steps:
            with term.doing(f"the commit before goes through {broken.after_steps} steps"):
                go(run.earlier(), broken.after_steps)
        broken.before_all(run)
    for job in run.pipeline.jobs:
        run.begin(job)
        try:
            for steps in run.groups():
                do(term, run, steps, broken)
        except StepFailed as failed:
            lines = failed.printed.rstrip().splitlines()
            if len(lines) > SHOWN_LINES:
                term.note(f"… {len(lines) - SHOWN_LINES} lines before")
            for line in lines[-SHOWN_LINES:]:
                term.say(f"      {line}")
            term.say(f"\n{term.paint(f'{term.cross} {failed}', RED)}, step {failed.step.number or failed.step.name}")
            return 1
    for line in run.pushed():
        term.note(line)
    term.say(f"\n{term.tick} {run.repo} {run.sha[:8]} went through its pipeline in {time.monotonic() - began:.0f} s")
    return 0


def go(run: Run, last: int) -> None:
    """A run as far as that step of ADR-053."""
    for job in run.pipeline.jobs:
        run.begin(job)
        for step in job.steps:
            if (step.number or 0) > last:
                return
            run.do(step)


def do(term: Terminal, run: Run, steps: list[Step], broken: breaks.Break | None) -> None:
    """One step of ADR-053, or one that prepares."""
    name = steps[0].name
    with term.doing(name) as line:
        if broken and steps[0].number in broken.before:
            broken.before[steps[0].number](run)
        ran = [run.do(step) for step in steps]
        line.done = name if any(ran) else f"{name}: not needed here"


if __name__ == "__main__":
    sys.exit(main())
