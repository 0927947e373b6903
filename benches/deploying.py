"""`deploy-function` beside a plain boto3 script, under Lambda's published quotas.

The quotas are those of an account and region (AWS Lambda developer guide, "Lambda quotas", API requests): `GetFunction` 100
a second, every other call of the control plane 15 together. The stub throttles by them as token buckets of one second,
answers each call 30 ms late, and takes a second to bring an update into effect. What is counted (calls, answers of 429)
doesn't depend on the machine.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from function import Function

LOOKS_A_SECOND, OTHERS_A_SECOND = 100, 15
DELAY_SECONDS = 0.03
UPDATE_SECONDS = 1.0
RESOURCES_A_PAGE = 100
RUNS = 3

PROMOTION, BEFORE = "01JZ0000000000000000000000", "01JY0000000000000000000000"
PLACE = {"stage": "uat", "repo": "bank-payments"}

# What one writes for it: update, wait, publish, sixteen at once.
SCRIPT = """
import concurrent.futures, json, sys, time
import boto3
from botocore.config import Config
port, count = int(sys.argv[1]), int(sys.argv[2])
client = boto3.client("lambda", region_name="ap-southeast-2", endpoint_url=f"http://127.0.0.1:{port}",
                      aws_access_key_id="test", aws_secret_access_key="test",
                      config=Config(retries={"mode": "standard", "max_attempts": 10}, max_pool_connections=16))
