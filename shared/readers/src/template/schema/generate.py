#!/usr/bin/env python3
"""Makes types.txt, the table of every CloudFormation type and property, from AWS's own resource schemas.

    generate.py            writes types.txt
    generate.py --check    ends with 1 and says why where types.txt is not what the schemas say, or where they hold a
                           property that looks as if it carries or locates code, or a type that has a sign of holding
                           data, and nobody has judged it
    --schemas FOLDER       takes the schemas of another cfn-lint, such as `cfnlint/data/schemas` of a newer wheel

Types that rules.txt refuses as a whole, and SAM's, have no line. Of services that harmless.txt judges as a whole the
first properties are listed only. The schemas are those of all regions, as the PyPI package `cfn-lint` keeps them; its version and hashes are pinned in
infra/local/requirements.txt. types.txt holds one line for each type and for each shape of a nested property:

    AWS::Lambda::Function Architectures Arn Code> …       a property that ends in `>` has the shape of its own name,
    AWS::Lambda.Code ImageUri S3Bucket …                  `AWS::Lambda.Code`; `Property>Other` has another one
    AWS::Glue.X *>Y                                       any key at all; `*` alone: any key, with anything in it

Beside it names.txt has the types whose resources go by a name that the template may give: the property that is the
schema's whole primary identifier and that AWS does not choose.

Lines are sorted by their bytes, because the gate finds them by halving. What a property is judged to be stands in rules.txt, which the gate
reads, and in harmless.txt, which only this program reads. Which types hold data stands in stateful.txt.
"""

import argparse
import importlib.metadata
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
TABLE, RULES, HARMLESS = HERE / "types.txt", HERE / "rules.txt", HERE / "harmless.txt"
STATEFUL = HERE / "stateful.txt"
NAMES = HERE / "names.txt"

# A property whose name has one of these words may carry or locate code, images, scripts or templates.
SUSPECT = re.compile(
    r"S3|Ur[il]|UR[IL]|Image|Script|Code|Template|Jar|Docker|Container|Repositor|Artifact|Bundle|Package|Plugin|Layer|Handler|"
    r"UserData|Ami|AMI|Git|Librar|Libs|Build[Ss]pec|Runtime|Entry[Pp]oint|Command|Ecr|ECR|Bootstrap|Program|Software|Firmware|"
    r"Binary|Executable|Wasm|Asset|Zip|Source(Location|Path)|FileSystem|BuildConfig"
)

# A property of a type that can be protected from deletion, backed up, restored or kept for a time, so that it holds
# something.
HOLDS = re.compile(
    r"^Delet(e|ion)Protection|Snapshot(Identifier|Id|Arns?|Retention)|^Snapshots?$|^Backup|^Retention|"
    r"Retention(Period|InDays|Limit)|DeleteAutomated|^StorageEncrypted|^SSESpec|^DataRetention|AtRest"
)

# How deep shapes are followed when suspects are looked for: a shape may hold itself.
DEPTH = 12


class Schema:
    """One type's JSON schema, by its properties."""

    def __init__(self, document):
        self.document = document
        self.type = document["typeName"]
        self.service = self.type.rsplit("::", 1)[0]

    def resolve(self, schema):
        """The schema behind references, and the name of the last one."""
        name = None
        for _ in range(20):
            if not isinstance(schema, dict) or "$ref" not in schema:
                break
            path = schema["$ref"].split("/")[1:]
            schema, name = self.document, path[-1]
            for part in path:
                schema = schema[part.replace("~1", "/").replace("~0", "~")]
        return schema, name

    def properties(self, schema, depth=0):
        """The properties that an instance may have, each with its schemas; `*` for any key."""
        schema, _ = self.resolve(schema)
        found = defaultdict(list)
        if not isinstance(schema, dict) or depth > DEPTH:
            return found
        for name, inner in (schema.get("properties") or {}).items():
            found[name].append(inner)
        for name, inner in (schema.get("patternProperties") or {}).items():
            found["*"].append(inner)
        additional = schema.get("additionalProperties")
        if additional is True and found or isinstance(additional, dict) and additional:
            found["*"].append(additional)
        items = schema.get("items")
        parts = items if isinstance(items, list) else [items] if items else []
        parts += schema.get("prefixItems") or []
        for word in ("allOf", "anyOf", "oneOf"):
            parts += schema.get(word) or []
        parts += [schema[word] for word in ("then", "else") if word in schema]
        for part in parts:
            for name, inner in self.properties(part, depth + 1).items():
                found[name] += inner
        return found


