"""The warehouse: DuckDB here, in Snowflake's place."""

import os
from pathlib import Path

import duckdb


def path() -> Path:
    """Where it lies; the same variable as in profiles.yml."""
    return Path(os.environ.get("RISK_WAREHOUSE", "build/dev.duckdb"))


def connect(*, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Opens it; it is made where it is missing and may be written."""
    file = path()
    if not read_only:
        file.parent.mkdir(parents=True, exist_ok=True)
    return duckdb.connect(str(file), read_only=read_only)
