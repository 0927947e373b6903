"""What `dbt parse` knows of the project: the policies are held against it, not against a warehouse.

The tests are parametrised with the policy that they are of, so that the report names it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

Node = dict[str, Any]


@pytest.fixture(scope="session")
def manifest() -> Node:
    loaded: Node = json.loads(Path("target/manifest.json").read_text())
    return loaded


@pytest.fixture(scope="session")
def models(manifest: Node) -> list[Node]:
    found = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    assert found, "the project has no models"
    return found
