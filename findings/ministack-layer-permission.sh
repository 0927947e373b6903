#!/usr/bin/env bash
# MiniStack 1.5.33 (PyPI, a local stand-in for AWS) with AUTH=true: reading one version of a Lambda
# layer is checked as lambda:ListLayers, and lambda:GetLayerVersion lets nobody read one.
#
# Expected: the Service Authorization Reference for AWS Lambda has lambda:GetLayerVersion for
# GetLayerVersion and GetLayerVersionByArn, on the version's ARN; lambda:ListLayers is for the list
# of an account's layers, and takes no resource.
#
# Seen: a role with lambda:GetLayerVersion on everything is refused by both calls, "not authorized
# to perform: lambda:ListLayers"; a role with lambda:ListLayers alone may make them.
#
# Whom it hurts: whoever tests least privilege locally. The right policy fails, and the one that
# passes is refused by AWS, or gets a permission on all layers that nobody needs.
# What to do: judge this permission by AWS's policy simulator or by reading, not by MiniStack.
set -euo pipefail

work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
PIP_DISABLE_PIP_VERSION_CHECK=1 venv/bin/pip install --quiet ministack==1.5.33 boto3==1.43.106
venv/bin/pip show ministack 2>/dev/null | grep -E '^(Name|Version):'
GATEWAY_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
export GATEWAY_PORT AUTH=true
venv/bin/ministack >server.log 2>&1 &
server=$!

cat >ask.py <<'PY'
import io
import json
import os
import sys
import time
import urllib.request
import zipfile

import boto3
from botocore.exceptions import ClientError

url = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
for _ in range(60):
    try:
        urllib.request.urlopen(f"{url}/_ministack/health")
        break
    except OSError:
        time.sleep(0.5)
root = {"aws_access_key_id": "111122223333", "aws_secret_access_key": "111122223333"}

def client(service, keys=root):
    return boto3.client(service, endpoint_url=url, region_name="us-east-1", **keys)

content = io.BytesIO()
with zipfile.ZipFile(content, "w") as archive:
    archive.writestr("nodejs/shared.js", "")
layer = client("lambda").publish_layer_version(
    LayerName="shared", Content={"ZipFile": content.getvalue()})
trust = {"Version": "2012-10-17", "Statement": [{
    "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
    "Action": "sts:AssumeRole"}]}

def may(action):
    """Whether a role that has nothing but this permission may make the two calls."""
    name = action.replace(":", "-")
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": action, "Resource": "*"}]}
    role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    client("iam").put_role_policy(RoleName=name, PolicyName="one", PolicyDocument=json.dumps(policy))
    got = client("sts").assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="reader")["Credentials"]
    reader = client("lambda", {"aws_access_key_id": got["AccessKeyId"],
                               "aws_secret_access_key": got["SecretAccessKey"],
                               "aws_session_token": got["SessionToken"]})
    calls = (lambda: reader.get_layer_version(LayerName="shared", VersionNumber=1),
             lambda: reader.get_layer_version_by_arn(Arn=layer["LayerVersionArn"]))
    answers = []
    for call in calls:
        try:
            call()
            answers.append("done")
        except ClientError as error:
            answers.append(error.response["Error"]["Message"].split("perform: ")[-1].split(" ")[0])
    return answers

get, listing = may("lambda:GetLayerVersion"), may("lambda:ListLayers")
print("expected: ['done', 'done'] with lambda:GetLayerVersion, refused with lambda:ListLayers")
print(f"seen:     {get} with lambda:GetLayerVersion, {listing} with lambda:ListLayers")
same = get == ["lambda:ListLayers"] * 2 and listing == ["done"] * 2
sys.exit(0 if same else "The behaviour has changed.")
PY
venv/bin/python ask.py
echo "As described: lambda:ListLayers is asked for."
