"""The image of migrate-database, as far as its Dockerfile tells without an engine: what it is made of, what it copies, and that
its own check of the base images finds a wrong one. hadolint (check_dockerfile.sh) knows what makes a Dockerfile bad."""

from __future__ import annotations

import re
import subprocess
import tempfile
import unittest
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "functions" / "migrate-database" / "Dockerfile"
DEPLOY = (ROOT / "infra" / "deploy.sh").read_text()
SETUP = (ROOT / "infra" / "local" / "setup_database.sh").read_text()
FLYWAY = ROOT / ".local" / "flyway"  # what setup_database.sh kept of the release whose digest it pins


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its words, on one line."""
    text = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    lines = [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]
    return [(name, " ".join(words.split())) for name, words in (line.split(maxsplit=1) for line in lines)]


def all_of(wanted: str) -> list[str]:
    return [words for name, words in instructions() if name == wanted]


def copies_of_flyway() -> list[tuple[list[str], str]]:
    """The sources and the destination of each COPY out of Flyway's own folder."""
    copies = []
    for words in all_of("COPY"):
        match words.split():
            case ["--from=flyway", *sources, destination] if sources[0].startswith("/flyway/"):
                copies.append((sources, destination))
    return copies


class TheImage(unittest.TestCase):
    def test_is_made_of_the_images_that_deploy_names_by_digest_and_of_no_others(self) -> None:
        arguments = all_of("ARG")
        self.assertEqual(arguments, ["FLYWAY_IMAGE", "POSTGRES_IMAGE"], "no defaults: they would be tags, which move")
        self.assertEqual(all_of("FROM"), ["${FLYWAY_IMAGE} AS flyway", "${POSTGRES_IMAGE}"])
        self.assertEqual(re.findall(r'--build-arg "(\w+)=', DEPLOY), arguments)

    def test_has_the_flyway_that_the_tests_run(self) -> None:
        [version] = re.findall(r"^FLYWAY_VERSION=(\S+)$", SETUP, re.MULTILINE)
        named = re.findall(r"flyway/flyway:([\d.]+)", DOCKERFILE.read_text() + DEPLOY)
        self.assertEqual(set(named), {version})

    def test_copies_of_flyway_exactly_what_the_tests_run_with_each_file_to_its_own_folder(self) -> None:
        copied = set()
        for sources, destination in copies_of_flyway():
            for source in sources:
                inside = PurePosixPath(source).relative_to("/flyway")
                # A folder's contents are copied, a file is copied into a folder: `*` crosses no slash in either.
                pattern, folder = (f"{inside}/**/*", inside) if source.endswith("/") else (str(inside), inside.parent)
                found = {it.relative_to(FLYWAY).as_posix() for it in FLYWAY.glob(pattern) if it.is_file()}
                self.assertTrue(found, f"`COPY {source}` would find nothing, and the build would fail")
                self.assertEqual(PurePosixPath(destination), PurePosixPath("/flyway") / folder, source)
                self.assertTrue(destination.endswith("/"), f"`{destination}` must be a folder")
                copied |= found
        kept = {it.relative_to(FLYWAY).as_posix() for it in FLYWAY.rglob("*") if it.is_file()}
        self.assertEqual(copied, kept - {".installed"})

    def test_takes_from_its_context_only_the_program_that_the_layout_puts_there(self) -> None:
        [copied] = [words for words in all_of("COPY") if not words.startswith("--from=")]
        self.assertEqual(copied, "--chmod=0555 bootstrap /var/runtime/bootstrap")
        self.assertEqual(all_of("ENTRYPOINT"), ['["/var/runtime/bootstrap"]'])
        self.assertRegex(DEPLOY, r"--file functions/migrate-database/Dockerfile target/lambda/migrate-database\n")
        self.assertEqual(all_of("ADD"), [])

    def test_runs_as_nobody_and_nothing_is_changed_after_that(self) -> None:
        names = [name for name, _ in instructions()]
        [user] = all_of("USER")
        self.assertRegex(user, r"^[1-9]\d*:[1-9]\d*$")
        self.assertEqual(names[names.index("USER") :], ["USER", "ENTRYPOINT"])


class TheCheckOfTheBaseImages(unittest.TestCase):
    """The RUN instruction itself, with the real Flyway; PostgreSQL's programs are stand-ins that tell a version."""

    def check(self, postgresql: str, flyway: str | None = None) -> int:
        [run] = all_of("RUN")
        with tempfile.TemporaryDirectory() as folder:
            programs = {
                "flyway": f'echo "{flyway}"' if flyway else f'exec "{FLYWAY / "flyway"}" "$@"',
                "pg_dump": f'echo "pg_dump (PostgreSQL) {postgresql} (Debian {postgresql}-1.pgdg12+2)"',
                "psql": f'echo "psql (PostgreSQL) {postgresql} (Debian {postgresql}-1.pgdg12+2)"',
            }
            for name, script in programs.items():
                program = Path(folder) / name
                program.write_text(f"#!/bin/sh\n{script}\n")
                program.chmod(0o755)
            versions = Path(folder) / "versions"
            done = subprocess.run(
                ["sh", "-c", run.replace("/tmp/versions", str(versions))],
                env={"PATH": f"{folder}:/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8"},
                cwd=folder,
                capture_output=True,
                timeout=60,
                check=False,
            )
            self.assertEqual(versions.exists(), done.returncode != 0, "what is left would be in the image")
            return done.returncode

    def test_passes_with_this_flyway_and_postgresql_18(self) -> None:
        self.assertEqual(self.check("18.1"), 0)

    def test_fails_with_an_older_or_newer_postgresql(self) -> None:
        for version in ("17.7", "19.0", "1.18"):
            with self.subTest(version):
                self.assertNotEqual(self.check(version, flyway="Flyway Community Edition 11.8.2 by Redgate"), 0)

    def test_fails_with_another_flyway(self) -> None:
        for version in ("11.8.1", "11.8.20", "11x8.2"):
            with self.subTest(version):
                self.assertNotEqual(self.check("18.1", flyway=f"Flyway Community Edition {version} by Redgate"), 0)
        self.assertEqual(self.check("18.1", flyway="Flyway Community Edition 11.8.2 by Redgate"), 0)


class Hadolint(unittest.TestCase):
    def lint(self, text: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "Dockerfile"
            file.write_text(text)
            script = ROOT / "infra" / "check_dockerfile.sh"
            return subprocess.run([script, file], cwd=folder, capture_output=True, text=True, check=False)

    def test_passes_the_file_and_finds_what_is_put_into_it(self) -> None:
        text = DOCKERFILE.read_text()
        told = self.lint(text)
        self.assertEqual((told.returncode, told.stdout, told.stderr), (0, "", ""))
        for code, old, new in [
            ("DL3006", "FROM ${POSTGRES_IMAGE}", "FROM postgres"),
            ("DL3002", "USER 65534:65534", "USER root"),
            ("DL3025", 'ENTRYPOINT ["/var/runtime/bootstrap"]', "ENTRYPOINT /var/runtime/bootstrap"),
            ("SC2086", "RUN flyway -v", "RUN rm $FOLDER && flyway -v"),
        ]:
            with self.subTest(code):
                self.assertIn(old, text)
                told = self.lint(text.replace(old, new))
                self.assertNotEqual(told.returncode, 0)
                self.assertIn(code, told.stdout)


if __name__ == "__main__":
    unittest.main()
