import json
from pathlib import Path

import pytest

from risk import dcm, warehouse
from risk.load import load

LEDGER = "DEFINE SCHEMA raw;\nDEFINE TABLE raw.ledger (id VARCHAR NOT NULL, amount BIGINT);\n"


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own, with a warehouse of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("RISK_ADAPTER", "RISK_WAREHOUSE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "dcm").mkdir()
    (tmp_path / "dcm" / "raw.sql").write_text(LEDGER)
    return tmp_path


def test_what_was_planned_is_deployed(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcm.main(["plan"]) == 0
    assert len(json.loads(dcm.PLAN.read_text())["statements"]) == 2
    assert dcm.main(["deploy"]) == 0
    assert "deploy: 2 statements" in capsys.readouterr().out
    with warehouse.connect(read_only=True) as connection:
        assert [column.name for column in warehouse.live(connection)["raw"]["ledger"]] == ["id", "amount"]


def test_nothing_is_deployed_without_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcm.main(["deploy"]) == 1
    assert "run `python -m risk.dcm plan` first" in capsys.readouterr().err


def test_a_plan_of_other_definitions_is_not_deployed(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcm.main(["plan"]) == 0
    (repository / "dcm" / "raw.sql").write_text(LEDGER.replace("amount", "cents"))
    assert dcm.main(["deploy"]) == 1
    assert "is not what has to change any more" in capsys.readouterr().err
    with warehouse.connect(read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]


def test_no_definitions_are_a_mistake(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "dcm" / "raw.sql").unlink()
    assert dcm.main(["plan"]) == 1
    assert "`dcm` holds no definitions" in capsys.readouterr().err


def test_wrong_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert dcm.main(["apply"]) == 2
    assert "usage:" in capsys.readouterr().err


def test_sample_rows_replace_those_that_are_there(repository: Path) -> None:
    dcm.main(["plan"])
    dcm.main(["deploy"])
    rows = repository / "rows"
    rows.mkdir()
    (rows / "ledger.csv").write_text("amount,id\n100,a\n-100,b\n")
    assert load(rows) == {"raw.ledger": 2}
    (rows / "ledger.csv").write_text("amount,id\n7,c\n")
    assert load(rows) == {"raw.ledger": 1}
