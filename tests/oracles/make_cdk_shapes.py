"""Synthesises cdk_shapes/shapes.js with the pinned aws-cdk-lib and asks the gatekeeper which of the assemblies it takes.

Each goes through `gatekeeper collect` with the pinned cdk-assets, and what comes of it through the gate's own judgement
(`gatekeeper publish --dry-run`). Writes the table of the manual, docs/reference/cdk-shapes.md, prints every refusal with its
reasons, and ends with 1 where something is refused that is not one of the kinds that may be. Needs Node 20 or newer, npm's
registry and Rust.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs/reference/cdk-shapes.md"
HEAD = "<!-- Made by `tests/oracles/make_cdk_shapes.py`; `make oracles` makes it anew. -->\n"
SHA = "0f" * 20
OF_DEV = ["--stage", "dev", "--application", "bank"]

INTRODUCTION = """
# Shapes of CDK that go through

What teams build with CDK, synthesised by the real aws-cdk-lib {version} with the feature flags of
`cdk init`: {taken} of {all} shapes go through `gatekeeper collect` and the gate as they are. Each is
tried without `env`, and with the account and region of dev in it, which the
[portable form](../guides/templates.md#templates-that-name-dev-as-ssts-do) takes out.
"""


def run(*line: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    """Runs a command; its output is text."""
    return subprocess.run([str(it) for it in line], text=True, capture_output=True, check=False, **more)  # type: ignore[call-overload]


def synthesise(work: Path) -> list[dict[str, object]]:
    """Every shape as an assembly below `work/out`."""
    for file in ("shapes.js", "package.json"):
        shutil.copy(HERE / "cdk_shapes" / file, work)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=work, check=True)
    (work / "src").mkdir()
    for name, file, content in (("fn.zip", "index.js", "exports.handler = async () => 1\n"),
                                ("app.jar", "com/example/Handler.class", "none\n")):
        with zipfile.ZipFile(work / "src" / name, "w") as archive:
            entry = zipfile.ZipInfo(file)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    (work / "out").mkdir()
    made = run("node", "shapes.js", "out", cwd=work)
    if made.returncode != 0:
        sys.exit(made.stderr)
    return json.loads((work / "out/shapes.json").read_text())


def judged(gatekeeper: Path, assembly: Path, out: Path, of_dev: bool) -> list[str]:
    """Why an assembly is refused; nothing where it is taken."""
    shutil.rmtree(out, ignore_errors=True)
    line = [gatekeeper, "collect", assembly, "--module", "MOD-001", "--out", out, "--cdk-assets", ROOT / ".local/cdk-assets"]
    collected = run(*line, *(OF_DEV if of_dev else []))
    if collected.returncode != 0:
        said = collected.stderr.replace(str(assembly), "cdk.out").strip().splitlines()
        return [f"collect: {it.strip().removeprefix('error: ')}" for it in (said[1:] or said)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    publish = run(gatekeeper, "publish", out, "--repo", "bank", "--sha", SHA, "--branch", "main", "--dry-run", "--output", "json",
                  env=environment)
    if not publish.stdout.startswith("{"):
        sys.exit(f"{assembly.name}: {publish.stderr}")
    verdict = json.loads(publish.stdout)["verdict"]
    if verdict["outcome"] in ("registered", "built"):
        return []
    return [f"{it['code']}: {it['message']}" for it in verdict["reasons"]]


def main() -> None:
    """Writes the table, and tells what is refused that should not be."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--package=gatekeeper-cli", "--bin=gatekeeper"], cwd=ROOT, check=True)
    gatekeeper = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/gatekeeper"
    version = json.loads((HERE / "cdk_shapes/package.json").read_text())["dependencies"]["aws-cdk-lib"]
    rows: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="gatekeeper-shapes-") as folder:
        work = Path(folder)
        for shape in synthesise(work):
            title = str(shape["title"])
            row = rows.setdefault(title, {"may_be_refused": shape["may_be_refused"]})
            assembly = work / "out" / str(shape["folder"]) / str(shape["assembly"])
            row["of dev" if shape["of_dev"] else "agnostic"] = judged(gatekeeper, assembly, work / "commit", bool(shape["of_dev"]))
    wrong = 0
    lines = []
    for title, row in sorted(rows.items(), key=lambda it: (bool(it[1].get("agnostic") or it[1].get("of dev")), it[0].lower())):
        cells = []
        for which in ("agnostic", "of dev"):
            reasons = row.get(which)
            cells.append("—" if reasons is None else "refused" if reasons else "taken")
            for reason in reasons or []:
                print(f"{title} ({which}): {reason}")
            wrong += bool(reasons) and not row["may_be_refused"]
        lines.append(f"| {title} | {cells[0]} | {cells[1]} | {row['may_be_refused'] or ''} |")
    taken = sum(not any(row.get(which) for which in ("agnostic", "of dev")) for row in rows.values())
    table = "\n".join(["| shape | without `env` | with `env` | why it is refused, and what to do |", "|---|---|---|---|", *lines])
    PAGE.write_text(HEAD + INTRODUCTION.format(version=version, taken=taken, all=len(rows)) + "\n" + table + "\n")
    print(f"{taken} of {len(rows)} shapes are taken with and without `env`; {wrong} refusals should not be")
    sys.exit(min(wrong, 1))


if __name__ == "__main__":
    main()