class Table:
    """The lines of types.txt."""

    def __init__(self):
        self.lines = {}
        self.named = {}

    def add(self, schema, judged):
        if schema.type in judged.types or schema.service == "AWS::Serverless":
            return
        properties = {name: inner for name, inner in schema.properties(schema.document).items() if name != "*"}
        shallow = schema.service.removeprefix("AWS::") in judged.services
        self.lines[schema.type] = " ".join(sorted(properties)) if shallow else self.line(schema, properties)

    def line(self, schema, properties):
        words = []
        for name, inner in sorted(properties.items()):
            shape = self.shape(schema, name, inner)
            words.append(name if shape is None else name + ">" if shape == name else f"{name}>{shape}")
        return " ".join(words)

    def shape(self, schema, name, inner):
        """The name of the shape of a property with these schemas; none for what holds no properties of its own."""
        properties = defaultdict(list)
        wanted = name
        for one in inner:
            wanted = self.name_of(schema, one) or wanted
            for key, its in schema.properties(one).items():
                properties[key] += its
        if not properties:
            return None
        # The same schema of the same type is the same shape; this also ends what holds itself.
        key = (schema.type, tuple(sorted(id(schema.resolve(one)[0]) for one in inner)))
        if key in self.named:
            return self.named[key]
        wanted = wanted if wanted != "*" else "Any"
        chosen = self.free(schema, wanted)
        self.named[key] = chosen
        self.lines[f"{schema.service}.{chosen}"] = self.line(schema, properties)
        return chosen

    def name_of(self, schema, one):
        inner, name = schema.resolve(one)
        if isinstance(inner, dict) and isinstance(inner.get("items"), dict) and not inner.get("properties"):
            return self.name_of(schema, inner["items"]) or name
        return name

    def free(self, schema, wanted):
        count = 1
        chosen = wanted
        while f"{schema.service}.{chosen}" in self.lines:
            count += 1
            chosen = f"{wanted}~{count}"
        self.lines[f"{schema.service}.{chosen}"] = None
        return chosen

    def unify(self):
        """Gives shapes of one service that say the same one name, the shortest."""
        while True:
            by_content = defaultdict(list)
            for key, line in self.lines.items():
                if "." in key:
                    service, name = key.split(".", 1)
                    by_content[service, line].append(name)
            renamed = {}
            for (service, _), names in by_content.items():
                keep, *others = sorted(names, key=lambda it: ("~" in it, len(it), it))
                renamed.update({(service, other): keep for other in others})
            if not renamed:
                return
            lines = {}
            for key, line in self.lines.items():
                service, name = key.split(".", 1) if "." in key else (key.rsplit("::", 1)[0], None)
                if (service, name) not in renamed:
                    lines[key] = " ".join(rename(word, service, renamed) for word in line.split(" "))
            self.lines = lines

    def text(self):
        lines = [f"{key} {line}".rstrip() for key, line in self.lines.items()]
        return "".join(line + "\n" for line in sorted(lines, key=lambda line: line.split(" ", 1)[0].encode()))


def rename(word, service, renamed):
    name, arrow, shape = word.partition(">")
    if not arrow:
        return word
    shape = renamed.get((service, shape or name), shape or name)
    return name + ">" if shape == name else f"{name}>{shape}"


def read_table(text):
    return {key: line.split(" ") if line else [] for key, _, line in (line.partition(" ") for line in text.splitlines())}


def paths(table, type_name):
    """Every path of a type's properties, `Code.S3Bucket`, each shape once on the way down."""
    service = type_name.rsplit("::", 1)[0]

    def walk(key, path, seen):
        for word in table[key]:
            name, arrow, shape = word.partition(">")
            yield ".".join([*path, name])
            inner = f"{service}.{shape or name}"
            if arrow and inner not in seen and len(path) < DEPTH:
                yield from walk(inner, [*path, name], seen | {inner})

    yield from walk(type_name, [], {type_name})


def entries(file):
    for line in file.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.split()


