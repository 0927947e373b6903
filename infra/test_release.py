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
import hashlib, json, os, shutil, sys
from pathlib import Path
asked, release = sys.argv[1:], Path(os.environ["RELEASE"])
with open(os.environ["ASKED"], "a") as log:
    log.write(json.dumps(asked) + "\\n")
def option(name):
    return asked[asked.index(name) + 1]
match asked[:2]:
    case ["api", path] if path == f"repos/example-bank/artefact-gatekeeper/commits/v%(version)s":
        tag = release / "tag"
        if (release / "trouble").exists():
            sys.exit((release / "trouble").read_text())
        if not tag.exists():
            sys.exit("gh: No commit found for SHA: v%(version)s (HTTP 422)")
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
        # Found by the digest: by what name the bytes were attested says the statement alone, as `--jq` gives it.
        digest, named = hashlib.sha256(Path(asked[2]).read_bytes()).hexdigest(), release / "named"
        print(digest + "  " + (named.read_text() if named.exists() else Path(asked[2]).name))
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

    def take(self) -> subprocess.CompletedProcess[str]:
        return self.run_(self.checkout / TAKING.relative_to(ROOT))

    def run_(self, *command: Path | str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.programs}:{os.environ['PATH']}", "RELEASE": str(self.release), "ASKED": str(self.asked)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

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
            "--source-ref", f"refs/tags/v{VERSION}", "--source-digest", self.commit, "--deny-self-hosted-runners",
            "--format", "json", "--jq", '.[].verificationResult.statement.subject[] | .digest.sha256 + "  " + .name'])

    def test_a_commit_that_is_no_release_is_built(self) -> None:
        self.is_built_instead(f"there is no tag v{VERSION}")
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

    def test_a_file_of_the_release_that_was_put_under_the_name_of_another_is_never_taken(self) -> None:
        self.released()
        (self.release / "named").write_text(NAME.replace("x86_64", "arm64"))
        told = self.take()
        self.assertEqual((told.returncode, told.stdout), (1, ""))
        self.assertIn(f"error: `{NAME}` of the release v{VERSION} was built under another name", told.stderr)
        self.assertFalse(self.taken().exists())

    def test_where_github_can_not_be_asked_it_is_built_and_told_and_a_deployment_of_the_release_ends(self) -> None:
        self.released()
        for trouble in ("error connecting to api.github.com", "gh: API rate limit exceeded (HTTP 403)", "gh: Server Error (HTTP 502)"):
            (self.release / "trouble").write_text(trouble)
            self.is_built_instead(f"could not be asked for the tag v{VERSION}, so nobody can tell whether this commit is a release: {trouble}")
            self.is_built_instead("::warning title=Built, not taken::")
            got = self.run_(self.checkout / "infra" / "release" / "get.sh", self.checkout / "got", NAME)
            self.assertEqual((got.returncode, got.stdout), (4, ""), got.stderr)

    def test_another_forge_has_no_releases(self) -> None:
        self.released()
        for origin in (str(self.checkout), "https://forge.example/example-bank/artefact-gatekeeper", "git@forge.example:example-bank/artefact-gatekeeper.git"):
            self.git("remote", "set-url", "origin", origin)
            self.is_built_instead("the remote `origin` is no repository of GitHub")
        self.assertFalse(self.asked.exists(), "another host's repository is not looked for on GitHub")

    @unittest.skipUnless(os.uname().machine == "x86_64", "the release here is of x86_64")
    def test_github_is_known_however_it_is_spelt(self) -> None:
        self.released()
        for origin in ("git@github.com:example-bank/artefact-gatekeeper.git", "ssh://git@github.com/example-bank/artefact-gatekeeper",
                       "ssh://git@github.com:22/example-bank/artefact-gatekeeper", "https://someone@github.com/example-bank/artefact-gatekeeper.git"):
            self.git("remote", "set-url", "origin", origin)
            told = self.take()
            self.assertEqual((told.returncode, told.stdout), (0, "taken=true\n"), told.stderr)


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
