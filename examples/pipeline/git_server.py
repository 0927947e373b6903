"""A repository over HTTP, as GitHub serves it: who reads or pushes shows a token."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class GitServer:
    """Serves the repositories of a folder on a free port, by Git's own `http-backend`, to who has one of the tokens."""

    def __init__(self, folder: Path, tokens: Mapping[str, bool]) -> None:
        """`tokens`: each with whether it may push too."""
        self.folder, self.allowed = folder, {f"Basic {base64.b64encode(f'x-access-token:{token}'.encode()).decode()}": may for token, may in tokens.items()}
        self.refused: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One request of the smart protocol."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path, _, query = request.path.partition("?")
        pushes = "git-receive-pack" in request.path
        may_push = self.allowed.get(request.headers.get("Authorization") or "")
        if may_push is None:
            self.send(request, 401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        elif pushes and not may_push:
            self.refused.append(path)
            self.send(request, 403, {}, b"the branch main is protected\n")
        else:
            self.send(request, *self.from_git(request, path, query, body))

    def from_git(self, request: BaseHTTPRequestHandler, path: str, query: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What Git's CGI answers."""
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.folder), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": request.command, "REMOTE_USER": "ci", "REMOTE_ADDR": "127.0.0.1", "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": request.headers.get("Content-Type") or "", "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": request.headers.get("Git-Protocol") or "",
        }
        ended = subprocess.run(["git", "http-backend"], env=environment, input=body, stdout=subprocess.PIPE, check=True)
        head, _, content = ended.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return int(headers.pop("Status", "200").split()[0]), headers, content

    @staticmethod
    def send(request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """An answer, whole."""
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)