def deploy(number):
    name = f"uat-function-{number:03}"
    client.update_function_code(FunctionName=name, S3Bucket="artefacts", S3Key=f"function-{number:03}.zip")
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    client.publish_version(FunctionName=name)
began = time.perf_counter()
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    list(pool.map(deploy, range(count)))
print(time.perf_counter() - began)
"""


def digest(word: str) -> str:
    """What Lambda calls the `CodeSha256` of a bundle."""
    return base64.b64encode(hashlib.sha256(word.encode()).digest()).decode()


class Quota:
    """A token bucket that holds a second's calls."""

    def __init__(self, calls_a_second: float) -> None:
        self.rate = self.tokens = float(calls_a_second)
        self.at = time.monotonic()

    def admits(self) -> bool:
        now = time.monotonic()
        self.tokens = min(self.rate, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Account:
    """Lambda, CloudFormation and the records bucket, as far as a promotion's functions need them."""

    def __init__(self, count: int, stacks: int = 1, *, changed: bool) -> None:
        self.stacks = [f"api-{at}" for at in range(stacks)]
        self.names = [f"function-{number:03}" for number in range(count)]
        self.live = {name: digest(f"old {name}" if changed else name) for name in self.names}
        self.busy_until = dict.fromkeys(self.names, 0.0)
        self.revisions = Counter(self.names)
        # The promotion before has left one version of each.
        self.versions = {name: [self.live[name]] for name in self.names}
        self.looks, self.others = Quota(LOOKS_A_SECOND), Quota(OTHERS_A_SECOND)
        self.calls: Counter[str] = Counter()
        self.throttled = 0
        self.lock = threading.Lock()

    def stack_of(self, name: str) -> str:
        """The stack that has a function."""
        return self.stacks[self.names.index(name) % len(self.stacks)]

    def record(self, promotion: str) -> dict[str, Any]:
        """A promotion's record; that of the one before names the versions that it left."""
        functions = [{
            "module": "MOD-012", "function": name, "stack": self.stack_of(name), "stack_name": f"uat-{self.stack_of(name)}",
            "logical_id": name.replace("-", ""),
            "key": f"{name}.zip", "version_id": "v1", "sha256": hashlib.sha256(name.encode()).hexdigest(), "size": 100,
        } for name in self.names]
        plan = {"stacks": [], "functions": functions, "migrations": [], "smoke": []}
        live = [{"function": name, "function_name": f"uat-{name}", "code_sha256": None, "is_promoted_code": True, "version": "1"}
                for name in self.names]
        is_this = promotion == PROMOTION
        return {
            "schema_version": 1, "promotion_id": promotion, "commit_sha": "a" * 40, **PLACE, "requested_by": "jane@bank.example",
            "reason": "release", "rollback": False, "status": "running", "execution_arn": "arn", "started_at": "2026-05-02T03:04:05Z",
            "ended_at": None, "verdict_version_id": "v", "manifest_version_id": "v", "stages_config_version_id": "v",
            "role_arn": None, "stack_role_arn": None, "steps": [], "plan": plan, "live": [] if is_this else live,
            "way_back": None, "promotion_before": BEFORE if is_this else None,
        }

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """AWS's answer: status, headers, body."""
        path, query = unquote(urlsplit(url).path), parse_qs(urlsplit(url).query)
        if record := re.fullmatch(r"/records/promotions/uat/bank-payments/(\w+)\.json", path):
            return 200, {"x-amz-version-id": "v1", "ETag": '"e"'}, json.dumps(self.record(record[1])).encode()
        if method == "GET" and path.startswith("/records/"):  # nobody holds the stage or stopped the promotion
            if "list-type" in query:
                return 200, {"Content-Type": "text/xml"}, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            return 404, {"Content-Type": "text/xml"}, b"<Error><Code>NoSuchKey</Code></Error>"
        if body.startswith(b"Action=ListStackResources"):
            return 200, {"Content-Type": "text/xml"}, self.resources(parse_qs(body.decode()))
        called = re.fullmatch(r"/2015-03-31/functions/uat-([\w-]+)(/code|/versions)?", path)
        if called is None:
            raise ValueError(f"{method} {url}")
        call = {("GET", None): "GetFunction", ("PUT", "/code"): "UpdateFunctionCode", ("POST", "/versions"): "PublishVersion",
                ("GET", "/versions"): "ListVersionsByFunction"}[method, called[2]]
        with self.lock:
            self.calls[call] += 1
            if not (self.looks if call == "GetFunction" else self.others).admits():
                self.throttled += 1
                return 429, {"x-amzn-ErrorType": "TooManyRequestsException", "Retry-After": "1"}, b'{"message": "Rate exceeded"}'
            return self.done(call, called[1], query, json.loads(body or b"{}"))

    def done(self, call: str, name: str, query: dict[str, list[str]], asked: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """What a call that is admitted does."""
        busy = time.monotonic() < self.busy_until[name]
        if call in ("UpdateFunctionCode", "PublishVersion") and busy:
            return 409, {"x-amzn-ErrorType": "ResourceConflictException"}, b'{"message": "an update is in progress"}'
        told = {"FunctionName": f"uat-{name}", "CodeSha256": self.live[name], "State": "Active", "MemorySize": 128,
                "LastUpdateStatus": "InProgress" if busy else "Successful", "RevisionId": str(self.revisions[name])}
        if call == "GetFunction":
            number = int(query.get("Qualifier", ["0"])[0])
            if number:
                told["CodeSha256"] = self.versions[name][number - 1]
            return 200, {}, json.dumps({"Configuration": told}).encode()
        if call == "UpdateFunctionCode":
            self.live[name] = told["CodeSha256"] = digest(asked["S3Key"].removesuffix(".zip"))
            self.busy_until[name] = time.monotonic() + UPDATE_SECONDS
            self.revisions[name] += 1
            told["LastUpdateStatus"] = "InProgress"
        if call == "PublishVersion" or asked.get("Publish"):
            if self.versions[name][-1] != self.live[name]:
                self.versions[name].append(self.live[name])
            told["Version"] = str(len(self.versions[name]))
        if call == "ListVersionsByFunction":
            return 200, {}, json.dumps({"Versions": [
                {"Version": str(at + 1), "CodeSha256": code, "Description": ""} for at, code in enumerate(self.versions[name])]}).encode()
        return 200, {}, json.dumps(told).encode()

    def resources(self, asked: dict[str, list[str]]) -> bytes:
        """A page of a stack's resources, as many as CloudFormation puts on one."""
        (stack,), (start,) = asked["StackName"], asked.get("NextToken", ["0"])
        names = [name for name in self.names if f"uat-{self.stack_of(name)}" == stack]
        end = int(start) + RESOURCES_A_PAGE
        members = "".join(
            f"<member><LogicalResourceId>{name.replace('-', '')}</LogicalResourceId><PhysicalResourceId>uat-{name}</PhysicalResourceId>"
            "<ResourceType>AWS::Lambda::Function</ResourceType><ResourceStatus>UPDATE_COMPLETE</ResourceStatus>"
            "<LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp></member>" for name in names[int(start):end])
        following = f"<NextToken>{end}</NextToken>" if end < len(names) else ""
        return (f"<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries>{members}</StackResourceSummaries>"
                f"{following}</ListStackResourcesResult></ListStackResourcesResponse>").encode()


class Stub:
    """The account behind a port of its own."""

    def __init__(self, account: Account) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                time.sleep(DELAY_SECONDS)
                status, headers, answer = account.answer(self.command, self.path, body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is told of a request."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> int:
        self.thread.start()
        return self.server.server_port

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Deploying:
    """`deploy-function` and the script against an account each."""

    def __init__(self, function: Callable[[dict[str, str]], Function], environment: dict[str, str]) -> None:
        self.function, self.environment = function, environment

    def step(self, account: Account) -> float:
        """The seconds that the step takes, asked until it is done."""
        with Stub(account) as port, self.function({**self.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                                                   "ARTEFACT_BUCKET": "artefacts", "RECORDS_BUCKET": "records"}) as step:
            event = {"promotion": {**PLACE, "promotion_id": PROMOTION}, "direction": "forward", "progress": []}
            taken, answer = 0.0, {"status": "in-progress"}
            while answer["status"] == "in-progress":
                answer, seconds = step.invoke(event)
                event, taken = {**event, "progress": answer["progress"]}, taken + seconds
        if answer["status"] != "done":
            raise RuntimeError(f"`deploy-function` answered {json.dumps(answer)[:2000]}")
        return taken

    def script(self, account: Account) -> float:
        """The same of the script, from its first call to its last answer."""
        with Stub(account) as port:
            return float(subprocess.check_output([sys.executable, "-c", SCRIPT, str(port), str(len(account.names))]))

    def figures(self) -> dict[str, dict[str, Any]]:
        """Each way for each commit, in turn."""
        figures: dict[str, dict[str, Any]] = {}
        for label, count, stacks, changed, runs in (
            ("40 functions, all changed", 40, 1, True, RUNS), ("40 functions, none changed", 40, 1, False, RUNS),
            ("500 functions of four stacks, all changed", 500, 4, True, 1),
        ):
            ways: dict[str, Callable[[Account], float]] = {"deploy-function": self.step, "boto3, 16 threads": self.script}
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            accounts: dict[str, Account] = {}
            for _ in range(runs):
                for way, deploy in ways.items():
                    accounts[way] = Account(count, stacks, changed=changed)
                    seconds[way].append(deploy(accounts[way]))
                    if wrong := [name for name, code in accounts[way].live.items() if code != digest(name)]:
                        raise RuntimeError(f"{way} left {wrong}")
            # An update with its version is one call of those that 15 a second may be made; a full bucket goes at once.
            least = max(0.0, (count - OTHERS_A_SECOND) / OTHERS_A_SECOND) + UPDATE_SECONDS if changed else 0.0
            figures[label] = {"quota_allows_s": round(least, 2), **{way: {
                "median_s": round(statistics.median(seconds[way]), 2), "calls": dict(accounts[way].calls),
                "throttled": accounts[way].throttled} for way in ways}}
        return figures
