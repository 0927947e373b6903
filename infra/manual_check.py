"""Checks what people write in Markdown: that links lead somewhere, lines are short, pages are listed, commands exist.

usage: manual_check.py                    checks docs/ and the documents at the top level
       manual_check.py --stage FOLDER     copies docs/ into FOLDER as mdBook builds it: links out of docs/ lead to copies
       manual_check.py --book FOLDER      checks every link and anchor of the pages that mdBook made

Links to other sites are not followed: nothing here needs a network.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Documents at the top level that are pages of the book too.
IN_THE_BOOK = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
TOP = ("README.md", *IN_THE_BOOK)
WIDTH = 100
README_LINES = 150
# Written by a test of Rust, which wraps nothing; and a log of what was, in lines as they were written then.
UNWRAPPED = {"CHANGELOG.md"}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)\)")
CODE = re.compile(r"(`+)(?:(?!\1).)+?\1")


def sources(root: Path = ROOT) -> list[Path]:
    return [root / name for name in TOP if (root / name).exists()] + sorted((root / "docs").rglob("*.md"))


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are no code block, by their number."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and line.strip().startswith(fence):
            fence = None
        elif fence is None and not line.startswith("    "):
            yield number, line


def blocks(text: str) -> Iterator[tuple[str, int, str]]:
    """The lines of code blocks: the block's language, the line's number, the line."""
    fence, language = None, ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(`{3,}|~{3,})(\w*)", line)
        if mark and fence is None:
            fence, language = mark[1], mark[2]
        elif mark and line.strip().startswith(fence):
            fence = None
        elif fence is not None:
            yield language, number, line
        elif line.startswith("    "):
            yield "", number, line.strip()


def anchor(heading: str) -> str:
    """The anchor of a heading, as forges and mdBook make it."""
    plain = LINK.sub(r"\1", heading).replace("`", "").replace("*", "").strip().lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain))


def anchors(text: str) -> set[str]:
    found: dict[str, int] = {}
    names = set()
    for _, line in prose(text):
        if heading := re.match(r"#{1,6}\s+(.+?)\s*$", line):
            name = anchor(heading[1])
            names.add(name if name not in found else f"{name}-{found[name]}")
            found[name] = found.get(name, 0) + 1
    return names


def links(text: str) -> Iterator[tuple[int, str]]:
    for number, line in prose(text):
        for it in LINK.finditer(CODE.sub(lambda code: "`" * len(code[0]), line)):
            yield number, it[2]


def is_local(target: str) -> bool:
    return not urlsplit(target).scheme and not target.startswith("//")


def broken_links(page: Path) -> Iterator[str]:
    text = page.read_text()
    for number, target in links(text):
        if not is_local(target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        if not file.exists():
            yield f"{number}: `{target}` leads nowhere"
        elif fragment and file.suffix == ".md" and fragment not in anchors(file.read_text()):
            yield f"{number}: `{target}`: the page has no such heading"


def long_lines(page: Path) -> Iterator[str]:
    for number, line in prose(page.read_text()):
        is_exempt = line.lstrip().startswith("|") or LINK.search(line) or "://" in line or line.startswith("<!--")
        if len(line) > WIDTH and not is_exempt:
            yield f"{number}: {len(line)} characters, at most {WIDTH} are"


def unlisted(docs: Path = DOCS) -> Iterator[str]:
    """Pages that the table of contents doesn't name, so that no reader of the book finds them."""
    listed = {(docs / target).resolve() for _, target in links((docs / "SUMMARY.md").read_text())}
    for page in sorted(docs.rglob("*.md")):
        # Examples are shown inside of pages.
        if page.resolve() not in listed and page.name != "SUMMARY.md" and page.parent.name != "examples":
            yield f"docs/SUMMARY.md: {page.relative_to(docs)} is not listed"


