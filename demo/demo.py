"""The main job of the gatekeeper on a local AWS, with real databases, from nothing: `make demo`.

Each tick is an assertion on what is really there. Ends with 0 only when all of them held, leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from concurrent.futures import Future
from pathlib import Path

from botocore.exceptions import ClientError

from actions import TELLING, Actions, call, is_set_back, schema_parity, seconds_between, steps, story
from cloud import Cloud, Unexpected, expect
from database import DATABASE, Database
from processes import Failed
from service import REPO
from terminal import BOLD, GREEN, PLAIN, RED, Terminal


class Demo(Actions):
    """The story; what one chapter finds out, the later ones use."""

    def run(self) -> None:
        """All chapters."""
        building = self.start_build(self.first)  # beside the start of the local AWS
        self.local_aws()
        self.databases_there()
        self.build_first(building)
        self.upload()
        self.forge()
        self.promote_too_early()
        building = self.start_build(self.second)  # CI goes on while the first commit is promoted
        self.become_built()
        self.edit_a_migration()
        self.promote_first()
        self.prove_live()
        self.break_second(building)
        self.change_by_hand()
        self.evidence()
        self.prove()
        self.log_lines()
        self.term.chapter("Clean up")
        self.clean_up()

    # ---- chapters

    def local_aws(self) -> None:
        self.term.chapter("An AWS account on this machine, with the gatekeeper in it")
        with self.term.doing("MiniStack starts, infra/template.yaml is deployed into it") as line:
            self.launcher("up")
            self.cloud = Cloud(json.loads((self.folder / "aws" / "outputs.json").read_text()))
            pages = self.aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName="gatekeeper")
            resources = Counter(of["ResourceType"] for page in pages for of in page["StackResourceSummaries"])
            line.done = (f"infra/template.yaml deployed by a change set: {resources.total()} resources, "
                         f"{resources['AWS::Lambda::Function']} functions")
        with self.term.doing("the policy of a new installation") as line:
            line.done = f"infra/policy.json: raw reports and exit codes are asked for, {self.aws.configure_policy()} conditions beyond ADR-053's"
        self.denied("CI's role writes a verdict into the records bucket", lambda: self.aws.client("s3", "ci").put_object(
            Bucket=self.aws.outputs["RecordsBucket"], Key=f"{self.first.prefix}/verdict.json", Body=b"{}"))

    def databases_there(self) -> None:
        with self.term.doing("databases for dev and UAT") as line:
            for stage in ("dev", "uat"):
                self.databases[stage] = Database(self.processes, stage, self.aws.outputs, self.environment)
                version = self.databases[stage].create().split()[0]
            secret = self.aws.configure_database("uat", self.uat.url)
            line.done = f"PostgreSQL {version} with {self.dev.name} and {self.uat.name}; UAT's way in is a secret that config/stages.json names"
        self.denied("CI's role reads it", lambda: self.aws.client("secretsmanager", "ci").get_secret_value(SecretId=secret))

    def build_first(self, building: Future[float]) -> None:
        self.term.chapter("CI validates the migrations of a commit of examples/bank-payments, and builds it")
        self.term.note(f"{REPO} {self.first.sha}, the Git tree id of its sources")
        pending = self.validate(self.first)
        self.built(self.first, building)
        expect("pending migrations of dev", self.first.stored_migrations, pending)

    def upload(self) -> None:
        self.term.chapter("CI uploads it; its integration tests have not run yet")
        with self.term.doing("uploading") as line:
            count, version = self.aws.upload(self.first)
            line.done = f"{count} objects uploaded by CI's role, each with its SHA-256, the manifest last"
        with self.term.doing("the gate judges") as line:
            verdict = self.aws.verdict(self.first, version, "registered")
            line.done = f"verdict `{verdict['outcome']}`; integration-passed=false on all {count} objects"
        self.summary.append(("verdict after the upload", f"{time.monotonic() - line.began:.2f} s"))
        with self.term.doing("the gate's own tags come back to it as events") as line:
            self.quiet()
            line.done = "the gate's own tags came back to it as events, and ended there: it is quiet"

    def forge(self) -> None:
        self.term.chapter("Somebody forges the tag integration-passed=true")
        artefact = self.key_of(self.first, "authorise-payment")
        manifest = f"{self.first.prefix}/build-manifest.json"
        self.denied("CI tags authorise-payment.zip, against the bucket's policy", lambda: self.aws.tag("ci", artefact, "true"))
        expect("the tag of authorise-payment.zip", "false", self.aws.passed(artefact))
        first = self.set_back("ci", manifest, "CI tags the manifest, which is to ask the gate, and the gate does not agree")
        second = self.set_back(None, artefact, "the account's administrator, whom no policy stops, tags authorise-payment.zip")
        self.summary.append(("forged tags", f"1 refused by policy, 2 set back in {first:.2f} s and {second:.2f} s"))

    def promote_too_early(self) -> None:
        self.term.chapter("Jane tries to promote it to UAT")
        with self.term.doing("PromoteFunction verifies") as line:
            answer = self.aws.promote(self.first.sha, "in a hurry")
            expect("the answer of PromoteFunction", "refused", answer["status"])
            expect("the reasons", {"not-built", "schema-snapshot-missing"}, {reason["code"] for reason in answer["reasons"]})
            line.done = "PromoteFunction refuses, with all its reasons:"
        for reason in answer["reasons"]:
            self.term.note(f"{reason['code']}: {reason['message']}", PLAIN)
        expect("executions", 0, self.aws.executions())
        expect("stacks in UAT", [], [stack for stack in self.first.stacks if self.aws.has_stack(f"{REPO}-uat-{stack}")])
        self.term.held_line("nothing was touched: no execution, no stack in UAT")

    def become_built(self) -> None:
        self.term.chapter("CI deploys it to dev and runs the integration tests there")
        self.test_in_dev(self.first, self.first.stored_migrations)
        with self.term.doing("the smoke test of dev") as line:
            passed, answers = self.first.verify_deployment(self.aws.stack_outputs(self.first, "dev"), 10)
            expect("tests/verify-deployment.mjs", True, passed)
            line.done = f"smoke test of dev passed on {len(answers)} URLs"

    def edit_a_migration(self) -> None:
        self.term.chapter("Somebody edits a migration that dev has run")
        with self.term.doing("gatekeeper flyway validate") as line:
            said = self.dev.gatekeeper("flyway", "validate", self.edited.migrations, answer="no")
            line.done = "gatekeeper flyway validate refuses it by name, exit code 1:"
        named = [of["subject"] for of in said["reasons"] if of["code"] == "flyway-validate-failed"]
        expect("the file that Flyway refuses", [f"{DATABASE}/migrations/V1__create_ledger.sql"], named)
        for reason in said["reasons"]:
            self.term.note(f"{reason['subject']}: {reason['message']}", PLAIN)
        with self.term.doing("the gate judges") as line:
            expect("changed files", ["V1__create_ledger.sql"], self.edited.take_over(self.first))
            count, version = self.aws.upload(self.edited)
            verdict = self.aws.verdict(self.edited, version, "rejected", "flyway-checksum-mismatch")
            line.done = f"uploaded all the same, with the validation of the file as it was: `{verdict['outcome']}`, false on all {count} objects"
        for reason in verdict["reasons"]:
            self.term.note(f"{reason['code']}: {reason['message']}", PLAIN)

    def promote_first(self) -> None:
        self.term.chapter("Jane promotes it to UAT")
        with self.term.doing("a dry run") as line:
            answer = self.aws.promote(self.first.sha, "release", dry_run=True)
            expect("the answer of the dry run", "planned", answer["status"])
            expect("executions", 0, self.aws.executions())
            counts = {part: len(answer["plan"][part]) for part in ("stacks", "functions", "smoke")}
            pending = [of["file"] for of in answer["plan"]["migrations"] if of["state"] == "pending"]
            expect("pending migrations of UAT", self.first.stored_migrations, pending)
            line.done = "dry run: {stacks} stacks, {functions} functions, {smoke} smoke checks, pinned by version and SHA-256".format(**counts)
        self.term.note(f"pending in UAT, by flyway validate and info: {', '.join(pending)}", PLAIN)
        began = time.monotonic()
        record = self.promotion(self.first, "release", [*steps("forward", smoke_test="done"), ("forward", "record-promotion", "succeeded")])
        self.summary.append(("promotion to UAT", f"{time.monotonic() - began:.1f} s"))
        parity = schema_parity(record)
        expect("the live schema is the tested one", True, parity["equal"])
        expect("digests of both schemas", parity["tested_sha256"], parity["live_sha256"])
        self.term.held_line(f"schema parity: tested in dev {parity['tested_sha256'][:16]}, live in UAT {parity['live_sha256'][:16]} (normal forms)")
        self.summary.append(("schema parity", "the schema that was tested in dev is live in UAT"))

    def prove_live(self) -> None:
        self.term.chapter("What runs in UAT is what was tested")
        with self.term.doing("calling UAT") as line:
            url = self.aws.stack_outputs(self.first, "uat")["ApiUrl"]
            self.healthy(url)
            payment = {"debtor_iban": "DE89370400440532013000", "creditor_iban": "GB82WEST12345698765432", "amount": "12.34", "currency": "EUR",
                       "idempotency_key": "demo-0001"}
            status, body = call(url + "payments", payment)
            expect("POST /payments in UAT", (201, "authorised"), (status, body.get("status")))
            line.done = f"UAT answers through its URL: /health names {self.first.short}, a payment is authorised"
        tested = {of["function"]: of["code_sha256"] for of in self.first.manifest["tests"]["integration"]["deployed"]}
        stored, live = self.aws.stored_code(self.first), self.aws.live_code(self.first, "uat")
        expect("stored = tested", tested, stored)
        expect("live = stored", stored, live)
        same = len(live)
        self.term.held_line(f"{same} of {same} functions: the same SHA-256 three times")
        self.term.table(("function", "tested in dev", "stored in S3", "live in UAT (CodeSha256)"),
                        [(name, tested[name][:16], stored[name][:16], live[name][:16]) for name in live])
        self.summary.append(("tested = stored = live", f"{same} of {same} functions"))

    def break_second(self, building: Future[float]) -> None:
        self.term.chapter("The next commit passes its tests, and fails in UAT")
        pending = self.validate(self.second)
        expect("pending migrations of dev", ["2026/V5__add_value_date.sql"], pending)
        self.built(self.second, building)
        count, version = self.aws.upload(self.second)
        self.aws.verdict(self.second, version, "registered")
        self.test_in_dev(self.second, pending)
        with self.term.doing("the smoke test of dev") as line:
            passed, answers = self.second.verify_deployment(self.aws.stack_outputs(self.second, "dev"), 1)
            expect("tests/verify-deployment.mjs", False, passed)
            line.done = f"smoke test of dev fails on {len(answers)} URLs: Built, not Deployed; Jane promotes it all the same"
        before = self.aws.live_code(self.first, "uat")
        record = self.promotion(self.second, "release, too hasty", [
            *steps("forward", smoke_test="failed"), ("forward", "record-promotion", "going-back"),
            *steps("back", smoke_test="done"), ("back", "record-promotion", "rolled-back")])
        with self.term.doing("looking at UAT") as line:
            expect("the live code of UAT", before, self.aws.live_code(self.first, "uat"))
            expect("it differs from the second commit's", True, before != {name: of["sha256"] for name, of in self.second.functions.items()})
            self.healthy(self.aws.stack_outputs(self.first, "uat")["ApiUrl"])
            state = self.aws.record(f"stages/uat/{REPO}.json") or {}
            expect("stages/uat", self.first.sha, state.get("commit_sha"))
            history = self.uat.sql("SELECT max(version::int) FROM flyway_schema_history;")
            expect("the newest version of UAT's history", "5", history)
            line.done = f"UAT runs {self.first.short} again: code, /health and stages/uat/{REPO}.json say so; its database keeps V5"
        self.summary.append(("the way back", f"{seconds_between(record['started_at'], record['ended_at']):.1f} s from the start of the promotion that failed"))

    def change_by_hand(self) -> None:
        self.term.chapter("Somebody changes UAT's schema by hand, and Jane wants to go back")
        with self.term.doing("ALTER TABLE by psql") as line:
            self.uat.sql("ALTER TABLE ledger.account ADD COLUMN internal_note text;")
            line.done = "psql: ALTER TABLE ledger.account ADD COLUMN internal_note text"
        executions = self.aws.executions()
        with self.term.doing("a rollback") as line:
            answer = self.aws.promote(self.first.sha, "to be safe", rollback=True)
            expect("the answer of PromoteFunction", ("refused", ["schema-difference"]), (answer["status"], [of["code"] for of in answer["reasons"]]))
            line.done = f"a rollback to {self.first.short} is refused: the code would meet a schema that it was not tested with"
        message = answer["reasons"][0]["message"]
        expect("the difference names both columns", [True, True], [name in message for name in ("value_date", "internal_note")])
        for text in message.splitlines():
            self.term.note(text, PLAIN)
        with self.term.doing("a dry run that accepts it") as line:
            answer = self.aws.promote(self.first.sha, "to be safe", rollback=True, accept_schema_difference=True, dry_run=True)
            expect("the answer of PromoteFunction", ("planned", []), (answer["status"], answer["reasons"]))
            expect("executions", executions, self.aws.executions())
            line.done = 'with "accept_schema_difference": true it would go ahead (a dry run)'

    def evidence(self) -> None:
        self.term.chapter("The evidence, as an auditor reads it")
        bucket = self.aws.outputs["RecordsBucket"]
        records = [key for key in self.aws.keys_under(bucket, f"promotions/uat/{REPO}/", "auditor") if key.count("/") == 3]  # beside attestations
        promotions = [self.aws.record(key) or {} for key in records]
        expect("promotions in the records", [(self.first.sha, "succeeded"), (self.second.sha, "rolled-back")],
               [(of.get("commit_sha"), of.get("status")) for of in promotions])
        live = {of["function"]: of["code_sha256"] for of in promotions[0]["live"]}
        expect("the live code in the first record", {name: of["sha256"] for name, of in self.first.functions.items()}, live)
        self.term.held_line(f"promotion records in {bucket}, the live code in them")
        self.term.table(("promotion", "commit", "asked by", "reason", "became"),
                        [(of["promotion_id"], of["commit_sha"][:8], of["requested_by"], of["reason"], of["status"]) for of in promotions])
        handoffs = {build.short: self.handoffs(build) for build in (self.first, self.second)}
        expect("handoff documents", {self.first.short: ["built", "deployed"], self.second.short: ["built"]}, handoffs)
        self.term.held_line("handoff documents: Built for both commits, Deployed only for the first")
        key = f"docs/handoffs/{self.first.database_module}-ci-deployed-{self.first.sha}.handoff.md"
        _, front, tables = (self.aws.text(f"{self.first.prefix}/{key}") or "").split("---\n", 2)
        parity = schema_parity(promotions[0])
        schema = f"| `{DATABASE}` | equal | `{parity['tested_sha256']}` | `{parity['live_sha256']}` |"
        expect(f"the row of the schema in {key}", True, schema in tables)
        expect(f"the evidence of {key}", True, f"evidence: promotions/uat/{REPO}/{promotions[0]['promotion_id']}.json" in front)
        self.term.note(key)
        for text in front.splitlines():
            self.term.note(f"  {text}", PLAIN)
        self.term.note(f"  {schema}", PLAIN)

    def prove(self) -> None:
        self.term.chapter("The same for an auditor who need not trust us")
        bundle = self.folder / "evidence.zip"
        with self.term.doing("gatekeeper evidence") as line:
            said = self.audit("evidence", "--stage", "uat", "--repo", REPO, "--bundle", bundle)
            checks = said["evidence"][0]["checks"]
            expect("checks that don't hold", [], [of["name"] for of in checks if of["holds"] != "holds"])
            line.done = f"gatekeeper evidence: from the live functions back to the tests, {len(checks)} checks hold"
        self.term.note(said["answer"], PLAIN)
        self.summary.append(("evidence", f"{len(checks)} checks hold, {bundle.stat().st_size // 1000} kB to take away"))
        self.keys = self.aws.public_keys(self.folder)
        with self.term.doing("gatekeeper verify") as line:
            expect("the bundle, offline", "holds", self.offline(bundle)["verdict"])
            changed = self.folder / "changed.zip"
            with_a_failure_less(bundle, changed)
            expect("a bundle whose report was changed", "fails", self.offline(changed, "no")["verdict"])
            line.done = "gatekeeper verify: the bundle holds without AWS; with one character of a test report changed it doesn't"
        with self.term.doing("gatekeeper ledger verify") as line:
            chains = self.audit("ledger", "verify")
            expect("broken chains", [], [of["chain"] for of in chains if of["broken"]])
            line.done = f"gatekeeper ledger verify: {sum(of['newest'] for of in chains)} entries in {len(chains)} chain{'s'[:len(chains) != 1]}, every link and head holds"
        name = self.aws.update_by_hand(self.first, "authorise-payment", "uat")
        with self.term.doing("gatekeeper evidence again") as line:
            said = self.audit("evidence", "--stage", "uat", "--repo", REPO, answer="no")
            broken = [of["detail"] for of in said["evidence"][0]["checks"] if of["holds"] == "fails"]
            expect("a check names the function", True, any(name in detail for detail in broken))
            line.done = f"somebody updates {name} by hand: gatekeeper evidence ends with 1 and says so"
        self.term.note(broken[0], PLAIN)

    def log_lines(self) -> None:
        self.term.chapter("What CloudWatch Logs has of it")
        with self.term.doing("reading the logs") as line:
            told = story(self.aws.log_lines())
            expect("warnings about forged tags", 2, sum(is_set_back(of) for of in told))
            expect("dead letters", 0, self.aws.dead_letters())
            line.done = f"{len(told)} lines tell the story; no dead letter"
        for of in told:
            self.show(of)


def with_a_failure_less(bundle: Path, changed: Path) -> None:
    """Copies a bundle, with one character of a raw test report changed."""
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(changed, "w") as new:
        report = next(name for name in old.namelist() if name.startswith("reports/"))
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry, content[:-1] + b"#" if entry.filename == report else content)


def failed(demo: Demo, error: BaseException) -> None:
    """Says what did not hold, and what the functions logged about it."""
    term = demo.term
    term.say()
    if isinstance(error, Unexpected):
        term.say(term.paint(f"did not hold: {error}", RED, BOLD))
        term.note(f"expected  {error.expected}", PLAIN)
        term.note(f"seen      {error.seen}", PLAIN)
    elif isinstance(error, (Failed, ClientError)):
        term.say(term.paint(f"failed: {error}", RED, BOLD))
    else:
        term.say("".join(traceback.format_exception(error)))
    if demo.cloud is None:
        return
    try:
        lines = [of for of in demo.aws.log_lines() if of["level"] != "INFO" or of["message"].startswith(TELLING)]
    except Exception as unread:  # the first error is the one to tell of
        term.note(f"the logs could not be read: {unread}")
        return
    term.note(f"the last of {len(lines)} log lines:")
    for line in lines[-15:]:
        demo.show(line)


def interrupted(*_: object) -> None:
    """Other signals end the demo as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """Tells the story; 0 when all held, 1 when not, 130 when interrupted."""
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT too: a shell starts background jobs without it
        signal.signal(sign, interrupted)
    terminal, began = Terminal(), time.monotonic()
    terminal.say(terminal.paint("artefact-gatekeeper: from an upload to UAT, on an AWS of its own", BOLD))
    folder = Path(tempfile.mkdtemp(prefix="gatekeeper-demo-"))
    folder.chmod(0o711)  # root's PostgreSQL runs as another user, who has to get to a folder of its own in it
    demo = None
    code = 1
    try:
        demo = Demo(terminal, folder)
        demo.run()
        code = 0
    except KeyboardInterrupt:
        code = 130
        terminal.say("\ninterrupted")
    except BrokenPipeError:
        terminal.out = open(os.devnull, "w")  # nobody reads on; what was started still has to end
    except Exception as error:
        if demo is None:
            raise
        failed(demo, error)
    finally:
        if demo is not None:
            demo.clean_up()
        shutil.rmtree(folder, ignore_errors=True)
    if code == 0:
        terminal.say("\n" + terminal.paint(f"{terminal.tick} all {terminal.held} checks held, in {time.monotonic() - began:.0f} s", BOLD, GREEN))
        for name, value in demo.summary:
            terminal.say(f"  {name:<25} {value}")
    return code


if __name__ == "__main__":
    sys.exit(main())
