"""The database `payments` of a stage, on the PostgreSQL of the local AWS, and the real tools that CI runs on it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from processes import Failed, Processes

ROOT = Path(__file__).resolve().parent.parent
GATEKEEPER = ROOT / "target" / "debug" / "gatekeeper"
FLYWAY = ROOT / ".local" / "flyway"
POSTGRESQL = ROOT / ".local" / "postgresql"
DATABASE = "payments"
# What a JVM starts with that ends soon.
JAVA_ARGS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


class Database:
    """One stage's: with a role of its own, which owns it."""

    def __init__(self, processes: Processes, stage: str, outputs: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self.processes, self.outputs = processes, outputs
        self.name, self.password = f"{DATABASE}_{stage}", secrets.token_urlsafe(24)
        path = os.pathsep.join([str(FLYWAY), str(POSTGRESQL), environment["PATH"]])
        self.environment = {**environment, "PATH": path, "JAVA_ARGS": JAVA_ARGS, "REDGATE_DISABLE_TELEMETRY": "true"}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.outputs['PostgresPort']}/{self.name}"

    @property
    def url(self) -> str:
        """The way in, with the password in it; TLS, although it is on this machine."""
        return f"postgresql://{self.name}:{self.password}@{self.address}?sslmode=verify-full"

    @property
    def entry(self) -> dict[str, str]:
        """The environment that tells the tools of CI the way in."""
        return {"DATABASE_URL": self.url, "PGSSLROOTCERT": self.outputs["PostgresCaFile"], "PATH": self.environment["PATH"]}

    def create(self) -> str:
        """Makes database and role; the server's version."""
        as_superuser = {"PGUSER": self.outputs["PostgresUser"], "PGPASSWORD": self.outputs["PostgresPassword"], "PGDATABASE": "postgres"}
        return self.sql(f"CREATE ROLE {self.name} LOGIN PASSWORD '{self.password}';\nCREATE DATABASE {self.name} OWNER {self.name};\n"
                        "SHOW server_version;\n", as_superuser)

    def sql(self, statements: str, who: Mapping[str, str] | None = None) -> str:
        """Runs SQL by psql; what it printed. Not as an argument: there may be a password in it."""
        entry = {"PGHOST": "127.0.0.1", "PGPORT": str(self.outputs["PostgresPort"]), "PGDATABASE": self.name, "PGUSER": self.name,
                 "PGPASSWORD": self.password, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": self.outputs["PostgresCaFile"]}
        command = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-"]
        return self.processes.run(command, ROOT, {**self.environment, **entry, **(who or {})}, given=statements)[1].strip()

    def migrate(self, folder: Path) -> dict[str, Any]:
        """Flyway itself, as CI runs it; what it says in JSON."""
        url = f"jdbc:postgresql://{self.address}?sslmode=verify-full&sslrootcert={self.outputs['PostgresCaFile']}"
        entry = {"FLYWAY_URL": url, "FLYWAY_USER": self.name, "FLYWAY_PASSWORD": self.password}
        configuration = f"-configFiles={folder.parent / 'flyway.toml'}"
        command = ["flyway", configuration, f"-locations=filesystem:{folder}", "-outputType=json", "-skipCheckForUpdate", "migrate"]
        return json.loads(self.processes.run(command, ROOT, {**self.environment, **entry})[1])

    def gatekeeper(self, *arguments: str | Path, answer: str = "yes") -> dict[str, Any]:
        """The CLI, which is to answer `yes` (exit code 0) or `no` (1); what it says in JSON."""
        command = [GATEKEEPER, *arguments, "--database", DATABASE, "--output", "json"]
        code, printed = self.processes.run(command, ROOT, {**self.environment, **self.entry}, may_fail=True)
        if code != ("yes", "no").index(answer):
            raise Failed(f"`gatekeeper {arguments[0]} {arguments[1]}` ended with {code}, not with `{answer}`\n{printed.strip()}")
        return json.loads(printed)
