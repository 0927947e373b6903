"""Dumps of one schema by real PostgreSQL servers 15 to 18, for the tests of schema snapshots.

Each `*.sql` of `shared/readers/src/schema_snapshot/fixtures/servers` is loaded into every server that `make setup` has brought
(15 of Debian; 16.2, 17.10 and 18.6 of `infra/local/pg_dump_versions.txt`) and dumped, by the server's own `pg_dump` and
the oldest one's by 18's too: `NAME.sSERVER.dPG_DUMP.dump`. Only 15 and 17 are built with libxml.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "shared/readers/src/schema_snapshot/fixtures/servers"
PROGRAMS = {15: ROOT / ".local/postgresql"} | {v: ROOT / f".local/pg_dump/{v}/bin" for v in (16, 17, 18)}
DUMPS = {
    "versions": [(15, 15), (16, 16), (17, 17), (18, 18), (15, 18)],
    "not_null": [(15, 15), (16, 18), (17, 17), (18, 18)],
    "xml": [(15, 15), (17, 17)],
}
# Partitions as three databases have them: the months, and what somebody did by hand.
ODD = "ALTER TABLE public.events_p2026_11 ADD CONSTRAINT by_hand CHECK (note <> 'x');"
PARTITIONS = {"dev": (10, 11, ""), "uat": (9, 12, ""), "odd": (9, 12, ODD)}
# PostgreSQL doesn't run as root.
AS_USER = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []


def run(*command, **options):
    return subprocess.run([str(it) for it in command], check=True, capture_output=True, text=True, **options).stdout


class Server:
    def __init__(self, version, folder):
        self.version, self.folder, self.data = version, folder, folder / str(version)
        programs = PROGRAMS[version]
        run(*AS_USER, programs / "initdb", "-D", self.data, "-U", "postgres", "--encoding=UTF8", "--locale=C",
            "--auth=trust", "--no-sync", cwd=folder)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -p 54{version} -c fsync=off -c jit=off"
        run(*AS_USER, programs / "pg_ctl", "-D", self.data, "-o", options, "-l", folder / f"{version}.log", "-w", "start", cwd=folder)

    def stop(self):
        run(*AS_USER, PROGRAMS[self.version] / "pg_ctl", "-D", self.data, "-m", "immediate", "stop", cwd=self.folder)

    def connection(self):
        return ["-h", self.folder, "-p", f"54{self.version}", "-U", "postgres"]

    def load(self, database, sql):
        psql = PROGRAMS[self.version] / "psql"
        run(psql, *self.connection(), "-X", "-q", "-c", f"CREATE DATABASE {database}")
        run(psql, *self.connection(), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-", input=sql)

    def dump(self, database, pg_dump, *options):
        text = run(PROGRAMS[pg_dump] / "pg_dump", *self.connection(), "--schema-only", "--encoding=UTF8", *options, "-d", database)
        # The key of `\\restrict` is another one at every run.
        return re.sub(r"^(\\(?:un)?restrict) \S+$", r"\1 k3y", text, flags=re.M)


def main():
    folder = Path(tempfile.mkdtemp(prefix="dumps"))
    folder.chmod(0o777)
    servers = {}
    try:
        servers = {version: Server(version, folder) for version in PROGRAMS}
        for name, dumps in DUMPS.items():
            sql = (FIXTURES / f"{name}.sql").read_text()
            for version in dict.fromkeys(server for server, _ in dumps):
                servers[version].load(name, sql)
            for server, pg_dump in dumps:
                text = servers[server].dump(name, pg_dump)
                (FIXTURES / f"{name}.s{server}.d{pg_dump}.dump").write_text(text)
        text = servers[18].dump("versions", 18, "--disable-dollar-quoting")
        (FIXTURES / "versions.s18.without-dollars.dump").write_text(text)
        text = servers[18].dump("versions", 18, "--clean", "--if-exists")
        (FIXTURES / "versions.s18.clean.dump").write_text(text)
        sql = (FIXTURES / "partitions.sql").read_text()
        for name, (first, last, more) in PARTITIONS.items():
            servers[18].load(name, sql.replace("FIRST..LAST", f"{first}..{last}") + more)
            (FIXTURES / f"partitions.{name}.dump").write_text(servers[18].dump(name, 18))
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
