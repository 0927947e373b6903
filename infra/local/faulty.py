"""A loopback proxy between the gatekeeper's functions and the local AWS, which makes calls fail as networks and services do.

What it does to a call:

    500      the call is answered with an internal error, and never served
    throttle the call is answered with the service's word for "too fast", and never served
    late-500 the call is served, and answered with an internal error
    drop     the call is served, and the connection breaks before the answer
    refuse   the connection breaks before the call is served
    delay    the call is served a second and a half late
    kill     the call is served, and the function that made it is killed (SIGKILL) before it hears of that

An SDK tries a call three times. So a fault may hold for the same call several times in a row: the same method, path and
operation.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

KINDS = ("500", "throttle", "late-500", "drop", "refuse", "delay", "kill")
DELAY_SECONDS = 1.5
# Headers of one hop.
HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclasses.dataclass(frozen=True)
class Call:
    """A call as a function made it."""

    method: str
    path: str
    service: str
    operation: str

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.method, urlsplit(self.path).path, self.service, self.operation)

    def __str__(self) -> str:
        return f"{self.method} {self.service} {self.operation or self.path}"


# Says what to do to the call of this number, from 1; None leaves it alone.
Plan = Callable[[int, Call], "str | None"]


def at_call(kind: str, number: int, times: int) -> Plan:
    """The call of this number, and the next ones of the same identity, `times` in all."""
    state: dict = {"left": times}

    def plan(count: int, call: Call) -> str | None:
        if count == number:
            state["identity"] = call.identity
        if state.get("identity") == call.identity and state["left"] > 0:
            state["left"] -= 1
            return kind
        return None

    return plan


def mix(seed: int, share: float, at_most: int) -> Plan:
    """Faults of every kind at random: `share` of the calls, each for one to four times, in `at_most` places."""
    rng = random.Random(seed)
    state: dict = {"places": at_most, "identity": None, "left": 0, "kind": None}

    def plan(_: int, call: Call) -> str | None:
        if state["left"] > 0 and state["identity"] == call.identity:
            state["left"] -= 1
            return state["kind"]
        if state["places"] > 0 and rng.random() < share:
            kind = rng.choice(KINDS)
            left = 0 if kind in ("delay", "kill") else rng.choice((0, 0, 1, 3))
            state.update(places=state["places"] - 1, identity=call.identity, left=left, kind=kind)
            return kind
        return None

    return plan


class Proxy:
    """The proxy, in a thread of its own. It lets everything pass until it has a plan."""

    def __init__(self) -> None:
        self.upstream_port: int | None = None
        self.told: list[str] = []
        self._plan: Plan | None = None
        self._count = 0
        self._loop = asyncio.new_event_loop()
        started = threading.Event()

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20))
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            self._loop.run_forever()

        threading.Thread(target=run, daemon=True).start()
        started.wait()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self, plan: Plan) -> None:
        """Follows a plan from the next call on."""
        self._plan, self._count, self.told = plan, 0, []

    def end(self) -> list[str]:
        """Lets everything pass again; gives what was done to which call."""
        self._plan = None
        return self.told

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a function: its calls, one after the other."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while request := await read_message(reader):
                head, headers, body = request
                kind, call = self._judge(head, headers)
                if kind in ("500", "throttle"):
                    writer.write(error(kind, call.service))
                elif kind == "refuse":
                    break
                else:
                    if kind == "delay":
                        await asyncio.sleep(DELAY_SECONDS)
                    answer = await self._forward(head, headers, body)
                    if kind == "kill":
                        kill_peer(writer.get_extra_info("peername")[1], self.port)
                        break
                    if kind == "drop":
                        break
                    writer.write(error("500", call.service) if kind == "late-500" else answer)
                await writer.drain()
        writer.transport.abort() if not writer.is_closing() else None

    def _judge(self, head: str, headers: dict[str, str]) -> tuple[str | None, Call]:
        method, path, _ = head.split(" ", 2)
        scope = headers.get("authorization", "").split("/")
        service = scope[3] if len(scope) > 4 else ""
        call = Call(method, path, service, headers.get("x-amz-target", "").rpartition(".")[2])
        if self._plan is None or not service:
            return None, call
        self._count += 1
        kind = self._plan(self._count, call)
        if kind:
            self.told.append(f"call {self._count}: {kind}: {call}")
        return kind, call

    async def _forward(self, head: str, headers: dict[str, str], body: bytes) -> bytes:
        """The answer of the local AWS, whole. The host stays as it was signed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        try:
            kept = {name: value for name, value in headers.items() if name not in HOP | {"expect", "content-length"}}
            kept |= {"content-length": str(len(body)), "connection": "close"}
            lines = [head, *(f"{name}: {value}" for name, value in kept.items()), "", ""]
            writer.write("\r\n".join(lines).encode("latin-1") + body)
            await writer.drain()
            answer = await read_message(reader, no_body=head.startswith("HEAD "))
            if answer is None:
                return error("500", "")
            status, headers, body = answer
            kept = {name: value for name, value in headers.items() if name not in HOP}
            if not head.startswith("HEAD "):
                kept["content-length"] = str(len(body))
            lines = [status, *(f"{name}: {value}" for name, value in kept.items()), "", ""]
            return "\r\n".join(lines).encode("latin-1") + body
        finally:
            writer.close()


async def read_message(reader: asyncio.StreamReader, no_body: bool = False) -> tuple[str, dict[str, str], bytes] | None:
    """A request or an answer: its first line, its headers by lower-case names, and its body. None at the end."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    head, *lines = text.rstrip("\r\n").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if no_body or head.split(" ")[1] in ("204", "304"):
        return head, headers, b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        while (await reader.readline()).strip():
            pass
        return head, headers, body
    if "content-length" in headers:
        return head, headers, await reader.readexactly(int(headers["content-length"]))
    return head, headers, b"" if not head.startswith("HTTP/") else await reader.read()


def error(kind: str, service: str) -> bytes:
    """An error as the service spells it."""
    xml = service in ("s3", "cloudformation", "sts", "iam")
    if kind == "throttle":
        status, code = (503, "SlowDown") if service == "s3" else (400, "Throttling" if xml else "ThrottlingException")
    else:
        status, code = 500, "InternalError" if xml else "InternalServerError"
    inner = f"<Code>{code}</Code><Message>a fault of the test</Message>"
    if service == "s3":
        body = f"<Error>{inner}</Error>"
    elif xml:
        body = f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error></ErrorResponse>"
    else:
        body = json.dumps({"__type": code, "message": "a fault of the test"})
    lines = [f"HTTP/1.1 {status} Fault", f"content-length: {len(body)}", f"x-amzn-errortype: {code}",
             f"content-type: application/{'xml' if xml else 'x-amz-json-1.1'}", "", ""]
    return "\r\n".join(lines).encode() + body.encode()


def kill_peer(port: int, proxy_port: int) -> None:
    """Kills (SIGKILL) the process on this machine that holds the other end of a connection from `port` to the proxy."""
    inode = None
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ends = [int(end.split(":")[1], 16) for end in fields[1:3]]
        if ends == [port, proxy_port]:
            inode = fields[9]
    if inode is None or inode == "0":
        return
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(descriptor) == f"socket:[{inode}]":
                process = int(descriptor.parts[2])
                if process != os.getpid():
                    os.kill(process, signal.SIGKILL)
                return
