"""Handoff documents as those read them who don't have our types: a YAML parser and the JSON Schema.

The documents are the snapshots of the modules `handoff` of the gate and of promotions, whose own tests hold them equal to
what the gatekeeper writes.
"""

from __future__ import annotations

import copy
import json
import unittest
from pathlib import Path

import jsonschema
import yaml

SHARED = Path(__file__).parent.parent / "shared"
SCHEMA = json.loads((SHARED / "handoff.schema.json").read_text())


def front_matter(snapshot: Path) -> dict:
    header, document = snapshot.read_text().removeprefix("---\n").split("\n---\n", 1)
    fence, matter, body = document.split("---\n", 2)
    assert "/src/handoff.rs" in header and fence == "", snapshot
    return yaml.safe_load(matter)


DOCUMENTS = {it.name.split("__")[-1]: front_matter(it) for it in SHARED.glob("*/src/snapshots/*__handoff__tests__*.snap")}


class Handoffs(unittest.TestCase):
    def test_what_the_gatekeeper_writes_is_valid(self):
        self.assertEqual(set(DOCUMENTS), {"built.snap", "deployed.snap", "odd_names.snap", "revoked.snap"})
        for name, document in DOCUMENTS.items():
            with self.subTest(name):
                jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())

    def test_every_name_is_a_text_whatever_it_looks_like(self):
        document = DOCUMENTS["odd_names.snap"]
        self.assertEqual((document["repo"], document["stage"], document["commit_sha"]), ("2026-05-02", "no", "1" * 40))

    def test_a_document_that_takes_another_back_names_it(self):
        document = DOCUMENTS["revoked.snap"]
        self.assertEqual(document["build_status"], "Revoked")
        self.assertRegex(document["supersedes"], r"/docs/handoffs/MOD-012-ci-built-[0-9a-f]{40}\.handoff\.md$")

    def test_what_is_no_handoff_is_not_valid(self):
        for field, value in {"module_id": "MOD-12", "repo": "Bank", "commit_sha": "main", "build_status": "Released",
                             "stage": "UAT", "timestamp": 3, "evidence": None}.items():
            for change in (lambda it: it.update({field: value}), lambda it: it.pop(field)):
                document = copy.deepcopy(DOCUMENTS["built.snap"])
                change(document)
                with self.subTest(field), self.assertRaises(jsonschema.ValidationError):
                    jsonschema.validate(document, SCHEMA)


if __name__ == "__main__":
    unittest.main()
