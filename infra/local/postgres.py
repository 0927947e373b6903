"""A PostgreSQL cluster of one instance: real, empty, reached by TLS and with a password, gone with the instance."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from certificates import write_certificates

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = ROOT / ".local" / "postgresql"  # a link to PostgreSQL's programs, made by setup_database.sh
USER = "postgres"
START_SECONDS = 60
STOP_SECONDS = 10
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may have 107 bytes, a state folder's more
    "ssl": "on",
    "ssl_cert_file": "../server.pem",
    "ssl_key_file": "../server.key",
    # Nothing has to outlive a crash …
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # … and nothing is left behind by one.
    "dynamic_shared_memory_type": "mmap",
}


class PostgresError(Exception):
    """What the user is told, in one message."""


class Postgres:
    """The cluster of one state folder, up or not."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "postgres"
        self.record_file = self.folder / "cluster.json"
        self.log_file = self.folder / "log"
        self.ca_file = self.folder / "ca.pem"
        self.process: subprocess.Popen | None = None  # only in the Python that started it

    def record(self) -> dict[str, Any]:
        """What was noted at the start (`home`, `port`, `password`); empty when nothing was started."""
        try:
            return json.loads(self.record_file.read_text())
        except FileNotFoundError:
            return {}

    def outputs(self) -> dict[str, str]:
        """What outputs.json says about it: the way in as a superuser."""
        record = self.record()
        return {
            "PostgresHost": "127.0.0.1", "PostgresPort": str(record["port"]),
            "PostgresUser": USER, "PostgresPassword": record["password"],
            "PostgresCaFile": str(self.ca_file),
        }

    def is_up(self) -> bool:
        """Whether it takes connections."""
        record = self.record()
        return bool(record) and bool(processes_in(Path(record["home"]) / "data")) and ready(record["port"])

    def start(self, port: int) -> None:
        """Makes the cluster and starts it, detached; returns when it takes connections."""
        if not (PROGRAMS / "initdb").exists():
            raise PostgresError(f"`{PROGRAMS}` doesn't lead to PostgreSQL's programs: run infra/local/setup_database.sh")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        owner = Owner()
        home = owner.home(self.folder)
        password = secrets.token_hex(24)
        with open(self.record_file, "x", opener=private) as file:  # before there is anything to stop
            json.dump({"home": str(home), "port": port, "password": password}, file)
        write_certificates(self.ca_file, home / "server.pem", home / "server.key")
        (home / "password").write_text(password)
        for path in (home / "server.pem", home / "server.key", home / "password"):
            path.chmod(0o600)
            owner.owns(path)
        with open(self.log_file, "wb") as log:
            try:
                initdb = owner.start([
                    PROGRAMS / "initdb", "--pgdata=data", f"--username={USER}", "--pwfile=password",
                    "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
                ], home, log)
                if code := initdb.wait(START_SECONDS):
                    raise PostgresError(f"`initdb` ended with {code}")
                (home / "password").unlink()
                settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": port}.items()]
                self.process = owner.start([PROGRAMS / "postgres", "-D", "data", *settings], home, log)
                deadline = time.monotonic() + START_SECONDS
                while not says_ready(home / "data"):
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        raise PostgresError(f"it takes no connections on port {port}")
                    time.sleep(0.03)
            except (OSError, PostgresError, subprocess.TimeoutExpired) as error:
                tail = self.log_file.read_text(errors="replace")[-2000:]
                self.stop()
                raise PostgresError(f"PostgreSQL did not start: {error}\n{tail}") from error

    def stop(self) -> None:
        """Ends all its processes, also those that a crash left, and removes all it wrote; fine when nothing is up."""
        if home := self.record().get("home"):
            # PostgreSQL's "immediate shutdown"; each connection's process is told too, should their parent be gone.
            for sign in (signal.SIGQUIT, signal.SIGKILL):
                end_processes_in(Path(home) / "data", sign)
            if self.process is not None:
                self.process.wait()  # it has ended, and stays in the table until its parent has looked
                self.process = None
            shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Owner:
    """Who the cluster belongs to: us, or a user without rights, because PostgreSQL refuses to run as root."""

    def __init__(self) -> None:
        self.user: pwd.struct_passwd | None = None
        if os.geteuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            self.user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")

    def home(self, folder: Path) -> Path:
        """A new private folder. Not every state folder of root can be entered by another user, so there it is a temporary one."""
        if self.user is None:
            home = folder / "home"
            home.mkdir(mode=0o700)
        else:
            home = Path(tempfile.mkdtemp(prefix="gatekeeper-postgres-"))
            self.owns(home)
        return home

    def owns(self, path: Path) -> None:
        """Gives it the file or the folder."""
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def start(self, command: list, home: Path, log: Any) -> subprocess.Popen:
        """Starts a program of its own, in a process group of its own."""
        rights = {} if self.user is None else {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            list(map(str, command)), cwd=home, start_new_session=True, **rights,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": str(home)},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )


def private(path: str, flags: int) -> int:
    """An opener for files that nobody else may read."""
    return os.open(path, flags, 0o600)


def ready(port: int) -> bool:
    """Whether a server takes connections on this port."""
    asked = [str(PROGRAMS / "pg_isready"), "--host=127.0.0.1", f"--port={port}", "--quiet", "--timeout=5"]
    return subprocess.run(asked, check=False, env={}).returncode == 0


def says_ready(data: Path) -> bool:
    """Whether the cluster itself says so, which a stranger on its port can't: line 8 of postmaster.pid, as `pg_ctl --wait` reads it."""
    with contextlib.suppress(FileNotFoundError):
        return (data / "postmaster.pid").read_text().splitlines()[7:8] == ["ready   "]
    return False


def processes_in(data: Path) -> list[int]:
    """The cluster's processes, by their program and the folder that each works in: a recorded number may be another's by now."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text() == "postgres\n" and os.readlink(entry / "cwd") == str(data):
                found.append(int(entry.name))
    return found


def end_processes_in(data: Path, sign: signal.Signals) -> None:
    """Tells them to end and waits for it, at most `STOP_SECONDS`."""
    for pid in processes_in(data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
    deadline = time.monotonic() + STOP_SECONDS
    while processes_in(data) and time.monotonic() < deadline:
        time.sleep(0.02)
