"""The Snowflake of bank-risk-platform's stages: fakesnow, which Snowflake's own connector and dbt-snowflake talk to."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from processes import Failed
from workflow import ROOT

PYTHON = ROOT / ".local" / "snowflake"
SERVER = ROOT / "infra" / "local" / "snowflake" / "server.py"
DATABASES = ("RISK_DEV", "RISK_UAT")
START_SECONDS = 60
# By Snowflake's own connector. A database is the platform team's; what is in it is DCM's and dbt's.
CREATE = f"""
from snowflake import connector
import os
of = os.environ
given = dict(account=of["SNOWFLAKE_ACCOUNT"], user=of["SNOWFLAKE_USER"], password="-", host=of["SNOWFLAKE_HOST"],
             port=int(of["SNOWFLAKE_PORT"]), protocol=of["SNOWFLAKE_PROTOCOL"])
with connector.connect(**given) as connection:
    for database in {DATABASES}:
        connection.cursor().execute(f"CREATE DATABASE {{database}}")
        connection.cursor().execute(f"CREATE SCHEMA IF NOT EXISTS {{database}}.PUBLIC")
"""


class Snowflake:
    """A server of its own, which is gone when it is closed."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "snowflake.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with self.log.open("w") as log:
            self.server = subprocess.Popen([PYTHON / "bin" / "python", SERVER, str(self.port)], stdout=log, stderr=log, start_new_session=True)
        try:
            self.wait()
            ended = subprocess.run([PYTHON / "bin" / "python", "-c", CREATE], check=False, capture_output=True, text=True, timeout=START_SECONDS,
                                   env={**os.environ, **self.variables, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
            if ended.returncode != 0:
                raise Failed(f"the databases of {DATABASES} can't be made\n{ended.stderr.strip()}")
        except BaseException:
            self.close()
            raise

    @property
    def variables(self) -> dict[str, str]:
        """What the environments tell of it; it takes any password."""
        return {"RISK_ADAPTER": "snowflake", "SNOWFLAKE_ACCOUNT": "fakesnow", "SNOWFLAKE_USER": "risk", "SNOWFLAKE_HOST": "127.0.0.1",
                "SNOWFLAKE_PORT": str(self.port), "SNOWFLAKE_PROTOCOL": "http"}

    def wait(self) -> None:
        """Until it takes connections."""
        until = time.monotonic() + START_SECONDS
        while self.server.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        raise Failed(f"the local Snowflake does not start\n{self.log.read_text().strip()}")

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.server.wait(5)
            return
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait()
