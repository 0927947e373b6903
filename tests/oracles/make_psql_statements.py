"""How the real psql 15 to 18 split texts into statements, for the test of our reader.

psql talks to a server of ours that writes down each query that it is sent and answers that it was fine. Texts are made of
fragments on which lexers disagree. Where the versions don't agree `sent` is null: our reader must refuse such a text.
`make_psql_statements.py COUNT FILE` makes more than are committed.
"""

import json
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "shared/readers/src/schema_snapshot/fixtures/psql_statements.json"
PSQL = [ROOT / ".local/postgresql/psql"] + [ROOT / f".local/pg_dump/{version}/bin/psql" for version in (16, 17, 18)]
FRAGMENTS = """; ; ; ; ' ' ' '' E' e' U&' B' x' N' " " U&" "" $$ $$ $a$ $_$ $é$ $1 $ a$ $a 1 1e 1.5 1e5 0x1F 1_0 1..2 .5 /* */ /*/ **/ -- --
( ) [ ] : :: := :'a' :"a" = - + -> /- @/* a b é E U& _ INSERT SELECT BEGIN END CASE""".split() + [
    " ", " ", " ", "\n", "\n", "\n", "\r", "\r", "\r\n", "\t", "\f", "\v", "\x7f", "\u00a0", "\u0085", "\u2028", "\\", "\\'", "\\\\", "\\;",
    "-- x\r", "-- x\n", "'a'\n'", "'a' -- c\n", "E'a\\'b'", "'a\\'", "CREATE RULE r AS ON INSERT TO t DO (a; b);",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE a WHEN 1 THEN 2 END; SELECT 2; END;", "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC; END;",
    "\nSET standard_conforming_strings = off;\n", "\nSET standard_conforming_strings = on;\n",
]


class Listener(threading.Thread):
    """Speaks as much of PostgreSQL's protocol as psql needs to send its queries."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port, self.sent = self.socket.getsockname()[1], []

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            with connection, connection.makefile("rwb") as stream:
                self.serve(stream)

    def serve(self, stream):
        def say(kind, body):
            stream.write(kind + struct.pack("!I", len(body) + 4) + body)

        def status(name, value):
            say(b"S", name.encode() + b"\0" + value.encode() + b"\0")

        while True:
            (length,) = struct.unpack("!I", stream.read(4))
            (code,) = struct.unpack("!I", stream.read(length - 4)[:4])
            if code == 196608:
                break
            stream.write(b"N")
            stream.flush()
        say(b"R", struct.pack("!I", 0))
        for name, value in {"client_encoding": "UTF8", "server_encoding": "UTF8", "server_version": "18.0", "standard_conforming_strings": "on"}.items():
            status(name, value)
        say(b"Z", b"I")
        stream.flush()
        while (kind := stream.read(1)) not in (b"", b"X"):
            (length,) = struct.unpack("!I", stream.read(4))
            body = stream.read(length - 4)
            if kind == b"Q":
                query = body[:-1].decode(errors="replace")
                self.sent.append(query)
                if setting := re.fullmatch(r"\s*SET standard_conforming_strings = (on|off);?\s*", query):
                    status("standard_conforming_strings", setting[1])
                say(b"C", b"SET\0")
                say(b"Z", b"I")
                stream.flush()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    fixture = Path(sys.argv[2]) if len(sys.argv) > 2 else FIXTURE
    random.seed(2026 + count)
    listener = Listener()
    listener.start()
    cases = []
    with tempfile.NamedTemporaryFile("w", suffix=".sql", newline="") as file:
        while len(cases) < count:
            text = "".join(random.choice(FRAGMENTS) for _ in range(random.randint(2, 12))) + random.choice(["", ";", "\n;", "';", "*/;", "$$;"])
            if "\\" in re.sub(r"\\['\\]", "", text) and random.random() < 0.9:
                continue
            file.seek(0)
            file.truncate()
            file.write(text + "\n")
            file.flush()
            answers = []
            for psql in PSQL:
                listener.sent = []
                command = [psql, "-X", "-q", "-h", "127.0.0.1", "-p", str(listener.port), "-U", "u", "-d", "d", "-f", file.name]
                subprocess.run(command, capture_output=True, env={"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}, timeout=20)
                answers.append(listener.sent)
            agreed = all(answer == answers[0] for answer in answers)
            cases.append({"text": text, "sent": answers[0] if agreed else None})
    fixture.write_text("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n")
    print(f"{len(cases)} texts, of which psql's versions disagree on {sum(case['sent'] is None for case in cases)}")


if __name__ == "__main__":
    main()
