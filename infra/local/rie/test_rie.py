"""Functions under AWS's own Runtime Interface Emulator, which starts, asks and ends them as Lambda does. `make rie`.

    infra/local/with_instance.sh .local/venv/bin/python infra/local/rie/test_rie.py
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import unittest
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).resolve().parents[3]
EMULATOR = ROOT / ".local" / "rie" / "aws-lambda-rie"
FUNCTIONS = ROOT / "target" / "lambda"
PATIENCE_SECONDS = 30
REPORT = re.compile(r"REPORT RequestId: (\S+)\t(Init Duration: [\d.]+ ms\t)?Duration: ")


def event(name: str) -> dict[str, Any]:
    """One of the sample events."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


class Emulated:
    """A function under the emulator, with the settings that the stack gives it, or others."""

    def __init__(self, function: str, settings: dict[str, str]) -> None:
        self.url, runtime_api = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.process = subprocess.Popen(
            [EMULATOR, "--runtime-interface-emulator-address", self.url, "--runtime-api-address", runtime_api, FUNCTIONS / function / "bootstrap"],
            env={"PATH": os.environ["PATH"], "AWS_LAMBDA_FUNCTION_NAME": function, "AWS_LAMBDA_FUNCTION_TIMEOUT": "20", **settings},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.wait_for(lambda: answers(self.url), "the emulator listens")

    def invoke(self, payload: Any) -> tuple[int, Any, str]:
        """The status, the answer and the request's id."""
        request_id = str(uuid.uuid4())
        request = urllib.request.Request(f"http://{self.url}/2015-03-31/functions/function/invocations", json.dumps(payload).encode(),
                                         {"X-Amzn-RequestId": request_id})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, json.load(answer), request_id
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null"), request_id

    def children(self) -> list[int]:
        """The function's process, and what it started."""
        return [int(of) for thread in Path(f"/proc/{self.process.pid}/task").iterdir() for of in (thread / "children").read_text().split()]

    def end(self) -> str:
        """Ends it as Lambda ends a function that is not needed any more; all that was printed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=PATIENCE_SECONDS)[0]
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    @staticmethod
    def wait_for(holds: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} s")
            time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as caller:
        return caller.connect_ex((host, int(port))) == 0


@unittest.skipUnless(os.environ.get("GATEKEEPER_OUTPUTS"), "needs a local AWS: infra/local/with_instance.sh")
class UnderTheEmulator(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        outputs = json.loads(Path(os.environ["GATEKEEPER_OUTPUTS"]).read_text())
        cls.account = {"AWS_ENDPOINT_URL": outputs["Endpoint"], "AWS_REGION": outputs["Region"], "AWS_ACCESS_KEY_ID": outputs["AccessKeyId"],
                       "AWS_SECRET_ACCESS_KEY": outputs["SecretAccessKey"]}
        cls.functions = boto3.client("lambda", endpoint_url=outputs["Endpoint"], region_name=outputs["Region"],
                                     aws_access_key_id=outputs["AccessKeyId"], aws_secret_access_key=outputs["SecretAccessKey"])

    def emulated(self, function: str, without: str = "") -> Emulated:
        """The function with the settings of the deployed one, but for one."""
        deployed = self.functions.get_function_configuration(FunctionName=f"gatekeeper-{function}")["Environment"]["Variables"]
        started = Emulated(function, {**{name: value for name, value in deployed.items() if name != without}, **self.account})
        self.addCleanup(started.kill)
        return started

    def deployed(self, function: str, payload: Any) -> Any:
        """What the function of the local AWS answers."""
        return json.load(self.functions.invoke(FunctionName=f"gatekeeper-{function}", Payload=json.dumps(payload).encode())["Payload"])

    def test_intake_starts_once_and_answers_as_the_deployed_one(self) -> None:
        intake = self.emulated("intake")
        events = [event(name) for name in ("s3-object-created", "s3-object-removed", "s3-object-tagging", "eventbridge-object-created", "sqs-s3")]
        got = [intake.invoke(of) for of in events]
        for of, (status, answer, _) in zip(events, got, strict=True):
            self.assertEqual((status, answer), (200, self.deployed("intake", of)))
        printed = intake.end()
        reports = REPORT.findall(printed)
        self.assertEqual([request_id for request_id, _ in reports], [request_id for _, _, request_id in got], printed)
        self.assertEqual([bool(init) for _, init in reports], [True, *(False for _ in got[1:])], "one init phase")
        logged = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        self.assertLessEqual({request_id for _, _, request_id in got}, {of.get("requestId") or of.get("request_id") for of in logged}, printed)

    def test_promote_refuses_as_the_deployed_one(self) -> None:
        promote = self.emulated("promote")
        for name in ("promotion", "promotion-dry-run", "rollback"):
            with self.subTest(name):
                status, answer, _ = promote.invoke(event(name))
                self.assertEqual((status, answer), (200, self.deployed("promote", event(name))))
                self.assertEqual(answer["status"], "refused")

    def test_an_error_has_its_type_and_message_and_the_next_event_is_answered(self) -> None:
        intake = self.emulated("intake")
        status, answer, _ = intake.invoke({"no": "event"})
        self.assertEqual(answer, self.deployed("intake", {"no": "event"}))
        self.assertEqual((status, set(answer)), (200, {"errorType", "errorMessage"}), answer)
        self.assertEqual(intake.invoke(event("s3-object-created"))[0], 200)

    def test_what_is_missing_ends_the_init_phase_and_is_named(self) -> None:
        intake = self.emulated("intake", without="RECORDS_BUCKET")
        status, _, _ = intake.invoke(event("s3-object-created"))
        printed = intake.end()
        self.assertEqual(status, 502, printed)
        self.assertIn("INIT RTDONE(status: error)", printed)
        self.assertIn("RECORDS_BUCKET", printed)

    def test_a_function_that_is_not_needed_any_more_ends_with_its_environment(self) -> None:
        for function, name in (("intake", "s3-object-created"), ("promote", "promotion")):
            with self.subTest(function):
                started = self.emulated(function)
                started.invoke(event(name))
                children = started.children()
                self.assertTrue(children)
                printed = started.end()
                self.assertEqual(started.process.returncode, 0, printed)
                self.assertFalse([of for of in children if Path(f"/proc/{of}").exists()], printed)
                self.assertNotIn("panicked", printed)


if __name__ == "__main__":
    unittest.main()
