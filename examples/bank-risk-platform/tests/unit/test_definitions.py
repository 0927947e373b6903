import duckdb
import pytest

from risk.definitions import NotPossible, changes, live, wanted

LEDGER = "DEFINE SCHEMA raw; DEFINE TABLE raw.ledger (id VARCHAR NOT NULL, amount BIGINT);".replace("; ", ";\n")


def plan(definitions: str, database: str = "") -> list[str]:
    connection = duckdb.connect(":memory:")
    connection.execute(database or "SELECT 1")
    return changes(*wanted({"raw.sql": definitions}), live(connection))


def test_an_empty_database_gets_everything() -> None:
    assert plan(LEDGER) == ["CREATE SCHEMA raw", "CREATE TABLE raw.ledger (id VARCHAR NOT NULL, amount BIGINT)"]


def test_a_plan_that_was_deployed_leaves_nothing_to_do() -> None:
    assert plan(LEDGER, ";".join(plan(LEDGER))) == []


def test_a_new_column_is_added() -> None:
    wider = LEDGER.replace("BIGINT", "BIGINT, as_of DATE")
    assert plan(wider, ";".join(plan(LEDGER))) == ["ALTER TABLE raw.ledger ADD COLUMN as_of DATE"]


@pytest.mark.parametrize(
    ("definitions", "why"),
    [
        (LEDGER.replace(", amount BIGINT", ""), "column `amount` of `raw.ledger` is in no definition any more"),
        (LEDGER.replace("BIGINT", "INTEGER"), "column `amount` of `raw.ledger` is `BIGINT` and shall be `INTEGER`"),
        (LEDGER.replace("BIGINT", "BIGINT NOT NULL"), "column `amount` of `raw.ledger` is `BIGINT` and shall be `BIGINT NOT NULL`"),
        (LEDGER.replace("BIGINT", "BIGINT, as_of DATE NOT NULL"), "column `as_of` of `raw.ledger` is new and `NOT NULL`"),
        (LEDGER.replace("raw.ledger", "raw.journal"), "`raw.ledger` is in no definition any more"),
    ],
)
def test_what_would_lose_data_is_not_planned(definitions: str, why: str) -> None:
    with pytest.raises(NotPossible) as refused:
        plan(definitions, ";".join(plan(LEDGER)))
    assert why in str(refused.value)


def test_schemas_that_no_definition_names_are_let_alone() -> None:
    marts = "CREATE SCHEMA marts; CREATE TABLE marts.large_exposures (id VARCHAR);"
    assert plan(LEDGER, marts + ";".join(plan(LEDGER))) == []


@pytest.mark.parametrize(
    "definitions", ["DROP TABLE raw.ledger", "DEFINE SCHEMA raw;\nDEFINE VIEW raw.v AS SELECT 1", "DEFINE TABLE raw.ledger (id)", "DEFINE"]
)
def test_other_statements_are_refused(definitions: str) -> None:
    with pytest.raises(NotPossible, match="`raw.sql`"):
        wanted({"raw.sql": definitions})
