"""The example service as its CI sees it: a checkout of its own, builds, tests against live dev."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from database import DATABASE
from processes import Processes

REPO = "bank-payments"
SOURCE = Path(__file__).resolve().parent.parent / "examples" / "bank-payments"
NOT_SOURCE = ("node_modules", "dist", "build")  # as in its .gitignore


def checkout(folder: Path, *variants: str) -> Path:
    """A copy of the service's sources, so that a build leaves nothing in the repository; the packages stay where they are.

    With `variants`, the files that this later commit changes are in place.
    """
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    for variant in variants:
        shutil.copytree(SOURCE / "variants" / variant, folder, dirs_exist_ok=True)
    (folder / "node_modules").symlink_to(SOURCE / "node_modules")
    return folder


def tree_id(folder: Path) -> str:
    """The id that Git gives the sources (`git rev-parse HEAD:examples/bank-payments`): a commit of the demo has no history, so it goes by it."""
    entries = []
    for path in folder.iterdir():
        if path.name in NOT_SOURCE:
            continue
        if path.is_dir():
            # Git sorts a folder as if its name ended with a slash
            entries.append((path.name + "/", f"40000 {path.name}\0".encode() + bytes.fromhex(tree_id(path))))
        else:
            entries.append((path.name, f"100644 {path.name}\0".encode() + bytes.fromhex(git_id("blob", path.read_bytes()))))
    return git_id("tree", b"".join(entry for _, entry in sorted(entries)))


def git_id(kind: str, content: bytes) -> str:
    """The id of a Git object."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


class Build:
    """One commit of the service and the folder that it is built into."""

    def __init__(self, processes: Processes, source: Path, out: Path, environment: Mapping[str, str]) -> None:
        self.processes, self.source, self.out, self.environment = processes, source, out, environment
        self.sha = tree_id(source)

    @property
    def short(self) -> str:
        return self.sha[:8]

    @property
    def prefix(self) -> str:
        """Where it lies in the artefact store."""
        return f"{REPO}/{self.sha}"

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.out / "build-manifest.json").read_text())

    @property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The manifest's functions by name, each with its `module`."""
        return {of["name"]: {**of, "module": module["id"]} for module in self.manifest["modules"] for of in module["functions"]}

    @property
    def stacks(self) -> dict[str, str]:
        """The stacks' names and each one's module."""
        return {of["name"]: module["id"] for module in self.manifest["modules"] for of in module["stacks"]}

    @property
    def migrations(self) -> Path:
        """The folder of the database's migrations, in the sources."""
        return self.source / "db" / DATABASE / "migrations"

    @property
    def stored_migrations(self) -> list[str]:
        """Their paths below it, in the manifest's order."""
        return [of["file"] for module in self.manifest["modules"] for of in module.get("migrations", [])]

    @property
    def database_module(self) -> str:
        """The module that brings the database's migrations."""
        return next(module["id"] for module in self.manifest["modules"] if module.get("migrations"))

    def beside(self, name: str) -> Path:
        """A file beside the build folder, which isn't uploaded."""
        return self.out.with_name(f"{self.out.name}-{name}")

    def files(self) -> dict[str, bytes]:
        """Everything to upload by its key within the commit, the manifest last."""
        paths = sorted((path for path in self.out.rglob("*") if path.is_file()), key=lambda path: (path.name == "build-manifest.json", path))
        return {str(path.relative_to(self.out)): path.read_bytes() for path in paths}

    def node(self, *arguments: str | Path, environment: Mapping[str, str] | None = None, may_fail: bool = False) -> tuple[int, str]:
        """Runs one of the service's scripts; its exit code and what it printed."""
        return self.processes.run(["node", *arguments], self.source, {**self.environment, **(environment or {})}, may_fail)

    def make(self, *more: str | Path) -> float:
        """Builds, or completes what was built; the seconds that it took."""
        began = time.monotonic()
        self.node("build.mjs", "--out", self.out, "--sha", self.sha, "--repo", REPO, "--actor", "ci", *more)
        return time.monotonic() - began

    def test_integration(self, outputs: dict[str, str], deployed: list[dict[str, str]], access: Mapping[str, str]) -> dict[str, Any]:
        """Runs the integration tests against live dev; what they counted.

        `deployed` is the live code, read from Lambda; `access` the environment to reach AWS and the database with.
        """
        given = {name: self.beside(f"{name}.json") for name in ("outputs", "deployed", "results")}
        given["outputs"].write_text(json.dumps(outputs))
        given["deployed"].write_text(json.dumps(deployed))
        paths = [part for name, path in given.items() for part in (f"--{name}", path)]
        # RUN_INTEGRATION comes from the CI environment `dev` (ADR-053), which is us
        self.node("tests/run-integration.mjs", *paths, "--out", self.out, environment={**access, "RUN_INTEGRATION": "1"})
        return json.loads(given["results"].read_text())

    def complete(self, templates: dict[str, str]) -> None:
        """Adds to the manifest what the tests, `flyway validate` and the snapshot of dev's schema came to.

        `templates` are the digests of the templates that dev's stacks had meanwhile.
        """
        self.make("--integration", self.beside("results.json"), "--flyway", self.beside("flyway.json"), "--schema", self.beside("schema.sql"))
        manifest = self.manifest
        manifest["tests"]["integration"]["templates"] = [{"stack": stack, "sha256": sha256} for stack, sha256 in templates.items()]
        (self.out / "build-manifest.json").write_text(json.dumps(manifest))

    def take_over(self, other: Build) -> list[str]:
        """Takes another commit's finished build and puts this one's migrations in, told by their own digests; those that differ."""
        shutil.copytree(other.out, self.out)
        manifest, changed = {**other.manifest, "commit_sha": self.sha}, []
        for module in manifest["modules"]:
            for of in module.get("migrations", []):
                content = (self.migrations / of["file"]).read_bytes()
                (self.out / "modules" / module["id"] / "schema" / DATABASE / "migrations" / of["file"]).write_bytes(content)
                before, of["sha256"], of["size"] = of["sha256"], hashlib.sha256(content).hexdigest(), len(content)
                if of["sha256"] != before:
                    changed.append(of["file"])
        (self.out / "build-manifest.json").write_text(json.dumps(manifest))
        return changed

    def verify_deployment(self, outputs: dict[str, str], seconds: int) -> tuple[bool, list[dict[str, Any]]]:
        """The smoke test of ADR-053, CI step 13: whether it passed, and what it says of each URL."""
        path = self.beside("outputs.json")
        path.write_text(json.dumps(outputs))
        code, printed = self.node("tests/verify-deployment.mjs", "--outputs", path, "--sha", self.sha,
                                  "--deadline", str(seconds), may_fail=True)
        return code == 0, [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
