import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from risk import snowflake, warehouse
from risk.definitions import Column, changes, wanted
from risk.load import literal

LEDGER = "DEFINE SCHEMA raw;\nDEFINE TABLE raw.ledger (id VARCHAR NOT NULL, amount BIGINT, booked_on DATE);\n"
Row = tuple[str, ...]
SCHEMATA: list[Row] = [("RAW",), ("PUBLIC",), ("INFORMATION_SCHEMA",)]
COLUMNS: list[Row] = [("RAW", "LEDGER", "ID", "TEXT", "NO"), ("RAW", "LEDGER", "AMOUNT", "NUMBER", "YES"), ("RAW", "LEDGER", "BOOKED_ON", "DATE", "YES")]


class Answers:
    """A connection that answers what Snowflake would."""

    def __init__(self, columns: list[Row]) -> None:
        self.columns = columns

    def execute(self, query: str) -> Any:
        self.rows = SCHEMATA if "FROM information_schema.schemata" in query else self.columns
        return self

    def fetchall(self) -> list[Row]:
        return self.rows


def test_what_is_there_is_told_as_definitions_write_it() -> None:
    ledger = (Column("id", "VARCHAR", False), Column("amount", "BIGINT", True), Column("booked_on", "DATE", True))
    assert snowflake.live(Answers(COLUMNS)) == {"raw": {"ledger": ledger}}


def test_nothing_has_to_change_where_snowflake_has_what_is_defined() -> None:
    want, statements = wanted({"raw.sql": LEDGER})
    assert changes(want, statements, snowflake.live(Answers(COLUMNS))) == []
    assert changes(want, statements, snowflake.live(Answers(COLUMNS[:2]))) == ["ALTER TABLE raw.ledger ADD COLUMN booked_on DATE"]


def test_a_cell_is_a_literal() -> None:
    assert [literal(""), literal("12"), literal("O'Brien")] == ["NULL", "'12'", "'O''Brien'"]
    with pytest.raises(ValueError, match="backslash"):
        literal("a\\b")


class Connector(ModuleType):
    """Snowflake's package with a connector that only keeps what it is given."""

    def __init__(self) -> None:
        super().__init__("snowflake")
        self.given: dict[str, Any] = {}
        self.said: list[str] = []
        self.connector = SimpleNamespace(connect=self.connect, errors=SimpleNamespace(Error=KeyError))

    def connect(self, **given: Any) -> Any:
        self.given = given
        cursor = SimpleNamespace(execute=lambda query, parameters: self.said.append(query))
        return SimpleNamespace(cursor=lambda: cursor, close=lambda: self.said.append("closed"))


@pytest.fixture
def connector(monkeypatch: pytest.MonkeyPatch) -> Connector:
    module = Connector()
    monkeypatch.setitem(sys.modules, "snowflake", module)
    for name in ("SNOWFLAKE_HOST", "RISK_TARGET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"RISK_ADAPTER": "snowflake", "SNOWFLAKE_ACCOUNT": "bank", "SNOWFLAKE_USER": "ci"}.items():
        monkeypatch.setenv(name, value)
    return module


def test_the_warehouse_is_devs_database_of_the_account(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    with warehouse.connect() as connection, warehouse.transaction(connection):
        connection.execute("CREATE SCHEMA raw")
    assert {name: connector.given[name] for name in ("account", "user", "database", "schema")} == {
        "account": "bank", "user": "ci", "database": "RISK_DEV", "schema": "PUBLIC",
    }
    assert "host" not in connector.given and connector.said == ["CREATE SCHEMA raw", "closed"]
    monkeypatch.setenv("SNOWFLAKE_HOST", "127.0.0.1")
    monkeypatch.setenv("SNOWFLAKE_PORT", "8765")
    with warehouse.connect():
        assert (connector.given["host"], connector.given["port"]) == ("127.0.0.1", 8765)


def test_what_it_raises_is_known(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    assert warehouse.errors() == (KeyError,)
    monkeypatch.delenv("RISK_ADAPTER")
    assert [error.__name__ for error in warehouse.errors()] == ["Error"]
