"""What one writes to verify a commit before a deployment: boto3, sixteen threads, S3's own digest and the tag of each object."""

from __future__ import annotations

import json
import subprocess
import sys

from instance import ACCOUNT, REGION
from network import Network
from store import ARTEFACTS, RECORDS, Commit

SCRIPT = """
import base64, concurrent.futures, json, sys, time
import boto3
from botocore.config import Config
port, account, region, artefacts, records, prefix = sys.argv[1:]
s3 = boto3.client("s3", region_name=region, endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id=account,
                  aws_secret_access_key=account, config=Config(max_pool_connections=16, s3={"addressing_style": "path"}))
began = time.perf_counter()
verdict = json.loads(s3.get_object(Bucket=records, Key=f"{prefix}/verdict.json")["Body"].read())
manifest = json.loads(s3.get_object(Bucket=artefacts, Key=f"{prefix}/build-manifest.json")["Body"].read())
expected = {}
for module in manifest["modules"]:
    for kind, folder, ending in (("functions", "functions", "zip"), ("stacks", "cloudformation", "json")):
        for item in module[kind]:
            expected[f"{prefix}/modules/{module['id']}/{folder}/{item['name']}.{ending}"] = item["sha256"]
def verify(key):
    head = s3.head_object(Bucket=artefacts, Key=key, ChecksumMode="ENABLED")
    tags = s3.get_object_tagging(Bucket=artefacts, Key=key, VersionId=head["VersionId"])["TagSet"]
    digest = base64.b64decode(head["ChecksumSHA256"]).hex()
    return digest == expected[key] and {"Key": "integration-passed", "Value": "true"} in tags
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    verified = list(pool.map(verify, expected))
print(json.dumps({"seconds": time.perf_counter() - began, "objects": len(verified),
                  "holds": verdict["outcome"] == "built" and all(verified)}))
"""


def script(network: Network, commit: Commit) -> float:
    """The seconds that it takes, from its first call to its last answer."""
    arguments = [str(network.port), ACCOUNT, REGION, ARTEFACTS, RECORDS, commit.prefix]
    answer = json.loads(subprocess.check_output([sys.executable, "-c", SCRIPT, *arguments]))
    if answer["objects"] != len(commit.objects) or not answer["holds"]:
        raise RuntimeError(f"the script found {answer}")
    return float(answer["seconds"])
