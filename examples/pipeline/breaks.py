"""What `--break` does: a commit that is wrong, settings that are, or somebody who meddles meanwhile. One for each step at least."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from run import Run


def nothing(_: object) -> None:
    """Changes nothing."""


@dataclass(frozen=True)
class Break:
    """How a step is broken. `commit` changes the pushed commit, `before_all` the settings, `before` what happens in front of a step."""

    step: int
    name: str
    tells: str
    commit: Callable[[Path], None] = nothing
    before_all: Callable[[Run], None] = nothing
    before: Mapping[int, Callable[[Run], None]] = field(default_factory=dict)
    # whether the example as it is goes through this many steps before
    after_steps: int = 0


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Changes a text in a file, which must be there."""
    def change(folder: Path) -> None:
        path = folder / file
        text = path.read_text()
        if old not in text:
            raise ValueError(f"`{file}` holds no `{old}` to replace")
        path.write_text(text.replace(old, new, 1))
    return change


def without(file: str, pattern: str) -> Callable[[Path], None]:
    """Takes a text out of a file."""
    def change(folder: Path) -> None:
        path = folder / file
        text, count = re.subn(pattern, "", path.read_text(), count=1, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"`{file}` holds no `{pattern}` to take out")
        path.write_text(text)
    return change


def written(file: str, text: str) -> Callable[[Path], None]:
    """A further file."""
    def change(folder: Path) -> None:
        (folder / file).write_text(text)
    return change


def variant(name: str) -> Callable[[Path], None]:
    """The files of one of the example's variants, as written now: by an older time Git could take them for what they replace."""
    def change(folder: Path) -> None:
        shutil.copytree(folder / "variants" / name, folder, dirs_exist_ok=True, copy_function=shutil.copy)
    return change


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    """One change after the other."""
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)
    return change


# ---- what happens meanwhile

def dev_ran_the_migrations(run: Run) -> None:
    """Dev ran them as they were before this commit."""
    run.tool("git", "-C", run.source, "worktree", "add", "--quiet", run.folder / "before", "HEAD~1", cwd=run.folder)
    run.dev.ran(run.folder / "before" / "db" / "payments" / "migrations")


def rebuilt(run: Run) -> None:
    """A ZIP of the build folder becomes another one."""
    modules = run.workspace / "build" / "commit" / "modules" / "MOD-012" / "functions"
    shutil.copy(modules / "payment-status.zip", modules / "authorise-payment.zip")


def without_run_integration(run: Run) -> None:
    """Nobody set it in the environment's settings."""
    del run.dev.vars["RUN_INTEGRATION"]


def pg_dump_with_rows(run: Run) -> None:
    """A `pg_dump` on the path that dumps rows too."""
    tools = run.folder / "tools"
    tools.mkdir()
    real = shutil.which("pg_dump", path=run.env["PATH"])
    (tools / "pg_dump").write_text(f'#!/bin/bash\nkept=()\nfor it in "$@"; do [ "$it" = --schema-only ] || kept+=("$it"); done\nexec {real} "${{kept[@]}}"\n')
    (tools / "pg_dump").chmod(0o755)
    run.add_path(tools)


def protected_branch(run: Run) -> None:
    """The origin takes no more pushes."""
    hook = run.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'the branch main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)


def report_without_a_test(suite: str) -> Callable[[Run], None]:
    """Somebody takes a test out of a report."""
    edit = without(f"build/commit/reports/{suite}.xml", r"<testcase [^>]*(/>|>.*?</testcase>)")
    return lambda run: edit(run.workspace)


def in_the_warehouse(statement: str) -> Callable[[Run], None]:
    """Somebody's statement, in dev's warehouse."""
    def execute(run: Run) -> None:
        password = {"DBT_ENV_SECRET_SNOWFLAKE_PASSWORD": run.dev.secrets.get("SNOWFLAKE_PASSWORD", "")}
        run.tool("python", "-c", f"from risk import warehouse; warehouse.connect().execute({statement!r})", cwd=run.workspace, environment=password)
    return execute


