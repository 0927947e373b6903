#!/usr/bin/env python3
"""Makes the seed corpora anew: from the fixtures that `make oracles` had real tools write, and by tools that are called here.

Needs zip, jar, 7z, bsdtar, openssl, node and npm, and the registries. What a tool of another version writes differs, so look
at what changed. Envelopes (`attestation/dsse-*`) are kept: only the laws' own key signs them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CORPUS = HERE / "corpus"
FIXTURES = ROOT / "shared/readers"
MOST_BYTES = 4096
sys.path.insert(0, str(ROOT / "tests/oracles"))
SHA = "3f1c9a0b5d7e2468ace013579bdf02468ace1357"
DIGEST = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def write(target: str, name: str, content: bytes | str, kind: str = "") -> None:
    """A seed, if it is small enough for one."""
    body = content.encode() if isinstance(content, str) else content
    body = (f"{kind}\n".encode() if kind else b"") + body
    if len(body) <= MOST_BYTES:
        (CORPUS / target / name).write_bytes(body)


def run(*command: str | Path, cwd: Path, stdin: str | None = None) -> bytes:
    """What a command writes."""
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, input=stdin and stdin.encode()).stdout


def junit_and_reports() -> None:
    """Reports of tests and coverage, by the producers that the fixtures are called after."""
    for path in sorted((FIXTURES / "tests/reports").iterdir()):
        if path.suffix == ".xml":
            write("junit", path.name, path.read_bytes())
        else:
            kind = "vitest-json" if path.name.startswith("vitest") else "jest-json"
            write("reports", path.name, path.read_bytes(), kind)
    for path in sorted((FIXTURES / "tests/coverage").iterdir()):
        write("reports", path.name, path.read_bytes(), "lcov")
    program = "function a(x) {\n  if (x) { return 1 }\n  return 2\n}\nconst b = () => a(1); class C { m() {} }\nb(); new C()\n"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "a.js").write_text(program)
        run("npm", "init", "--yes", cwd=folder)
        run("npm", "install", "--silent", "nyc@17.1.0", "c8@10.1.3", cwd=folder)
        for tool, arguments in (("nyc", []), ("c8", [])):
            reporters = ["--reporter=json", "--reporter=json-summary", "--reporter=lcovonly"]
            run("npx", tool, *arguments, *reporters, f"--report-dir={tool}", "node", "a.js", cwd=folder)
            for file, kind in (("coverage-final.json", "istanbul"), ("coverage-summary.json", "istanbul-summary"), ("lcov.info", "lcov")):
                text = (folder / tool / file).read_text().replace(str(folder), "/srv/x")
                write("reports", f"{tool}-{file}", text, kind)


def snapshots() -> None:
    """Whole dumps that are small, and the bodies of large ones in pieces."""
    fixtures = FIXTURES / "src/schema_snapshot/fixtures"
    for path in [*sorted((fixtures / "pairs").iterdir()), *sorted((fixtures / "servers").glob("*.dump"))]:
        write("snapshot", path.name, path.read_bytes())
    for name in ("versions.s18.d18", "versions.s15.d15", "not_null.s18.d18", "partitions.uat"):
        whole = (fixtures / f"servers/{name}.dump").read_text()
        entries = re.split(r"(?m)^--\n-- Name: .*\n--\n", whole)[1:]
        piece, number = "", 0
        for entry in [*(it.strip() for it in entries), "x" * MOST_BYTES]:
            entry = entry.split("\n--\n-- PostgreSQL database dump complete")[0]
            if len(piece) + len(entry) > 1500:
                write("snapshot", f"{name}.{number:02}.body", piece)
                piece, number = "", number + 1
            piece += entry + "\n\n"
    statements = json.loads((fixtures / "psql_statements.json").read_text())
    for number, it in enumerate(statements[::20]):
        write("snapshot", f"psql-{number:02}.body", it["text"])


def templates() -> None:
    """CDK's templates, whole where they are small and some of their resources where they are not."""
    fixtures = FIXTURES / "src/template/fixtures"
    for path in sorted(it for it in fixtures.rglob("*.json") if not it.name.startswith("uat-")):
        write("template", path.name, path.read_bytes())
        document = json.loads(path.read_text())
        if path.stat().st_size <= MOST_BYTES or not isinstance(document.get("Resources"), dict):
            continue
        rest = {name: section for name, section in document.items() if name in ("Parameters", "Conditions")}
        rest["Parameters"] = dict(list(rest.get("Parameters", {}).items())[:4])
        taken: dict[str, object] = {}
        number = 0
        for name, resource in [*document["Resources"].items(), ("", "x" * MOST_BYTES)]:
            resource = {key: value for key, value in resource.items() if key != "Metadata"} if isinstance(resource, dict) else resource
            if taken and len(json.dumps({**taken, name: resource})) > 1600:
                if number % 3 == 0:
                    write("template", f"{path.stem}.{number}.json", json.dumps({**rest, "Resources": taken}))
                taken, number = {}, number + 1
            taken[name] = resource


