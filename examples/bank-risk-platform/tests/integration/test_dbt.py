"""Every dbt test as a case of this suite: what dbt's run_results.json says of it, counted one by one."""

from typing import Any

import pytest


def test_dbt(dbt_test: str, dbt_results: dict[str, dict[str, Any]]) -> None:
    result = dbt_results.get(dbt_test)
    assert result is not None, "dbt did not run it"
    if result["status"] == "skipped":
        pytest.skip(result["message"] or "skipped by dbt")
    assert result["status"] == "pass", result["message"]
