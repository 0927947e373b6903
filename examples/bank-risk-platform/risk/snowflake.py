"""Snowflake's part of the warehouse, by Snowflake's own connector and the variables of snowflake/profiles.yml."""

import os
from types import TracebackType
from typing import Any

from risk.definitions import Column, Schemas

# What Snowflake calls the types that definitions use.
TYPES = {"TEXT": "VARCHAR", "FIXED": "BIGINT", "NUMBER": "BIGINT"}
OWN = ("information_schema", "public")


class Snowflake:
    """A connection that executes as DuckDB's does."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def execute(self, query: str, parameters: Any = None, /) -> Any:
        return self.connection.cursor().execute(query, parameters)

    def __enter__(self) -> "Snowflake":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        self.connection.close()


def connect(database: str) -> Snowflake:
    """Opens a stage's database."""
    from snowflake import connector  # not there where the warehouse is DuckDB

    of = os.environ.get
    elsewhere = {"host": of("SNOWFLAKE_HOST"), "port": int(of("SNOWFLAKE_PORT", "443")), "protocol": of("SNOWFLAKE_PROTOCOL", "https")}
    return Snowflake(
        connector.connect(
            account=os.environ["SNOWFLAKE_ACCOUNT"],
            user=os.environ["SNOWFLAKE_USER"],
            password=of("DBT_ENV_SECRET_SNOWFLAKE_PASSWORD", ""),
            role=of("SNOWFLAKE_ROLE", "TRANSFORMER"),
            warehouse=of("SNOWFLAKE_WAREHOUSE", "TRANSFORMING"),
            database=database,
            schema="PUBLIC",
            **(elsewhere if elsewhere["host"] else {}),
        )
    )


def live(connection: Any) -> Schemas:
    """The schemas of the database, without its own ones; their names as definitions write them."""
    schemas: Schemas = {
        name.lower(): {} for (name,) in connection.execute("SELECT schema_name FROM information_schema.schemata").fetchall()
    }
    columns = connection.execute(
        "SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns "
        "JOIN information_schema.tables USING (table_schema, table_name) WHERE table_type = 'BASE TABLE' ORDER BY ordinal_position"
    ).fetchall()
    for schema, table, name, kind, nullable in columns:
        tables = schemas[schema.lower()]
        column = Column(name.lower(), TYPES.get(kind, kind), nullable == "YES")
        tables[table.lower()] = (*tables.get(table.lower(), ()), column)
    return {name: tables for name, tables in schemas.items() if name not in OWN}
