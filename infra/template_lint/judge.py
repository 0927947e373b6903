"""Has infra/template.yaml judged by cfn-lint, checkov and cfn-guard: prints what they find and nobody has written down.

cfn-lint reads the template as it is. The other two read it as CloudFormation would make it, with every optional setting in
use, because they don't follow conditions. Ends with 1 where a finding is no exception, or an exception finds nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOCAL = ROOT / ".local"
sys.path.insert(0, str(HERE.parent))

from rendered import ACCOUNT, TEMPLATE, Rendered  # noqa: E402

EXCEPTIONS = HERE / "exceptions.yaml"
NOTIFY = HERE.parent / "notify.yaml"
GUARD = LOCAL / "cfn-guard" / "node_modules" / "@cdklabs" / "cdk-validator-cfnguard"
GUARD_PROGRAMS = {"linux": "ubuntu", "darwin": "macos"}
GUARD_MACHINES = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
REGION = "ap-southeast-2"
SUBJECT = "repo:example-bank/bank-payments:environment:uat"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/platform"
EVERYTHING = {
    **{f"{who}PrincipalArns": ROLE for who in ("Deployer", "Ci", "Promoter", "Approver", "Auditor")},
    "GitHubPromoterSubjects": SUBJECT, "StageRoleArns": ROLE, "CodeBucket": "code", "AlarmEmail": "on-call@example.com",
    "MigrateDatabaseImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/migrate-database@sha256:" + "3f" * 32,
    "DatabaseSubnetIds": "subnet-1", "DatabaseSecurityGroupIds": "sg-1", "ArtefactLockDays": "400", "AccessLogBucket": "access-logs",
    "NotificationBus": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/releases",
    "ReplicaArtefactBucket": "replica-artefacts", "ReplicaRecordsBucket": "replica-records", "ReplicaAccountId": ACCOUNT,
    "ReplicaKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/replica", "TrustRoot": "1:" + "3f" * 32,
    **{f"{who}KeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{who.lower()}" for who in ("Gate", "Promotion", "Approval")},
}


class Found(NamedTuple):
    """A finding: whose, the check's id, the logical id of what it is about, and what it says."""

    judge: str
    check: str
    about: str
    says: str


def answer_of(judge: str, command: list[str | Path], may_end_with: tuple[int, ...]) -> str:
    """What a judge prints; whoever doesn't judge at all ends this program."""
    offline = {**os.environ, "AWS_DEFAULT_REGION": REGION, "BC_SKIP_MAPPING": "TRUE"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=offline)
    if ended.returncode not in may_end_with:
        sys.exit(f"error: {judge} ended with {ended.returncode}:\n{ended.stderr or ended.stdout}")
    return ended.stdout


def cfn_lint() -> Iterator[Found]:
    """Of every level, informational too."""
    program = LOCAL / "venv" / "bin" / "cfn-lint"
    command = [program, "--include-checks", "I", "--regions", REGION, "eu-central-1", "us-east-1", "--format", "json", "--", TEMPLATE, NOTIFY]
    for one in json.loads(answer_of("cfn-lint", command, tuple(range(16))) or "[]"):
        path = one["Location"]["Path"]
        yield Found("cfn-lint", one["Rule"]["Id"], str(path[1]) if path and len(path) > 1 else "", one["Message"])


def checkov(template: Path) -> Iterator[Found]:
    """All of its checks that need no account of its maker's."""
    command = [LOCAL / "template_lint" / "bin" / "checkov", "--file", template, "--framework", "cloudformation", "--quiet", "--compact",
               "--skip-download", "--output", "json"]
    report = json.loads(answer_of("checkov", command, (0, 1)))
    if report["summary"]["parsing_errors"] or not report["summary"]["passed"]:
        sys.exit(f"error: checkov could not read the template: {report['summary']}")
    for one in report["results"]["failed_checks"]:
        yield Found("checkov", one["check_id"], one["resource"].split(".")[-1], one["check_name"])


def cfn_guard(template: Path) -> Iterator[Found]:
    """The proactive controls of AWS Control Tower."""
    system, machine = GUARD_PROGRAMS.get(sys.platform), GUARD_MACHINES.get(os.uname().machine)
    if system is None or machine is None:
        sys.exit(f"error: there is no cfn-guard for {sys.platform} on {os.uname().machine}")
    program = GUARD / "bin" / system / machine / "cfn-guard"
    program.chmod(0o755)
    command = [program, "validate", "--data", template, "--rules", GUARD / "rules" / "control-tower" / "cfn-guard", "--type", "CFNTemplate",
               "--show-summary", "none", "--output-format", "json", "--structured"]
    report, = json.loads(answer_of("cfn-guard", command, (0, 19)))
    if not report["compliant"]:
        sys.exit("error: cfn-guard says that no rule of it holds, so it did not read the template")
    for rule in report["not_compliant"]:
        for about, says in failures(rule["Rule"]):
            yield Found("cfn-guard", rule["Rule"]["name"], about, says)


def failures(node: object, says: str = "") -> Iterator[tuple[str, str]]:
    """The resources below a rule that fails, by the paths that it was compared at, and the rule's own words."""
    if isinstance(node, dict):
        words = ((node.get("messages") or {}).get("custom_message") or "").strip()
        says = words.split("\n")[0] or says
        yield from ((path.split("/")[2], says) for path in places(node.get("check")) if path.startswith("/Resources/"))
        for key, value in node.items():
            if key != "check":
                yield from failures(value, says)
    elif isinstance(node, list):
        for value in node:
            yield from failures(value, says)


def places(node: object) -> Iterator[str]:
    """Every `path` in a comparison."""
    if isinstance(node, dict):
        if isinstance(node.get("path"), str):
            yield node["path"]
        for value in node.values():
            yield from places(value)
    elif isinstance(node, list):
        for value in node:
            yield from places(value)


def main() -> int:
    exceptions = yaml.safe_load(EXCEPTIONS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template.json"
        made = Rendered(**EVERYTHING)
        template.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": made.resources}))
        found = {*cfn_lint(), *checkov(template), *cfn_guard(template)}
    used = set()
    problems = []
    for one in sorted(found):
        excused = {at for at, it in enumerate(exceptions)
                   if (it["judge"], it["check"]) == (one.judge, one.check) and (it["about"] == "*" or one.about in it["about"])}
        used |= {(at, one.about) for at in excused}
        if not excused:
            problems.append(f"{one.judge} {one.check}, {one.about}: {one.says}")
    for at, it in enumerate(exceptions):
        if not it["reason"].strip():
            problems.append(f"{EXCEPTIONS.name}: {it['judge']} {it['check']} has no reason")
        for about in ["*"] if it["about"] == "*" else it["about"]:
            if not any(index == at and about in ("*", name) for index, name in used):
                problems.append(f"{EXCEPTIONS.name}: {it['judge']} {it['check']} finds nothing about {about}: take the exception away")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
