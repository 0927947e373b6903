"""Measures the functions as they are deployed: `make bench`, which is run.sh: bench.py RELEASE-FOLDER FUNCTION…

Every figure stands beside another one from the same run, because a figure alone says as much about the machine as about
the function. Prints tables, writes target/bench.json, and ends with 0 whatever the figures are: a wrong answer of a
function is an error, a slow one is not.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import verifying
from burst import MAX_CALLS, MAX_INVOCATIONS, MAX_PRICE_OF_BEFORE, Burst
from collect import Collecting
from deploying import Deploying
from evidence import Evidence
from function import Function
from instance import Instance
from network import Network
from promoting import Promoting
from publish import Publishing
from store import REPO, STAGE, Commit, Store, created, large_bundle, small_bundle

REPORT = Path(__file__).resolve().parent.parent / "target" / "bench.json"
MB = 1_000_000

STARTS = 31
PROMOTIONS = 7
GLANCES = 31
DELAY_SECONDS = 0.03
COUNTING_DELAY_SECONDS = 0.5  # long enough to tell calls that wait from calls that are a little late
OBJECTS = 40
LARGE_BYTES = 200 * MB
MANY = 2000

# What the issue that asked for it wants of it.
MAX_ZIPPED_BYTES = 4 * MB
MAX_START_MS = 10
MAX_PEAK_BYTES = 16 * MB
MAX_ROUND_TRIPS = 5
MAX_CHECKSUMS_MS = 50
MAX_SNAPSHOT_MS = 300
MAX_SNAPSHOT_MEMORY = 5  # times its size
MAX_FORM_MS = 100
MAX_FORM_MEMORY = 10  # times its size
MAX_RECOUNT_MS = 1000
MAX_RECOUNT_BYTES = 64 * MB
MAX_PUBLISH_OF_CP = 1 / 3  # of the time that `aws s3 cp` takes
MAX_PUBLISH_BYTES = 128 * MB
MAX_COLLECT_OF_CDK_ASSETS = 1  # of the time that `cdk-assets publish` takes
MAX_EVIDENCE_SECONDS = 2
MAX_EVIDENCE_ROUND_TRIPS = 10
MAX_PAGE_BYTES = 0.3 * MB
MAX_DEPLOYING_OF_QUOTA = 1.1
SMALL_COMMIT = 100 # objects; of fewer, what a commit costs whatever it holds is too large a part

# The least that another runtime must do: one HTTP request, without any SDK.
PYTHON = """import os, http.client
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
connection.request("GET", "/2018-06-01/runtime/invocation/next")
connection.getresponse()"""
NODE = "require('http').get('http://' + process.env.AWS_LAMBDA_RUNTIME_API + '/2018-06-01/runtime/invocation/next')"


def ms(seconds: float) -> float:
    """Milliseconds, to what a clock can tell."""
    return round(seconds * 1000, 2)


def table(title: str, header: Sequence[str], rows: list[Sequence[str]]) -> None:
    """Prints columns as wide as they need to be, figures to the right."""
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    print(f"\n{title}\n")
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = (cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths)))
        print("  " + "  ".join(cells).rstrip())
    sys.stdout.flush()


class Bench:
    """One run: the release binaries, a local AWS, and a folder for what they leave."""

    def __init__(self, release: Path, functions: list[str], store: Store, folder: Path) -> None:
        self.release, self.functions, self.store, self.folder = release, functions, store, folder
        self.environment = store.environment(store.port)
        self.requirements: list[dict[str, Any]] = []

    def function(self, name: str, environment: dict[str, str] | None = None) -> Function:
        """A new execution environment of a function."""
        return Function([self.release / name], environment or self.environment, self.folder / f"{name}.log")

    def requires(self, what: str, limit: float, measured: float, unit: str) -> None:
        """Notes what a figure ought to be."""
        self.requirements.append(
            {"what": what, "at_most": limit, "measured": measured, "unit": unit, "holds": measured <= limit})

    # ---- size

    def sizes(self) -> dict[str, dict[str, int]]:
        """Each function's size, and what it is zipped (deflate, the usual level), which is what a cold start loads."""
        figures = {}
        for name in self.functions:
            code = (self.release / name).read_bytes()
            figures[name] = {"unpacked_bytes": len(code), "zipped_bytes": len(zlib.compress(code, 6))}
        self.requires("the largest function, zipped", MAX_ZIPPED_BYTES / MB,
                      max(it["zipped_bytes"] for it in figures.values()) / MB, "MB")
        return figures

    # ---- start

    def starts(self) -> dict[str, dict[str, float]]:
        """From exec to the request for the first event, of every function in turn, beside `true`, Node.js and Python."""
        commands: dict[str, list[str | Path]] = {name: [self.release / name] for name in self.functions}
        if shutil.which("node"):
            commands["(node: one http.get)"] = ["node", "-e", NODE]
        # Not the virtual environment's, whose start looks for more.
        commands["(python: one http.client GET)"] = [Path(sys.executable).resolve(), "-I", "-S", "-c", PYTHON]
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        cpu: dict[str, list[float]] = {name: [] for name in commands}
        bare = []
        # In turn, so that whatever else the machine does falls on all alike.
        for _ in range(STARTS):
            bare.append(spawned("true"))
            for name, command in commands.items():
                with Function(command, {**self.environment, "WITNESS_BUCKET": "witness"}, self.folder / "starts.log") as function:
                    seconds[name].append(function.start_seconds)
                cpu[name].append(function.cpu_seconds or 0.0)
        figures = {name: {"median_ms": ms(statistics.median(seconds[name])), "least_ms": ms(min(seconds[name])),
                          "cpu_median_ms": ms(statistics.median(cpu[name]))} for name in commands}
        # The quickest of each, because another program's turn on the CPU is no part of a start.
        slowest = max(figures[name]["least_ms"] for name in self.functions)
        self.requires("the slowest function's start to its first event", MAX_START_MS, slowest, "ms")
        return {**figures, "(true: start and end)": {"median_ms": ms(statistics.median(bare)), "least_ms": ms(min(bare))}}

    # ---- a large bundle

    def memory(self) -> dict[str, float]:
        """`intake` judges a commit with a ZIP of a line, one with a ZIP of 200 MB, whose bytes are only hashed beside it, and one of
        2,000 objects."""
        small, large = Commit({"small": small_bundle("small")}), Commit({"large": large_bundle(LARGE_BYTES)})
        peaks, seconds = {}, {}
        for name, commit in (("small", small), ("large", large)):
            self.store.upload(commit)
            with self.function("intake") as intake:
                _, seconds[name] = intake.invoke(created(commit.manifest_key))
                peaks[name] = intake.peak_bytes()
            expect_built(self.store, commit)
        (bundle,) = (content for key, content in large.objects.items() if key.endswith(".zip"))
        began = time.perf_counter()
        hashlib.sha256(bundle).digest()
        hashing = time.perf_counter() - began
        self.requires(f"peak memory of `intake` with a ZIP of {len(bundle) / MB:.0f} MB",
                      MAX_PEAK_BYTES / MB, peaks["large"] / MB, "MB")
        many = Commit({f"one-of-many-{n:04}": small_bundle(f"one of many {n}") for n in range(MANY - 2)})
        self.store.upload(many)
        with self.function("intake") as intake:
            _, seconds["many"] = intake.invoke(created(many.manifest_key))
            peaks["many"] = intake.peak_bytes()
        expect_built(self.store, many)
        self.requires(f"peak memory of `intake` with {MANY:,} objects", MAX_PEAK_BYTES / MB, peaks["many"] / MB, "MB")
        return {
            "zip_bytes": len(bundle), "peak_bytes": peaks["large"], "peak_with_a_small_zip_bytes": peaks["small"],
            "objects": MANY, "peak_with_many_objects_bytes": peaks["many"], "seconds_with_many_objects": round(seconds["many"], 3),
            "seconds": round(seconds["large"], 3), "seconds_with_a_small_zip": round(seconds["small"], 3),
            "megabytes_a_second": round(len(bundle) / MB / seconds["large"]),
            "hashed_alone_megabytes_a_second": round(len(bundle) / MB / hashing),
        }

    # ---- a database's files, and reports

    def judged_files(self) -> dict[str, dict[str, float]]:
        """Flyway's checksums of 1,000 migrations, a schema snapshot of 5 MB, 50 MB of JUnit XML and a form of 1 MB."""
        program = self.release / "examples" / "judge_files"
        figures = {what: json.loads(subprocess.check_output([program, what])) for what in ("checksums", "snapshot", "report", "form")}
        checksums, snapshot, report = figures["checksums"], figures["snapshot"], figures["report"]
        self.requires(f"Flyway's checksums of {checksums['files']} files of 4 kB", MAX_CHECKSUMS_MS, checksums["median_ms"], "ms")
        self.requires(f"a schema snapshot of {snapshot['bytes'] / MB:.0f} MB, judged and normalised",
                      MAX_SNAPSHOT_MS, snapshot["median_ms"], "ms")
        self.requires("memory for it, the snapshot itself counted", MAX_SNAPSHOT_MEMORY,
                      snapshot["memory_bytes"] / snapshot["bytes"], "times its size")
        self.requires(f"{report['bytes'] / MB:.0f} MB of JUnit XML recounted", MAX_RECOUNT_MS, report["median_ms"], "ms")
        form = figures["form"]
        self.requires(f"the portable form of a template of {form['bytes'] / MB:.1f} MB, derived and proved",
                      MAX_FORM_MS, form["median_ms"], "ms")
        self.requires("memory for it, the template itself counted", MAX_FORM_MEMORY,
                      form["memory_bytes"] / form["bytes"], "times its size")
        self.requires("memory of the whole process that recounts it", MAX_RECOUNT_BYTES / MB, report["memory_bytes"] / MB, "MB")
        return figures

    # ---- publish

    def publishing(self) -> dict[str, Any]:
        """`gatekeeper publish` of 200 artefacts beside `aws s3 cp --recursive`."""
        figures = Publishing(self.release / "gatekeeper", self.folder).figures(self.store.port)
        alone = figures["clients_alone"]
        if "aws_s3_cp" in alone:
            self.requires("the time of `gatekeeper publish` of 400 MB, of `aws s3 cp`'s", round(MAX_PUBLISH_OF_CP, 3),
                          alone["publish"]["median_s"] / alone["aws_s3_cp"]["median_s"], "times")
        self.requires("memory of `gatekeeper publish`", MAX_PUBLISH_BYTES / MB, alone["publish"]["peak_bytes"] / MB, "MB")
        return figures

    # ---- a burst of events

    def burst(self) -> dict[str, Any]:
        """What the events of a commit cost the gate: calls and invocations, which don't depend on the machine."""
        burst = Burst(self.store, self.function)
        figures = burst.figures()
        for label, it in figures.items():
            if it["objects"] > SMALL_COMMIT:
                self.requires(f"calls of the gate an object, {label}", MAX_CALLS, it["calls_an_object"], "")
                self.requires(f"invocations of it an object, {label}", MAX_INVOCATIONS, it["invocations_an_object"], "")
        priced = burst.priced()
        self.requires("the price of a commit of 200 functions, of what it was before the queue", MAX_PRICE_OF_BEFORE, priced["of_before"], "times")
        return {"commits": figures, "priced": priced}

    # ---- collect

    def collecting(self) -> dict[str, Any]:
        """`gatekeeper collect` of 200 functions beside `cdk-assets publish`."""
        figures = Collecting(self.release / "gatekeeper", self.folder, self.store.instance).figures()
        self.requires("the time of `gatekeeper collect` of 400 MB, of `cdk-assets publish`'s", MAX_COLLECT_OF_CDK_ASSETS,
                      figures["of_cdk_assets"], "times")
        return figures

    # ---- evidence

    def evidence(self) -> dict[str, Any]:
        """`gatekeeper evidence` for one function of a store of 1,000 commits and 200 promotions."""
        figures = Evidence(self.release / "gatekeeper", self.store, self.folder, self.function).figures()
        self.requires("`gatekeeper evidence` for one function", MAX_EVIDENCE_SECONDS, figures["median_s"], "s")
        self.requires("round trips of it", MAX_EVIDENCE_ROUND_TRIPS, figures["round_trips"], "")
        self.requires("its page", MAX_PAGE_BYTES / MB, figures["page_bytes"] / MB, "MB")
        return figures

    # ---- deploy-function

    def deploying(self) -> dict[str, dict[str, Any]]:
        """`deploy-function` on 40 and 500 functions under Lambda's quotas, beside a script."""
        figures = Deploying(lambda environment: self.function("deploy-function", environment), self.environment).figures()
        for label, it in figures.items():
            ours = it["deploy-function"]
            self.requires(f"answers of 429 to `deploy-function`, {label}", 0, ours["throttled"], "")
        (large,) = (it for label, it in figures.items() if label.startswith("500"))
        self.requires("time of it, 500 functions", MAX_DEPLOYING_OF_QUOTA, large["deploy-function"]["median_s"] / large["quota_allows_s"],
                      "times what the quota allows")
        return figures

    # ---- a whole promotion

    def promoting(self) -> dict[str, Any]:
        """A promotion of 40 functions beside `aws cloudformation deploy` and `sam deploy` of the same template."""
        return Promoting(self.store, self.folder, self.function).figures()

    # ---- promote, and a glance

    def promotion(self) -> dict[str, Any]:
        """`promote` on a commit of 40 objects with 30 ms added to each call, each time in a new execution environment."""
        commit = Commit({f"function-{n:02}": small_bundle(str(n)) for n in range(OBJECTS - 2)})
        self.store.upload(commit)
        figures: dict[str, Any] = {"objects": len(commit.objects) + 1, "added_ms": ms(DELAY_SECONDS)}
        with self.function("intake") as intake:
            _, seconds = intake.invoke(created(commit.manifest_key))
            figures["intake_judges_and_tags_ms"] = ms(seconds)
            expect_built(self.store, commit)
            key = next(iter(commit.objects))
            glances = [intake.invoke(created(f"{commit.prefix}/{key}"))[1] for _ in range(GLANCES)]
            figures["intake_glance_median_ms"] = ms(statistics.median(glances))
        event = {"repo": REPO, "commit_sha": commit.sha, "stage": STAGE,
                 "requested_by": "jane@bank.example", "reason": "release 2026-05"}
        with Network(self.store.port) as network:
            # Once past the recording, which then answers the reads: so the local AWS's own pace is no part of the figures.
            self.promote(network, {**event, "dry_run": True}, "planned", 0)
            wait_until(lambda: network.reads == set(network.recorded))
            network.replaying = True
            for name, asked, status in (("dry_run", {**event, "dry_run": True}, "planned"), ("start", event, "started")):
                at_once, _ = zip(*(self.promote(network, asked, status, 0) for _ in range(PROMOTIONS)))
                seconds, cpu = zip(*(self.promote(network, asked, status, DELAY_SECONDS) for _ in range(PROMOTIONS)))
                self.promote(network, asked, status, COUNTING_DELAY_SECONDS)
                figures[name] = {
                    "calls": len(network.arrivals), "round_trips": network.round_trips(),
                    "median_ms": ms(statistics.median(seconds)), "least_ms": ms(min(seconds)),
                    "median_without_delay_ms": ms(statistics.median(at_once)), "cpu_median_ms": ms(statistics.median(cpu)),
                }
            figures["reads"] = len(network.recorded)
            figures["reads_one_after_another_ms"] = ms(one_after_another(network))
            network.delay = 0
            verifying.script(network, commit) # into the recording
            network.delay = DELAY_SECONDS
            figures["boto3_16_threads_ms"] = ms(statistics.median(verifying.script(network, commit) for _ in range(PROMOTIONS)))
        figures["times_faster_than_one_after_another"] = round(
            figures["reads_one_after_another_ms"] / figures["dry_run"]["median_ms"], 1)
        self.requires("the time of a dry run, 30 ms a call, of a boto3 script's that only verifies", 1,
                      figures["dry_run"]["median_ms"] / figures["boto3_16_threads_ms"], "times")
        for name in ("dry_run", "start"):
            self.requires(f"round trips of `promote` on {figures['objects']} objects ({name.replace('_', ' ')})",
                          MAX_ROUND_TRIPS, figures[name]["round_trips"], "")
        return figures

    def promote(self, network: Network, event: dict[str, Any], status: str, delay: float) -> tuple[float, float]:
        """One request to a new execution environment: the seconds from event to answer, and all that it took of CPU."""
        network.delay = delay
        network.arrivals.clear()
        with self.function("promote", self.store.environment(network.port)) as promote:
            answer, seconds = promote.invoke(event)
        if answer["status"] != status:
            raise RuntimeError(f"`promote` answered {answer}")
        if status == "started":
            self.store.unlock()
        return seconds, promote.cpu_seconds or 0.0


