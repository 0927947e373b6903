"""The gate as it was before its events went through a queue, and as it is now: the same commit, one after the other in one run.

Run by hand, because it needs a program of then: side_by_side.py BEFORE NOW [FUNCTIONS], the programs `intake` of b04cf69 and of this
commit, built with the same profile. In real time, each call 30 ms long. Then each event started an invocation in an execution
environment of its own, of which there are as many as fit here; now four pollers gather events for a second, as AWS's do.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import queue
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cost
from burst import PRICED_DELAY_SECONDS, POLLERS, TELLING_SECONDS, WINDOW_SECONDS, Arriving, operation_of
from function import Function
from instance import Instance
from network import Network
from store import Store, message, notification

ENVIRONMENTS = 16
UPLOADS_AT_ONCE = 8
LOOK_SECONDS = 0.02


class Gate:
    """A program of the gate, and the events that reach it."""

    def __init__(self, store: Store, network: Network, program: Path, folder: Path, window: float, environments: int) -> None:
        self.store, self.network, self.window = store, network, window
        environment = store.environment(network.port)
        self.functions = [Function([program], environment, folder / f"{program.parent.name}.log") for _ in range(environments)]
        self.due: list[tuple[float, int, dict[str, Any]]] = []
        self.number = itertools.count()
        self.lock = threading.Lock()
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.busy, self.invocations, self.seconds, self.told = 0, 0, 0.0, 0
        self.last_change = 0.0
        self.ends = False
        threads = [threading.Thread(target=self.work, args=(function,), daemon=True) for function in self.functions]
        self.threads = [*threads, threading.Thread(target=self.deliver, daemon=True)]
        for thread in self.threads:
            thread.start()

    def tell(self, name: str, who: str, key: str, version: str) -> None:
        """S3 tells of a change, a little later."""
        with self.lock:
            at = time.monotonic() + TELLING_SECONDS + self.network.delay
            heapq.heappush(self.due, (at, next(self.number), notification(name, who, key, version)))
            self.told += 1

    def deliver(self) -> None:
        """Brings what is due, the gate's own tag writes among it."""
        seen = 0
        while not self.ends:
            requests = self.network.requests[seen:]
            seen += len(requests)
            for operation, key, version in map(operation_of, requests):
                if operation == "PutObjectTagging":
                    self.tell("ObjectTagging:Put", "AWS:AROAGATE:gatekeeper-intake", key, version)
            with self.lock:
                while self.due and self.due[0][0] <= time.monotonic():
                    self.events.put(heapq.heappop(self.due)[2])
                    self.last_change = time.monotonic()
            time.sleep(LOOK_SECONDS / 4)

    def work(self, function: Function) -> None:
        """One execution environment: an event each time, or what a window gathers."""
        while not self.ends:
            try:
                batch = [self.events.get(timeout=LOOK_SECONDS)]
            except queue.Empty:
                continue
            with self.lock:
                self.busy += 1
            if self.window:
                time.sleep(self.window)
                while len(batch) < 1000 and not self.events.empty():
                    batch.append(self.events.get())
                event: dict[str, Any] = {"Records": [message(it) for it in batch]}
            else:
                (event,) = batch
            answer, seconds = function.invoke(event)
            if answer not in ({"batchItemFailures": []}, None):
                raise RuntimeError(f"it answered {answer}")
            with self.lock:
                self.busy -= 1
                self.invocations, self.seconds = self.invocations + 1, self.seconds + seconds
                self.last_change = time.monotonic()

    def is_quiet(self) -> bool:
        """Whether nothing is under way, nor will be."""
        with self.lock:
            return not (self.busy or self.due or self.events.qsize()) and time.monotonic() - self.last_change > TELLING_SECONDS + 0.3

    def end(self) -> None:
        self.ends = True
        for thread in self.threads:
            thread.join()
        for function in self.functions:
            function.stop()


def phase(gate: Gate, uploads: list[tuple[str, bytes]]) -> tuple[float, Counter[str]]:
    """Uploads, the last one last; gives the seconds until all is quiet and what was called."""
    seen, began = len(gate.network.requests), time.monotonic()

    def put(upload: tuple[str, bytes]) -> None:
        key, content = upload
        gate.tell("ObjectCreated:Put", "AWS:AROACI:pipeline", key, gate.store.put(key, content))

    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        list(pool.map(put, uploads[:-1]))
    put(uploads[-1])
    while not gate.is_quiet():
        time.sleep(LOOK_SECONDS)
    return gate.last_change - began, Counter(operation_of(it)[0] for it in gate.network.requests[seen:])


def measured(store: Store, program: Path, folder: Path, size: int, name: str, window: float, environments: int) -> dict[str, Any]:
    """Both phases of a commit."""
    arriving = Arriving(f"{name}-{size}", size)
    with Network(store.port) as network:
        network.delay = PRICED_DELAY_SECONDS
        gate = Gate(store, network, program, folder, window, environments)
        operations, seconds = Counter[str](), {}
        try:
            for outcome in ("registered", "built"):
                seconds[outcome], called = phase(gate, arriving.phases[outcome])
                operations += called
                if (found := store.outcome(arriving.commit)) != outcome:
                    raise RuntimeError(f"the verdict is `{found}`, not `{outcome}`")
        finally:
            gate.end()
    events = gate.told if window else 0
    return {
        "objects": arriving.objects, "calls": operations.total(), "calls_an_object": operations.total() / arriving.objects,
        "invocations": gate.invocations, "seconds": seconds, "seconds_until_quiet": sum(seconds.values()),
        "invoked_seconds": gate.seconds, "operations": dict(operations),
        "price": cost.of(operations, invocations=gate.invocations, seconds=gate.seconds, events=events),
    }


def main() -> None:
    before, now = (Path(it).resolve() for it in sys.argv[1:3])
    size = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    os.environ.pop("GATEKEEPER_LOCAL_PORT", None)  # another instance may have it
    with tempfile.TemporaryDirectory(prefix="gatekeeper-bench-") as folder:
        instance = Instance(Path(folder) / "aws")
        try:
            instance.start()
            store = Store(instance)
            figures = {"load_average": os.getloadavg()[0]}
            figures["before"] = measured(store, before, Path(folder), size, "before", 0, ENVIRONMENTS)
            figures["now"] = measured(store, now, Path(folder), size, "now", WINDOW_SECONDS, POLLERS)
        finally:
            instance.stop()
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
