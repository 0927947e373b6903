"""Writes the reference pages of docs/ that follow from a source, so that they can't say anything else.

usage: manual.py [--check] [--gatekeeper PROGRAM]

    --check               writes nothing; ends with 1 and names each page that is stale
    --gatekeeper PROGRAM  the command whose `--help` is read; default target/debug/gatekeeper

| page | made from |
|---|---|
| reference/cli.md | `--help` of every command of `gatekeeper` |
| reference/parameters.md, reference/alarms.md | infra/template.yaml |
| the tables and examples of the documents' pages | the JSON Schemas, docs/reference/examples |

In a page that people write, a generated part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
EXAMPLES = REFERENCE / "examples"
GATEKEEPER = ROOT / "target/debug/gatekeeper"
WIDTH = 100
MADE = "<!-- Made by infra/manual.py from {source}. After a change there: `make docs-reference`. -->\n"


def cell(text: str) -> str:
    """Text for one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def wrap(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


# --- the command ---

def help_of(program: Path, command: tuple[str, ...]) -> str:
    """A command's `--help`. Its environment is empty: clap shows the values of variables that it takes."""
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "COLUMNS": str(WIDTH)}
    run = subprocess.run(
        [program, *command, "--help"], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    return "\n".join(line.rstrip() for line in run.stdout.splitlines()).strip() + "\n"


def subcommands(text: str) -> list[str]:
    found = re.search(r"^Commands:\n((?:  .*\n|\n)+?)(?=\S|\Z)", text, re.MULTILINE)
    return re.findall(r"^  ([a-z][a-z-]*)(?: |$)", found[1], re.MULTILINE) if found else []


def commands(program: Path, command: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every command with its help, outermost first."""
    text = help_of(program, command)
    yield command, text
    for name in subcommands(text):
        if name != "help":
            yield from commands(program, (*command, name))


def cli_page(program: Path) -> str:
    every = list(commands(program))
    lines = ["# The command line\n", MADE.format(source="the command's own help")]
    lines.append(wrap(
        "This page is the `--help` of `gatekeeper` and of each of its commands. The exit code is 0 for yes, 1 where the gate "
        "said no or a promotion did not succeed, 2 for wrong use, and 3 where AWS, the network or a database could not be "
        "reached. `--output json` is for scripts: one JSON document on standard output, progress on standard error."
    ) + "\n")
    lines.append("| command | what it does |\n|---|---|")
    for command, text in every[1:]:
        name = " ".join(("gatekeeper", *command))
        lines.append(f"| [`{name}`](#{name.replace(' ', '-')}) | {cell(text.splitlines()[0])} |")
    lines.append("")
    for command, text in every:
        name = " ".join(("gatekeeper", *command))
        about, _, rest = text.partition("\n\n")
        heading = "#" * (2 if len(command) < 2 else 3)
        lines.append(f"{heading} {name}\n\n{wrap(about)}\n\n```text\n{rest.strip()}\n```\n")
    return "\n".join(lines).rstrip() + "\n"


# --- the template ---

class TemplateLoader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, of which only the text is kept."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


TemplateLoader.add_multi_constructor("!", _short_form)


def template() -> dict:
    return yaml.load((ROOT / "infra/template.yaml").read_text(), TemplateLoader)


def parameters_page() -> str:
    source = template()
    lines = ["# Parameters and outputs\n", MADE.format(source="infra/template.yaml")]
    lines.append(wrap(
        "`infra/deploy.sh --parameter KEY=VALUE` sets a parameter of the stack; a parameter that is not given keeps its value. "
        "[Install into an AWS account](../guides/install.md) says which ones a new installation needs. A list is "
        "written with commas and without spaces."
    ) + "\n")
    lines.append("## Parameters\n\n| parameter | meaning | value |\n|---|---|---|")
    for name, it in source["Parameters"].items():
        kind = {"CommaDelimitedList": "list", "String": "text", "Number": "number"}[it["Type"]]
        value = f"{kind}; default `{it['Default']}`" if str(it.get("Default", "")) else f"{kind}; default empty"
        if "AllowedValues" in it:
            value += "; one of " + ", ".join(f"`{one}`" if str(one) else "empty" for one in it["AllowedValues"])
        elif "MinValue" in it:
            value += f"; {it['MinValue']} to {it['MaxValue']}"
        elif "ConstraintDescription" in it:
            value += f"; {it['ConstraintDescription']}"
        elif "AllowedPattern" in it:
            value += f"; `{it['AllowedPattern']}`"
        lines.append(f"| `{name}` | {cell(it['Description'])} | {cell(value)} |")
    lines.append("\n## Outputs\n\n" + wrap(
        "The command finds buckets and functions by these outputs. `--gatekeeper-stack` or `GATEKEEPER_STACK` names another "
        "stack than `gatekeeper`."
    ) + "\n\n| output | what it is | there where |\n|---|---|---|")
    conditions = {
        "HasCi": "`CiPrincipalArns` or `GitHubSubjects` is set", "HasPromoterPrincipals": "`PromoterPrincipalArns` is set",
        "HasGitHubPromoters": "`GitHubPromoterSubjects` is set", "HasApproverPrincipals": "`ApproverPrincipalArns` is set",
        "HasAuditorPrincipals": "`AuditorPrincipalArns` is set", "IsShared": "`SharedAccount` is `accepted`",
        "HasWitness": "`WitnessBucket` is set", "HasTrustRoot": "`TrustRoot` is set",
    }
    for name, it in source["Outputs"].items():
        where = conditions[it["Condition"]] if "Condition" in it else "always"
        lines.append(f"| `{name}` | {cell(it['Description'])} | {where} |")
    return "\n".join(lines) + "\n"


def alarms_page() -> str:
    resources = template()["Resources"]
    lines = ["# Alarms and saved queries\n", MADE.format(source="infra/template.yaml")]
    lines.append(wrap(
        "Every alarm notifies the topic of the output `AlarmTopicArn`. [On call](../guides/on-call.md#alarms) says for each what "
        "to look at and what to do. The dashboard has the stack's name."
    ) + "\n")
    lines.append("## Alarms\n\n| alarm | what it tells | goes off when |\n|---|---|---|")
    for name, it in resources.items():
        if it["Type"] == "AWS::CloudWatch::Alarm":
            of = it["Properties"]
            if of["ComparisonOperator"] != "GreaterThanThreshold":
                raise SystemExit(f"error: {name} compares in a way that manual.py has no words for")
            metric = f"`{of['Namespace']}` `{of['MetricName']}`"
            when = f"{of['Statistic'].lower()} of {metric} is above {of['Threshold']} within {of['Period']} s"
            lines.append(f"| `{name}` | {cell(of['AlarmDescription'])} | {when} |")
    lines.append("\n## Saved queries\n\n" + wrap(
        "CloudWatch Logs Insights has these queries under the stack's name, such as `gatekeeper/one-commit`. Words in capital "
        "letters are to be replaced."
    ) + "\n")
    for it in resources.values():
        if it["Type"] == "AWS::Logs::QueryDefinition":
            of = it["Properties"]
            name = of["Name"].rsplit("/", 1)[1]
            comment, query = re.match(r"((?:#.*\n)+)((?:.*\n?)*)", of["QueryString"]).groups()
            about = " ".join(line.lstrip("# ") for line in comment.splitlines())
            lines.append(f"### {name}\n\n{wrap(about[0].upper() + about[1:])}.\n\n```text\n{query.strip()}\n```\n")
    return "\n".join(lines).rstrip() + "\n"


# --- documents ---

def schema_rows(schema: dict, node: dict, path: str, seen: dict[str, str], required: bool) -> Iterator[tuple[str, str, str, str]]:
    """A row for each field below a node: path, type, whether it must be there, meaning."""
    description = node.get("description", "")
    options = [it for it in node.get("anyOf", []) if it.get("type") != "null"]
    if len(options) == 1:
        node = {**options[0], **{key: value for key, value in node.items() if key != "anyOf"}}
    name = None
    while "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        target = schema["$defs"][name]
        description = description or target.get("description", "")
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    kind = node.get("type", "")
    kind = next((it for it in kind if it != "null"), "") if isinstance(kind, list) else kind
    below: list[tuple[str, dict, bool]] = []
    more = ""
    if "oneOf" in node and all("const" in it for it in node["oneOf"]):
        kind = "one of " + ", ".join(f"`{it['const']}`" for it in node["oneOf"])
    elif "enum" in node:
        kind = "one of " + ", ".join(f"`{it}`" for it in node["enum"])
    elif "const" in node:
        kind = f"`{json.dumps(node['const'])}`"
    elif kind == "object" and "properties" in node:
        if name and name in seen:
            more = f" The same fields as `{seen[name]}`."
        else:
            if name:
                seen[name] = path
            must = node.get("required", [])
            below = [(f"{path}.{key}" if path else key, it, key in must) for key, it in node["properties"].items()]
    elif kind == "object":
        value = node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()), {})
        key = {"flyway": "database", "databases": "database", "stages": "stage", "checksums": "file", "repos": "repo",
               "script_configurations": "file"}.get(path.rsplit(".", 1)[-1], "name")
        below = [(f"{path}.{{{key}}}", value, False)] if isinstance(value, dict) else []
    elif kind == "array":
        inner = node.get("items", {})
        target = schema["$defs"][inner["$ref"].rsplit("/", 1)[1]] if "$ref" in inner else inner
        if "properties" in target:
            below = [(f"{path}[]", inner, False)]
        else:
            kind = f"array of {target.get('type', 'the values below')}"
            kind += f", each `{target['pattern']}`" if "pattern" in target else ""
            if "oneOf" in target and all("const" in it for it in target["oneOf"]):
                kind = "array of " + ", ".join(f"`{it['const']}`" for it in target["oneOf"])
            elif "oneOf" in target:
                options = [option for it in target["oneOf"] for option in it["properties"].items()]
                kind = "array of objects, each of " + " or ".join(f"`{key}`" for key, _ in options)
                below = [(f"{path}[].{key}", it, False) for key, it in options]
    if "pattern" in node:
        kind += f", `{node['pattern']}`"
    if path and not path.endswith("[]"):
        yield path, kind or "any JSON", "yes" if required else "", description + more
    for key, it, must in below:
        yield from schema_rows(schema, it, key, seen, must)


def schema_table(name: str) -> str:
    schema = json.loads((ROOT / "shared" / f"{name}.schema.json").read_text())
    lines = ["| field | type | required | meaning |\n|---|---|---|---|"]
    for path, kind, required, meaning in schema_rows(schema, schema, "", {}, True):
        lines.append(f"| `{path}` | {cell(kind)} | {required} | {cell(meaning)} |")
    return "\n".join(lines)


def choices_table(name: str, definition: str) -> str:
    """The values of an enumeration with what each means."""
    schema = json.loads((ROOT / "shared" / f"{name}.schema.json").read_text())
    lines = ["| value | meaning |\n|---|---|"]
    lines += [f"| `{it['const']}` | {cell(it['description'])} |" for it in schema["$defs"][definition]["oneOf"]]
    return "\n".join(lines)


def example(name: str) -> str:
    text = (EXAMPLES / name).read_text().rstrip()
    return f"```{'json' if name.endswith('.json') else 'markdown'}\n{text}\n```"


BLOCKS = {
    "fields of build-manifest": lambda: schema_table("build-manifest"),
    "fields of policy": lambda: schema_table("policy"),
    "fields of identities": lambda: schema_table("identities"),
    "fields of handoff": lambda: schema_table("handoff"),
    "fields of stages": lambda: schema_table("stages"),
    "conditions of policy": lambda: choices_table("policy", "Condition"),
    **{f"example {it}": lambda it=it: example(it) for it in
       ("build-manifest.json", "stages.json", "policy.json", "identities.json", "handoff.md")},
}


def with_blocks(text: str, page: str) -> str:
    def block(found: re.Match) -> str:
        name = found[1]
        if name not in BLOCKS:
            raise SystemExit(f"error: {page} asks for `{name}`, which manual.py does not make")
        return f"<!-- generated: {name} -->\n\n{BLOCKS[name]()}\n\n<!-- end of {name} -->"

    return re.sub(r"<!-- generated: (.+?) -->.*?<!-- end of \1 -->", block, text, flags=re.DOTALL)


def pages(program: Path) -> dict[Path, str]:
    """Every page that is made, or has a part that is."""
    made = {
        REFERENCE / "cli.md": cli_page(program),
        REFERENCE / "parameters.md": parameters_page(),
        REFERENCE / "alarms.md": alarms_page(),
    }
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text()
        if page not in made and "<!-- generated: " in text:
            made[page] = with_blocks(text, page.name)
    return made


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true", help="write nothing, name the stale pages")
    arguments.add_argument("--gatekeeper", type=Path, default=GATEKEEPER, metavar="PROGRAM")
    given = arguments.parse_args()
    if not given.gatekeeper.exists():
        print(f"error: {given.gatekeeper} is not there: `make functions` builds it", file=sys.stderr)
        return 2
    made = pages(given.gatekeeper)
    stale = [page for page, text in made.items() if not page.exists() or page.read_text() != text]
    for page in stale:
        if given.check:
            print(f"error: {page.relative_to(ROOT)} is stale: run `make docs-reference`", file=sys.stderr)
        else:
            page.write_text(made[page])
            print(f"wrote {page.relative_to(ROOT)}")
    return 1 if stale and given.check else 0


if __name__ == "__main__":
    sys.exit(main())
