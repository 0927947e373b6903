"""The manual says what its sources say: examples are valid and whole, commands in it exist, and its checks find what is wrong.

Needs target/debug/gatekeeper (`make functions`).
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

import jsonschema
import yaml

import manual
import manual_check

ROOT = manual.ROOT
EXAMPLES = manual.EXAMPLES


def schema(name: str) -> dict:
    """As Python reads it, which knows no classes of Unicode in a pattern."""
    text = (ROOT / "shared" / f"{name}.schema.json").read_text()
    return json.loads(text.replace("\\\\p{L}", "\\\\w").replace("\\\\p{N}", "\\\\d"))


def read(name: str) -> Any:
    return json.loads((EXAMPLES / name).read_text())


def front_matter() -> dict:
    """As YAML has it, with time stamps as text."""
    text = (EXAMPLES / "handoff.md").read_text()
    return yaml.load(text.split("---\n")[1], yaml.BaseLoader)


def paths(value: Any, path: str = "") -> set[str]:
    """Where the document has a value; a list's places are one."""
    if isinstance(value, dict):
        inner = {found for key, it in value.items() for found in paths(it, f"{path}.{key}" if path else key)}
        return inner | {path}
    if isinstance(value, list):
        return {path} | {found for it in value for found in paths(it, f"{path}[]")}
    return {path}


def matches(wanted: str, found: set[str]) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(wanted))
    return any(re.fullmatch(pattern, it) for it in found)


class Examples(unittest.TestCase):
    DOCUMENTS = {
        "build-manifest": "build-manifest.json", "policy": "policy.json", "identities": "identities.json", "stages": "stages.json",
    }

    def test_each_is_what_its_schema_says(self) -> None:
        for name, file in self.DOCUMENTS.items():
            with self.subTest(file):
                jsonschema.Draft202012Validator(schema(name)).validate(read(file))
        jsonschema.Draft202012Validator(schema("handoff")).validate(front_matter())

    def test_each_has_every_field(self) -> None:
        for name, file in self.DOCUMENTS.items():
            found = paths(read(file))
            # What binds one repository has the fields of what binds all.
            found |= {re.sub(r"^repos\.[^.]+\.", "all.", it) for it in found}
            rows = manual.schema_rows(schema(name), schema(name), "", {}, True)
            missing = [path for path, *_ in rows if not matches(path, found)]
            self.assertEqual(missing, [], file)


class Commands(unittest.TestCase):
    """Every `gatekeeper …` of the manual is one that the command knows, with every option."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.known = {command: text for command, text in manual.commands(manual.GATEKEEPER)}

    def said(self) -> list[tuple[str, str]]:
        """Each command line, joined where it goes on behind a backslash, and where it is."""
        found = []
        for page in manual_check.sources():
            if page.name in ("CHANGELOG.md", "cli.md"):
                continue
            name, line_before = str(page.relative_to(ROOT)), ""
            text = page.read_text()
            for _, number, line in manual_check.blocks(text):
                if line.rstrip().endswith("\\"):
                    line_before += line.rstrip().removesuffix("\\")
                    continue
                whole, line_before = re.split(r"(?:^|\s)#\s", line_before + line)[0], ""
                if "cargo " not in whole and (said := re.search(r"(?:^|[ (;])gatekeeper (?=[a-z-])(.*)", whole)):
                    found.append((f"{name}:{number}", said[1]))
            for number, line in manual_check.prose(text):
                found += [(f"{name}:{number}", said) for said in re.findall(r"`gatekeeper ([a-z][^`]*)`", line)]
        return found

    def test_each_is_there(self) -> None:
        found = self.said()
        self.assertGreater(len(found), 50)
        for where, said in found:
            said = said.split(" -- ")[0].split(" | ")[0].split(" > ")[0]
            words = shlex.split(said) if said.count("'") % 2 == 0 else said.split()
            command: tuple[str, ...] = ()
            while words and (*command, words[0]) in self.known:
                command = (*command, words.pop(0))
            with self.subTest(where, said=said):
                self.assertTrue(command, "there is no such command")
                for option in words:
                    if option.startswith("--") and option != "--":
                        option = re.match(r"--[a-z0-9-]*", option)[0]
                        self.assertRegex(self.known[command], rf"(?m)^\s+(-\w, )?{option}\b", option)


class FirstFunction(unittest.TestCase):
    """The tutorial's repository builds a commit that the gate would register."""

    def test_its_build_is_registered(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            repository = Path(folder) / "first-function"
            shutil.copytree(ROOT / "examples/first-function", repository, ignore=shutil.ignore_patterns(".venv", "build"))
            run = lambda *command: subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)  # noqa: E731
            for step in ("typecheck", "policy"):
                run(manual.GATEKEEPER, "run", step, "--dir", "build/commit", "--", "true")
            reports = repository / "build/commit/reports"
            reports.mkdir()
            (reports / "policy.xml").write_text('<testsuite name="pytest"><testcase name="test_zero_is_refused[POL-001]"/></testsuite>')
            self.assertEqual(run("python3", "build.py", "build/commit").returncode, 0)
            publish = run(
                manual.GATEKEEPER, "publish", "build/commit", "--repo", "first-function", "--sha", "3f1c" * 10, "--branch", "main",
                "--author", "jane@bank.example", "--dry-run", "--expect", "registered",
            )
            self.assertEqual(publish.returncode, 0, publish.stdout + publish.stderr)


