"""A compiled function as Lambda runs it: a process, and the Runtime API that hands it one event after another."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

NEXT = "/2018-06-01/runtime/invocation/next"
PATIENCE_SECONDS = 120


class FunctionFailed(Exception):
    """It ended, or answered with an error."""


@dataclass(frozen=True)
class Request:
    """What the function asked of the Runtime API."""

    connection: socket.socket
    method: str
    path: str
    body: bytes


class Function:
    """One execution environment; `start_seconds` is the time from before exec to its request for the first event.

    One thread, plain sockets: nothing of ours stands between the function and the clock.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.connections: dict[socket.socket, bytes] = {}
        address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        own = {
            "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TMPDIR": str(log.parent),
            "AWS_LAMBDA_RUNTIME_API": address, "AWS_LAMBDA_FUNCTION_NAME": "bench", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_LOG_GROUP_NAME": "bench", "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
        }
        output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [(os.POSIX_SPAWN_OPEN, 1, str(log), output, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
        began = time.perf_counter()
        self.pid = os.posix_spawnp(str(command[0]), [str(part) for part in command], {**own, **environment},
                                   file_actions=actions)
        self.cpu_seconds: float | None = None  # known when it has ended
        self.waiting = self._request()
        self.start_seconds = time.perf_counter() - began
        if (self.waiting.method, self.waiting.path) != ("GET", NEXT):
            raise FunctionFailed(f"its first request is `{self.waiting.method} {self.waiting.path}`")

    def __enter__(self) -> Function:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def invoke(self, event: Any) -> tuple[Any, float]:
        """Its answer to an event, and the seconds from handing the event over until the answer is there."""
        request_id = str(uuid.uuid4())
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + PATIENCE_SECONDS) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:ap-southeast-2:111122223333:function:bench",
        }
        began = time.perf_counter()
        self._reply(self.waiting, "200 OK", headers, json.dumps(event).encode())
        answer = self._request()
        seconds = time.perf_counter() - began
        if answer.path != f"/2018-06-01/runtime/invocation/{request_id}/response":
            raise FunctionFailed(f"`{answer.path}`: {answer.body.decode(errors='replace')}\n{self._log_tail()}")
        self._reply(answer, "202 Accepted", {}, b"")
        self.waiting = self._request()
        return json.loads(answer.body), seconds

    def peak_bytes(self) -> int:
        """The most memory it ever held (VmHWM; `ru_maxrss` would count what was before exec, too)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def stop(self) -> None:
        """Ends it, and notes the CPU time that it took."""
        if self.cpu_seconds is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            _, _, usage = os.wait4(self.pid, 0)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime
        for connection in [self.listener, *self.connections]:
            connection.close()

    def _request(self) -> Request:
        """Waits for the next whole request, on whichever connection."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.listener, *self.connections], [], [], 1)
            if not ready and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            for connection in ready:
                if connection is self.listener:
                    accepted, _ = self.listener.accept()
                    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.connections[accepted] = b""
                    continue
                read = connection.recv(1 << 16)
                if not read:
                    del self.connections[connection]
                    connection.close()
                    continue
                self.connections[connection] += read
                if request := self._whole(connection):
                    return request
        self.stop()
        raise FunctionFailed(f"no request came from it\n{self._log_tail()}")

    def _whole(self, connection: socket.socket) -> Request | None:
        head, end, rest = self.connections[connection].partition(b"\r\n\r\n")
        if not end:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if len(rest) < int(headers.get("content-length", 0)):
            return None
        self.connections[connection] = b""
        method, path, _ = first.split(" ")
        return Request(connection, method, path, rest)

    @staticmethod
    def _reply(request: Request, status: str, headers: Mapping[str, str], body: bytes) -> None:
        lines = [f"{name}: {value}" for name, value in {"Content-Length": len(body), **headers}.items()]
        request.connection.sendall("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body)

    def _log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
