"""Smoke test: the deployed marts answer, and are what the commit defines."""

import json
import sys
from pathlib import Path

from risk import warehouse
from risk.build import MODULE

MARTS = ("counterparty_exposure", "capital_requirement", "large_exposures")


def problems() -> list[str]:
    """What is wrong with dev."""
    found = []
    try:
        with warehouse.connect(read_only=True) as connection:
            for mart in MARTS:
                ((rows,),) = connection.execute(f"SELECT count(*) FROM marts.{mart}").fetchall()
                if rows == 0:
                    found.append(f"`marts.{mart}` is empty")
                print(f"marts.{mart}: {rows} rows")
    except warehouse.errors() as error:
        found.append(str(error))
    # The stored one: a job of its own has no `target`.
    manifest = Path("build/commit/modules", json.loads(MODULE.read_text())["id"], "dbt", "manifest.json")
    models = {node["name"] for node in json.loads(manifest.read_text())["nodes"].values()}
    return found + [f"`{mart}` is no model of this commit" for mart in MARTS if mart not in models]


if __name__ == "__main__":
    said = problems()
    for problem in said:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(1 if said else 0)
