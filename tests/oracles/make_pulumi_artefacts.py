"""What a real Pulumi writes: histories, states, previews and plans, for the tests of their readers.

The engine is what infra/local/setup_pulumi.sh builds, the SDK is npm's, and the provider in `pulumi/` makes nothing. Each
case has its own program, backend and commit. `{engine}/{case}/` holds what is left of it, as Pulumi wrote it but for this
machine's paths and who ran it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FIXTURES = ROOT / "shared/readers/src/pulumi/fixtures"
PULUMI = Path(os.environ.get("PULUMI_BIN", ROOT / ".local/pulumi/bin"))
SDK = Path(os.environ.get("PULUMI_SDK", ROOT / ".local/pulumi-sdk"))
SECRET = "correct-horse-battery"
STACK = "dev"


def installed():
    if not (SDK / "node_modules/@pulumi/pulumi").exists():
        SDK.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "pulumi/package.json", SDK)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=SDK, check=True)


class Program:
    def __init__(self, folder, **environment):
        self.folder = Path(folder) / "program"
        self.backend = Path(folder) / "backend"
        self.backend.mkdir()
        shutil.copytree(HERE / "pulumi", self.folder)
        (self.folder / "node_modules").symlink_to(SDK / "node_modules")
        plugins = Path(folder) / "plugins"
        plugins.mkdir()
        provider = plugins / "pulumi-resource-aws"
        provider.write_text(f"#!/bin/sh\nNODE_PATH={SDK}/node_modules exec node {self.folder}/provider.cjs \"$@\"\n")
        provider.chmod(0o755)
        self.environment = {
            "PATH": f"{plugins}:{PULUMI}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PULUMI_HOME": str(Path(folder) / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE": "no secret of anybody's",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DISABLE_CI_DETECTION": "true",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **environment,
        }
        git = ["git", "-c", "user.name=CI", "-c", "user.email=ci@bank.example"]
        (self.folder / ".gitignore").write_text("node_modules\nPulumi.*.yaml\nplan.json\n")
        for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "the program"]):
            subprocess.run([*git, *command], cwd=self.folder, check=True, env=self.environment)
        self.run("stack", "init", STACK)
        self.run("config", "set", "--secret", "password", SECRET)

    def start(self, *arguments):
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"], cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )

    def run(self, *arguments, ends=0):
        started = self.start(*arguments)
        out, err = started.communicate(timeout=300)
        assert started.returncode == ends, (arguments, started.returncode, out[-3000:], err[-3000:])
        return out

    def shape(self, shape):
        self.run("config", "set", "shape", shape)

    def up(self, message, ends=0, *arguments):
        return self.run("up", "--yes", "--skip-preview", "--message", message, *arguments, ends=ends)

    def keep(self, into, **more):
        into.mkdir(parents=True, exist_ok=True)
        history = sorted(it for it in (self.backend / ".pulumi/history/bank-platform" / STACK).glob("*") if it.suffix != ".attrs")
        for kind in ("history", "checkpoint"):
            newest = [it for it in history if f".{kind}.json" in it.name]
            if newest:
                end = newest[-1].name.split(f".{kind}.")[1]
                shutil.copy(newest[-1], into / f"{kind}.{end}")
                print(f"      {newest[-1].name}")
        for state in (self.backend / ".pulumi/stacks/bank-platform").glob(f"{STACK}.json*"):
            if state.suffix not in (".bak", ".attrs"):
                shutil.copy(state, into / state.name.replace(STACK, "state"))
        (into / "listed.json").write_text(self.run("stack", "history", "--json", "--page-size", "1"))
        for name, text in more.items():
            (into / f"{name}.json").write_text(text)
        for kept in into.iterdir():
            if kept.suffix != ".json":
                continue
            text = kept.read_text().replace(str(self.folder), "/program").replace(str(Path(self.folder).parent), "/folder")
            text = re.sub(r"project:///\.\./[^\"]*?/node_modules", "project:///node_modules", text)
            assert SECRET not in text, f"{kept} tells the secret"
            kept.write_text(text if text.endswith("\n") or kept.name in ("state.json", "checkpoint.json") else text + "\n")


def looked(into):
    """What refreshes that only look print: nothing differs, a setting and a resource do, and one that could not look."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        program = Program(folder)
        program.shape("first")
        program.up("looked at")
        for name, meets, ends in (("same", "", 0), ("drifted", "drift", 0), ("denied", "denial", 1)):
            program.environment["ORACLE_MEETS"] = meets
            printed = program.run("refresh", "--preview-only", "--json", ends=ends)
            told = json.loads(printed)
            told["steps"] = told.get("steps", [])[:2]  # all are alike
            (into / f"{name}.json").write_text(json.dumps(told, indent=1).replace(str(folder), "/folder").replace(str(SDK), "/sdk") + "\n")


def planned(program):
    """A preview as JSON, and the plan that is kept; both of the same changes."""
    preview = program.run("preview", "--json")
    program.run("preview", "--save-plan", "plan.json")
    return {"preview": preview, "plan": (program.folder / "plan.json").read_text()}


def main():
    installed()
    engine = subprocess.run([PULUMI / "pulumi", "version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")
    into = FIXTURES / engine
    shutil.rmtree(into, ignore_errors=True)
    print(f"-- Pulumi {engine}")
    with tempfile.TemporaryDirectory() as folder:
        program = Program(folder)
        program.shape("first")
        print("   first"), sys.stdout.flush()
        before = planned(program)
        program.up("promotion 01J0000000000000000000000A")
        program.keep(into / "first", **before)
        print("   same")
        before = planned(program)
        program.up("nothing to do")
        program.keep(into / "same", **before)
        print("   changed")
        program.shape("second")
        before = planned(program)
        program.up("the second", 0, "--plan", "plan.json")
        program.keep(into / "changed", **before)
        print("   refreshed")
        program.run("refresh", "--yes", "--skip-preview")
        program.keep(into / "refreshed")
        print("   failed")
        program.shape("failing")
        program.up("one that fails", 1)
        program.keep(into / "failed")
        print("   dirty")
        program.shape("second")
        (program.folder / "index.js").open("a").write("// changed\n")
        program.up("from a changed folder")
        program.keep(into / "dirty")
        print("   edited")
        urn = "urn:pulumi:dev::bank-platform::aws:iam/role:Role::reader"
        program.run("state", "delete", "--yes", urn)
        program.keep(into / "edited")
        print("   killed")
        program.shape("hanging")
        started = program.start("up", "--yes", "--skip-preview")
        state = program.backend / f".pulumi/stacks/bank-platform/{STACK}.json"
        ends = time.monotonic() + 60
        while '"pending_operations"' not in state.read_text() and time.monotonic() < ends:
            time.sleep(0.1)
        os.killpg(started.pid, signal.SIGKILL)
        program.keep(into / "killed")
    print("   looked")
    looked(into / "looked")
    with tempfile.TemporaryDirectory() as folder:
        print("   packed")
        program = Program(folder, PULUMI_DIY_BACKEND_GZIP="true")
        program.shape("first")
        program.up("packed")
        program.keep(into / "packed")


if __name__ == "__main__":
    main()