def zips() -> None:
    """Archives by five archivers, and the odd ones of the oracles."""
    import make_zips  # noqa: PLC0415

    for number, content in enumerate(make_zips.odd().values()):
        write("zip", f"odd-{number:02}.zip", content)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tree = folder / "tree"
        (tree / "lib").mkdir(parents=True)
        (tree / "index.js").write_text("exports.handler = async () => ({})\n" * 4)
        (tree / "lib/app.py").write_text("def handler(event, context):\n    return {}\n")
        (tree / "ü.txt").write_text("größe")
        (tree / "empty").write_text("")
        (tree / "lib/link").symlink_to("../index.js")
        (tree / "bootstrap").write_text("#!/bin/sh\nexec true\n")
        (tree / "bootstrap").chmod(0o755)
        for what, command in {
            "info-zip": ["zip", "-qr", "../it.zip", "."],
            "info-zip-links": ["zip", "-qry", "-UN=UTF8", "../it.zip", "."],
            "info-zip-plain": ["zip", "-qrXD", "../it.zip", "index.js", "lib/app.py"],
            "info-zip-stored": ["zip", "-q0X", "../it.zip", "index.js", "empty"],
            "info-zip-comment": ["zip", "-qzX", "../it.zip", "index.js"],
            "info-zip-stream": ["sh", "-c", "zip -qrX - index.js empty > ../it.zip"],
            "info-zip-wide": ["sh", "-c", "zip -qX -fz- - - < index.js > ../it.zip"],
            "jar": ["jar", "cMf", "../it.zip", "index.js", "lib/app.py"],
            "jar-with-manifest": ["jar", "cf", "../it.zip", "index.js"],
            "7z": ["7z", "a", "-tzip", "-bso0", "../it.zip", "index.js", "lib"],
            "bsdtar": ["bsdtar", "-c", "--format", "zip", "-f", "../it.zip", "index.js", "lib", "bootstrap"],
        }.items():
            run(*command, cwd=tree, stdin="a comment\n.\n" if what == "info-zip-comment" else "")
            write("zip", f"{what}.zip", (folder / "it.zip").read_bytes())
            (folder / "it.zip").unlink()
        for what, options in {"python": {}, "python-wide": {"force_zip64": True}}.items():
            with zipfile.ZipFile(folder / "it.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                info = zipfile.ZipInfo("lib/app.py", (2026, 5, 2, 3, 4, 6))
                info.external_attr, info.create_system = 0o100644 << 16, 3
                with archive.open(info, "w", **options) as file:
                    file.write((tree / "lib/app.py").read_bytes())
            write("zip", f"{what}.zip", (folder / "it.zip").read_bytes())


def flyway() -> None:
    """Names as people write them, the example's migrations, and configurations."""
    lines = {
        "versions": "V1__create_ledger.sql\nV1.1__x.sql\nV1_10__x.sql\nV001__x.sql\nV20260502030405__add.sql\nB3__base.sql\nU1__undo.sql",
        "repeatables": "R__views.sql\nR__b.sql\nR___x.sql\nbeforeMigrate.sql\nafterEachMigrate__grant_it.sql\ncreateSchema__x.sql",
        "folders": "2026/V4__add_statement_text.sql\na/.git/V1__x.sql\n../V1__x.sql\nV1__größe_😀.sql\nV1__a b.SQL",
        "refused": "V__x.sql\nv1__x.sql\nV1__x.sql.conf\nR1__x.sql\nVlatest__x.sql\nV1..2__x.sql",
    }
    for name, text in lines.items():
        write("flyway", f"names-{name}", text, "names")
    database = ROOT / "examples/bank-payments/db/payments"
    for path in sorted((database / "migrations").rglob("*.sql")):
        write("flyway", f"sql-{path.name}", path.read_bytes(), "sql")
    write("flyway", "sql-crlf", b"\xef\xbb\xbfCREATE TABLE t (\r\n  id bigint\r\n);\r\n", "sql")
    write("flyway", "sql-placeholders", "-- ${flyway:filename}\nGRANT SELECT ON ${Schema}.t TO ${role};\n$${x\n", "sql")
    write("flyway", "sql-cr", "SELECT 1;\rSELECT 'a$';\r\r", "sql")
    write("flyway", "toml-example", (database / "flyway.toml").read_bytes(), "toml")
    write("flyway", "toml-much", """id = "x"
databaseType = "PostgreSql"
[flyway]
environment = "dev"
locations = ["filesystem:db/payments/migrations"]
defaultSchema = "ledger"
table = "history"
createSchemas = false
outOfOrder = true
mixed = true
group = false
executeInTransaction = true
baselineOnMigrate = true
baselineVersion = 3
baselineDescription = "by hand"
placeholderReplacement = true
sqlMigrationSuffixes = [".sql"]
ignoreMigrationPatterns = ["*:pending"]
encoding = "utf8"
validateOnMigrate = true
connectRetries = 3
[flyway.placeholders]
schema = "ledger"
Role = "auditor"
[flyway.postgresql.transactional]
lock = false
[environments.dev]
schemas = ["ledger", "audit"]
displayName = "dev"
""", "toml")
    write("flyway", "toml-refused", '[flyway]\nurl = "jdbc:postgresql://x/y"\ninitSql = "SET x"\nplaceholders.a = "${env.X}"\n', "toml")
    write("flyway", "conf-whole", "# of this script\nexecuteInTransaction=false\nplaceholderReplacement : true\n! x\nencoding UTF-8\n", "conf")
    write("flyway", "conf-refused", "executeintransaction=false\nshouldExecute=false\nencoding=\\u0055TF-8\n", "conf")


def attestations() -> None:
    """Keys by openssl, and statements in the shapes of `docs/provenance.md`."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for curve in ("prime256v1", "secp384r1"):
            run("openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", "key.pem", cwd=folder)
            write("attestation", f"pem-{curve}", run("openssl", "ec", "-in", "key.pem", "-pubout", cwd=folder), "pem")
            write("attestation", f"der-{curve}", run("openssl", "ec", "-in", "key.pem", "-pubout", "-outform", "DER", cwd=folder), "der")
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": [
        {"name": "bank-payments", "digest": {"gitCommit": SHA}},
        {"name": f"bank-payments/{SHA}/build-manifest.json", "digest": {"sha256": DIGEST}}]}
    built = {**statement, "predicateType": "https://in-toto.io/attestation/test-result/v0.1", "predicate": {
        "result": "PASSED", "configuration": [{"uri": "x", "digest": {"sha256": DIGEST}}], "url": "https://github.com/x/y/actions/runs/1",
        "passedTests": ["integration"], "failedTests": [], "artefactGatekeeper_tests": {
            "typecheck": {"errors": 0}, "unit": {"passed": 2, "failed": 0, "skipped": 0, "line_coverage": 87.1, "function_coverage": 84.0}},
        "artefactGatekeeper_recounted": {"integration": {"passed": 1, "failed": 0, "skipped": 0}},
        "artefactGatekeeper_conditions": ["typecheck", "unit"],
        "artefactGatekeeper_leastCoverage": {"lines": 80.0, "functions": 80.0, "lineCoverage": 80.0, "functionCoverage": 80.0},
        "artefactGatekeeper_flyway": {"payments": {"validated": True, "checksums": {"V1__x.sql": -7}}},
        "artefactGatekeeper_verdict": {"uri": "y"}, "artefactGatekeeper_manifestVersionId": "v1",
        "artefactGatekeeper_evaluatedAt": "2026-05-02T03:04:05Z"}}
    summary = {**statement, "predicateType": "https://slsa.dev/verification_summary/v1", "predicate": {
        "verifier": {"id": "https://artefact-gatekeeper.example/promote"}, "timeVerified": "2026-05-02T03:04:05Z",
        "resourceUri": "https://artefact-gatekeeper.example/stages/uat/bank-payments", "policy": {"uri": "p", "digest": {"sha256": DIGEST}},
        "inputAttestations": [{"uri": "a", "digest": {"sha256": DIGEST}}], "verificationResult": "PASSED",
        "verifiedLevels": ["ADR_053_VERIFIED_FOR_UAT"], "slsaVersion": "1.1"}}
    for name, document in (("built", built), ("summary", summary), ("bare", statement)):
        write("attestation", f"statement-{name}", json.dumps(document, separators=(",", ":")), "statement")
    write("attestation", "edit-nothing", b"", "edit")
    write("attestation", "edit-one", b"\x00\x20A", "edit")
    observed = {"schema_version": 1, "gatekeeper": "0.1.0", "edition": 2, "question": {"repo": "bank-payments", "stage": "uat"},
                "taken_at": "2026-05-02T03:04:05Z", "versions": {}}
    bundle = {"observed.json": json.dumps(observed), "evidence.json": "{}", "README.txt": "x", "SHA256SUMS": f"{DIGEST}  README.txt"}
    write("attestation", "bundle-small", "".join(f"== {name}\n{text}\n" for name, text in bundle.items()), "bundle")


def documents() -> None:
    """The samples and configurations of this repository."""
    for path in sorted((ROOT / "events").glob("*.json")):
        write("documents", f"event-{path.name}", path.read_bytes(), "event")
    write("documents", "event-key", "bank-payments/x/V1__café x+y%20.sql", "event")
    write("documents", "policy-installed.json", (ROOT / "infra/policy.json").read_bytes(), "policy")
    policy = {"schema_version": 1, "all": {"min_line_coverage": 85, "max_flaky": 2, "require": ["integration-report"], "refuse": ["todo"],
                                           "known_types": ["AWS::New::Thing"], "shared_accounts": {"audit": "111122223333"}},
              "repos": {"bank-core": {"min_function_coverage": 90.5, "require": ["tested-bytes"], "waive": ["integration-report"]}}}
    write("documents", "policy-much.json", json.dumps(policy, indent=1), "policy")
    write("documents", "stages-local.json", (ROOT / "infra/local/stages.json").read_bytes(), "stages")
    stages = {"schema_version": 1, "stages": {
        "uat": {"requires": "built", "databases": {"payments": {
            "secret_arn": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:x", "schema_parity": "reported", "placeholders": {"a": "b"},
            "other_histories": ["audit.flyway_schema_history"], "partitions": ["public.events", 'public."Events"'], "host": "db.x", "port": 5432}}},
        "prod": {"requires": "deployed:uat", "soak_minutes": 2880, "approvals": 2, "role_arn": "arn:aws:iam::111122223333:role/x", "freeze": [
            {"weekly": {"from": "fri 16:00", "to": "mon 07:00"}, "time_zone": "Australia/Sydney", "reason": "nobody is there"},
            {"from": "2026-12-18T18:00", "to": "2027-01-04T08:00", "time_zone": "Europe/London", "reason": "year end"}]}}}
    write("documents", "stages-much.json", json.dumps(stages, indent=1), "stages")
    identities = {"schema_version": 1, "mail_domains": ["bank.example"], "aliases": {"jane@bank.example": ["janedoe", "jane@home.example"]},
                  "bots": ["ci", "dependabot[bot]"], "ignored_committers": ["noreply@git.bank.example"]}
    write("documents", "identities.json", json.dumps(identities, indent=1), "identities")
    manifest = {"schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "branch": "main", "author": "jane@bank.example",
                "authors": [{"name": "Jane", "email": "jane@bank.example", "commits": 2}], "timestamp": "2026-05-02T03:04:05Z",
                "build": {"run_url": "https://github.com/x/y/actions/runs/1", "run_attempt": 1, "actor": "ci", "repository": "X/Y"},
                "modules": [{"id": "MOD-012",
                             "functions": [{"name": "f", "sha256": DIGEST, "size": 7, "stack": "api", "logical_id": "Fn"}],
                             "stacks": [{"name": "api", "sha256": DIGEST, "size": 8}],
                             "schemas": [{"database": "payments", "sha256": DIGEST, "size": 9, "partitions": ["public.events"]}],
                             "migrations": [{"database": "payments", "file": "2026/V1__x.sql", "sha256": DIGEST, "size": 10}],
                             "script_configurations": [{"database": "payments", "script": "2026/V1__x.sql", "sha256": DIGEST, "size": 3}],
                             "dbt": {"sha256": DIGEST, "size": 11, "run_results": {"sha256": DIGEST, "size": 14}}}],
                "tests": {"typecheck": {"errors": 0}, "unit": {"passed": 2, "failed": 0, "skipped": 0, "line_coverage": 87.1, "function_coverage": 84.0},
                          "policy": {"passed": 1, "failed": 0, "skipped": 0, "policies_satisfied": ["POL-004"]},
                          "integration": {"passed": 3, "failed": 0, "skipped": 0, "run_integration": True, "exit_code": 0,
                                          "deployed": [{"function": "f", "code_sha256": DIGEST}]}},
                "reports": [{"suite": "integration", "format": "junit", "file": "it.xml", "sha256": DIGEST, "size": 12}],
                "flyway": {"payments": {"validated": True, "checksums": {"2026/V1__x.sql": -7}}}, "deploy": {"stage": "dev", "succeeded": True},
                "pulumi": {"program_sha": SHA}, "dcm": {"plan": True, "deploy": True}, "dbt_build": {"succeeded": True}}
    write("documents", "manifest.json", json.dumps(manifest, indent=1), "manifest")
    small = {name: manifest[name] for name in ("schema_version", "repo", "commit_sha", "branch", "timestamp")}
    write("documents", "manifest-small.json", json.dumps({**small, "modules": [{"id": "MOD-012"}]}), "manifest")
    write("documents", "handoff.md", f'---\nmodule_id: MOD-012\nrepo: bank-payments\ncommit_sha: "{SHA}"\nbuild_status: Built\nstage: dev\n'
          f'timestamp: "2026-05-02T03:04:05Z"\nevidence: bank-payments/{SHA}/verdict.json\n---\n\n# MOD-012 is Built\n', "handoff")
    metadata = {"dbt_version": "1.11.16", "invocation_id": "9eeb8aeb-d74a-4254-9b54-7ab84c7c1628"}
    node = {"resource_type": "model", "database": "RISK_DEV", "compiled": True, "compiled_code": "select 1", "config": {"enabled": True},
            "depends_on": {"nodes": ["source.risk.raw.exposures"]}}
    of_dbt = {"metadata": {**metadata, "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "adapter_type": "snowflake"},
              "nodes": {"model.risk.mart": node, "test.risk.id": {**node, "resource_type": "test"}, "seed.risk.rates": {"resource_type": "seed"},
                        "model.risk.part": {**node, "config": {"materialized": "ephemeral"}}, "operation.risk.hook": {"resource_type": "operation"}},
              "unit_tests": {"unit_test.risk.mart.sums": {"resource_type": "unit_test"}}, "exposures": {"exposure.risk.report": {}},
              "sources": {"source.risk.raw.exposures": {"relation_name": "RISK_DEV.raw.\"Exposures\"", "schema": "raw", "identifier": "x"}}}
    write("documents", "dbt-manifest.json", json.dumps(of_dbt), "dbt-manifest")
    results = [{"unique_id": id, "status": status} for id, status in (
        ("model.risk.mart", "success"), ("test.risk.id", "pass"), ("seed.risk.rates", "warn"), ("exposure.risk.report", "no-op"))]
    of_run = {"metadata": {**metadata, "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}, "results": results,
              "args": {"which": "build", "target": "dev", "select": [], "vars": {}, "empty": False, "sample": None, "__other__": {"defer": True}}}
    write("documents", "dbt-run-results.json", json.dumps(of_run), "dbt-run-results")
    pulumi()
    keys = [f"bank-payments/{SHA}/{path}" for path in (
        "build-manifest.json", "reports/it.xml", "modules/MOD-012/functions/f.zip", "modules/MOD-012/cloudformation/api.json",
        "modules/MOD-012/schema/payments-schema.sql", "modules/MOD-012/schema/payments/migrations/2026/V1__x.sql",
        "modules/MOD-012/schema/payments/migrations/V1__x.sql.conf", "modules/MOD-012/schema/payments/flyway.toml",
        "modules/MOD-012/dbt/manifest.json", "modules/MOD-012/dbt/run_results.json", "docs/handoffs/MOD-012-ci-built.md")]
    write("documents", "keys-artefacts", "\n".join(keys), "key")
    write("documents", "keys-records", "\n".join([
        "ledger/uat/bank-payments/head.json", "stages/uat/bank-payments.json", "locks/uat/bank-payments.json",
        f"digests/{DIGEST}/bank-payments/{SHA}.json", f"approvals/uat/bank-payments/{SHA}/{DIGEST}.json"]), "key")
    write("documents", "ids", "\n".join([
        SHA, DIGEST, "bank-payments", "MOD-012", "uat", "authorise-payment", "payments-api", "payments", 'public."Events"', "V1__größe.sql",
        "01JT0000000000000000000001", "it.xml"]), "id")


def pulumi() -> None:
    """What Pulumi's engine wrote for the readers' fixtures, without the members that make it long."""
    long = {"inputs", "outputs", "goal", "detailedDiff", "propertyDependencies", "created", "modified", "dependencies", "provider", "parent"}

    def short(value: object) -> object:
        if isinstance(value, dict):
            return {name: short(it) for name, it in value.items() if name not in long and not (name == "newState" and "oldState" in value)}
        return [short(it) for it in value] if isinstance(value, list) else value

    for case in (FIXTURES / "src/pulumi/fixtures/3.276.0" / name for name in ("changed", "failed", "killed", "refreshed", "same")):
        for kind, file in (("history", "history"), ("state", "state"), ("preview", "preview"), ("preview", "plan")):
            path = case / f"{file}.json"
            if path.exists():
                content = json.loads(path.read_text())
                write("documents", f"pulumi-{case.name}-{file}.json", json.dumps(short(content), separators=(",", ":")), f"pulumi-{kind}")
    for path in sorted((FIXTURES / "src/pulumi/fixtures/3.276.0/looked").iterdir()):
        write("documents", f"pulumi-refresh-{path.name}", json.dumps(short(json.loads(path.read_text())), separators=(",", ":")), "pulumi-refresh")


def main() -> None:
    """Makes every corpus."""
    kept = {path.name: path.read_bytes() for path in (CORPUS / "attestation").glob("dsse-*")}
    for target in ("attestation", "documents", "flyway", "junit", "reports", "snapshot", "template", "zip"):
        shutil.rmtree(CORPUS / target, ignore_errors=True)
        (CORPUS / target).mkdir(parents=True)
    for name, content in kept.items():
        (CORPUS / "attestation" / name).write_bytes(content)
    for make in (junit_and_reports, snapshots, templates, zips, flyway, attestations, documents):
        make()
    total = 0
    for target in sorted(CORPUS.iterdir()):
        sizes = [path.stat().st_size for path in target.iterdir()]
        total += sum(sizes)
        print(f"{target.name:12}{len(sizes):4} seeds {sum(sizes):7} bytes")
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
