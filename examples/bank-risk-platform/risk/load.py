"""Puts sample rows into the raw tables of dev, in place of those that are there: the core systems deliver none to dev.

usage: python -m risk.load FOLDER
"""

import csv
import sys
from pathlib import Path

from risk import warehouse


def load(folder: Path) -> dict[str, int]:
    """Loads `{table}.csv` of the folder, all or nothing; how many rows each table has then."""
    rows = {}
    with warehouse.connect() as connection:
        with warehouse.transaction(connection):
            for file in sorted(folder.glob("*.csv")):
                table = f"raw.{file.stem}"
                connection.execute(f"DELETE FROM {table}")
                with file.open(newline="") as text:
                    names, *values = csv.reader(text)
                if values:
                    of = ", ".join(f"({', '.join(literal(cell) for cell in row)})" for row in values)
                    connection.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES {of}")
                rows[table] = len(values)
    return rows


def literal(cell: str) -> str:
    """A cell as SQL has it."""
    if "\\" in cell:
        raise ValueError(f"`{cell}` holds a backslash, which DuckDB and Snowflake read differently")
    return "NULL" if cell == "" else "'{}'".format(cell.replace("'", "''"))


if __name__ == "__main__":
    for name, count in load(Path(sys.argv[1])).items():
        print(f"{name}: {count} rows")
