"""Lays the build folder out as the artefact store wants it: dbt's compiled manifest, the results of the build that wrote it, and
what the build says of itself.

usage: python -m risk.build FOLDER [--built]      --built: `dbt build` ran last, so its results are stored too
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

MODULE = Path("module.json")
COMPILED = Path("target/manifest.json")
RESULTS = Path("target/run_results.json")
COVERAGE = "unit.lcov"


def describe(document: dict[str, Any], module: dict[str, Any], *, coverage: bool) -> dict[str, Any]:
    """The build's document with its module, its policies and its coverage report; all else in it is kept."""
    tests = document.get("tests", {})
    policy = {**tests.get("policy", {}), "policies_satisfied": module["policies_satisfied"]}
    described = {**document, "modules": [{"id": module["id"]}], "tests": {**tests, "policy": policy}}
    if coverage:
        described["reports"] = [{"suite": "unit", "format": "lcov", "file": COVERAGE}]
    return described


def build(folder: Path, *, built: bool = False) -> Path:
    """Copies the manifest, and of a build its results, and writes the document; where the manifest lies then."""
    module: dict[str, Any] = json.loads(MODULE.read_text())
    artefact = folder / "modules" / str(module["id"]) / "dbt" / "manifest.json"
    artefact.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(COMPILED, artefact)
    results = artefact.with_name("run_results.json")
    if built:
        shutil.copyfile(RESULTS, results)
    else:
        # Those of an earlier build are of another manifest.
        results.unlink(missing_ok=True)
    file = folder / "build-manifest.json"
    document = json.loads(file.read_text()) if file.exists() else {}
    described = describe(document, module, coverage=(folder / "reports" / COVERAGE).exists())
    file.write_text(json.dumps(described, indent=2) + "\n")
    return artefact


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), built="--built" in sys.argv[2:]))
