"""What the non-dbt DDL shall be (`dcm/*.sql`), and what has to change for it: the pure part of DCM."""

import re
from dataclasses import dataclass

import duckdb

# `DEFINE` is Snowflake's word in DCM definitions; DuckDB knows the rest of the statement.
_DEFINE = re.compile(r"^DEFINE (?=SCHEMA |TABLE )", re.MULTILINE)


class NotPossible(Exception):
    """Definitions that can't be read, or a change that would lose data."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    nullable: bool


# The columns of each table of each schema.
Tables = dict[str, tuple[Column, ...]]
Schemas = dict[str, Tables]


def wanted(texts: dict[str, str]) -> tuple[Schemas, dict[str, str]]:
    """The schemas that the definitions make, by their files' names, and the statement of each table.

    DuckDB itself makes them, in memory: nothing here guesses what a statement means.
    """
    empty = duckdb.connect(":memory:")
    statements: dict[str, str] = {}
    for file, text in sorted(texts.items()):
        try:
            parsed = duckdb.extract_statements(_DEFINE.sub("CREATE ", text))
            for statement in parsed:
                before = {f"{schema}.{table}" for schema, tables in live(empty).items() for table in tables}
                sql = statement.query.strip().rstrip(";")
                if not re.search(r"^CREATE (SCHEMA|TABLE) \w", sql, re.MULTILINE):
                    raise NotPossible(f"`{file}` holds another statement than `DEFINE SCHEMA` and `DEFINE TABLE`: {sql[:80]}")
                empty.execute(sql)
                made = {f"{schema}.{table}" for schema, tables in live(empty).items() for table in tables} - before
                statements |= {name: sql[sql.index("CREATE ") :] for name in made}
        except duckdb.Error as error:
            raise NotPossible(f"`{file}` is no definition: {error}") from error
    return live(empty), statements


def live(connection: duckdb.DuckDBPyConnection) -> Schemas:
    """The schemas of a database, without its own ones."""
    schemas: Schemas = {
        name: {}
        for (name,) in connection.execute(
            "SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database() AND NOT internal "
            "AND schema_name <> 'main'"
        ).fetchall()
    }
    columns = connection.execute(
        "SELECT schema_name, table_name, column_name, data_type, is_nullable FROM duckdb_columns() "
        "JOIN duckdb_tables() USING (database_name, schema_name, table_name) "
        "WHERE database_name = current_database() ORDER BY column_index"
    ).fetchall()
    for schema, table, name, kind, nullable in columns:
        if schema in schemas:
            tables = schemas[schema]
            tables[table] = (*tables.get(table, ()), Column(name, kind, bool(nullable)))
    return schemas


def changes(want: Schemas, statements: dict[str, str], have: Schemas) -> list[str]:
    """The statements that bring the database to the definitions, in order.

    Schemas that no definition names are others' (dbt's), and are let alone. What would lose data is not planned: it is a
    decision, and is made by hand.
    """
    plan: list[str] = []
    lost: list[str] = []
    for schema, tables in sorted(want.items()):
        if schema not in have:
            plan.append(f"CREATE SCHEMA {schema}")
        present = have.get(schema, {})
        lost += [f"`{schema}.{table}` is in no definition any more" for table in sorted(present.keys() - tables.keys())]
        for table, columns in sorted(tables.items()):
            name = f"{schema}.{table}"
            if table not in present:
                plan.append(statements[name])
                continue
            was = {column.name: column for column in present[table]}
            lost += [f"column `{gone}` of `{name}` is in no definition any more" for gone in was if gone not in {it.name for it in columns}]
            for column in columns:
                if column.name not in was and column.nullable:
                    plan.append(f"ALTER TABLE {name} ADD COLUMN {column.name} {column.type}")
                elif column.name not in was:
                    lost.append(f"column `{column.name}` of `{name}` is new and `NOT NULL`: the rows that are there have no value for it")
                elif column != was[column.name]:
                    lost.append(f"column `{column.name}` of `{name}` is {_shown(was[column.name])} and shall be {_shown(column)}")
    if lost:
        raise NotPossible("this would lose data, and is not planned: " + "; ".join(lost))
    return plan


def _shown(column: Column) -> str:
    return f"`{column.type}{'' if column.nullable else ' NOT NULL'}`"
