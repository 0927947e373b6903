"""The Snowflake that stands in for the real one: fakesnow, which answers Snowflake's own connector on DuckDB. `server.py PORT`

One gap is closed: DuckDB's temporary tables can't lie in a database that is named, and dbt names it, so such a table is an
ordinary one.
"""

from __future__ import annotations

import sys
from typing import Any

from fakesnow import cli, cursor
from sqlglot import exp

_transform = cursor.FakeSnowflakeCursor._transform


def transform(self: Any, expression: Any, params: Any) -> Any:
    """Takes TEMPORARY from what creates a table of a named schema."""
    if isinstance(expression, exp.Create) and (table := expression.find(exp.Table)) is not None and table.args.get("db"):
        for temporary in list(expression.find_all(exp.TemporaryProperty)):
            temporary.pop()
    return _transform(self, expression, params)


cursor.FakeSnowflakeCursor._transform = transform
sys.exit(cli.main(["--server", "--port", sys.argv[1], "--host", "127.0.0.1"]))
