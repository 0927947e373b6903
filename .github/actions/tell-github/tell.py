"""Tells GitHub what the gatekeeper said of a commit: a check run of a verdict, a deployment and its status of a promotion.

GitHub REST API, version 2022-11-28: "Create a check run", "Create a deployment", "List deployments", "Create a deployment status".
Nothing but the standard library, because it runs wherever a workflow does.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

MAX_TEXT = 65_535  # characters of a check run's summary or text
MAX_DESCRIPTION = 140  # characters of a deployment status
MAX_REASONS = 50
WAITS = (1, 4)  # seconds before each further attempt
SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

CONCLUSIONS = {"built": "success", "registered": "neutral", "incomplete": "neutral", "rejected": "failure", "revoked": "failure"}
TITLES = {"built": "Built", "registered": "Registered: the integration tests have not run yet", "incomplete": "Incomplete: something is not uploaded yet",
          "rejected": "Rejected", "revoked": "Taken back"}
STATES = {"running": "in_progress", "going-back": "in_progress", "succeeded": "success", "rolled-back": "failure", "failed": "failure"}


class Untold(Exception):
    """Why GitHub could not be told."""


class GitHub(NamedTuple):
    """The API, as a workflow's environment names it."""

    url: str
    repository: str
    token: str
    waits: tuple[float, ...] = WAITS

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What a call answers. It is made again where GitHub is at fault or asks for patience; a lost answer may make two of a kind."""
        request = urllib.request.Request(f"{self.url}/repos/{self.repository}/{path}", method=method, headers={
            "Accept": "application/vnd.github+json", "Authorization": f"Bearer {self.token}", "Content-Type": "application/json",
            "User-Agent": "artefact-gatekeeper", "X-GitHub-Api-Version": "2022-11-28",
        }, data=None if body is None else json.dumps(body).encode())
        for wait in (*self.waits, None):
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                said = words_of(error)
                if wait is None or (error.code < 500 and error.code != 429):
                    hint = "; the job needs `checks: write` and `deployments: write`" if error.code in (403, 404) else ""
                    raise Untold(f"{method} {path} answered {error.code}: {said}{hint}") from error
            except (OSError, ValueError, http.client.HTTPException) as error:  # the last: an answer that was cut off
                if wait is None:
                    raise Untold(f"{method} {path} failed: {error}") from error
            time.sleep(wait)
        raise AssertionError("the last attempt ends it")


def words_of(error: urllib.error.HTTPError) -> str:
    """What an answer says that is no success, as far as it came."""
    try:
        return error.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return "(the answer was cut off)"


def check_run(document: dict[str, Any]) -> dict[str, Any]:
    """The check run of a verdict, or of a commit as `gatekeeper show` tells it."""
    outcome = document["outcome"] or "incomplete"
    reasons = document.get("reasons") or []
    lines = [f"- `{it['code']}` `{it['subject']}`: {it['message']}" for it in reasons[:MAX_REASONS]]
    if len(reasons) > MAX_REASONS:
        lines.append(f"- and {len(reasons) - MAX_REASONS} more: `gatekeeper show {document['commit_sha']}`")
    warnings = [f"- `{it['code']}` `{it['subject']}`: {it['message']}" for it in (document.get("warnings") or [])[:MAX_REASONS]]
    text = "\n".join([*(["Reasons:", *lines] if lines else []), *(["", "Warnings:", *warnings] if warnings else [])])
    summary = f"The gatekeeper says `{outcome}` of `{document['repo']}` at `{document['commit_sha']}`."
    output = {"title": TITLES.get(outcome, outcome), "summary": cut(summary, MAX_TEXT)}
    if text:
        output["text"] = cut(text, MAX_TEXT)
    return {"name": "gatekeeper", "head_sha": document["commit_sha"], "status": "completed",
            "conclusion": CONCLUSIONS.get(outcome, "neutral"), "output": output}


def deployment(record: dict[str, Any]) -> dict[str, Any]:
    """The deployment of a promotion: checks of others don't hold it up, because it is under way or over."""
    return {"ref": record["commit_sha"], "task": "rollback" if record.get("rollback") else "deploy", "auto_merge": False,
            "required_contexts": [], "environment": record["stage"], "description": cut(record.get("reason") or "", MAX_DESCRIPTION),
            "payload": {"promotion_id": record["promotion_id"]}}


def status(record: dict[str, Any], server: str, repository: str, run: str) -> dict[str, Any]:
    """How it stands."""
    state = STATES.get(record["status"], "error")
    told = f"{record['status']}: promotion {record['promotion_id']}"
    stopped = record.get("stopped")
    if stopped:
        told += f", stopped by {stopped.get('by') or 'nobody who proved it'}: {stopped['reason']}"
    body = {"state": state, "environment": record["stage"], "description": cut(told, MAX_DESCRIPTION)}
    if run:
        body["log_url"] = f"{server}/{repository}/actions/runs/{run}"
    return body


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def tell(document: dict[str, Any], github: GitHub, server: str, run: str) -> str:
    """Tells what a document says; gives what was told, in a line."""
    sha = document.get("commit_sha")
    if document.get("status") == "refused":
        return "nothing to tell: the request was refused, and nothing was touched"
    if not isinstance(sha, str) or not SHA.fullmatch(sha):
        raise Untold("the document names no commit: is it what `gatekeeper … --output json` printed?")
    if "outcome" in document:
        posted = check_run(document)
        github.call("POST", "check-runs", posted)
        return f"check run `gatekeeper` of {sha}: {posted['conclusion']}"
    if not {"promotion_id", "status", "stage"} <= document.keys():
        raise Untold("the document is neither a verdict nor a promotion's record: is it what `gatekeeper … --output json` printed?")
    new = deployment(document)
    asked = urllib.parse.urlencode({"sha": sha, "environment": new["environment"], "task": new["task"], "per_page": 100})
    found = [it["id"] for it in github.call("GET", f"deployments?{asked}") if promotion_of(it) == document["promotion_id"]]
    made = found[0] if found else github.call("POST", "deployments", new).get("id")
    if not made:
        raise Untold("GitHub made no deployment of it, and did not say why")
    posted = status(document, server, github.repository, run)
    github.call("POST", f"deployments/{made}/statuses", posted)
    return f"deployment {made} of {sha} to {document['stage']}: {posted['state']}"


def promotion_of(there: dict[str, Any]) -> str | None:
    """The promotion that a deployment is of; its payload comes back as it was given, or as a text of that."""
    payload = there.get("payload")
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return None
    return payload.get("promotion_id") if isinstance(payload, dict) else None


def main() -> int:
    environment = os.environ
    try:
        path = Path(environment.get("WORKING_FOLDER", ".")) / environment["DOCUMENT"]
        try:
            document = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise Untold(f"`{path}` can't be read: {error}") from error
        if not isinstance(document, dict):
            raise Untold(f"`{path}` holds no JSON object")
        github = GitHub(environment["GITHUB_API_URL"], environment["GITHUB_REPOSITORY"], environment["GITHUB_TOKEN"])
        print(tell(document, github, environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_RUN_ID", "")))
    except Untold as error:
        # What the gatekeeper said stands, whether or not GitHub shows it. A line of a workflow's log is a command, so it is one line.
        print(f"::warning title=GitHub was not told::{' '.join(str(error).split())}")
    except KeyError as error:
        print(f"::error title=GitHub was not told::{error} is missing, in the environment or in the document")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
