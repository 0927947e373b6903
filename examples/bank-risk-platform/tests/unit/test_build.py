import json
from pathlib import Path

import pytest

from risk import build


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    build.MODULE.write_text('{"id": "MOD-301", "policies_satisfied": ["POL-021"]}')
    build.COMPILED.parent.mkdir()
    build.COMPILED.write_text('{"nodes": {}}')
    return tmp_path


def test_the_manifest_lies_where_the_store_wants_it(repository: Path) -> None:
    artefact = build.build(repository / "commit")
    assert artefact.relative_to(repository / "commit") == Path("modules/MOD-301/dbt/manifest.json")
    assert artefact.read_text() == '{"nodes": {}}'


def test_the_results_of_a_build_lie_beside_its_manifest(repository: Path) -> None:
    build.RESULTS.write_text('{"results": []}')
    results = repository / "commit" / "modules" / "MOD-301" / "dbt" / "run_results.json"
    build.build(repository / "commit")
    assert not results.exists(), "they are of what ran before"
    build.build(repository / "commit", built=True)
    assert results.read_text() == '{"results": []}'
    build.build(repository / "commit")
    assert not results.exists(), "they are of another manifest"


def test_what_the_steps_before_wrote_is_kept(repository: Path) -> None:
    reports = repository / "commit" / "reports"
    reports.mkdir(parents=True)
    (reports / build.COVERAGE).write_text("")
    document = repository / "commit" / "build-manifest.json"
    document.write_text('{"dcm": {"plan": true}, "tests": {"policy": {"exit_code": 0}, "unit": {"exit_code": 0}}}')
    build.build(repository / "commit")
    assert json.loads(document.read_text()) == {
        "dcm": {"plan": True},
        "tests": {"policy": {"exit_code": 0, "policies_satisfied": ["POL-021"]}, "unit": {"exit_code": 0}},
        "modules": [{"id": "MOD-301"}],
        "reports": [{"suite": "unit", "format": "lcov", "file": "unit.lcov"}],
    }
