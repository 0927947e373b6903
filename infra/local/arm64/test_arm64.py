"""The functions as `make deploy` builds them for arm64, under qemu, beside those of this machine: each on a local AWS of its own, asked
the same. `make arm64` builds both before.

    .local/venv/bin/python infra/local/arm64/test_arm64.py
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[3]
HERE, ARM64 = ROOT / "target" / "lambda", ROOT / "target" / "arm64"
LOCAL_AWS = [sys.executable, ROOT / "infra" / "local" / "gatekeeper_local.py"]
AARCH64 = 183  # EM_AARCH64
# What runs `function`, an arm64 program, on another machine; it is a `bootstrap` like any other.
EMULATED = '#!/bin/sh\nexec qemu-aarch64-static -L /usr/aarch64-linux-gnu "${0%/*}/function" "$@"\n'
SAMPLES = re.compile(r"(?m)^\| `([\w-]+\.json)` \| ([\w-]+) \|")
# The steps of a promotion, who verifies for the gate and the portal have no samples: the state machine, intake and a browser ask them.
FURTHER: dict[str, list[Any]] = {
    **{step: [{}] for step in ("apply-stack", "deploy-function", "judge-run", "smoke-test", "record-promotion", "verify-provenance")},
    "portal": [{"version": "2.0", "rawPath": path, "rawQueryString": "", "headers": {}, "requestContext": {"http": {"method": "GET", "path": path}}}
               for path in ("/", "/nothing")],
}
# What is another one each time.
CHANGING = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|127\.0\.0\.1:\d+")


def names() -> list[str]:
    """The functions."""
    return sorted(path.parent.name for path in (ROOT / "functions").glob("*/Cargo.toml"))


def asked() -> list[tuple[str, str, Any]]:
    """Each function with what it is asked: its sample events, by events/README.md."""
    samples = [(function, file, json.loads((ROOT / "events" / file).read_text()))
               for file, function in SAMPLES.findall((ROOT / "events" / "README.md").read_text())]
    return samples + [(function, f"{of}", event) for function, events in FURTHER.items() for of, event in enumerate(events)]


def emulated(folder: Path) -> Path:
    """The arm64 functions laid out so that this machine can run them."""
    if platform.machine() in ("aarch64", "arm64"):
        return ARM64
    for name in names():
        place = folder / name
        place.mkdir(parents=True)
        (place / "function").write_bytes((ARM64 / name / "bootstrap").read_bytes())
        (place / "bootstrap").write_text(EMULATED)
        for program in place.iterdir():
            program.chmod(0o755)
    return folder


@contextlib.contextmanager
def local_aws(state: Path, functions: Path) -> Any:
    """The outputs of a local AWS that runs those functions."""
    environment = {**os.environ, "GATEKEEPER_LOCAL_STATE": str(state), "GATEKEEPER_LOCAL_FUNCTIONS": str(functions)}
    environment.pop("GATEKEEPER_LOCAL_PORT", None)
    try:
        subprocess.run([*LOCAL_AWS, "up"], env=environment, check=True, stdout=subprocess.DEVNULL)
        yield json.loads((state / "outputs.json").read_text())
    finally:
        subprocess.run([*LOCAL_AWS, "down"], env=environment, check=True, stdout=subprocess.DEVNULL)


def answers(outputs: dict[str, str]) -> list[Any]:
    """What the functions of a local AWS answer, one after the other, without what is another one each time."""
    client = boto3.client("lambda", endpoint_url=outputs["Endpoint"], region_name=outputs["Region"], aws_access_key_id=outputs["AccessKeyId"],
                          aws_secret_access_key=outputs["SecretAccessKey"], config=Config(read_timeout=300, retries={"max_attempts": 1}))
    got = []
    for function, _, event in asked():
        answer = client.invoke(FunctionName=f"gatekeeper-{function}", Payload=json.dumps(event).encode())
        got.append((answer.get("FunctionError"), CHANGING.sub("…", answer["Payload"].read().decode())))
    return got


class Arm64(unittest.TestCase):
    def test_every_function_is_built_for_arm64(self) -> None:
        for name in names():
            with self.subTest(name):
                head = (ARM64 / name / "bootstrap").read_bytes()[:20]
                self.assertEqual(head[:6], b"\x7fELF\x02\x01")
                self.assertEqual(int.from_bytes(head[18:20], "little"), AARCH64)

    def test_every_function_is_asked(self) -> None:
        self.assertEqual({function for function, _, _ in asked()}, set(names()))
        self.assertEqual({file for _, file, _ in asked() if file.endswith(".json")}, {path.name for path in (ROOT / "events").glob("*.json")})

    def test_every_event_is_answered_as_on_this_machine(self) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
            state, programs = Path(folder), emulated(Path(folder) / "functions")
            both = [running.enter_context(local_aws(state / "here", HERE)), running.enter_context(local_aws(state / "arm64", programs))]
            with ThreadPoolExecutor(2) as pool:
                here, arm64 = pool.map(answers, both)
        for (function, event, _), one, other in zip(asked(), here, arm64, strict=True):
            with self.subTest(function, event=event):
                self.assertEqual(other, one)
                self.assertNotRegex(other[1], r"Runtime\.|timed out", "the function itself answered")


if __name__ == "__main__":
    unittest.main()
