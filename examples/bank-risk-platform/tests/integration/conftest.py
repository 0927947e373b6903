"""The tests against dev's warehouse: they run with RUN_INTEGRATION=1 and are skipped without it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from risk import warehouse

Result = dict[str, Any]


def skip_if_no_warehouse() -> None:
    """ADR-053's guard, `skipIfNoSnowflake()`."""
    if os.environ.get("RUN_INTEGRATION") != "1":
        pytest.skip("RUN_INTEGRATION is not 1")


@pytest.fixture(autouse=True)
def guard() -> None:
    skip_if_no_warehouse()


@pytest.fixture
def marts(guard: None) -> Iterator[warehouse.Connection]:
    with warehouse.connect(read_only=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def dbt_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What `dbt test` said of each test, by its id."""
    skip_if_no_warehouse()
    target = tmp_path_factory.mktemp("target")
    # A process of its own: in this one dbt would keep the warehouse open. What failed is told by the results.
    subprocess.run(["dbt", "--quiet", "test", "--target-path", str(target)], check=False)
    results: list[Result] = json.loads((target / "run_results.json").read_text())["results"]
    return {result["unique_id"]: result for result in results}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A case for each dbt test of the manifest that was built, so that none vanishes silently."""
    if "dbt_test" in metafunc.fixturenames:
        manifest = json.loads(Path("target/manifest.json").read_text())
        tests = [id for id, node in manifest["nodes"].items() if node["resource_type"] == "test"] + list(manifest["unit_tests"])
        metafunc.parametrize("dbt_test", sorted(tests), ids=lambda id: id.split(".", 2)[2])
