"""`gatekeeper collect` of what the real `sam build` wrote, translated by the real aws-sam-translator and judged by the gate."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GATEKEEPER = Path(os.environ.get("GATEKEEPER", ROOT / "target/debug/gatekeeper"))
FIXTURE = ROOT / "cli/tests/cli/collect/sam"  # of tests/oracles/make_sam_builds.sh
SHA = "0f" * 20


class Sam(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.app = Path(folder.name) / "app"
        shutil.copytree(FIXTURE, self.app)
        self.build, self.out = self.app / "aws-sam/build", Path(folder.name) / "commit"

    def collect(self, **environment: str) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(self.out, ignore_errors=True)
        command = [GATEKEEPER, "collect", self.build, "--module", "MOD-012", "--stack", "payments", "--out", self.out,
                   "--python", sys.executable]
        # Without a way to AWS, and with nothing that says who would call.
        return subprocess.run(command, env={"PATH": os.environ["PATH"], **environment}, text=True, capture_output=True)

    def collected(self, **environment: str) -> tuple[bytes, dict]:
        done = self.collect(**environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        template = (self.out / "modules/MOD-012/cloudformation/payments.json").read_bytes()
        return template, json.loads((self.out / "build-manifest.json").read_bytes())["modules"][0]

    def refused(self, found: str, changed: str) -> str:
        """What is said when the built template has another text."""
        template = self.build / "template.yaml"
        text = template.read_text()
        self.assertIn(found, text)
        template.write_text(text.replace(found, changed))
        done = self.collect()
        template.write_text(text)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertFalse(self.out.exists())
        return done.stderr

    def test_what_sam_builds_goes_through_the_gate(self) -> None:
        template, module = self.collected()
        translated = json.loads(template)
        self.assertNotIn("Transform", translated)
        self.assertEqual({it["Type"].split("::")[1] for it in translated["Resources"].values()} & {"Serverless"}, set())
        self.assertEqual({it["logical_id"] for it in module["functions"]}, {"PayFunction", "SweepFunction"})
        self.assertEqual(sorted(it["kind"] for it in module["assets"]), ["file", "layer"])
        # A stage gives the parameter its own value, so nothing was made of dev's.
        self.assertEqual(translated["Parameters"]["Stage"]["Default"], "dev")
        variables = translated["Resources"]["PayFunction"]["Properties"]["Environment"]["Variables"]
        self.assertEqual(variables["STAGE"], {"Ref": "Stage"})
        command = [GATEKEEPER, "publish", self.out, "--repo", "bank", "--sha", SHA, "--branch", "main", "--dry-run", "--output", "json"]
        verdict = json.loads(subprocess.run(command, text=True, capture_output=True).stdout)["verdict"]
        self.assertEqual((verdict["outcome"], verdict["reasons"]), ("registered", []))

    def test_an_image_of_ecr_goes_through_the_gate_and_one_of_this_machine_does_not(self) -> None:
        image = "!Sub ${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/bank/worker:${CommitSha}"
        # Not of SAM's own type: this template's `Globals` give each of those a runtime.
        function = ("  Worker:\n    Type: AWS::Lambda::Function\n    Properties:\n      PackageType: Image\n"
                    "      Role: !GetAtt PayFunctionRole.Arn\n      Code:\n        ImageUri: ")
        parameter = "Parameters:\n  CommitSha:\n    Type: String\n"
        template = self.build / "template.yaml"
        text = template.read_text().replace("Parameters:\n", parameter)
        template.write_text(text.replace("Resources:\n", f"Resources:\n{function}{image}\n"))
        translated, _ = self.collected()
        uri = json.loads(translated)["Resources"]["Worker"]["Properties"]["Code"]["ImageUri"]
        self.assertEqual(uri, {"Fn::Sub": image.removeprefix("!Sub ")})
        command = [GATEKEEPER, "publish", self.out, "--repo", "bank", "--sha", SHA, "--branch", "main", "--dry-run", "--output", "json"]
        verdict = json.loads(subprocess.run(command, text=True, capture_output=True).stdout)["verdict"]
        self.assertEqual((verdict["outcome"], verdict["reasons"]), ("registered", []))
        self.assertIn("`Worker` runs a container image that is in no registry", self.refused(image, "worker:latest"))

    def test_the_same_build_makes_the_same_commit_wherever_it_is_collected(self) -> None:
        first = self.collected()
        for file in self.build.rglob("*.js"):
            file.chmod(0o600)
            os.utime(file, (0, 0))
        self.assertEqual(self.collected(AWS_REGION="eu-central-1", AWS_DEFAULT_REGION="eu-central-1", AWS_PROFILE="dev"), first)
        with zipfile.ZipFile(self.out / "modules/MOD-012/functions/payments-PayFunction.zip") as archive:
            self.assertEqual({(it.filename, it.external_attr >> 16, it.date_time[0]) for it in archive.infolist()},
                             {("package.json", 0o100644, 1980), ("pay.js", 0o100644, 1980)})

    def test_other_code_is_another_layer_and_another_version(self) -> None:
        def made_anew(template: bytes) -> set[str]:
            kinds = ("AWS::Lambda::LayerVersion", "AWS::Lambda::Version")
            return {name for name, it in json.loads(template)["Resources"].items() if it["Type"] in kinds}

        before = made_anew(self.collected()[0])
        (self.app / "layer/nodejs/x.js").write_text("module.exports = 2\n")
        (self.build / "PayFunction/pay.js").write_text("exports.handler = async () => ({ statusCode: 201 })\n")
        self.assertEqual(before & made_anew(self.collected()[0]), set())

    def test_what_has_no_place_in_a_commit_is_refused(self) -> None:
        self.assertIn("is in a bucket already", self.refused("CodeUri: PayFunction", "CodeUri: s3://dev-bucket/0123"))
        self.assertIn("is not there: run `sam build` again", self.refused("CodeUri: PayFunction", "CodeUri: Gone"))
        self.assertIn("names the macro `AWS::LanguageExtensions`", self.refused(
            "Transform: AWS::Serverless-2016-10-31", "Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]"))
        self.assertIn("runs a container image", self.refused("Handler: pay.handler\n      AutoPublish", "PackageType: Image\n      AutoPublish"))
        self.assertIn("the key `Transform` stands twice", self.refused("Parameters:\n", "Transform: x\nParameters:\n"))
        # What SAM itself would not take, in its own words.
        self.assertIn("aws-sam-translator: Resource with id [PayFunction] is invalid", self.refused("Type: HttpApi", "Type: Nothing"))
        # A name of a resource that a stage's value would change.
        self.assertIn("aws-sam-translator:", self.refused("AutoPublishAlias: live", "AutoPublishAlias: !Ref Stage"))


if __name__ == "__main__":
    unittest.main()
