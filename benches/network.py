"""A network that is `delay` seconds long: a proxy for HTTP/1.1 that holds every answer back.

Reads that it has seen before it can answer from its recording, so that what is measured is the caller and the
network, and not how many requests a second the local AWS can take.
"""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType

READS = (b"GET ", b"HEAD ")


class Network:
    """A proxy on `port`, in a thread of its own. `arrivals` are the times at which requests came, and `requests` what
    they asked."""

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.delay = 0.0
        self.replaying = False
        self.recorded: dict[bytes, bytes] = {}
        self.arrivals: list[float] = []
        self.requests: list[bytes] = [] # their first lines
        self.reads: set[bytes] = set()  # what was asked for; KMS is asked by POST, and goes through each time
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Network:
        self.thread.start()
        serving = self.loop.create_server(lambda: _Caller(self), "127.0.0.1", 0, backlog=256)
        self.server = asyncio.run_coroutine_threadsafe(serving, self.loop).result()
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.loop.call_soon_threadsafe(self.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def round_trips(self) -> int:
        """How many of the calls waited for one another: those that came at once came within half of a delay."""
        gaps = zip(self.arrivals, self.arrivals[1:])
        return bool(self.arrivals) + sum(later - earlier > self.delay / 2 for earlier, later in gaps)


class _Caller(asyncio.Protocol):
    """A caller's connection: one request at a time."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.head = b""
        self.request: bytes | None = None  # the first line of the one under way
        self.answer = b""
        self.upstream: asyncio.Task[asyncio.Transport] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        # Answers are never pipelined: after one, a new request begins.
        if self.request is None or self.answer:
            self.note()
            self.head += data
            if b"\r\n\r\n" not in self.head:
                return
            data, self.head = self.head, b""
            self.request = data.partition(b"\r\n")[0]
            self.network.arrivals.append(time.monotonic())
            self.network.requests.append(self.request)
            if self.request.startswith(READS):
                self.network.reads.add(self.request)
            if self.network.replaying and self.request in self.network.recorded:
                self.answered(self.network.recorded[self.request])
                return
        if self.upstream is None:
            self.upstream = self.network.loop.create_task(self.connect())
        self.upstream.add_done_callback(lambda connected: connected.result().write(data))

    async def connect(self) -> asyncio.Transport:
        made = self.network.loop.create_connection(lambda: _Upstream(self), "127.0.0.1", self.network.upstream_port)
        transport, _ = await made
        return transport

    def answered(self, data: bytes) -> None:
        """Hands a piece of the answer on, late."""
        self.answer += data
        self.network.loop.call_later(self.network.delay, self.transport.write, data)

    def note(self) -> None:
        """Remembers the answer to a read when it is whole."""
        if self.request is not None and self.request.startswith(READS) and self.answer:
            self.network.recorded.setdefault(self.request, self.answer)
        self.request, self.answer = None, b""

    def connection_lost(self, error: Exception | None) -> None:
        self.note()
        if self.upstream is not None:
            self.upstream.add_done_callback(lambda connected: connected.result().close())


class _Upstream(asyncio.Protocol):
    """The connection behind a caller's."""

    def __init__(self, caller: _Caller) -> None:
        self.caller = caller

    def data_received(self, data: bytes) -> None:
        self.caller.answered(data)

    def connection_lost(self, error: Exception | None) -> None:
        network = self.caller.network
        network.loop.call_later(network.delay, self.caller.transport.close)
