"""What the action `tell-github` posts, to a GitHub API that stands in for the real one on loopback."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ACTION = Path(__file__).resolve().parent.parent / ".github" / "actions" / "tell-github"
SHA = "3f1c9a0b5d7e2468ace013579bdf02468ace1357"
REPOSITORY = "example-bank/bank-payments"
PROMOTION = "01J0000000000000000000000A"


def module() -> Any:
    spec = importlib.util.spec_from_file_location("tell", ACTION / "tell.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["tell"] = loaded
    spec.loader.exec_module(loaded)
    return loaded


TELL = module()


def verdict(outcome: str, reasons: int = 0) -> dict[str, Any]:
    reason = {"code": "digest-mismatch", "subject": "modules/MOD-012/functions/authorise.zip", "message": "it is another file"}
    return {"schema_version": 1, "repo": "bank-payments", "commit_sha": SHA, "outcome": outcome, "reasons": [reason] * reasons, "artefacts": []}


def record(status: str, **changes: Any) -> dict[str, Any]:
    return {"schema_version": 1, "promotion_id": PROMOTION, "repo": "bank-payments", "commit_sha": SHA, "stage": "uat", "status": status,
            "rollback": False, "reason": "release 2026-05", **changes}


class Api(BaseHTTPRequestHandler):
    """Keeps deployments, and answers with the errors that a test has set for the next calls."""

    def answer(self) -> None:
        server = self.server
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        server.calls.append((self.command, self.path, body, self.headers["Authorization"]))
        if server.errors:
            code = server.errors.pop(0)
            return self.send(abs(code), {"message": "not now"}, cut_off=code < 0)
        path = self.path.partition("?")[0].removeprefix(f"/repos/{REPOSITORY}/")
        if (self.command, path) == ("GET", "deployments"):
            return self.send(200, server.deployments)
        if (self.command, path) == ("POST", "deployments"):
            server.deployments.append({"id": len(server.deployments) + 1, "payload": json.dumps(body["payload"])})
            return self.send(201, server.deployments[-1])
        return self.send(201, {"id": 1})

    do_GET = do_POST = answer

    def send(self, code: int, document: Any, cut_off: bool = False) -> None:
        self.send_response(code)
        if cut_off:
            self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: Any) -> None:
        pass


class TellGitHub(unittest.TestCase):
    def setUp(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.server.calls, self.server.errors, self.server.deployments = [], [], []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def tell(self, document: dict[str, Any], waits: tuple[float, ...] = (0, 0)) -> str:
        return TELL.tell(document, TELL.GitHub(self.url, REPOSITORY, "t0ken", waits), "https://github.example", "7")

    def posted(self) -> list[tuple[str, dict[str, Any]]]:
        return [(path.removeprefix(f"/repos/{REPOSITORY}/"), body) for method, path, body, _ in self.server.calls if method == "POST"]

    def test_each_outcome_is_a_conclusion_of_its_own_kind(self) -> None:
        for outcome, conclusion in (("built", "success"), ("registered", "neutral"), ("incomplete", "neutral"), ("rejected", "failure"), ("revoked", "failure")):
            self.tell(verdict(outcome))
            path, body = self.posted()[-1]
            self.assertEqual((path, body["conclusion"], body["head_sha"], body["status"]), ("check-runs", conclusion, SHA, "completed"), outcome)
        self.assertEqual({authorization for *_, authorization in self.server.calls}, {"Bearer t0ken"})

    def test_a_commit_without_a_verdict_and_an_outcome_that_is_newer_than_this_never_pass(self) -> None:
        for outcome in (None, "something-new"):
            self.tell(verdict(outcome))
            self.assertEqual(self.posted()[-1][1]["conclusion"], "neutral", outcome)

    def test_the_reasons_are_told_as_far_as_there_is_room(self) -> None:
        self.tell(verdict("rejected", reasons=2))
        text = self.posted()[-1][1]["output"]["text"]
        self.assertEqual(text.count("- `digest-mismatch` `modules/MOD-012/functions/authorise.zip`: it is another file"), 2)
        many = verdict("rejected", reasons=60)
        many["reasons"][0]["message"] = "x" * 70_000
        self.tell(many)
        text = self.posted()[-1][1]["output"]["text"]
        self.assertEqual(len(text), 65_535)
        self.tell(verdict("rejected", reasons=60))
        self.assertIn("and 10 more", self.posted()[-1][1]["output"]["text"])

    def test_an_answer_that_is_cut_off_is_asked_for_again_and_never_fails_the_job(self) -> None:
        self.server.errors = [-201, -502]
        self.assertIn("success", self.tell(verdict("built")))
        self.server.errors = [-201, -201, -201]
        with self.assertRaises(TELL.Untold):
            self.tell(verdict("built"))

    def test_a_promotion_is_one_deployment_whose_status_moves_on(self) -> None:
        for status, state in (("running", "in_progress"), ("going-back", "in_progress"), ("rolled-back", "failure"), ("failed", "failure"), ("succeeded", "success")):
            self.tell(record(status))
            path, body = self.posted()[-1]
            self.assertEqual((path, body["state"], body["environment"]), ("deployments/1/statuses", state, "uat"), status)
            self.assertEqual(body["log_url"], f"https://github.example/{REPOSITORY}/actions/runs/7")
        made = [body for path, body in self.posted() if path == "deployments"]
        self.assertEqual(len(made), 1)
        self.assertEqual((made[0]["ref"], made[0]["task"], made[0]["required_contexts"], made[0]["auto_merge"]), (SHA, "deploy", [], False))

    def test_another_promotion_of_the_commit_is_another_deployment(self) -> None:
        self.server.deployments.append({"id": 1, "payload": "no JSON"})
        self.tell(record("succeeded"))
        self.tell(record("succeeded", promotion_id="01J0000000000000000000000B"))
        self.assertEqual([path for path, _ in self.posted() if path.endswith("/statuses")], ["deployments/2/statuses", "deployments/3/statuses"])

    def test_a_rollback_and_who_stopped_a_promotion_are_told(self) -> None:
        self.tell(record("succeeded", rollback=True))
        self.assertEqual(self.posted()[0][1]["task"], "rollback")
        self.tell(record("rolled-back", stopped={"by": "jane@bank.example", "reason": "the wrong commit " * 20}))
        description = self.posted()[-1][1]["description"]
        self.assertIn("stopped by jane@bank.example: the wrong commit", description)
        self.assertEqual(len(description), 140)

    def test_what_was_refused_is_nobodys_deployment(self) -> None:
        self.assertIn("nothing to tell", self.tell({"status": "refused", "promotion_id": None, "reasons": []}))
        self.assertEqual(self.server.calls, [])

    def test_what_is_no_document_of_the_gatekeepers_is_told_as_that(self) -> None:
        for document in ({}, {"commit_sha": "main", "outcome": "built"}, {"commit_sha": SHA, "status": "succeeded"}):
            with self.assertRaises(TELL.Untold):
                self.tell(document)
        self.assertEqual(self.server.calls, [])

    def test_github_is_asked_again_where_it_is_at_fault_and_not_where_the_token_is(self) -> None:
        self.server.errors = [502, 429]
        self.tell(verdict("built"))
        self.assertEqual(len(self.server.calls), 3)
        self.server.errors = [500, 500, 500]
        with self.assertRaisesRegex(TELL.Untold, "answered 500"):
            self.tell(verdict("built"))
        self.server.calls.clear()
        self.server.errors = [403]
        with self.assertRaisesRegex(TELL.Untold, "checks: write"):
            self.tell(verdict("built"))
        self.assertEqual(len(self.server.calls), 1)

    def run_action(self, document: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            if document is not None:
                (Path(folder) / "verdict.json").write_text(document)
            variables = {"GITHUB_API_URL": self.url, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": "t0ken", "DOCUMENT": "verdict.json",
                         "WORKING_FOLDER": folder, "PATH": os.environ["PATH"], **environment}
            return subprocess.run([sys.executable, "-I", "tell.py"], cwd=ACTION, env=variables, capture_output=True, text=True, check=False)

    def test_the_action_tells_and_fails_no_job_because_github_could_not_be_told(self) -> None:
        told = self.run_action(json.dumps(verdict("built")))
        self.assertEqual((told.returncode, told.stdout), (0, f"check run `gatekeeper` of {SHA}: success\n"), told.stderr)
        self.server.errors = [401]
        for document in (json.dumps(verdict("built")), None, "no JSON", "[]"):
            untold = self.run_action(document)
            self.assertEqual(untold.returncode, 0, untold.stderr)
            self.assertTrue(untold.stdout.startswith("::warning title=GitHub was not told::"), untold.stdout)
            self.assertEqual(untold.stdout.count("\n"), 1)
            self.assertNotIn("t0ken", untold.stdout + untold.stderr)


if __name__ == "__main__":
    unittest.main()
