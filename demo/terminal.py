"""What the demo prints: numbered chapters, a tick and a time for each thing that held, tables.

On a terminal with colours and a line that moves while something is under way, otherwise plain lines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

GREEN, RED, YELLOW, DIM, BOLD, PLAIN = "32", "31", "33", "2", "1", "0"
MIN_COLUMNS, MAX_COLUMNS = 72, 118


class Line:
    """One thing under way: `label` is what a terminal shows meanwhile, `done` what stays."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.done: str | None = None
        self.seconds: float | None = None  # what is measured, where that isn't the whole of the line
        self.began = time.monotonic()


class Terminal:
    """Standard output, and how much of a terminal it is."""

    def __init__(self) -> None:
        self.out = sys.stdout
        self.lives = self.out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.colours = self.lives and not os.environ.get("NO_COLOR")
        unicode = "utf" in (self.out.encoding or "").lower()
        self.tick, self.cross, self.rule = ("✓", "✗", "─") if unicode else ("ok", "FAILED", "-")
        self.frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if unicode else "|/-\\"
        if not unicode:
            self.out.reconfigure(errors="replace")
        self.columns = max(MIN_COLUMNS, min(MAX_COLUMNS, shutil.get_terminal_size((100, 24)).columns))
        self.chapters = 0
        self.held = 0

    def paint(self, text: str, *styles: str) -> str:
        """The text in a colour, where there are colours."""
        return f"\033[{';'.join(styles)}m{text}\033[0m" if self.colours and styles != (PLAIN,) else text

    def say(self, text: str = "") -> None:
        """One line, at once."""
        print(text, file=self.out, flush=True)

    def note(self, text: str, *styles: str) -> None:
        """A line that explains or shows, under a tick."""
        self.say("      " + self.paint(text, *(styles or (DIM,))))

    def chapter(self, title: str) -> None:
        """The next numbered chapter."""
        self.chapters += 1
        self.say(f"\n{self.paint(f'{self.chapters:>2}  {title}', BOLD)}")

    @contextlib.contextmanager
    def doing(self, label: str) -> Iterator[Line]:
        """A line that ends with a tick and the time it took, or with a cross when its block raises."""
        line = Line(label)
        stop = threading.Event()
        spinner = threading.Thread(target=self._spin, args=(line, stop), daemon=True)
        if self.lives:
            spinner.start()
        mark, style = self.cross, RED
        try:
            yield line
            mark, style = self.tick, GREEN
            self.held += 1
        finally:
            stop.set()
            if self.lives:
                spinner.join()
                print("\r\033[K", end="", file=self.out)
            self._ended(line, mark, style)

    def held_line(self, text: str, seconds: float | None = None) -> None:
        """A tick for what has been asserted already."""
        self.held += 1
        self._print(self.tick, GREEN, text, seconds)

    def _ended(self, line: Line, mark: str, style: str) -> None:
        seconds = time.monotonic() - line.began if line.seconds is None else line.seconds
        self._print(mark, style, line.done if line.done and style == GREEN else line.label, seconds)

    def _print(self, mark: str, style: str, text: str, seconds: float | None) -> None:
        took = "" if seconds is None else f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
        room = " " * max(1, self.columns - 5 - len(mark) - len(text) - len(took))
        self.say(f"    {self.paint(mark, style)} {text}{room + self.paint(took, DIM) if took else ''}")

    def _spin(self, line: Line, stop: threading.Event) -> None:
        turn = 0
        while not stop.wait(0.1):
            frame = self.frames[turn % len(self.frames)]
            text = f"{line.label} {time.monotonic() - line.began:.0f} s"[: self.columns - 6]
            print(f"\r\033[K    {self.paint(frame, YELLOW)} {self.paint(text, DIM)}", end="", file=self.out, flush=True)
            turn += 1

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns as wide as they need to be."""
        rows = [list(row) for row in rows]
        widths = [max(len(row[at]) for row in [list(header), *rows]) for at in range(len(header))]

        def laid_out(row: Sequence[str]) -> str:
            return "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()

        self.note(laid_out(header))
        self.note(self.rule * (sum(widths) + 2 * (len(widths) - 1)))
        for row in rows:
            self.note(laid_out(row), PLAIN)
