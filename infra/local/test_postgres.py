"""The instance's PostgreSQL: reached by TLS and with a password, by nobody else, and gone for certain."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import postgres
from certificates import write_certificates
from instance import free_port
from postgres import PROGRAMS, Postgres, PostgresError, processes_in, ready


class RealPostgres(unittest.TestCase):
    def setUp(self) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="local-aws-test-"))
        self.addCleanup(shutil.rmtree, self.state)
        self.postgres = Postgres(self.state)
        self.addCleanup(self.postgres.stop)

    def start(self) -> None:
        self.postgres.start(free_port())
        self.data = Path(self.postgres.record()["home"]) / "data"
        self.port = self.postgres.record()["port"]

    def psql(self, sql: str, password: str | None = None, **connection: str) -> subprocess.CompletedProcess:
        """Asked as the superuser, with `verify-full` and the right password unless told otherwise."""
        out = self.postgres.outputs()
        wanted = {"host": out["PostgresHost"], "port": out["PostgresPort"], "user": out["PostgresUser"], "dbname": "postgres",
                  "sslmode": "verify-full", "sslrootcert": out["PostgresCaFile"]} | connection
        return subprocess.run(
            [PROGRAMS / "psql", "--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--command", sql,
             " ".join(f"{name}='{value}'" for name, value in wanted.items())],
            env={"PGPASSWORD": out["PostgresPassword"] if password is None else password},
            capture_output=True, text=True, check=False)

    def assertRefused(self, reason: str, **connection: str) -> None:
        answer = self.psql("SELECT 1", **connection)
        self.assertEqual((answer.returncode, answer.stdout), (2, ""))
        self.assertRegex(answer.stderr, reason)

    def assertGone(self) -> None:
        self.assertFalse(self.postgres.is_up())
        self.assertFalse(ready(self.port))
        self.assertEqual(processes_in(self.data), [])
        self.assertFalse(self.data.parent.exists())
        self.assertEqual(list(self.state.iterdir()), [])

    def test_the_superuser_comes_in_by_tls_with_the_password_and_nobody_without(self) -> None:
        self.start()
        for host in ("127.0.0.1", "localhost"):
            answer = self.psql(
                "SELECT ssl, usesuper, pg_encoding_to_char(encoding) FROM pg_stat_ssl, pg_user, pg_database"
                " WHERE pid = pg_backend_pid() AND usename = current_user AND datname = current_database()", host=host)
            self.assertEqual((answer.stdout, answer.stderr), ("t|t|UTF8\n", ""), host)
        self.assertRefused("password authentication failed", password="guessed")
        self.assertRefused("no password supplied", password="")
        self.assertRefused("no password supplied", password="", sslmode="disable")
        other = self.state / "other.pem"
        write_certificates(other, self.state / "server.pem", self.state / "server.key")
        self.assertRefused("certificate verify failed", sslrootcert=str(other))
        for path in ("other.pem", "server.pem", "server.key"):
            (self.state / path).unlink()

        self.assertEqual(self.psql("SHOW listen_addresses").stdout, "127.0.0.1\n")
        self.assertEqual(self.psql("SHOW unix_socket_directories").stdout, "\n")
        self.assertEqual(stat.S_IMODE(self.postgres.record_file.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.data.parent.stat().st_mode), 0o700)
        self.assertEqual({path.name for path in self.data.parent.iterdir()}, {"data", "server.key", "server.pem"})

        Postgres(self.state).stop()  # as another Python does
        self.postgres.process.wait()
        self.assertGone()

    def test_what_a_crash_leaves_is_ended_too(self) -> None:
        self.start()
        with subprocess.Popen(
            [PROGRAMS / "psql", "--command", "DO 'BEGIN LOOP END LOOP; END'", f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"],
            env={"PGPASSWORD": self.postgres.record()["password"]}, stderr=subprocess.DEVNULL,
        ) as asking:
            while self.psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO%'").stdout != "1\n":
                self.assertIsNone(asking.poll())
                time.sleep(0.02)
            os.kill(self.postgres.process.pid, signal.SIGKILL)
            self.postgres.process.wait()
            self.assertFalse(self.postgres.is_up())
            self.assertNotEqual(processes_in(self.data), [], "the busy connection's process has not noticed")
            self.postgres.stop()
        self.assertGone()

    def test_two_run_side_by_side_and_one_ends_alone(self) -> None:
        self.start()
        other = Postgres(self.state / "other")
        self.addCleanup(other.stop)
        other.start(free_port())
        other.stop()
        (self.state / "other").rmdir()
        self.assertTrue(self.postgres.is_up())
        self.assertEqual(self.psql("SELECT 1").stdout, "1\n")

    def test_a_start_that_fails_says_why_and_leaves_nothing(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            with self.assertRaisesRegex(PostgresError, "(?s)PostgreSQL did not start: .*Address already in use"):
                self.postgres.start(taken.getsockname()[1])
        self.assertEqual(list(self.state.iterdir()), [])
        with mock.patch.object(postgres, "PROGRAMS", self.state / "nowhere"), self.assertRaisesRegex(PostgresError, "setup_database.sh"):
            self.postgres.start(free_port())

    def test_stopping_what_is_not_up_is_fine(self) -> None:
        self.postgres.stop()
        self.assertFalse(self.postgres.is_up())


if __name__ == "__main__":
    unittest.main()
