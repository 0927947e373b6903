"""What real dbt writes: `manifest.json` and `run_results.json` of each version, for the tests of their readers.

Each version of VERSIONS is installed into a virtual environment of its own, and runs the project in `dbt/`, which has a node of each
kind, against DuckDB. What is kept is cut down to what a reader might look at: macros, documentation, paths, ids of
users and timings are taken out, and every member that is left is as dbt wrote it. `{version}/{case}.json` is
`{"manifest": …, "run_results": …}`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FIXTURES = ROOT / "shared/readers/src/dbt/fixtures"
VENVS = Path(os.environ.get("DBT_VENVS", ROOT / ".local/dbt"))
VERSIONS = {
    "1.8": ["dbt-core==1.8.10", "dbt-duckdb==1.8.4"],
    "1.9": ["dbt-core==1.9.11", "dbt-duckdb==1.9.6"],
    "1.10": ["dbt-core==1.10.23", "dbt-duckdb==1.10.1"],
    "1.11": ["dbt-core==1.11.16", "dbt-duckdb==1.11.1"],
    "1.12": ["dbt-core==1.11.16", "dbt-duckdb==1.11.1", "python-dotenv", "metricflow<1.0,>=0.213.0"],
}
# 1.12 wants a parser beside the others whose package downloads a program, as dbt 2 does; without it everything here runs.
WITHOUT_DEPENDENCIES = {"1.12": ["dbt-core==1.12.6"]}
BUILD = ["build", "--target", "dev"]
# The commands of a case, the last of which may fail; a fresh project and an empty warehouse for each.
CASES = {
    "parse": [["parse"]],
    "compile": [["compile"]],
    "build": [BUILD],
    "ls": [BUILD, ["ls"]],
    "failed": [[*BUILD, "--vars", "divisor: 0"]],
    "warned": [[*BUILD, "--vars", "least: 150"]],
    "selected": [[*BUILD, "--select", "+staged"]],
    "excluded": [[*BUILD, "--exclude", "in_python"]],
    "uat": [["build", "--target", "uat"]],
    "promoted": [["build", "--target", "uat"]],
    "untold": [["build"]],
    "empty": [[*BUILD, "--empty"]],
    "full_refresh": [[*BUILD, "--full-refresh"]],
    "run": [["seed"], ["run", "--target", "dev"]],
    "test": [BUILD, ["test", "--target", "dev"]],
    "types": [[*BUILD, "--exclude-resource-type", "test"]],
    "retried": [[*BUILD, "--vars", "divisor: 0"], ["retry", "--target", "dev", "--vars", "divisor: 1"]],
    "second": [BUILD, BUILD],
    "deferred": [BUILD, [*BUILD, "--defer", "--state", "state", "--favor-state"]],
    "sampled": [[*BUILD, "--sample", "3 days"]],
    "stored": [[*BUILD, "--store-failures", "--vars", "least: 150"]],
}
# What a runner sets for its part of a promotion, as the lease file tells it.
ENVIRONMENT = {"promoted": {"DBT_ENV_CUSTOM_ENV_GATEKEEPER_PROMOTION": "01J0000000000000000000000A"}}
# What an older version's readers need to be shown; the others differ by their arguments alone.
OLD = ["parse", "compile", "build", "ls", "failed"]
NODE = [
    "resource_type", "name", "unique_id", "package_name", "language", "database", "schema", "alias", "identifier", "relation_name",
    "raw_code", "compiled", "compiled_code", "depends_on", "source_name", "loader", "quoting", "test_metadata", "overrides",
    "version", "access", "versions", "enabled",
]
CONFIG = ["enabled", "materialized", "severity", "store_failures", "database", "schema"]
RESULT = ["status", "unique_id", "message", "failures", "compiled", "compiled_code", "relation_name", "batch_results"]


# What dbt writes behind a Python model is dbt's own code, and nobody's business here.
PYTHON_OF_DBT = "\n\n\n# This part is user provided model code"


def only(names, of):
    kept = {name: of[name] for name in names if name in of}
    if isinstance(kept.get("compiled_code"), str):
        kept["compiled_code"] = kept["compiled_code"].split(PYTHON_OF_DBT)[0]
    return kept


def small(node):
    kept = only(NODE, node)
    if isinstance(node.get("config"), dict):
        kept["config"] = only(CONFIG, node["config"])
    return kept


def manifest(document):
    kept = {"metadata": {**document["metadata"], "user_id": None, "project_id": "0" * 32}}
    for kind, nodes in document.items():
        if kind in ("nodes", "sources", "unit_tests", "exposures", "metrics", "semantic_models", "saved_queries", "functions"):
            kept[kind] = {name: small(node) for name, node in (nodes or {}).items()}
        elif kind == "disabled":
            kept[kind] = {name: [small(node) for node in nodes] for name, nodes in (nodes or {}).items()}
        elif kind != "metadata":
            kept[kind] = type(nodes)() if nodes is not None else None
    return kept


def run_results(document):
    kept = dict(document)
    kept["results"] = [only(RESULT, result) for result in document["results"]]
    kept["args"] = {name: value for name, value in document.get("args", {}).items() if "dir" not in name and "path" not in name}
    return kept


def plain(text, folder):
    """Without this machine's paths."""
    return text.replace(str(folder), "/project").replace(os.path.realpath(folder), "/project").replace(str(Path.home()), "/home")


def installed(version):
    venv = VENVS / version
    if not (venv / "bin/dbt").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        pip = [venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *VERSIONS[version]], check=True)
        if version in WITHOUT_DEPENDENCIES:
            subprocess.run([*pip, "--no-deps", *WITHOUT_DEPENDENCIES[version]], check=True)
    return venv / "bin/dbt"


def case(dbt, commands, into):
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(HERE / "dbt", project)
        environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1", "DBT_PROFILES_DIR": str(project), **ENVIRONMENT.get(into.stem, {})}
        for number, command in enumerate(commands):
            done = subprocess.run([dbt, *command], cwd=project, env=environment, capture_output=True, text=True)
            if number + 1 < len(commands):
                shutil.copytree(project / "target", project / "state", dirs_exist_ok=True)
        if not (project / "target/manifest.json").exists():
            print(f"   no manifest: {done.stdout[-600:]}{done.stderr[-600:]}")
            return
        both = {"manifest": manifest(json.loads((project / "target/manifest.json").read_text()))}
        results = project / "target/run_results.json"
        if results.exists():
            both["run_results"] = run_results(json.loads(results.read_text()))
        text = plain(json.dumps(both, indent=1, ensure_ascii=False), project)
        assert not re.search(r"/tmp/|/root/", text), re.findall(r".{40}(?:/tmp/|/root/).{40}", text)
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_text(text + "\n")
        print(f"   {into.name}: ends {done.returncode}, {len(text) // 1024} KiB")


def main():
    versions = sys.argv[1:] or list(VERSIONS)
    for version in versions:
        print(f"-- dbt {version}")
        dbt = installed(version)
        shutil.rmtree(FIXTURES / version, ignore_errors=True)
        for name, commands in CASES.items():
            if name in OLD or version == "1.11":
                case(dbt, commands, FIXTURES / version / f"{name}.json")


if __name__ == "__main__":
    main()
