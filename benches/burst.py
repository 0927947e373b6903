"""A commit's events as S3, SQS and Lambda bring them to the gate: how many calls and invocations that costs, counted exactly.

The function is the deployed program, its calls are counted on their way to the local AWS. Time is simulated, so the figures
don't depend on the machine: an event waits for its batch as the template's window says, and the gate's own tag writes come back.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from function import Function
from network import Network
from store import ARTEFACTS, Commit, Store, message, notification, small_bundle

SIZES = (40, 200)
WINDOW_SECONDS = 1.0 # `MaximumBatchingWindowInSeconds` of infra/template.yaml
BATCH_SIZE = 1000
POLLERS = 4 # `GateConcurrency`; as if each gathered batches of its own, which is the worst that Lambda may do
UPLOADS_A_SECOND = 100
TELLING_SECONDS = 0.2 # from a change to its message in the queue
MAX_CALLS = 8
MAX_INVOCATIONS = 0.3


class Burst:
    """A commit that arrives: all artefacts and a manifest without integration tests, then the final one."""

    def __init__(self, store: Store, function: Callable[..., Function]) -> None:
        self.store, self.function = store, function

    def figures(self) -> dict[str, Any]:
        """For each size what both phases cost."""
        return {str(size): self.burst(size) for size in SIZES}

    def burst(self, size: int) -> dict[str, Any]:
        commit = Commit({f"burst-{size}-{n:03}": small_bundle(f"burst {size} {n}") for n in range(size)})
        manifest = json.loads(commit.manifest)
        del manifest["tests"]["integration"]
        before = json.dumps(manifest).encode()
        phases = {"registered": [*((f"{commit.prefix}/{key}", content) for key, content in commit.objects.items()),
                                 (commit.manifest_key, before)],
                  "built": [(commit.manifest_key, commit.manifest)]}
        objects = len(commit.objects) + 1
        figures: dict[str, Any] = {"objects": objects}
        with Network(self.store.port) as network, self.function("intake", self.store.environment(network.port)) as intake:
            for outcome, uploads in phases.items():
                figures[outcome] = self.phase(network, intake, uploads)
                if (found := self.store.outcome(commit)) != outcome:
                    raise RuntimeError(f"the verdict is `{found}`, not `{outcome}`")
        both = [figures[outcome] for outcome in phases]
        figures["calls_an_object"] = sum(it["calls"] for it in both) / objects
        figures["invocations_an_object"] = sum(it["invocations"] for it in both) / objects
        return figures

    def phase(self, network: Network, intake: Function, uploads: list[tuple[str, bytes]]) -> dict[str, Any]:
        """Uploads objects one after the other in simulated time, and delivers events until none is left."""
        network.requests.clear()
        number = itertools.count()
        events: list[tuple[float, int, dict[str, Any]]] = []

        def tell(at: float, name: str, who: str, key: str, version: str) -> None:
            heapq.heappush(events, (at + TELLING_SECONDS, next(number), notification(name, who, key, version)))

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
        return {"calls": sum(calls.values()), "invocations": invocations, "seconds": round(seconds, 3), "operations": dict(calls)}


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