def spawned(command: str) -> float:
    """The seconds from before exec to the end of a program."""
    began = time.perf_counter()
    os.waitpid(os.posix_spawnp(command, [command], os.environ), 0)
    return time.perf_counter() - began


def one_after_another(network: Network) -> float:
    """The seconds that the recorded reads take on one connection, each waiting for the one before."""
    network.delay = DELAY_SECONDS
    connection = http.client.HTTPConnection("127.0.0.1", network.port)
    began = time.perf_counter()
    for line in network.recorded:
        method, path, _ = line.decode().split(" ")
        connection.request(method, path, headers={"Host": "recorded"})
        connection.getresponse().read()
    seconds = time.perf_counter() - began
    connection.close()
    return seconds


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for another thread."""
    deadline = time.monotonic() + 10
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError("the recording is not whole")
        time.sleep(0.01)


def expect_built(store: Store, commit: Commit) -> None:
    """A function that is quick and wrong has no figures."""
    if (outcome := store.outcome(commit)) != "built":
        raise RuntimeError(f"the verdict is `{outcome}`")


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    return {"system": platform.system(), "architecture": platform.machine(), "cpus": os.cpu_count(),
            "load_average": os.getloadavg()[0]}


def show(figures: dict[str, Any]) -> None:
    """The tables."""
    sizes, starts, memory, promotion = (figures[name] for name in ("size", "start", "memory", "promotion"))
    node = starts.get("(node: one http.get)", {}).get("median_ms")
    rows = []
    for name, start in starts.items():
        size = sizes.get(name)
        rows.append([
            name, *(f"{size[kind] / MB:.2f} MB" if size else "" for kind in ("zipped_bytes", "unpacked_bytes")),
            f"{start['median_ms']:.2f} ms", f"{start['least_ms']:.2f} ms",
            f"{start['cpu_median_ms']:.2f} ms" if "cpu_median_ms" in start else "",
            f"1/{node / start['median_ms']:.0f}" if node and size else "",
        ])
    load = figures["machine"]["load_average"]
    busy = f"; they were busy (load {load:.1f}): look at the least and at CPU" if load > 1 else ""
    print(f"\n{figures['machine']['cpus']} CPUs{busy}")
    table("Functions, release profile", ("function", "zipped", "unpacked", "start (median)", "least", "CPU", "of Node's"), rows)
    table("`intake` judges a commit", ("", "large ZIP", "small ZIP", f"{memory['objects']:,} objects"), [
        ["ZIP", f"{memory['zip_bytes'] / MB:.0f} MB", "< 1 kB", "< 1 kB each"],
        ["peak memory", *(f"{memory[name] / MB:.1f} MB" for name in ("peak_bytes", "peak_with_a_small_zip_bytes", "peak_with_many_objects_bytes"))],
        ["event to answer", *(f"{memory[name]:.2f} s" for name in ("seconds", "seconds_with_a_small_zip", "seconds_with_many_objects"))],
        ["download, hash and inspection", f"{memory['megabytes_a_second']} MB/s", "", ""],
        ["(the same bytes only hashed)", f"{memory['hashed_alone_megabytes_a_second']} MB/s", "", ""],
    ])
    checksums, snapshot, report, form = (
        figures["judged_files"][what] for what in ("checksums", "snapshot", "report", "form"))
    table("Files, judged", ("", "size", "time", "(only SHA-256)", "memory"), [
        [f"Flyway's checksums of {checksums['files']} migrations", f"{checksums['bytes'] / MB:.1f} MB",
         f"{checksums['median_ms']:.1f} ms", f"{checksums['sha256_median_ms']:.1f} ms", ""],
        ["a schema snapshot, judged and normalised", f"{snapshot['bytes'] / MB:.1f} MB", f"{snapshot['median_ms']:.1f} ms",
         f"{snapshot['sha256_median_ms']:.1f} ms", f"{snapshot['memory_bytes'] / MB:.1f} MB"],
        [f"JUnit XML of {report['tests']} tests, recounted", f"{report['bytes'] / MB:.1f} MB", f"{report['median_ms']:.1f} ms",
         f"(only read: {report['read_median_ms']:.1f} ms)", f"{report['memory_bytes'] / MB:.1f} MB"],
        [f"a template's portable form of {form['substitutions']} substitutions", f"{form['bytes'] / MB:.1f} MB",
         f"{form['median_ms']:.1f} ms", f"{form['sha256_median_ms']:.1f} ms", f"{form['memory_bytes'] / MB:.1f} MB"],
    ])
    publishing = figures["publishing"]
    rows = []
    for name, where in (("publish", "`gatekeeper publish`, judging too"), ("aws_s3_cp", "`aws s3 cp --recursive`, SHA-256")):
        alone, local = (publishing[endpoint].get(name) for endpoint in ("clients_alone", "local_aws"))
        rows.append([where, *((f"{alone['median_s']:.2f} s", f"{local['median_s']:.2f} s", f"{alone['peak_bytes'] / MB:.0f} MB")
                              if alone and local else ("the AWS CLI is missing", "", ""))])
    rows.append(["times as fast", *(str(publishing[it].get("times_as_fast", "")) for it in ("clients_alone", "local_aws")), ""])
    table(f"{publishing['artefacts']} artefacts, {publishing['bytes'] / MB:.0f} MB, uploaded",
          ("", "to an endpoint that keeps nothing", "to the local AWS", "memory"), rows)
    rows = [[label, str(it["objects"]), *(str(it[phase]["calls"]) for phase in ("registered", "built")),
             *(str(it[phase]["invocations"]) for phase in ("registered", "built")),
             f"{it['calls_an_object']:.2f}", f"{it['invocations_an_object']:.3f}"] for label, it in figures["burst"]["commits"].items()]
    table("A commit's events, in batches as AWS makes them", ("", "objects", "calls: registered", "built", "invocations: registered", "built",
                                                             "calls an object", "invocations an object"), rows)
    priced = figures["burst"]["priced"]
    table(f"What AWS charges for a commit of {priced['objects']} objects at list prices, each call 30 ms long",
          ("", "S3", "KMS", "SQS", "Lambda", "in all"),
          [[label, *(f"{100 * priced[when][part]:.3f} ct" for part in ("s3", "kms", "sqs", "lambda", "total"))]
           for label, when in (("now", "now"), ("at b04cf69, before the queue", "before"))])
    collecting = figures["collecting"]
    table(f"{collecting['functions']} functions of an assembly, {collecting['bytes'] / MB:.0f} MB, zipped to "
          f"{collecting['zipped_bytes'] / MB:.0f} MB", ("", "median"), [
        ["`gatekeeper collect`, into the folder of a commit", f"{collecting['median_s']['collect']:.2f} s"],
        ["`cdk-assets publish`, to the local AWS", f"{collecting['median_s']['cdk_assets_publish']:.2f} s"],
    ])
    evidence = figures["evidence"]
    table(f"`gatekeeper evidence` for one function, of {evidence['commits']} commits and {evidence['promotions']} promotions",
          ("", "median", "least", "calls", "round trips", "page"),
          [["every signature and link verified", f"{evidence['median_s']:.2f} s", f"{evidence['least_s']:.2f} s",
            str(evidence["calls"]), str(evidence["round_trips"]), f"{evidence['page_bytes'] / 1000:.0f} kB"]])
    table("Functions, deployed under Lambda's quotas (calls 30 ms long, updates a second)",
          ("", "time", "calls", "of them throttled", "the quota allows"),
          [[f"{label}: {way}", f"{it[way]['median_s']:.1f} s", str(sum(it[way]["calls"].values())), str(it[way]["throttled"]),
            f"{it['quota_allows_s']:.1f} s"]
           for label, it in figures["deploying"].items() for way in ("deploy-function", "boto3, 16 threads")])
    table(f"A promotion of {figures['promoting']['functions']} functions, every step of it, to the local AWS", ("", "all changed", "the same again"),
          [[way, f"{it['changed']:.1f} s", f"{it['unchanged']:.1f} s"] for way, it in figures["promoting"]["median_s"].items()])
    rows = [[label, str(it["calls"]), f"{it['median_without_delay_ms']:.0f} ms", f"{it['median_ms']:.0f} ms",
             f"{it['cpu_median_ms']:.0f} ms", str(it["round_trips"])]
            for label, it in (("dry run", promotion["dry_run"]), ("start", promotion["start"]))]
    rows.append(["(its reads one after another)", str(promotion["reads"]), "",
                 f"{promotion['reads_one_after_another_ms']:.0f} ms", "", str(promotion["reads"])])
    rows.append(["(a script: boto3, 16 threads, only verifying)", "", "", f"{promotion['boto3_16_threads_ms']:.0f} ms", "", ""])
    table(f"`promote` on {promotion['objects']} objects, from event to answer in a new execution environment",
          ("", "calls", "nothing added", f"{promotion['added_ms']:.0f} ms a call", "CPU", "round trips"), rows)
    print(f"\n  `intake` on the same commit, nothing added: {promotion['intake_judges_and_tags_ms']:.0f} ms to judge and tag it, "
          f"{promotion['intake_glance_median_ms']:.1f} ms for an event that changes nothing")
    table("What was asked for", ("", "at most", "measured", ""), [
        [it["what"], f"{it['at_most']:g} {it['unit']}".strip(), f"{it['measured']:.4g} {it['unit']}".strip(),
         "yes" if it["holds"] else "NO"] for it in figures["requirements"]])


def main() -> None:
    """Runs everything against a local AWS of its own, which is gone afterwards."""
    release, functions = Path(sys.argv[1]).resolve(), sys.argv[2:]
    os.environ.pop("GATEKEEPER_LOCAL_PORT", None)  # another instance may have it
    with tempfile.TemporaryDirectory(prefix="gatekeeper-bench-") as folder:
        instance = Instance(Path(folder) / "aws")
        try:
            instance.start()
            bench = Bench(release, functions, Store(instance), Path(folder))
            figures = {"machine": machine(), "size": bench.sizes(), "start": bench.starts(), "promotion": bench.promotion(),
                       "memory": bench.memory(), "judged_files": bench.judged_files(), "publishing": bench.publishing(),
                       "collecting": bench.collecting(), "burst": bench.burst(), "evidence": bench.evidence(), "deploying": bench.deploying(),
                       "promoting": bench.promoting(),
                       "requirements": bench.requirements}
        finally:
            instance.stop()
    show(figures)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nwritten to {REPORT.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
