"""The programs that the demo starts, and that none of them outlives it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE_SECONDS = 15


class Failed(Exception):
    """A program ended with another exit code than 0; the message has what it printed."""


class Processes:
    """Starts programs in groups of their own, so that each ends with all that it has started."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.closed = False

    def run(self, command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str] | None = None,
            may_fail: bool = False, given: str = "") -> tuple[int, str]:
        """Runs to the end with `given` as its input; its exit code and what it printed. Raises `Failed` unless it `may_fail`."""
        process = subprocess.Popen(
            [str(part) for part in command], cwd=cwd, env=dict(environment or os.environ), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        self.running.add(process)
        try:
            if self.closed:
                raise Failed("the demo is ending")
            printed, _ = process.communicate(given)
        except BaseException:
            self._end(process)
            raise
        self.running.discard(process)
        if process.returncode != 0 and not may_fail:
            raise Failed(f"`{' '.join(str(part) for part in command)}` ended with {process.returncode}\n{printed.strip()}")
        return process.returncode, printed

    def end_all(self) -> None:
        """Ends what still runs, and what another thread starts from now on."""
        self.closed = True
        for process in list(self.running):
            self._end(process)

    def _end(self, process: subprocess.Popen[str]) -> None:
        """As Ctrl-C would, so that it can tidy up; by force when that takes too long."""
        for sign in (signal.SIGINT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_SECONDS)
                break
        self.running.discard(process)