class Judged:
    """What people have said of properties, in rules.txt and harmless.txt."""

    def __init__(self):
        self.types, self.rules = set(), defaultdict(list)
        for _class, type_name, path, *_why in entries(RULES):
            if path == "-":
                self.types.add(type_name)
            else:
                self.rules[type_name].append((path, re.compile(re.escape(path) + r"(?:[.].*)?")))
        self.names, self.services, self.harmless = set(), set(), set()
        for kind, *rest in entries(HARMLESS):
            if kind == "names":
                self.names |= set(rest)
            elif kind == "services":
                self.services |= set(rest)
            else:
                self.harmless.add((kind, rest[0]))

    def knows(self, type_name, path):
        return (
            type_name.split("::")[1] in self.services
            or path.rsplit(".", 1)[-1] in self.names
            or any(rule.fullmatch(path) for _, rule in self.rules[type_name])
            or (type_name, path) in self.harmless
            # What holds the judged things is judged with them.
            or any(rule.startswith(path + ".") for rule, _ in self.rules[type_name])
        )


def unjudged(text, read_only, judged):
    table = read_table(text)
    for type_name in (key for key in table if "." not in key):
        for path in dict.fromkeys(paths(table, type_name)):
            suspect = SUSPECT.search(path.rsplit(".", 1)[-1])
            if suspect and path not in read_only[type_name] and not judged.knows(type_name, path):
                yield f"{type_name} {path}"


def installed(path):
    return Path(importlib.metadata.distribution("cfn-lint").locate_file("cfnlint/data")) / path


def names(documents):
    """The types whose resources go by a name of the template's, each with the property that holds it."""
    for document in sorted(documents, key=lambda it: it["typeName"]):
        match document.get("primaryIdentifier") or []:
            case [place] if place not in (document.get("readOnlyProperties") or []) and place.count("/") == 2:
                if not document["typeName"].startswith("AWS::Serverless::"):
                    yield f"{document['typeName']} {place.rpartition('/')[2]}\n"


def unjudged_state(documents, likely):
    """What is wrong with stateful.txt: `likely` are the types that cfn-lint takes for stateful."""
    words = list(entries(STATEFUL))
    holds, nothing = [it[0] for it in words if it[0] != "-"], [it[1] for it in words if it[0] == "-"]
    types = {document["typeName"]: document for document in documents}
    for listed in (holds, nothing):
        if listed != sorted(set(listed)):
            yield "stateful.txt is not sorted, or has a type twice"
    for type_name in holds + nothing:
        if type_name not in types and not type_name.startswith("Custom::"):
            yield f"stateful.txt judges {type_name}, which no schema has"
    for type_name, document in sorted(types.items()):
        signs = [name for name in document.get("properties") or {} if HOLDS.search(name)]
        signs += ["cfn-lint"] if type_name in likely else []
        if signs and type_name not in holds + nothing and not type_name.startswith("AWS::Serverless::"):
            yield f"nobody has judged whether {type_name} holds data ({', '.join(signs)}): say it in stateful.txt"


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--check", action="store_true")
    ask.add_argument("--schemas", type=Path)
    asked = ask.parse_args()
    schemas = asked.schemas
    if schemas is None:
        schemas = installed("schemas")
    table, judged, read_only = Table(), Judged(), {}
    documents = [json.loads(file.read_text()) for file in schemas.glob("resources/*.json")]
    for document in sorted(documents, key=lambda it: it["typeName"]):
        table.add(Schema(document), judged)
        places = (place.removeprefix("/properties/") for place in document.get("readOnlyProperties") or [])
        read_only[document["typeName"]] = {place.replace("/", ".") for place in places}
    table.unify()
    text = table.text()
    wrong = [f"nobody has judged {it}: say in rules.txt or harmless.txt what it is" for it in unjudged(text, read_only, judged)]
    likely = installed("AdditionalSpecs/StatefulResources.json").read_text()
    wrong += unjudged_state(documents, json.loads(likely)["ResourceTypes"])
    for file, content in ((TABLE, text), (NAMES, "".join(names(documents)))):
        if asked.check and not asked.schemas and (not file.exists() or content != file.read_text()):
            wrong.append(f"{file.name} is not what the schemas say: run `make template-table`")
        elif not asked.check:
            file.write_text(content)
    for message in wrong:
        print(message, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
