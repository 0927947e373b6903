"""`gatekeeper collect` beside `cdk-assets publish`: the same assembly of 200 functions, in turn.

Both zip every function by the same library. One writes the folder of a commit, the other uploads to the local AWS, into a bucket
that is empty each time. Half of what is zipped is text and half is noise, which no compression makes smaller.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from instance import ACCOUNT, REGION, Instance

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = ROOT / ".local" / "cdk-assets"
FUNCTIONS = 200
BYTES_IN_ALL = 400_000_000
ROUNDS = 3
BUCKET = f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
WORDS = ("const account = await table.get({ id }); ", "return { statusCode: 200, body: JSON.stringify(result) };\n",
         "throw new Error(`no payment ${id}`);\n", "module.exports.handler = async event => ", "if (amount > limit) ")


class Collecting:
    """An assembly of CDK, and the two programs that zip what is in it."""

    def __init__(self, gatekeeper: Path, folder: Path, instance: Instance) -> None:
        self.gatekeeper, self.assembly, self.out, self.instance = gatekeeper, folder / "cdk.out", folder / "collected", instance
        self.assembly.mkdir()
        half = BYTES_IN_ALL // FUNCTIONS // 2
        words = random.Random(0)
        resources, files = {}, {}
        for number in range(FUNCTIONS):
            key = f"{number:064x}"
            code = self.assembly / f"asset.{key}"
            code.mkdir()
            (code / "index.js").write_text("".join(words.choices(WORDS, k=half // 41))[:half])
            (code / "data.bin").write_bytes(os.urandom(half))
            place = {"bucketName": BUCKET, "objectKey": f"{key}.zip"}
            files[key] = {"source": {"path": code.name, "packaging": "zip"}, "destinations": {"here": {**place, "region": REGION}}}
            resources[f"Fn{number}"] = {"Type": "AWS::Lambda::Function", "Properties": {
                "Code": {"S3Bucket": BUCKET, "S3Key": f"{key}.zip"}, "Handler": "index.handler", "Runtime": "nodejs22.x"}}
        documents = {
            "manifest.json": {"version": "48.0.0", "artifacts": {
                "Api": {"type": "aws:cloudformation:stack", "environment": "aws://unknown-account/unknown-region",
                        "properties": {"templateFile": "Api.template.json"}},
                "Api.assets": {"type": "cdk:asset-manifest", "properties": {"file": "assets.json"}}}},
            "Api.template.json": {"Resources": resources},
            "assets.json": {"version": "48.0.0", "files": files},
        }
        for name, document in documents.items():
            (self.assembly / name).write_text(json.dumps(document))

    def empty_bucket(self) -> None:
        """The asset bucket with nothing in it, and no ZIP of an earlier run beside the assembly."""
        s3 = self.instance.client("s3")
        try:
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
                for item in page.get("Contents", []):
                    s3.delete_object(Bucket=BUCKET, Key=item["Key"])
        except s3.exceptions.NoSuchBucket:
            s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        shutil.rmtree(self.assembly / ".cache", ignore_errors=True)
        shutil.rmtree(self.out, ignore_errors=True)

    def run(self, command: list[str | Path]) -> float:
        """The seconds that a program took."""
        self.empty_bucket()
        environment = {**os.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.instance.record()['port']}", "AWS_REGION": REGION,
                       "AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT, "AWS_EC2_METADATA_DISABLED": "true"}
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            raise RuntimeError(f"`{' '.join(str(it) for it in command[:2])}` ended with {done.returncode}: {done.stderr[-2000:]}")
        return seconds

    def zipped(self) -> int:
        """The bytes of what was collected; each function's ZIP has to be there."""
        zips = list(self.out.rglob("*.zip"))
        if len(zips) != FUNCTIONS:
            raise RuntimeError(f"{len(zips)} of {FUNCTIONS} functions were collected")
        return sum(it.stat().st_size for it in zips)

    def figures(self) -> dict[str, Any]:
        """Both in turn."""
        collect = [self.gatekeeper, "collect", self.assembly, "--module", "MOD-001", "--out", self.out, "--cdk-assets", INSTALLED]
        publish = [INSTALLED / "node_modules/.bin/cdk-assets", "publish", "--path", self.assembly]
        seconds: dict[str, list[float]] = {"collect": [], "cdk_assets_publish": []}
        size = 0
        for _ in range(ROUNDS):
            seconds["collect"].append(self.run(collect))
            size = self.zipped()
            seconds["cdk_assets_publish"].append(self.run(publish))
        medians = {name: round(statistics.median(of), 3) for name, of in seconds.items()}
        return {"functions": FUNCTIONS, "bytes": BYTES_IN_ALL, "zipped_bytes": size, "median_s": medians,
                "of_cdk_assets": round(medians["collect"] / medians["cdk_assets_publish"], 3)}
