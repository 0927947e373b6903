"""The warehouse: Snowflake where RISK_ADAPTER says so, and else DuckDB in its place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import duckdb

from risk import definitions


class Rows(Protocol):
    """What a statement answers."""

    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """A warehouse that is open."""

    def execute(self, query: str, parameters: Any = ..., /) -> Rows: ...

    def __enter__(self) -> "Connection": ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> Any: ...


def is_snowflake() -> bool:
    """Whether it is Snowflake."""
    return os.environ.get("RISK_ADAPTER") == "snowflake"


def path() -> Path:
    """Where DuckDB's lies; the same variable as in profiles.yml."""
    return Path(os.environ.get("RISK_WAREHOUSE", "build/dev.duckdb"))


def connect(*, read_only: bool = False) -> Connection:
    """Opens the one of RISK_TARGET, else dev's; DuckDB's is made where it is missing and may be written."""
    if is_snowflake():
        from risk import snowflake

        return snowflake.connect(f"RISK_{os.environ.get('RISK_TARGET', 'dev').upper()}")
    file = path()
    if not read_only:
        file.parent.mkdir(parents=True, exist_ok=True)
    return duckdb.connect(str(file), read_only=read_only)


def live(connection: Connection) -> definitions.Schemas:
    """The schemas that it has, without its own ones."""
    if isinstance(connection, duckdb.DuckDBPyConnection):
        return definitions.live(connection)
    from risk import snowflake

    return snowflake.live(connection)


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """What is executed meanwhile happens wholly or not at all. Snowflake commits each definition as it comes, whatever is begun."""
    if is_snowflake():
        yield
        return
    connection.execute("BEGIN")
    yield
    connection.execute("COMMIT")


def errors() -> tuple[type[Exception], ...]:
    """What it raises."""
    if is_snowflake():
        from snowflake import connector

        return (connector.errors.Error,)
    return (duckdb.Error,)
