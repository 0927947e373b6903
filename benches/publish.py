"""`gatekeeper publish` beside `aws s3 cp`: the same folder, to the same endpoint, in turn.

Two endpoints: the local AWS, whose own work is most of the time that both take, and one that takes what it is sent and keeps
nothing, which shows the clients alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socketserver
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from instance import ACCOUNT, REGION
from store import ARTEFACTS, RECORDS, REPO, Commit, bundle

ARTEFACTS_IN_ALL = 200
BYTES_IN_ALL = 400_000_000
ROUNDS = 3
PIECE_BYTES = 1 << 20
LOOK_SECONDS = 0.01
NO_VERSIONS = b'<?xml version="1.0"?><ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>'
NO_KEY = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'


def peak_bytes(process: int) -> int:
    """The most memory that a process has held so far (proc(5), `VmHWM`); the kernel's own count at its end has its parent's in it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


class Sink(socketserver.ThreadingTCPServer):
    """An endpoint that answers an upload as S3 does, and keeps nothing of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.received = 0

    def __enter__(self) -> Sink:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def port(self) -> int:
        return self.server_address[1]


class Connection(socketserver.StreamRequestHandler):
    """One client's requests, one after the other."""

    rbufsize = PIECE_BYTES
    disable_nagle_algorithm = True
    server: Sink

    def handle(self) -> None:
        piece = memoryview(bytearray(PIECE_BYTES))
        while request := self.rfile.readline():
            method, path, _ = request.decode().split(" ")
            headers = {}
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            if "expect" in headers:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if headers.get("transfer-encoding"):
                raise RuntimeError("the sink takes bodies of a known length only")
            left = int(headers.get("content-length", 0))
            self.server.received += left
            while left > 0:
                left -= self.rfile.readinto(piece[:min(left, PIECE_BYTES)])
            reading = method == "GET"
            status, body = ("200 OK", NO_VERSIONS) if reading and "versions" in path else ("404 Not Found", NO_KEY) if reading else ("200 OK", b"")
            self.wfile.write(f"HTTP/1.1 {status}\r\nx-amz-version-id: v1\r\nETag: \"e\"\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


class Publishing:
    """A build of 200 artefacts, 400 MB, and the two programs that upload it."""

    def __init__(self, gatekeeper: Path, folder: Path) -> None:
        self.gatekeeper, self.build, self.outputs = gatekeeper, folder / "build", folder / "publish-outputs.json"
        half = BYTES_IN_ALL // ARTEFACTS_IN_ALL // 2
        # 1 is deflate's quickest level, of what no level makes smaller
        bundles = {f"function-{n:03}": bundle(("index.js", b"exports.handler = async () => 1;\n", 8), ("a", os.urandom(half), 0), ("b", os.urandom(half), 8))
                   for n in range(ARTEFACTS_IN_ALL - 1)}
        commit = Commit(bundles)
        self.sha = commit.sha
        for path, content in [*commit.objects.items(), ("build-manifest.json", commit.manifest)]:
            file = self.build / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        self.bytes = sum(len(content) for content in commit.objects.values())
        self.outputs.write_text(json.dumps({"ArtefactBucket": ARTEFACTS, "RecordsBucket": RECORDS, "Region": REGION}))

    def publish(self) -> list[str]:
        return [str(self.gatekeeper), "publish", str(self.build), "--repo", REPO, "--sha", self.sha, "--outputs", str(self.outputs)]

    def copy(self) -> list[str]:
        return ["aws", "s3", "cp", "--recursive", str(self.build), f"s3://{ARTEFACTS}/copied-{time.monotonic_ns()}/",
                "--checksum-algorithm", "SHA256", "--only-show-errors"]

    def run(self, command: list[str], port: int) -> tuple[float, int]:
        """The seconds that it took, and its peak of memory in bytes."""
        environment = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
                       "AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT}
        with tempfile.TemporaryFile() as told:
            began, peak = time.perf_counter(), 0
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=told)
            while process.poll() is None:
                peak = max(peak, peak_bytes(process.pid))
                time.sleep(LOOK_SECONDS)
            seconds = time.perf_counter() - began
            if process.returncode != 0:
                told.seek(0)
                raise RuntimeError(f"`{' '.join(command[:3])}` ended with {process.returncode}: {told.read().decode()[-2000:]}")
        return seconds, peak

    def at(self, port: int, rounds: int) -> dict[str, Any]:
        """Both programs in turn at this endpoint; without the AWS CLI only ours."""
        commands = {"publish": self.publish, **({"aws_s3_cp": self.copy} if shutil.which("aws") else {})}
        measured: dict[str, list[tuple[float, int]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                measured[name].append(self.run(command(), port))
        figures: dict[str, Any] = {name: {"median_s": round(statistics.median(seconds for seconds, _ in of), 3),
                                          "peak_bytes": max(peak for _, peak in of)} for name, of in measured.items()}
        if "aws_s3_cp" in figures:
            figures["times_as_fast"] = round(figures["aws_s3_cp"]["median_s"] / figures["publish"]["median_s"], 2)
        return figures

    def figures(self, local_aws_port: int) -> dict[str, Any]:
        """At the endpoint that keeps nothing, and at the local AWS, where a second upload would be skipped: once there."""
        with Sink() as sink:
            alone = self.at(sink.port, ROUNDS)
            if sink.received < ROUNDS * self.bytes:
                raise RuntimeError("the sink did not get every artefact")
        return {"artefacts": ARTEFACTS_IN_ALL, "bytes": self.bytes, "clients_alone": alone, "local_aws": self.at(local_aws_port, 1)}
