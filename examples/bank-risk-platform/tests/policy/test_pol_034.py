"""POL-034: every model has an owner and a description, and its key is tested."""

from typing import Any

import pytest

pytestmark = pytest.mark.parametrize("policy", ["POL-034"])


def test_every_model_has_an_owner_and_a_description(policy: str, models: list[dict[str, Any]]) -> None:
    assert not [model["name"] for model in models if not model["config"]["meta"].get("owner") or not model["description"]], policy


def test_every_model_has_a_tested_key(policy: str, manifest: dict[str, Any], models: list[dict[str, Any]]) -> None:
    tested = {
        kind: {
            node["attached_node"]
            for node in manifest["nodes"].values()
            if node["resource_type"] == "test" and (node.get("test_metadata") or {}).get("name") == kind
        }
        for kind in ("unique", "not_null")
    }
    assert not [model["name"] for model in models if not all(model["unique_id"] in of for of in tested.values())], policy