def cut_off_dbt_manifest(run: Run) -> None:
    """A file of the build folder that was not written whole."""
    path = run.workspace / "build" / "commit" / "modules" / "MOD-301" / "dbt" / "manifest.json"
    path.write_bytes(path.read_bytes()[:100_000])


A_WRONG_POLICY = """  new CfnResource(stack, 'WrongPolicy', { type: 'AWS::IAM::Policy', properties: {
    PolicyName: 'wrong', Roles: ['no-such-role'],
    PolicyDocument: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 's3:GetObject', Resource: '*' }] },
  } });
"""

BREAKS: dict[str, list[Break]] = {"bank-payments": [
    Break(1, "type-error", "`checkIban` is called with a number",
          commit=written("src/wrong.ts", "import { checkIban } from './iban.js';\n\nexport const wrong = checkIban(42);\n")),
    Break(2, "unit-test", "a settled payment can't be refunded any more, and a unit test knows better",
          commit=replaced("src/history.ts", "settled: ['refunded']", "settled: []")),
    Break(2, "coverage", "a file with functions that no test calls",
          commit=written("src/untested.ts", "".join(f"export function untested{n}(a: number): number {{\n  return a + {n};\n}}\n" for n in range(60)))),
    Break(3, "policy-test", "POL-017 is satisfied, says policies.json, and its test is gone",
          commit=lambda folder: (folder / "tests" / "policy" / "POL-017.test.ts").unlink()),
    Break(4, "edited-migration", "V1__create_ledger.sql was edited after dev ran it", commit=variant("edited-migration"), before_all=dev_ran_the_migrations),
    Break(5, "build", "a function that has no source", commit=replaced("infra/app.mjs", "'payment-status': 'PaymentStatusFn'",
          "'payment-status': 'PaymentStatusFn', 'refund-payment': 'RefundPaymentFn'")),
    Break(6, "unsafe-zip", "the bundler puts a file outside the folder that the ZIP is unpacked into",
          commit=replaced("tools/bundle.mjs", "zip({ 'index.js': outputFiles[0].contents })", "zip({ 'index.js': outputFiles[0].contents, '../index.js': outputFiles[0].contents })")),
    Break(7, "deploy", "the template has a policy for a role that does not exist",
          commit=both(replaced("infra/app.mjs", "  const status = define(", A_WRONG_POLICY + "  const status = define("),
                      replaced("infra/app.mjs", "import { App, CfnOutput, ", "import { App, CfnOutput, CfnResource, "))),
    Break(7, "rebuilt", "a ZIP was built anew behind the upload, and dev does not run it", before={7: rebuilt}),
    Break(8, "migration", "a migration changes a table that is not there",
          commit=written("db/payments/migrations/V5__no_such_table.sql", "ALTER TABLE ledger.no_such_table ADD COLUMN a int;\n")),
    Break(9, "integration-test", "the template forgets an output, which only shows when it is deployed",
          commit=replaced("infra/app.mjs", "  new CfnOutput(stack, 'ReconcileLedgerFunction', { value: reconcile.functionName });\n", "")),
    Break(10, "snapshot-with-rows", "the `pg_dump` on the path dumps the rows too", before={10: pg_dump_with_rows}),
    Break(11, "guard", "RUN_INTEGRATION is not set in the environment dev, so every integration test was skipped in silence", before_all=without_run_integration),
    Break(11, "skipped", "one integration test is skipped", commit=replaced("tests/integration/deployed.test.ts", "  test('a wrong account", "  test.skip('a wrong account")),
    Break(11, "rebuilt", "a ZIP was built anew behind the integration tests", before={11: rebuilt}),
    Break(11, "report", "somebody took a test out of the integration tests' report", before={11: report_without_a_test("integration")}),
    Break(11, "removed", "an integration test that the last Built commit had is gone, and nobody says so", after_steps=11,
          commit=without("tests/integration/deployed.test.ts", r"  test\('a wrong account.*?\n  \}\);\n\n")),
    Break(12, "protected-branch", "the branch takes no pushes from CI", before={12: protected_branch}),
    Break(13, "smoke-test", "`/health` answers 500 wherever it is deployed; its unit tests are content", commit=variant("broken-smoke")),
    Break(14, "report", "a report that is uploaded already is edited", before={14: report_without_a_test("unit")}),
], "bank-risk-platform": [
    Break(1, "type-error", "`plan` is called with a text instead of a path",
          commit=written("risk/wrong.py", "from risk.dcm import plan\n\nWRONG = plan('dcm')\n")),
    Break(1, "model", "a model refers to one that is not there", commit=replaced("models/marts/large_exposures.sql", "counterparty_exposure", "counterparty_exposures")),
    Break(2, "unit-test", "DCM deploys a plan that nobody looked at, and a unit test knows better", commit=replaced("risk/dcm.py", "if shown != plan():", "if not shown:")),
    Break(2, "coverage", "a file with functions that no test calls",
          commit=written("risk/untested.py", "".join(f"def untested{n}(a: int) -> int:\n    return a + {n}\n\n\n" for n in range(80)))),
    Break(3, "policy-test", "a mart has the counterparties' e-mail addresses, which POL-021 forbids",
          commit=replaced("models/marts/counterparty_exposure.sql", "    counterparties.country,\n", "    counterparties.country,\n    counterparties.contact_email,\n")),
    Break(4, "definitions", "somebody drops a table in the definitions", commit=replaced("dcm/raw.sql", "DEFINE TABLE raw.ratings", "DROP TABLE raw.exposures;\n\nDEFINE TABLE raw.ratings")),
    Break(5, "compile", "a model asks the warehouse for a table that is not there when it is compiled", commit=replaced("models/marts/large_exposures.sql", "select\n",
          "{% if execute %}{% set limits = run_query('select percent from raw.no_such_table') %}{% endif %}\nselect\n")),
    Break(6, "dbt-manifest", "dbt's manifest was not written whole", before={6: cut_off_dbt_manifest}),
    Break(7, "dcm-deploy", "somebody changed the warehouse behind the plan", before={7: in_the_warehouse("CREATE SCHEMA raw")}),
    Break(8, "dbt-test", "an exposure is delivered twice", commit=replaced("data/dev/exposures.csv", "EX-0002,", "EX-0001,")),
    Break(9, "integration-test", "a risk weight is wrong, which only the figures of the marts show", commit=replaced("seeds/risk_weights.csv", "BB,100", "BB,150")),
    Break(11, "guard", "RUN_INTEGRATION is not set in the environment dev, so every integration test was skipped in silence", before_all=without_run_integration),
    Break(11, "dbt-selected", "dbt builds without its unit tests, and every other test passes",
          commit=replaced("Makefile", "dbt build --target $(RISK_TARGET)", "dbt build --target $(RISK_TARGET) --exclude-resource-type unit_test")),
    Break(12, "protected-branch", "the branch takes no pushes from CI", before={12: protected_branch}),
    Break(13, "smoke-test", "somebody drops a mart", before={13: in_the_warehouse("DROP TABLE marts.large_exposures")}),
], "bank-platform": [
    Break(1, "type-error", "the stage is a number", commit=replaced("index.ts", "const stage = config.require('stage');", "const stage = config.requireNumber('stage');")),
    Break(2, "unit-test", "versions of artefacts are no longer kept", commit=replaced("src/artefact-store.ts", "status: 'Enabled'", "status: 'Suspended'")),
    Break(3, "policy-test", "the bucket's encryption key is not rotated", commit=replaced("src/artefact-store.ts", "enableKeyRotation: true", "enableKeyRotation: false")),
]}


def find(repo: str, asked: str) -> Break:
    """The break of a step, or the one of that name: `11` or `11:guard`. Raises `KeyError`."""
    step, _, name = asked.partition(":")
    found = [of for of in BREAKS.get(repo, []) if str(of.step) == step and name in ("", of.name)]
    if not found:
        raise KeyError(asked)
    return found[0]


def listed(repo: str) -> str:
    """What can be broken."""
    rows = [(f"{of.step}:{of.name}", of.tells) for of in BREAKS.get(repo, [])]
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([f"what can be broken in {repo} (`--break 11` takes the first of step 11):", *(f"  {name:<{width}}  {tells}" for name, tells in rows)])
