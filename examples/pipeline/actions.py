"""What stands in for the actions that the workflows use, on a machine where the tools lie in `.local` and AWS is a local one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import boto3

from dev import Dev
from stacks import ENVIRONMENT, PLUGINS, PULUMI
from workflow import ROOT, Job, WorkflowError

TOOLS = ROOT / ".local"
GATEKEEPER = ROOT / "target" / "debug"
Inputs = dict[str, str]


class Run(Protocol):
    """What an action gets to do with: the interpreter's job (run.py), or one of act's (act_action.py)."""

    folder: Path
    origin: Path
    sha: str
    workspace: Path
    handed_over: Path
    job: Job
    dev: Dev

    def tool(self, *command: str | Path, cwd: Path) -> str: ...
    def set_env(self, variables: Mapping[str, str]) -> None: ...
    def add_path(self, *folders: Path) -> None: ...
    def hide(self, *values: str) -> None: ...


def checkout(run: Run, given: Inputs) -> str:
    """The commit that was pushed, from its origin; the gatekeeper's own code is here already."""
    if given.get("path") == ".gatekeeper":
        return "the gatekeeper of this working folder"
    if set(given) - {"fetch-depth"} != {"persist-credentials"} or given["persist-credentials"] != "false":
        raise WorkflowError(f"actions/checkout with {sorted(given)} has no equivalent here")
    # The branch at the commit of the push, whatever was pushed since.
    run.tool("git", "clone", "--quiet", "--no-checkout", f"file://{run.origin}", run.workspace, cwd=run.folder)
    run.tool("git", "checkout", "--quiet", "-B", "main", run.sha, cwd=run.workspace)
    if given.get("fetch-depth") != "0":
        (run.workspace / ".git" / "shallow").write_text(f"{run.sha}\n")
    return ""


def upload(run: Run, given: Inputs) -> str:
    """A folder, or files of one, kept for the jobs behind; as there, nothing is left of their modes."""
    sources, target = [run.workspace / path for path in given["path"].split()], run.handed_over / given["name"]
    if missing := [str(source) for source in sources if not source.exists()]:
        raise WorkflowError(f"{missing}, which are to be handed over, are not there")
    if len(sources) == 1 and sources[0].is_dir():
        shutil.copytree(sources[0], target, copy_function=shutil.copyfile)
        return ""
    target.mkdir(parents=True)
    for source in sources:
        shutil.copyfile(source, target / source.name)
    return ""


def download(run: Run, given: Inputs) -> str:
    """What an earlier job handed over."""
    shutil.copytree(run.handed_over / given["name"], run.workspace / given["path"], copy_function=shutil.copyfile, dirs_exist_ok=True)
    return ""


def setup_gatekeeper(run: Run, given: Inputs) -> str:
    """The command of this working folder; with databases the tools of `make tools`."""
    run.add_path(GATEKEEPER)
    if given.get("databases") == "true":
        run.add_path(TOOLS / "flyway", TOOLS / "postgresql")
    return ""


def setup_node(run: Run, _: Inputs) -> str:
    """The machine's Node.js."""
    run.add_path(Path(found("node")).parent)
    return ""


def setup_python(run: Run, _: Inputs) -> str:
    """A Python with what the checkout's requirements.txt pins, made by the example's setup.sh; with Snowflake the one of setup_snowflake.sh."""
    if run.dev.snowflake is not None:
        run.add_path(TOOLS / "snowflake" / "bin")
        return ""
    run.tool("bash", run.workspace / "setup.sh", TOOLS / "python", cwd=run.workspace)
    run.add_path(TOOLS / "python" / "bin")
    return ""


def setup_pnpm(run: Run, _: Inputs) -> str:
    """The pnpm of infra/local/setup_npm.sh, which must be the one that the checkout asks for."""
    run.add_path(TOOLS / "pnpm" / "node_modules" / ".bin")
    run.set_env({"npm_config_store_dir": str(TOOLS / "pnpm-store")})
    return ""


def setup_pulumi(run: Run, given: Inputs | None) -> str:
    """The Pulumi that infra/local/setup_pulumi.sh built, which must be the version that is asked for; a quick run has none."""
    if run.dev.stacks is None:
        return ""
    run.add_path(PULUMI, PLUGINS)
    run.set_env(ENVIRONMENT)
    version = run.tool("pulumi", "version", cwd=run.folder).strip()
    if given is not None and version != f"v{given['pulumi-version']}":
        raise WorkflowError(f"pulumi/actions is asked for {given['pulumi-version']}, and infra/local/setup_pulumi.sh built {version}")
    return version


def credentials(run: Run, given: Inputs) -> str:
    """The role's, from the local AWS, whose administrator stands in for GitHub's OIDC provider."""
    if run.job.permissions.get("id-token") != "write":
        raise WorkflowError("a role is assumed with an OIDC token: the job needs `id-token: write`")
    if set(given) - {"role-to-assume", "aws-region", "unset-current-credentials", "role-session-name"}:
        raise WorkflowError(f"aws-actions/configure-aws-credentials with {sorted(given)} has no equivalent here")
    if given["role-to-assume"] not in run.dev.settings(run.job.environment)[0].values():
        raise WorkflowError(f"AWS knows jobs by their environment, and `{run.job.environment}` does not name `{given['role-to-assume']}`")
    outputs = run.dev.outputs
    sts = boto3.client("sts", endpoint_url=outputs["Endpoint"], region_name=given["aws-region"],
                       aws_access_key_id=outputs["AccessKeyId"], aws_secret_access_key=outputs["SecretAccessKey"])
    got = sts.assume_role(RoleArn=given["role-to-assume"], RoleSessionName="GitHubActions")["Credentials"]
    run.hide(got["SecretAccessKey"], got["SessionToken"])
    run.set_env({"AWS_ACCESS_KEY_ID": got["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"], "AWS_SESSION_TOKEN": got["SessionToken"],
                 "AWS_REGION": given["aws-region"], "AWS_DEFAULT_REGION": given["aws-region"]})
    return ""


def attest(run: Run, given: Inputs) -> str:
    """Who built it, which GitHub's own identity provider vouches for."""
    raise WorkflowError("nobody here can sign as GitHub: what follows from an attestation, tests/provenance.rs tries")


def found(program: str) -> str:
    """A program's path."""
    path = shutil.which(program)
    if path is None:
        raise WorkflowError(f"`{program}` is missing")
    return path


EQUIVALENTS: dict[str, Callable[[Run, Inputs], str]] = {
    "actions/attest": attest,
    "actions/checkout": checkout,
    "actions/upload-artifact": upload,
    "actions/download-artifact": download,
    "actions/setup-node": setup_node,
    "actions/setup-python": setup_python,
    "pnpm/action-setup": setup_pnpm,
    "pulumi/actions": setup_pulumi,
    "aws-actions/configure-aws-credentials": credentials,
    "./.gatekeeper/.github/actions/setup-gatekeeper": setup_gatekeeper,
}


def use(run: Run, action: str, given: Inputs) -> str:
    """Does what an action does, or says that there is no equivalent; what was printed."""
    name = action.split("@")[0]
    if name not in EQUIVALENTS:
        raise WorkflowError(f"`{action}` has no equivalent here: add one to examples/pipeline/actions.py")
    return EQUIVALENTS[name](run, given)
