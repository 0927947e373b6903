"""`gatekeeper collect` against the real cdk-assets: the ZIPs are the bytes that `cdk-assets publish` uploads."""

import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
INSTALLED = ROOT / ".local" / "cdk-assets"
GATEKEEPER = Path(os.environ.get("GATEKEEPER", ROOT / "target/debug/gatekeeper"))
BUCKET = "cdk-hnb659fds-assets-111122223333-ap-southeast-2"
KEY = "0f" * 32
STACK = "Api"


class Bucket(http.server.BaseHTTPRequestHandler):
    """An S3 that has nothing, and keeps the bodies that are put."""

    protocol_version = "HTTP/1.1"
    stored: dict[str, bytes] = {}

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: str) -> None:
        content = f'<?xml version="1.0" encoding="UTF-8"?>{body}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if "location" in urllib.parse.urlsplit(self.path).query:
            self.answer("<LocationConstraint>ap-southeast-2</LocationConstraint>")
        else:
            self.answer("<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            "<Arn>arn:aws:iam::111122223333:root</Arn><UserId>111122223333</UserId><Account>111122223333</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )

    def do_PUT(self) -> None:
        key = urllib.parse.urlsplit(self.path).path.rsplit("/", 1)[-1]
        self.stored[key] = self.body()
        self.answer("")

    def body(self) -> bytes:
        """The bytes of the object, without the frames that carry its checksum behind it (`aws-chunked`)."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            sent = b""
            while size := int(self.rfile.readline(), 16):
                sent += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return sent
        whole, rest = b"", sent
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size.split(b";")[0], 16)
            if not length:
                return whole
            whole, rest = whole + rest[:length], rest[length + 2 :]


class Collect(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        subprocess.run([HERE / "setup_npm.sh", "cdk-assets"], check=True, stdout=subprocess.DEVNULL)
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.shutdown()
        cls.server.server_close()

    def assembly(self, folder: Path, umask: int) -> Path:
        """An assembly of one function whose files were made under a umask."""
        root = folder / f"{umask:03o}"
        before = os.umask(umask)
        try:
            code = root / f"asset.{KEY}"
            (code / "lib" / "deep").mkdir(parents=True)
            (code / "index.mjs").write_text("export const handler = async () => ({ statusCode: 200 });\n" * 50)
            (code / "lib" / "deep" / "größe.json").write_text('{"a": 1}\n')
            (code / ".env.example").write_text("")
            (code / "lib" / "link.mjs").symlink_to("../index.mjs")
            program = code / "bootstrap"
            program.write_text("#!/bin/sh\n")
            program.chmod(0o777 & ~umask)
            function = {"Type": "AWS::Lambda::Function", "Properties": {"Code": {"S3Bucket": BUCKET, "S3Key": f"{KEY}.zip"}}}
            documents = {
                "manifest.json": {"version": "48.0.0", "artifacts": {
                    STACK: {
                        "type": "aws:cloudformation:stack",
                        "environment": "aws://unknown-account/unknown-region",
                        "properties": {"templateFile": "Api.template.json"},
                    },
                    "Api.assets": {"type": "cdk:asset-manifest", "properties": {"file": "assets.json"}},
                }},
                "Api.template.json": {"Resources": {"PayFn": function}},
                "assets.json": {"version": "48.0.0", "files": {KEY: {
                    "source": {"path": f"asset.{KEY}", "packaging": "zip"},
                    "destinations": {"here": {"bucketName": BUCKET, "objectKey": f"{KEY}.zip", "region": "ap-southeast-2"}},
                }}},
            }
            for name, document in documents.items():
                (root / name).write_text(json.dumps(document))
        finally:
            os.umask(before)
        return root

    def published(self, assembly: Path) -> bytes:
        """What `cdk-assets publish` uploads."""
        Bucket.stored.clear()
        endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        environment = {
            "PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "ap-southeast-2",
            "AWS_ACCESS_KEY_ID": "111122223333", "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true",
        }
        command = [INSTALLED / "node_modules/.bin/cdk-assets", "publish", "--path", assembly]
        done = subprocess.run(command, env=environment, text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return Bucket.stored[f"{KEY}.zip"]

    def collected(self, assembly: Path, umask: int = 0o022) -> bytes:
        out = assembly.with_name(f"{assembly.name}-{umask:03o}-out")
        command = [
            GATEKEEPER, "collect", assembly, "--module", "MOD-012", "--out", out, "--cdk-assets", INSTALLED,
        ]
        # Without a way to AWS, and with nothing that says who would call.
        environment = {"PATH": os.environ["PATH"]}
        done = subprocess.run(command, env=environment, text=True, capture_output=True, umask=umask)
        self.assertEqual(done.returncode, 0, done.stderr)
        return (out / "modules/MOD-012/functions/Api-PayFn.zip").read_bytes()

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_zip_is_what_cdk_assets_uploads_of_files_with_these_permissions(self) -> None:
        assembly = self.assembly(self.folder, 0o022)
        self.assertEqual(self.collected(assembly), self.published(assembly))

    def test_a_zip_is_the_same_whatever_the_umask(self) -> None:
        umasks = (0o022, 0o002, 0o077)
        uploaded = {self.published(self.assembly(self.folder, umask)) for umask in umasks}
        self.assertEqual(len(uploaded), 3, "cdk-assets makes three of one key")
        collected = {self.collected(self.folder / f"{made:03o}", run) for made in umasks for run in umasks}
        self.assertEqual(len(collected), 1)
        self.assertLessEqual(collected, uploaded)

    def test_a_zip_of_an_earlier_run_is_not_taken(self) -> None:
        assembly = self.assembly(self.folder, 0o022)
        earlier = self.published(assembly)
        (assembly / f"asset.{KEY}" / "index.mjs").write_text("export const handler = null;\n")
        self.assertEqual(self.published(assembly), earlier, "cdk-assets takes what is in .cache")
        collected = self.collected(assembly)
        self.assertNotEqual(collected, earlier)
        shutil.rmtree(assembly / ".cache")
        self.assertEqual(collected, self.published(assembly))


if __name__ == "__main__":
    unittest.main()