class Checks(unittest.TestCase):
    """What the checks find, on pages made for it."""

    def page(self, text: str, **others: str) -> Path:
        folder = Path(self.enterContext(tempfile.TemporaryDirectory())) if hasattr(self, "enterContext") else Path(tempfile.mkdtemp())
        for name, other in others.items():
            (folder / f"{name}.md").write_text(other)
        (folder / "page.md").write_text(text)
        return folder / "page.md"

    def test_a_link_must_lead_somewhere(self) -> None:
        page = self.page(
            "# One `two` (three)\n[a](#one-two-three) [b](other.md#there) [c](https://bank.example/x)\n`[d](gone.md)`\n",
            other="## There\n## There\n",
        )
        self.assertEqual(list(manual_check.broken_links(page)), [])
        page.write_text("# One\n[a](#two)\n[b](gone.md)\n[c](other.md#there-2)\n[d](other.md#there-1)\n")
        self.assertEqual(list(manual_check.broken_links(page)), [
            "2: `#two`: the page has no such heading", "3: `gone.md` leads nowhere", "4: `other.md#there-2`: the page has no such heading",
        ])

    def test_lines_are_short_outside_of_code_tables_and_links(self) -> None:
        long = "x" * 101
        page = self.page(f"| {long} |\n```\n{long}\n```\n    {long}\n[a]({long})\n")
        self.assertEqual(list(manual_check.long_lines(page)), [])
        page.write_text(long)
        self.assertEqual(list(manual_check.long_lines(page)), ["1: 101 characters, at most 100 are"])

    def test_a_page_must_be_listed(self) -> None:
        page = self.page("# Page\n", SUMMARY="# Summary\n")
        self.assertEqual(list(manual_check.unlisted(page.parent)), ["docs/SUMMARY.md: page.md is not listed"])
        (page.parent / "SUMMARY.md").write_text("- [Page](page.md)\n")
        self.assertEqual(list(manual_check.unlisted(page.parent)), [])

    def test_a_command_of_make_must_be_there(self) -> None:
        page = self.page("`make demo` and `make nothing-like-it`\n")
        self.assertEqual(list(manual_check.unknown_targets(page)), ["1: `make nothing-like-it` is none of the Makefile's"])


class Tables(unittest.TestCase):
    def test_commands_are_found_in_a_help(self) -> None:
        text = "About\n\nCommands:\n  one    Does\n  two-b  Does\n\nOptions:\n  -h, --help\n"
        self.assertEqual(manual.subcommands(text), ["one", "two-b"])
        self.assertEqual(manual.subcommands("Options:\n  --all\n"), [])

    def test_an_unknown_block_is_an_error(self) -> None:
        with self.assertRaises(SystemExit):
            manual.with_blocks("<!-- generated: nothing -->\n<!-- end of nothing -->", "page")

    def test_reason_codes_are_those_of_the_source(self) -> None:
        """The page is written by a test in Rust; this holds it to the same table without a compiler."""
        source = next(it for it in sorted((ROOT / "shared").rglob("finding.rs")) if "codes! {" in it.read_text())
        codes = re.findall(r'^\s+[A-Z]\w+ "([a-z-]+)" "', source.read_text(), re.MULTILINE)
        page = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/reason-codes.md").read_text(), re.MULTILINE)
        self.assertGreater(len(codes), 100)
        self.assertEqual(page, codes)


if __name__ == "__main__":
    unittest.main()
