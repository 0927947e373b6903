"""The local AWS comes up, takes changes and goes down as told: `gatekeeper_local.py`, with a small template in the place of ours."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import shutil
import stat
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import deployment
import gaps_s3
import gatekeeper_local
import patching
import postgres
from instance import Instance, LocalError, healthy
from local_aws import BOOTSTRAP
from postgres import ready

TEMPLATE = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "RecordsBucket": {"Type": "AWS::S3::Bucket", "Properties": {"VersioningConfiguration": {"Status": "Enabled"}}},
        "Function": {"Type": "AWS::Serverless::Function", "Properties": {
            "Runtime": "provided.al2023", "Handler": "bootstrap", "CodeUri": "function"}},
        "Image": {"Type": "AWS::Lambda::Function", "Properties": {
            "PackageType": "Image", "Code": {"ImageUri": "image"}, "Role": {"Fn::GetAtt": ["FunctionRole", "Arn"]}}},
    },
    "Outputs": {name: {"Value": {"Ref": name}} for name in ("RecordsBucket", "Function", "Image")},
}
# Fails when it is made, not before.
FAILING = {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": "nobody", "AuthType": "NONE"}}


class UpAndDown(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="local-aws-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.template = self.folder / "template.json"
        for name, value in {"TEMPLATE": self.template, "INSTEAD_OF_IMAGES": {"Image": "function"}}.items():
            patch = mock.patch.object(deployment, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        self.write(TEMPLATE, BOOTSTRAP)
        self.instance = Instance(self.folder / "state")
        self.addCleanup(self.instance.stop)

    def write(self, template: dict, code: str) -> None:
        self.template.write_text(json.dumps(template))
        (self.folder / "function").mkdir(exist_ok=True)
        (self.folder / "function" / "bootstrap").write_text(code)
        (self.folder / "function" / "bootstrap").chmod(0o755)

    def said(self, command: str) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as out, self.instance.locked():
            getattr(gatekeeper_local, command)(self.instance)
        return out.getvalue()

    def outputs(self) -> dict:
        return json.loads(self.instance.outputs_file.read_text())

    def live_code(self, function: str = "Function") -> str:
        return self.instance.client("lambda").get_function(FunctionName=self.outputs()[function])["Configuration"]["CodeSha256"]

    def assertFails(self, reason: str) -> None:
        with self.assertRaisesRegex(LocalError, reason):
            self.said("up")

    def test_up_deploys_what_has_changed_and_down_leaves_nothing(self) -> None:
        self.assertIn("up at http://127.0.0.1:", self.said("up"))
        first, port, pid = self.outputs(), self.instance.record()["port"], self.instance.record()["pid"]
        self.assertEqual(first["Endpoint"], f"http://127.0.0.1:{port}")
        stored = self.instance.client("s3").get_object(Bucket=first["RecordsBucket"], Key="config/stages.json")
        self.assertEqual(stored["Body"].read(), deployment.STAGES.read_bytes())
        packed = deployment.packed(self.folder / "function")
        for function in ("Function", "Image"):
            self.assertEqual(self.live_code(function), base64.b64encode(hashlib.sha256(packed).digest()).decode(), function)
        database = self.instance.database
        self.assertEqual({name: first[name] for name in database.outputs()}, database.outputs())
        self.assertEqual(stat.S_IMODE(self.instance.outputs_file.stat().st_mode), 0o600)
        self.assertIn("already up", self.said("up"))
        self.assertNotIn("older", self.said("status"))

        was = self.live_code()
        self.write(TEMPLATE, BOOTSTRAP + "\n")
        self.assertIn("older than the code here", self.said("status"))
        self.said("up")
        self.assertNotEqual(self.live_code(), was)

        self.write({**TEMPLATE, "Resources": {**TEMPLATE["Resources"], "Broken": FAILING}}, BOOTSTRAP)
        self.assertFails(r"Broken \(AWS::Lambda::Url\): .*not found")
        self.assertEqual(self.instance.record()["pid"], pid)
        self.assertTrue(self.instance.is_up())
        self.assertEqual(self.outputs()["RecordsBucket"], first["RecordsBucket"])

        self.assertEqual(self.said("down"), "down\n")
        self.assertFalse(healthy(port))
        self.assertFalse(ready(int(first["PostgresPort"])))
        self.assertEqual([path.name for path in self.instance.state.iterdir()], [".lock"])
        self.assertEqual(self.said("down"), "nothing was up\n")
        with self.assertRaises(SystemExit) as ended:
            self.said("status")
        self.assertEqual(ended.exception.code, 1)

    def test_up_starts_anew_when_the_database_has_gone(self) -> None:
        self.said("up")
        first = self.outputs()
        self.instance.database.stop()
        self.assertFalse(self.instance.is_up())
        self.said("up")
        self.assertTrue(self.instance.is_up())
        self.assertNotEqual(self.outputs()["PostgresPassword"], first["PostgresPassword"])

    def test_without_postgresql_nothing_is_left_running(self) -> None:
        with mock.patch.object(postgres, "PROGRAMS", self.folder / "nowhere"):
            self.assertFails("nowhere.* doesn't lead to PostgreSQL's programs")
        self.assertEqual(self.instance.record(), {})

    def test_a_first_deployment_that_fails_leaves_nothing_running(self) -> None:
        self.write({**TEMPLATE, "Resources": {**TEMPLATE["Resources"], "Broken": FAILING}}, BOOTSTRAP)
        self.assertFails("Broken")
        self.assertEqual(self.instance.record(), {})

    def test_a_function_that_is_not_built_is_named(self) -> None:
        shutil.rmtree(self.folder / "function")
        self.assertFails("`Function` needs `.*function`, which is missing or empty")
        self.assertEqual(self.instance.record(), {})


class ClosingGaps(unittest.TestCase):
    def test_a_name_that_is_gone_stops_the_start(self) -> None:
        with self.assertRaisesRegex(patching.GapChanged, "_no_such_name.*takes `nothing`"):
            patching.replace(gaps_s3.s3, "_no_such_name", "a", lambda original: original)

    def test_a_name_with_other_parameters_stops_the_start(self) -> None:
        with self.assertRaisesRegex(patching.GapChanged, "_delete_object_tagging.*bucket_name key query_params"):
            patching.replace(gaps_s3.s3, "_delete_object_tagging", "bucket key", lambda original: original)


if __name__ == "__main__":
    unittest.main()
