#!/usr/bin/env bash
# MiniStack 1.5.33 (PyPI, a local stand-in for AWS): CloudFormation creates an AWS::IAM::Role
# without the PermissionsBoundary that its template asks for, and reports CREATE_COMPLETE.
#
# Expected: the CloudFormation Template Reference lists PermissionsBoundary among the properties
# of AWS::IAM::Role, and the stand-in's own IAM service keeps it: a role made with CreateRole and
# the same boundary shows it in GetRole.
#
# Seen: the role from the stack has the template's Description, so the template was read, but
# GetRole has no PermissionsBoundary for it, and the stack's status gives no hint of that.
#
# Whom it hurts: whoever tests locally that a stack keeps roles within a boundary, as many
# organisations demand of every role. Such a test fails for a correct template, and a test of what
# the role may do sees more allowed than AWS would allow.
# What to do: assert the boundary on the template (or on the synthesised one), and ask a local
# stack only for what it keeps. Where a running role is needed, make it with CreateRole.
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
export GATEWAY_PORT
venv/bin/ministack >server.log 2>&1 &
server=$!

cat >ask.py <<'PY'
import json
import os
import sys
import time
import urllib.request

import boto3

url = f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}"
for _ in range(60):
    try:
        urllib.request.urlopen(f"{url}/_ministack/health")
        break
    except OSError:
        time.sleep(0.5)
given = {"endpoint_url": url, "region_name": "us-east-1",
         "aws_access_key_id": "test", "aws_secret_access_key": "test"}
iam = boto3.client("iam", **given)
stacks = boto3.client("cloudformation", **given)

def policy(**statement):
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}

trust = policy(Principal={"Service": "lambda.amazonaws.com"}, Action="sts:AssumeRole")
edge = iam.create_policy(
    PolicyName="edge", PolicyDocument=json.dumps(policy(Action="s3:Get*", Resource="*"))
)["Policy"]["Arn"]
iam.create_role(RoleName="by-call", AssumeRolePolicyDocument=json.dumps(trust),
                PermissionsBoundary=edge, Description="kept")
role = {"RoleName": "by-stack", "AssumeRolePolicyDocument": trust,
        "PermissionsBoundary": edge, "Description": "kept"}
stacks.create_stack(
    StackName="stack", Capabilities=["CAPABILITY_NAMED_IAM"],
    TemplateBody=json.dumps({"Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": role}}}),
)
stacks.get_waiter("stack_create_complete").wait(
    StackName="stack", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
status = stacks.describe_stacks(StackName="stack")["Stacks"][0]["StackStatus"]
seen = {}
for name in ("by-call", "by-stack"):
    got = iam.get_role(RoleName=name)["Role"]
    arn = got.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    seen[name] = (got.get("Description"), arn)
print(f"expected: {edge} as the boundary of both roles")
print(f"seen:     {status}, (description, boundary) {seen}")
same = (status == "CREATE_COMPLETE"
        and seen == {"by-call": ("kept", edge), "by-stack": ("kept", None)})
sys.exit(0 if same else "The behaviour has changed.")
PY
venv/bin/python ask.py
echo "As described: the boundary is dropped, and the stack is complete."