def unknown_targets(page: Path) -> Iterator[str]:
    """`make` commands that the Makefile doesn't have."""
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for number, line in enumerate(page.read_text().splitlines(), 1):
        for name in re.findall(r"(?:^ {4}|^|`)make ([a-z][a-z0-9-]*)", line):
            if name not in targets:
                yield f"{number}: `make {name}` is none of the Makefile's"


def problems() -> list[str]:
    found = list(unlisted())
    for page in sources():
        name = str(page.relative_to(ROOT))
        found += [f"{name}:{it}" for it in broken_links(page)]
        if name != "CHANGELOG.md":
            found += [f"{name}:{it}" for it in unknown_targets(page)]
        if name not in UNWRAPPED:
            found += [f"{name}:{it}" for it in long_lines(page)]
    length = len((ROOT / "README.md").read_text().splitlines())
    if length > README_LINES:
        found.append(f"README.md: {length} lines, at most {README_LINES} are: the manual is the place")
    return found


# --- for mdBook ---

def stage(folder: Path) -> None:
    """Copies the pages so that every link leads somewhere inside of the book."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder)
    project = {ROOT / name: folder / "project" / name.lower() for name in IN_THE_BOOK}
    (folder / "project").mkdir()
    places = {it.resolve(): folder / it.relative_to(DOCS) for it in DOCS.rglob("*")} | {it.resolve(): to for it, to in project.items()}

    def place_of(file: Path) -> Path:
        """Where a file lies in the book; what is no page of it is copied as text. A folder is its README."""
        if file.is_dir():
            file = file / "README.md" if (file / "README.md").exists() else next(it for it in sorted(file.rglob("*")) if it.is_file())
        if file not in places:
            to = folder / "source" / file.relative_to(ROOT)
            places[file] = to.with_name(to.name.removesuffix(".md") + ".txt")  # mdBook takes every `.md` of a link for a page
            places[file].parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, places[file])
        return places[file]

    def relinked(page: Path, to: Path) -> str:
        def relink(found: re.Match) -> str:
            target, hash_, fragment = found[2].partition("#")
            if not target or not is_local(found[2]):
                return found[0]
            place = place_of((page.parent / unquote(target)).resolve())
            kept = hash_ + fragment if place.suffix == ".md" else ""
            return f"[{found[1]}]({os.path.relpath(place, to.parent)}{kept})"

        text = page.read_text()
        lines = text.splitlines()
        for number, line in prose(text):
            lines[number - 1] = LINK.sub(relink, line)
        return "\n".join(lines) + "\n"

    for page in [*sorted(DOCS.rglob("*.md")), *project]:
        to = places[page.resolve()]
        to.write_text(relinked(page, to))


class Page(HTMLParser):
    """What a page links to, and what can be linked to in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        of = dict(attributes)
        if of.get("id"):
            self.ids.add(of["id"])
        if tag == "a" and of.get("href"):
            self.targets.append(of["href"])


def broken_in_book(folder: Path) -> list[str]:
    pages = {file.resolve(): Page(file) for file in folder.rglob("*.html")}
    found = []
    for file, page in sorted(pages.items()):
        if file.name in ("print.html", "404.html", "toc.html"):  # copies of the others
            continue
        for target in page.targets:
            if not is_local(target):
                continue
            path, _, fragment = target.partition("#")
            to = (file.parent / unquote(path)).resolve() if path else file
            name = file.relative_to(folder.resolve())
            if not to.exists():
                found.append(f"{name}: `{target}` leads nowhere")
            elif fragment and to in pages and unquote(fragment) not in pages[to].ids:
                found.append(f"{name}: `{target}`: the page has no such heading")
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--stage", type=Path, metavar="FOLDER")
    arguments.add_argument("--book", type=Path, metavar="FOLDER")
    given = arguments.parse_args()
    if given.stage:
        stage(given.stage.resolve())
        return 0
    found = broken_in_book(given.book) if given.book else problems()
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
