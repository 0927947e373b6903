"""POL-021: personal data does not leave the staging layer."""

import re
from typing import Any

import pytest


@pytest.mark.parametrize("policy", ["POL-021"])
def test_no_mart_reads_a_column_with_personal_data(policy: str, models: list[dict[str, Any]]) -> None:
    personal = {
        name
        for model in models
        for name, column in model["columns"].items()
        if column["config"].get("meta", {}).get("personal_data")
    }
    assert personal, "no column is marked: the test would say nothing"
    marts = [model for model in models if model["schema"] == "marts"]
    assert marts
    reads = {model["name"]: re.sub(r"--.*", "", model["raw_code"]) for model in marts}
    leaks = {(mart, column) for mart, sql in reads.items() for column in personal if re.search(rf"\b{column}\b", sql)}
    assert not leaks, policy
    everything = [mart for mart, sql in reads.items() if re.search(r"\bselect\s+(\w+\.)?\*|,\s*(\w+\.)?\*", sql, re.IGNORECASE)]
    assert not everything, "`*` may be such a column"
