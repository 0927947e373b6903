"""A commit's events as S3, SQS and Lambda bring them to the gate: how many calls and invocations that costs, counted exactly.

The function is the deployed program, its calls are counted on their way to the local AWS. Time is simulated, so the figures
don't depend on the machine: an event waits for its batch as the template's window says, and the gate's own tag writes come back.
What AWS would charge for it follows from what was counted; only the time of Lambda's is measured, with each call held back.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import cost
from function import Function
from network import Network
from store import ARTEFACTS, REPO, Commit, Store, message, notification, small_bundle

SIZES = (40, 200, 1000)
AT_ONCE = 8 # repositories that build at the same time, of 40 functions each
PRICED = 200
PRICED_DELAY_SECONDS = 0.03
WINDOW_SECONDS = 1.0 # `MaximumBatchingWindowInSeconds` of infra/template.yaml
BATCH_SIZE = 1000
POLLERS = 4 # `GateConcurrency`; as if each gathered batches of its own, which is the worst that Lambda may do
UPLOADS_A_SECOND = 100
TELLING_SECONDS = 0.2 # from a change to its message in the queue
MAX_CALLS = 8
MAX_INVOCATIONS = 0.3
MAX_PRICE_OF_BEFORE = 0.2


# At b04cf69, before events went through a queue: the same two phases of 200 functions, as side_by_side.py counted them on
# 2026-11-30. Each event was an invocation then, and each tag that was written one more.
BEFORE = {"HeadObject": 2253, "GetObject (records)": 2506, "GetObjectTagging": 1633, "PutObject (records)": 630,
          "PutObjectTagging": 405, "ListObjectVersions": 7, "GetObject": 205, "KMS": 5}
BEFORE_INVOCATIONS = 608


class Arriving:
    """A commit whose pipeline uploads all artefacts and a manifest without integration tests, and then the final one."""

    def __init__(self, name: str, size: int, repo: str = REPO) -> None:
        self.commit = Commit({f"{name}-{n:03}": small_bundle(f"{name} {n}") for n in range(size)}, repo)
        manifest = json.loads(self.commit.manifest)
        del manifest["tests"]["integration"]
        artefacts = [(f"{self.commit.prefix}/{key}", content) for key, content in self.commit.objects.items()]
        self.phases = {"registered": [*artefacts, (self.commit.manifest_key, json.dumps(manifest).encode())],
                       "built": [(self.commit.manifest_key, self.commit.manifest)]}
        self.objects = len(self.commit.objects) + 1


class Burst:
    """The gate while commits arrive."""

    def __init__(self, store: Store, function: Callable[..., Function]) -> None:
        self.store, self.function = store, function

    def figures(self) -> dict[str, Any]:
        """For commits of each size, and for several at once, what both phases cost."""
        figures = {f"{size} functions": self.burst([Arriving(f"burst-{size}", size)]) for size in SIZES}
        several = [Arriving(f"of-{at}", 40, f"bank-team-{at}") for at in range(AT_ONCE)]
        figures[f"{AT_ONCE} repositories of 40 functions at once"] = self.burst(several)
        return figures

    def priced(self) -> dict[str, Any]:
        """What AWS would charge for a commit, beside what it would have charged before."""
        figures = self.burst([Arriving("priced", PRICED)], PRICED_DELAY_SECONDS)
        phases = [figures["registered"], figures["built"]]
        operations = sum((Counter(it["operations"]) for it in phases), Counter[str]())
        now = cost.of(operations, invocations=sum(it["invocations"] for it in phases), seconds=sum(it["seconds"] for it in phases),
                      events=sum(it["events"] for it in phases))
        # How long an invocation lasted depends on the machine: here as if its calls came one after another and took all of it.
        before = cost.of(BEFORE, invocations=BEFORE_INVOCATIONS, seconds=sum(BEFORE.values()) * PRICED_DELAY_SECONDS, events=0)
        return {"objects": figures["objects"], "now": now, "before": before, "of_before": now["total"] / before["total"]}

    def burst(self, arriving: list[Arriving], delay: float = 0) -> dict[str, Any]:
        """Both phases of commits that arrive at once, each call `delay` seconds long."""
        objects = sum(it.objects for it in arriving)
        figures: dict[str, Any] = {"objects": objects}
        with Network(self.store.port) as network, self.function("intake", self.store.environment(network.port)) as intake:
            network.delay = delay
            for outcome in ("registered", "built"):
                figures[outcome] = self.phase(network, intake, [it.phases[outcome] for it in arriving])
                for it in arriving:
                    if (found := self.store.outcome(it.commit)) != outcome:
                        raise RuntimeError(f"the verdict is `{found}`, not `{outcome}`")
            figures["peak_bytes"] = intake.peak_bytes()
        both = [figures["registered"], figures["built"]]
        figures["calls_an_object"] = sum(it["calls"] for it in both) / objects
        figures["invocations_an_object"] = sum(it["invocations"] for it in both) / objects
        return figures

    def phase(self, network: Network, intake: Function, pipelines: list[list[tuple[str, bytes]]]) -> dict[str, Any]:
        """Each pipeline uploads objects one after the other in simulated time; delivers events until none is left."""
        network.requests.clear()
        number = itertools.count()
        events: list[tuple[float, int, dict[str, Any]]] = []

        def tell(at: float, name: str, who: str, key: str, version: str) -> None:
            heapq.heappush(events, (at + TELLING_SECONDS, next(number), notification(name, who, key, version)))

        for uploads in pipelines:
            for place, (key, content) in enumerate(uploads):
                version = self.store.put(key, content)
                tell(place / UPLOADS_A_SECOND, "ObjectCreated:Put", "AWS:AROACI:pipeline", key, version)
        invocations, calls, seconds = 0, Counter[str](), 0.0
        seen = len(network.requests)
        gathering: list[list[dict[str, Any]]] = [[] for _ in range(POLLERS)]
        closing: list[tuple[float, int]] = []
        turns = itertools.cycle(range(POLLERS))
        while events or closing:
            if events and (not closing or events[0][0] <= closing[0][0]):
                at, _, event = heapq.heappop(events)
                poller = next(turns)
                if not gathering[poller]:
                    heapq.heappush(closing, (at + WINDOW_SECONDS, poller))
                gathering[poller].append(event)
                continue
            at, poller = heapq.heappop(closing)
            batch, gathering[poller] = gathering[poller], []
            for start in range(0, len(batch), BATCH_SIZE):
                answer, taken = intake.invoke({"Records": [message(event) for event in batch[start:start + BATCH_SIZE]]})
                if answer != {"batchItemFailures": []}:
                    raise RuntimeError(f"`intake` answered {answer}")
                invocations, seconds = invocations + 1, seconds + taken
            for request in network.requests[seen:]:
                operation, key, version = operation_of(request)
                calls[operation] += 1
                if operation == "PutObjectTagging":
                    tell(at, "ObjectTagging:Put", "AWS:AROAGATE:gatekeeper-intake", key, version)
            seen = len(network.requests)
        return {"calls": calls.total(), "invocations": invocations, "events": next(number), "seconds": round(seconds, 3), "operations": dict(calls)}


def operation_of(request: bytes) -> tuple[str, str, str]:
    """What a call asks for, with the key and version in the artefact bucket."""
    method, target, _ = request.decode().split(" ")
    url = urlsplit(target)
    query = parse_qs(url.query, keep_blank_values=True)
    bucket, _, key = unquote(url.path).lstrip("/").partition("/")
    what = "Tagging" if "tagging" in query else ""
    if "versions" in query:
        name = "ListObjectVersions"
    elif bucket:
        name = f"{method.capitalize()}Object{what}" + ("" if bucket == ARTEFACTS else " (records)")
    else:
        name = "KMS"
    return name, key, query.get("versionId", [""])[0]
