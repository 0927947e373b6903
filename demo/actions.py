"""What the chapters of the demo share: an instance of its own, CI's and the promoter's doings, and how they are told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from cloud import Cloud, StepDone, Unexpected, eventually, expect
from database import DATABASE, GATEKEEPER, Database
from processes import Failed, Processes
from service import REPO, Build, checkout
from terminal import PLAIN, RED, YELLOW, Terminal

ROOT = Path(__file__).resolve().parent.parent
# What a step does, for the line that moves.
STEPS = {"ApplyStack": "apply-stack: CloudFormation applies the stored templates", "DeployFunction": "deploy-function: proves and publishes the code",
         "MigrateDatabase": "migrate-database: Flyway, and the schema held against the tested one",
         "SmokeTest": "smoke-test: asks the stage", "RecordOutcome": "record-promotion: writes down what became of it"}
PROMOTION_SECONDS = 90
SET_BACK_SECONDS = 5
# Lines of level INFO that tell the story; warnings and errors always do.
TELLING = ("commit is ", "promotion ", "change set executed", "function code updated", "database done", "smoke check ")
FIELDS = ("key", "integration_passed", "principal", "stage", "requested_by", "stack_name", "function_name", "check", "detail", "status", "reasons")


class Actions:
    """What the chapters do, each with the lines that it prints."""

    def __init__(self, terminal: Terminal, folder: Path) -> None:
        self.term, self.folder = terminal, folder
        self.processes, self.pool = Processes(), ThreadPoolExecutor(1)
        (folder / "tmp").mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {**kept, "TMPDIR": str(folder / "tmp")}
        self.first = Build(self.processes, checkout(folder / "first"), folder / "out-first", self.environment)
        self.second = Build(self.processes, checkout(folder / "second", "broken-smoke", "next-migration"), folder / "out-second", self.environment)
        self.edited = Build(self.processes, checkout(folder / "edited", "edited-migration"), folder / "out-edited", self.environment)
        self.summary: list[tuple[str, str]] = []
        self.cloud: Cloud | None = None
        self.databases: dict[str, Database] = {}
        self.keys: list[str | Path] = []
        self.cleaned = False

    @property
    def aws(self) -> Cloud:
        """The account, once it is there."""
        assert self.cloud is not None
        return self.cloud

    @property
    def dev(self) -> Database:
        """Dev's database."""
        return self.databases["dev"]

    @property
    def uat(self) -> Database:
        """UAT's database."""
        return self.databases["uat"]

    def clean_up(self) -> None:
        """Stops all that was started and removes all that was stored, once."""
        if self.cleaned:
            return
        self.cleaned = True
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)
        with self.term.doing("stopping the local AWS") as line:
            self.processes.end_all()
            self.pool.shutdown()
            self.processes = Processes()
            self.launcher("down")
            shutil.rmtree(self.folder)
            expect("processes of the demo", [], processes_of(self.folder))
            line.done = "the local AWS is down, its state removed, no process left"

    def launcher(self, command: str) -> None:
        """`up` or `down` of an instance of our own, on a free port."""
        self.processes.run([sys.executable, ROOT / "infra" / "local" / "gatekeeper_local.py", command], ROOT,
                           {**self.environment, "GATEKEEPER_LOCAL_STATE": str(self.folder / "aws")})

    def start_build(self, build: Build) -> Future[float]:
        """Builds beside what else goes on."""
        return self.pool.submit(build.make, "--without-integration")

    def built(self, build: Build, building: Future[float]) -> None:
        with self.term.doing(f"type check, tests, esbuild and aws-cdk-lib on {build.short}") as line:
            line.seconds = building.result()
            tests = build.manifest["tests"]
            expect("typecheck errors and failed tests", (0, 0, 0), (tests["typecheck"]["errors"], tests["unit"]["failed"], tests["policy"]["failed"]))
            line.done = (f"{build.short} built: {len(build.functions)} functions, {len(build.stacks)} templates; "
                         f"{tests['unit']['passed']} unit and {tests['policy']['passed']} policy tests passed")

    def validate(self, build: Build) -> list[str]:
        """CI's step 4: dev's history and the migrations of the commit agree; those that dev hasn't run yet."""
        with self.term.doing("gatekeeper flyway validate") as line:
            said = self.dev.gatekeeper("flyway", "validate", build.migrations, "--write", build.beside("flyway.json"))
            asked = said["asked"]
            expect("the checksums that go into the manifest", said["flyway"], json.loads(build.beside("flyway.json").read_text()))
            line.done = (f"gatekeeper flyway validate against dev (Flyway {asked['flyway_version']}): valid, "
                         f"{asked['applied']} applied, {len(asked['pending'])} pending")
        return asked["pending"]

    def denied(self, what: str, attempt: Callable[[], object]) -> None:
        """Expects AWS to deny it."""
        with self.term.doing(what) as line:
            try:
                attempt()
            except ClientError as error:
                expect(what, "AccessDenied", error.response["Error"]["Code"].removesuffix("Exception"))  # some services add it
            else:
                raise Unexpected(what, "AccessDenied", "it was allowed")
            line.done = f"{what}: AccessDenied"

    def set_back(self, who: str | None, key: str, what: str) -> float:
        """Forges a tag and waits until the gate has set it back and said who it was; the seconds for the former."""
        whom = f":{who}" if who else f"AWS:{self.aws.outputs['AccountId']}"
        with self.term.doing(what) as line:
            began = time.monotonic()
            self.aws.tag(who, key, "true")
            eventually(f"the tag of `{key}`", "false", lambda: self.aws.passed(key), lambda value: value == "false", SET_BACK_SECONDS)
            line.seconds = time.monotonic() - began
            line.done = f"{what}: set back"
            warnings = eventually("a warning in CloudWatch Logs", f"that `{key}` was set back, done by …{whom}",
                                  lambda: [of for of in self.aws.log_lines() if is_set_back(of) and of["key"] == key],
                                  lambda found: any(of["principal"].endswith(whom) for of in found), SET_BACK_SECONDS)
        self.term.note(f"logged as a warning that names {warnings[-1]['principal']}")
        return line.seconds

    def quiet(self) -> None:
        """Waits until the gate has nothing more to say: its own tag writes come back to it as events, and end there."""
        seen: list[int] = []

        def same_for_a_while(count: int) -> bool:
            seen.append(count)
            return len(seen) > 3 and len(set(seen[-4:])) == 1

        eventually("the gate is quiet", "no new log line", lambda: len(self.aws.log_lines()), same_for_a_while, 10, pause=0.15)

    def test_in_dev(self, build: Build, pending: list[str]) -> None:
        """CI's steps 7 to 12 of ADR-053 for a commit whose artefacts are in the store; dev hasn't run the `pending` migrations yet."""
        with self.term.doing("deploying to dev") as line:
            copied = self.aws.publish_assets(build)
            outputs = self.aws.deploy_to_dev(build)
            live = self.aws.live_code(build, "dev")
            expect("the code of dev", {name: of["sha256"] for name, of in build.functions.items()}, live)
            line.done = f"dev runs {build.short} from the stored templates, {copied} ZIPs by way of CDK's asset bucket"
        with self.term.doing("flyway migrate") as line:
            ran = self.dev.migrate(build.migrations)
            expect("what flyway migrate ran", pending, [str(Path(of["filepath"]).relative_to(build.migrations)) for of in ran["migrations"]])
            line.done = f"flyway migrate: dev's schema is at version {ran['targetSchemaVersion']}, {ran['totalMigrationTime']} ms for"
        self.term.note(", ".join(pending), PLAIN)
        with self.term.doing("integration tests against dev") as line:
            access = {**self.dev.entry, "AWS_ACCESS_KEY_ID": self.aws.outputs["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": self.aws.outputs["SecretAccessKey"],
                      "AWS_REGION": self.aws.outputs["Region"], "AWS_ENDPOINT_URL": self.aws.outputs["Endpoint"]}
            tests = build.test_integration(outputs, [{"function": name, "code_sha256": code} for name, code in live.items()], access)
            expect("failed, skipped, RUN_INTEGRATION", (0, 0, True), (tests["failed"], tests["skipped"], tests["run_integration"]))
            line.done = f"{tests['passed']} integration tests passed against dev, its database among them; code_sha256 read from Lambda"
        with self.term.doing("gatekeeper snapshot take") as line:
            taken = self.dev.gatekeeper("snapshot", "take", "--out", build.beside("schema.sql"))
            line.done = f"gatekeeper snapshot take: dev's schema as it was tested, {taken['size']} bytes by pg_dump, no row in it"
        build.complete(self.aws.live_templates(build, "dev"))
        late = ("reports/integration.xml", "reports/integration.json", f"/schema/{DATABASE}-schema.sql", "build-manifest.json")
        _, version = self.aws.upload(build, lambda name: name.endswith(late))
        with self.term.doing("the gate judges") as line:
            verdict = self.aws.verdict(build, version, "built")
            objects = len(self.aws.all_passed(build))
            line.done = f"reports, snapshot and final manifest uploaded: `{verdict['outcome']}`, integration-passed=true on all {objects}"
        eventually("handoff documents", ["built"], lambda: self.handoffs(build), lambda it: it == ["built"], 5)
        self.term.held_line(f"Built handoff documents for {' and '.join(sorted(set(build.stacks.values())))}")

    def handoffs(self, build: Build) -> list[str]:
        """The kinds of handoff documents that every module of the commit has."""
        keys = self.aws.keys_under(self.aws.outputs["RecordsBucket"], f"{build.prefix}/docs/handoffs/", "auditor")
        wanted = {kind: {f"{build.prefix}/docs/handoffs/{module}-ci-{kind}-{build.sha}.handoff.md" for module in build.stacks.values()}
                  for kind in ("built", "deployed")}
        expect("handoff documents that belong there", set(), set(keys) - set().union(*wanted.values()))
        return [kind for kind, names in wanted.items() if names <= set(keys)]

    def promotion(self, build: Build, reason: str, steps: list[tuple[str, str, str]]) -> dict[str, Any]:
        """Promotes a commit and follows its steps, expected by direction, name and status; its record."""
        with self.term.doing("PromoteFunction verifies and starts") as line:
            answer = self.aws.promote(build.sha, reason)
            expect("the answer of PromoteFunction", ("started", []), (answer["status"], answer["reasons"]))
            line.done = f"verified and started: promotion {answer['promotion_id']} of {build.short}"
        following = self.aws.follow(answer["execution_arn"], PROMOTION_SECONDS)
        for step in steps:
            self.step(following, step)
        expect("further steps", None, next(following, None))
        record = self.aws.record(f"promotions/uat/{REPO}/{answer['promotion_id']}.json", "jane") or {}
        expect("the promotion's record", steps[-1][2], record.get("status"))
        return record

    def step(self, following: Iterator[StepDone | str], expected: tuple[str, str, str]) -> None:
        """One step from its start to its end."""
        state = next(following, None)
        with self.term.doing(STEPS.get(str(state), f"{expected[1]} starts")) as line:
            done = next((event for event in following if isinstance(event, StepDone)), None) if state else None
            if done is None:
                raise Unexpected("the step of the promotion", " ".join(expected), "the execution has ended")
            if (done.direction, done.step, done.answer["status"]) != expected:
                raise Unexpected("the step of the promotion", " ".join(expected), {"direction": done.direction, "step": done.step, **done.answer})
            line.seconds, line.done = done.seconds, in_words(done)

    def audit(self, *arguments: str | Path, answer: str = "yes") -> Any:
        """The CLI as the auditor, which is to answer `yes` (exit code 0) or `no` (1); what it says in JSON."""
        return self.command(arguments, answer, self.aws.entry("auditor", self.folder / "aws" / "outputs.json"))

    def offline(self, bundle: Path, answer: str = "yes") -> Any:
        """What the CLI says of a bundle, without AWS, by the keys that somebody got from it before."""
        return self.command(["verify", bundle, *self.keys], answer, {})

    def command(self, arguments: Sequence[str | Path], answer: str, entry: Mapping[str, str]) -> Any:
        """The CLI with this way into AWS."""
        command = [GATEKEEPER, *arguments, "--output", "json"]
        code, printed = self.processes.run(command, ROOT, {**self.environment, **entry}, may_fail=True)
        if code != ("yes", "no").index(answer):
            raise Failed(f"`gatekeeper {arguments[0]}` ended with {code}, not with `{answer}`\n{printed.strip()}")
        return json.loads(printed)

    def healthy(self, url: str) -> None:
        """Expects UAT to run the first commit."""
        expect("GET /health in UAT", (200, {"status": "ok", "commit": self.first.sha, "stage": "uat"}), call(url + "health"))

    @staticmethod
    def key_of(build: Build, function: str) -> str:
        return f"{build.prefix}/modules/{build.functions[function]['module']}/functions/{function}.zip"

    def show(self, line: dict[str, Any]) -> None:
        """A log line in one line: time, level, function, message and the fields that matter here."""
        fields = {name: line[name] for name in FIELDS if line.get(name)}
        if "reasons" in fields:
            fields["reasons"] = ",".join(f"{code}×{count}" for code, count in Counter(of["code"] for of in line["reasons"]).items())
        if "integration_passed" in fields:
            fields["integration_passed"] = f"{line.get('integration_passed_before')}→{line['integration_passed']}"
        if "detail" in fields:
            fields["detail"] = first_line(fields["detail"])
        if "key" in fields:
            fields["key"] = fields["key"].removeprefix(f"{line.get('repo')}/{line.get('commit_sha')}/")
        words = [line["timestamp"][11:23], f"{line['level']:<5}", f"{line['log']}:", line["message"], line.get("commit_sha", "")[:8]]
        text = " ".join([word for word in words if word] + [f"{name}={value}" for name, value in fields.items()])
        self.term.note(text, {"ERROR": RED, "WARN": YELLOW}.get(line["level"], PLAIN))


def steps(direction: str, smoke_test: str) -> list[tuple[str, str, str]]:
    """The steps that a direction takes until something is recorded."""
    done = ("apply-stack", "deploy-function", "migrate-database")
    return [*((direction, step, "done") for step in done), (direction, "smoke-test", smoke_test)]


def in_words(done: StepDone) -> str:
    """What a step did, from its own reports."""
    reports, status = done.reports(), done.answer["status"]
    name = done.step if done.direction == "forward" else f"way back, {done.step}"
    if done.step == "apply-stack":
        subjects = [of["subject"].removeprefix(f"{REPO}-uat-") for of in reports]
        return f"{name}: {' and '.join(subjects)} from the stored templates"
    if done.step == "deploy-function":
        versions = sorted({of["facts"]["version"] for of in reports})
        return f"{name}: code of {len(reports)} functions proved, published as version {' or '.join(versions)}"
    if done.step == "migrate-database":
        return f"{name}: " + "; ".join(f"{of['subject']}: {first_line(of['detail'])}" for of in reports)
    if done.step == "smoke-test":
        shown = [of for of in reports if of["status"] == ("failed" if status == "failed" else "passed")]
        if status == "failed":
            return f"{name} fails: " + ", ".join(f"{of['subject']} {of['detail']}" for of in shown)
        return f"{name}: {' and '.join(of['subject'] for of in shown)} passed"
    return f"{name}: {status}"


def story(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that tell what happened: of what is said again and again (the gate judges after each event) the last."""
    told: list[dict[str, Any]] = []
    for line in lines:
        if line["level"] == "INFO" and not line["message"].startswith(TELLING):
            continue
        if told and all(told[-1].get(name) == line.get(name) for name in ("message", "commit_sha", *FIELDS)):
            told.pop()
        told.append(line)
    return told


def is_set_back(line: Mapping[str, Any]) -> bool:
    """Whether the line warns of a forged `true` that was set back."""
    return (line["level"], line.get("integration_passed_before"), line.get("integration_passed")) == ("WARN", "true", "false")


def call(url: str, json_body: Any = None) -> tuple[int, Any]:
    """Calls a function URL: the status and the parsed body."""
    data = None if json_body is None else json.dumps(json_body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def first_line(detail: str) -> str:
    """What a report says, without the difference that may follow."""
    return detail.splitlines()[0].rstrip(":")


def schema_parity(record: dict[str, Any]) -> dict[str, Any]:
    """How the stage's schema compared with the tested one, from the record's first `migrate-database`."""
    step = next(of for of in record["steps"] if of["step"] == "migrate-database")
    return step["reports"][0]["facts"]["schema_parity"]


def seconds_between(start: str, end: str) -> float:
    """Between two of a record's time stamps; Python 3.10 takes at most microseconds."""
    first, last = (datetime.fromisoformat(of[:26].rstrip("Z") + "+00:00") for of in (start, end))
    return (last - first).total_seconds()


def processes_of(folder: Path) -> list[str]:
    """What still runs with this folder in its environment or command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if str(folder).encode() in command + (process / "environ").read_bytes():
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended, or is another user's
    return found
