"""DCM in small: plans what has to change for the definitions in dcm/, and deploys exactly the plan that was shown.

usage: python -m risk.dcm plan | deploy
"""

import json
import sys
from pathlib import Path

from risk import warehouse
from risk.definitions import NotPossible, changes, wanted

PLAN = Path("build/dcm-plan.json")


def plan(definitions: Path = Path("dcm")) -> list[str]:
    """What has to change now."""
    files = {str(file): file.read_text() for file in definitions.glob("*.sql")}
    if not files:
        raise NotPossible(f"`{definitions}` holds no definitions")
    want, statements = wanted(files)
    with warehouse.connect() as connection:
        return changes(want, statements, warehouse.live(connection))


def deploy() -> list[str]:
    """Does what the written plan says where it still is what has to change."""
    if not PLAN.exists():
        raise NotPossible(f"`{PLAN}` is missing: run `python -m risk.dcm plan` first")
    shown = json.loads(PLAN.read_text())["statements"]
    if shown != plan():
        raise NotPossible(f"`{PLAN}` is not what has to change any more: plan again, and look at the plan")
    with warehouse.connect() as connection:
        with warehouse.transaction(connection):
            for statement in shown:
                connection.execute(statement)
    return list(shown)


def main(arguments: list[str]) -> int:
    """The command line: 0 done, 1 not possible, 2 wrong use."""
    try:
        match arguments:
            case ["plan"]:
                statements = plan()
                PLAN.parent.mkdir(parents=True, exist_ok=True)
                PLAN.write_text(json.dumps({"statements": statements}, indent=2) + "\n")
            case ["deploy"]:
                statements = deploy()
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except NotPossible as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for statement in statements:
        print(statement)
    print(f"{arguments[0]}: {len(statements)} statements")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
