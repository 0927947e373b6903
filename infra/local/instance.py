"""One running local AWS: MiniStack's process, its port, the database beside it and the folder that holds all they leave on disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import boto3
from botocore.config import Config

import postgres

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FLYWAY = ROOT / ".local" / "flyway"
ACCOUNT = "111122223333"  # the account number of AWS's own examples
REGION = "ap-southeast-2"  # ADR-053's region
START_SECONDS = 60
STOP_SECONDS = 10


class LocalError(Exception):
    """What the user is told, in one message."""


def state_folder() -> Path:
    """Where an instance keeps its state: `GATEKEEPER_LOCAL_STATE`, else `.local` at the project's root."""
    return Path(os.environ.get("GATEKEEPER_LOCAL_STATE") or ROOT / ".local").resolve()


def digest_of(*paths: Path) -> str:
    """SHA-256 over the files' names and contents."""
    sha256 = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        sha256.update(f"{path.name} {len(content)}\n".encode())
        sha256.update(content)
    return sha256.hexdigest()


class Instance:
    """The instance of one state folder, up or not."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.folder = state / "ministack"
        self.record_file = self.folder / "process.json"
        self.log_file = self.folder / "log"
        self.outputs_file = state / "outputs.json"
        self.database = postgres.Postgres(state)
        self.process: subprocess.Popen | None = None  # only in the Python that started it
        self.functions_endpoint: str | None = None  # where functions find AWS, when it isn't MiniStack itself

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second `up` or `down` on the same folder waiting."""
        self.state.mkdir(parents=True, exist_ok=True)
        with open(self.state / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def record(self) -> dict[str, Any]:
        """What was noted at the start (`pid`, `port`, `code`); empty when nothing was started."""
        try:
            return json.loads(self.record_file.read_text())
        except FileNotFoundError:
            return {}

    def is_ours(self, pid: int) -> bool:
        """Whether `pid` still is our launcher: the number may be another process's by now."""
        with contextlib.suppress(OSError):
            return str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return False

    def is_up(self) -> bool:
        """Whether MiniStack and the database run and answer."""
        record = self.record()
        return bool(record) and self.is_ours(record["pid"]) and healthy(record["port"]) and self.database.is_up()

    def runs_this_code(self) -> bool:
        """Whether it was started from the launcher and the packages that are here now."""
        return self.record().get("code") == instance_code()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.record()['port']}"

    def client(self, service: str, account: str = ACCOUNT, **options: Any) -> Any:
        """A boto3 client as the root of `account`: MiniStack takes a 12-digit access key for that account's root."""
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION,
            aws_access_key_id=account, aws_secret_access_key=account,
            config=Config(retries={"max_attempts": 1}), **options,
        )

    def start(self) -> None:
        """Starts MiniStack and the database side by side, and returns when both answer."""
        with ThreadPoolExecutor(1) as pool:
            database = pool.submit(self.database.start, free_port())
            try:
                self.start_ministack()
                database.result()
            except BaseException as error:
                futures.wait([database])  # what isn't there yet can't be stopped
                self.stop()
                if isinstance(error, postgres.PostgresError):
                    raise LocalError(str(error)) from error
                raise

    def start_ministack(self) -> None:
        """Starts the launcher, detached, and returns when it answers.

        The port is `GATEKEEPER_LOCAL_PORT`, else a free one.
        """
        asked = os.environ.get("GATEKEEPER_LOCAL_PORT")
        port = int(asked) if asked else free_port()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "tmp").mkdir(parents=True)
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "launcher.py"), str(self.folder)],
                env=self.environment(port), cwd=self.folder, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )
        self.record_file.write_text(json.dumps({"pid": self.process.pid, "port": port, "code": instance_code()}))
        deadline = time.monotonic() + START_SECONDS
        while not healthy(port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log_file.read_text(errors="replace")[-2000:]
                raise LocalError(f"the local AWS did not start on port {port}\n{tail}")
            time.sleep(0.03)

    def environment(self, port: int) -> dict[str, str]:
        """The whole environment of MiniStack. Functions inherit it, so nothing of ours may leak in."""
        return {
            # Functions need `flyway`, `pg_dump` and `psql`, and `java`, `node` and the like.
            "PATH": os.pathsep.join([str(FLYWAY), str(postgres.PROGRAMS), os.environ.get("PATH", os.defpath)]),
            "LANG": "C.UTF-8",
            "HOME": str(self.folder / "tmp"),
            "TMPDIR": str(self.folder / "tmp"),
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "AWS_ENDPOINT_URL": self.functions_endpoint or f"http://127.0.0.1:{port}",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",  # would take port 8883
            "SFTP_ENABLED": "0",  # would take port 2222
            "LOG_LEVEL": "WARNING",
        }

    def stop(self) -> None:
        """Ends the launcher, the functions that it runs and the database, and removes all they left; fine when nothing is up."""
        pid = self.record().get("pid")
        if pid is not None and self.is_ours(pid):
            # Functions are in the launcher's process group, and may outlive it.
            for sign in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, sign)
                self.wait_for_end(pid)
        self.database.stop()
        self.outputs_file.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait_for_end(self, pid: int) -> None:
        """Waits until the process has ended, at most `STOP_SECONDS`."""
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if not self.is_ours(pid):
                if self.process is not None:
                    self.process.wait()  # it has ended, and stays in the table until its parent has looked
                return
            time.sleep(0.02)


def instance_code() -> str:
    """What a running instance has to agree with."""
    own = [HERE / name for name in ("launcher.py", "patching.py", "instance.py", "postgres.py", "certificates.py", "requirements.txt")]
    return digest_of(*own, *sorted(HERE.glob("gaps_*.py")))


def free_port() -> int:
    """A port on the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def healthy(port: int) -> bool:
    """Whether MiniStack answers on this port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
