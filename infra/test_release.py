"""A release: the workflow that makes it, and how its files are taken. `gh` is a stand-in here that answers from a folder."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

from test_workflows import PINNED, read

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
TAKING = ROOT / ".github" / "actions" / "setup-gatekeeper" / "released.sh"
VERSION = "1.2.3"
NAME = f"gatekeeper-{VERSION}-linux-x86_64"
# What it is asked is written down; a release is a folder, an attestation a file that names the commit.
GH = """#!/usr/bin/env python3
import json, os, shutil, sys
from pathlib import Path
asked, release = sys.argv[1:], Path(os.environ["RELEASE"])
with open(os.environ["ASKED"], "a") as log:
    log.write(json.dumps(asked) + "\\n")
def option(name):
    return asked[asked.index(name) + 1]
match asked[:2]:
    case ["api", path] if path == f"repos/example-bank/artefact-gatekeeper/commits/v%(version)s":
        tag = release / "tag"
        if not tag.exists():
            sys.exit("gh: Not Found (HTTP 404)")
        print(tag.read_text())
    case ["release", "view"]:
        assets = release / "assets"
        if not assets.is_dir():
            sys.exit("release not found")
        print("\\n".join(sorted(it.name for it in assets.iterdir())))
    case ["release", "download"]:
        shutil.copy(release / "assets" / option("--pattern"), option("--dir"))
    case ["attestation", "verify"]:
        attested = release / "attested" / Path(asked[2]).name
        if not attested.exists() or attested.read_text() != option("--source-digest"):
            sys.exit("Error: no matching attestations")
    case _:
        sys.exit(f"not asked for: {asked}")
