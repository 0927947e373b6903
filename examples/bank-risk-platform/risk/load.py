"""Puts sample rows into the raw tables of dev, in place of those that are there: the core systems deliver none to dev.

usage: python -m risk.load FOLDER
"""

import sys
from pathlib import Path

from risk import warehouse


def load(folder: Path) -> dict[str, int]:
    """Loads `{table}.csv` of the folder, all or nothing; how many rows each table has then."""
    rows = {}
    with warehouse.connect() as connection:
        connection.execute("BEGIN")
        for file in sorted(folder.glob("*.csv")):
            table = f"raw.{file.stem}"
            connection.execute(f"DELETE FROM {table}")
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM read_csv(?, header = true)", [str(file)])
            rows[table] = connection.table(table).count("*").fetchall()[0][0]
        connection.execute("COMMIT")
    return rows


if __name__ == "__main__":
    for name, count in load(Path(sys.argv[1])).items():
        print(f"{name}: {count} rows")