""" % {"version": VERSION}


class Taking(unittest.TestCase):
    """The commit that is checked out, with or without a release of it."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.checkout, self.release, self.programs = (Path(folder.name) / name for name in ("checkout", "release", "programs"))
        self.asked = Path(folder.name) / "asked"
        for file in (TAKING, ROOT / "infra" / "release" / "get.sh"):
            copy = self.checkout / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True)
            copy.write_text(file.read_text())
            copy.chmod(0o755)
        (self.checkout / "Cargo.toml").write_text(f'[workspace.package]\nversion = "{VERSION}"\n\n[workspace.dependencies]\n')
        self.git("init", "--quiet")
        self.git("remote", "add", "origin", "https://github.com/example-bank/artefact-gatekeeper")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "a commit")
        self.commit = self.git("rev-parse", "HEAD")
        self.programs.mkdir()
        (self.programs / "gh").write_text(GH)
        (self.programs / "gh").chmod(0o755)
        self.release.mkdir()

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Example", "-c", "user.email=example@bank.example")
        return subprocess.run(["git", "-C", self.checkout, *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def released(self, of: str | None = None, attested: str | None = None) -> None:
        """A release of a commit, with the attestation for one; both are of this commit."""
        (self.release / "tag").write_text(of or self.commit)
        for folder, content in (("assets", "#!/bin/sh\necho released\n"), ("attested", attested or self.commit)):
            (self.release / folder).mkdir()
            (self.release / folder / NAME).write_text(content)

    def take(self, path: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": path or f"{self.programs}:{os.environ['PATH']}", "RELEASE": str(self.release), "ASKED": str(self.asked)}
        action = self.checkout / TAKING.relative_to(ROOT)
        return subprocess.run([action], env=environment, capture_output=True, text=True, check=False)

    def taken(self) -> Path:
        return self.checkout / ".local" / "gatekeeper" / "bin" / "gatekeeper"

    def is_built_instead(self, because: str) -> None:
        told = self.take()
        self.assertEqual((told.returncode, told.stdout), (0, "taken=false\n"), told.stderr)
        self.assertIn(because, told.stderr)
        self.assertFalse(self.taken().exists())

    @unittest.skipUnless(os.uname().machine == "x86_64", "the release here is of x86_64")
    def test_a_release_of_this_very_commit_is_taken(self) -> None:
        self.released()
        told = self.take()
        self.assertEqual((told.returncode, told.stdout), (0, "taken=true\n"), told.stderr)
        self.assertEqual(subprocess.check_output([self.taken()], text=True), "released\n")
        verified = [asked for line in self.asked.read_text().splitlines() if (asked := json.loads(line))[0] == "attestation"]
        (asked,) = verified
        self.assertEqual(asked[3:], [
            "--repo", "example-bank/artefact-gatekeeper",
            "--signer-workflow", "example-bank/artefact-gatekeeper/.github/workflows/release.yml",
            "--source-ref", f"refs/tags/v{VERSION}", "--source-digest", self.commit, "--deny-self-hosted-runners"])

    def test_a_commit_that_is_no_release_is_built(self) -> None:
        self.is_built_instead(f"there is no tag v{VERSION} that can be read")
        self.released(of="f" * 40)
        self.is_built_instead(f"v{VERSION} is {'f' * 40}")

    def test_a_tag_without_a_release_is_built(self) -> None:
        (self.release / "tag").write_text(self.commit)
        self.is_built_instead("is a tag without a release")

    def test_a_file_that_nobody_attested_for_this_commit_is_an_error_and_never_taken(self) -> None:
        self.released(attested="e" * 40)
        told = self.take()
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assertIn(f"error: `{NAME}` of the release v{VERSION} is not what .github/workflows/release.yml built", told.stderr)
        self.assertFalse(self.taken().exists())

    def test_a_release_that_lacks_the_file_is_an_error(self) -> None:
        self.released()
        (self.release / "assets" / NAME).unlink()
        told = self.take()
        self.assertEqual((told.returncode, told.stderr), (1, f"error: the release v{VERSION} has no `{NAME}`\n"))

    def test_another_forge_has_no_releases(self) -> None:
        self.git("remote", "set-url", "origin", str(self.checkout))
        self.is_built_instead("the remote `origin` is no repository of GitHub")


class Archives(unittest.TestCase):
    def test_the_same_files_are_the_same_archive_and_can_still_run(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / "files"
            for at, name in enumerate(("promote/bootstrap", "intake/bootstrap")):
                file = files / name
                file.parent.mkdir(parents=True)
                file.write_text(name)
                file.chmod(0o755)
                os.utime(file, (at, at))
            archive = Path(folder) / "functions.zip"
            program = ROOT / "infra" / "release" / "archive.py"
            first = second = b""
            for names in (("promote/bootstrap", "intake/bootstrap"), ("intake/bootstrap", "promote/bootstrap")):
                archive.unlink(missing_ok=True)
                subprocess.run(["python3", program, "pack", archive, files, *names], check=True)
                first, second = second, archive.read_bytes()
            self.assertEqual(first, second)
            with zipfile.ZipFile(archive) as of:
                self.assertEqual(of.namelist(), ["intake/bootstrap", "promote/bootstrap"])
            subprocess.run(["python3", program, "unpack", archive, Path(folder) / "unpacked"], check=True)
            unpacked = Path(folder) / "unpacked" / "intake" / "bootstrap"
            self.assertEqual((unpacked.read_text(), unpacked.stat().st_mode & 0o777), ("intake/bootstrap", 0o755))


class Workflow(unittest.TestCase):
    def test_what_runs_code_of_the_commit_has_no_right_to_publish_or_attest(self) -> None:
        build, publish = read(RELEASE)["jobs"].values()
        self.assertEqual(read(RELEASE)["permissions"], {})
        self.assertEqual(build["permissions"], {"contents": "read"})
        self.assertEqual(publish["permissions"], {"contents": "write", "id-token": "write", "attestations": "write"})
        self.assertFalse([step for step in publish["steps"] if "checkout" in step.get("uses", "")])
        for job in (build, publish):
            for step in job["steps"]:
                self.assertNotIn("${{", step.get("run", ""))
                self.assertIs(step.get("with", {}).get("persist-credentials", False), False)

    def test_actions_are_pinned(self) -> None:
        for line in RELEASE.read_text().splitlines():
            if "uses:" in line:
                self.assertRegex(line, PINNED)

    def test_it_is_started_by_a_tag_alone(self) -> None:
        self.assertEqual(read(RELEASE)["on"], {"push": {"tags": ["v*.*.*"]}})


if __name__ == "__main__":
    unittest.main()
