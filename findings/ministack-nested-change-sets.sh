#!/usr/bin/env bash
# MiniStack 1.5.33 (PyPI, a local stand-in for AWS): a change set that is made with
# IncludeNestedStacks tells nothing of what is in a nested stack, and doesn't say that it can't.
#
# Expected: the CloudFormation API reference says that IncludeNestedStacks creates a change set for
# the current stack and all its nested stacks. DescribeChangeSet of the root then has IncludeNestedStacks,
# and the nested stack's change has a ChangeSetId, by which a table that would go away is found.
#
# Seen: the call is accepted, the change set is CREATE_COMPLETE, and the nested stack is a Modify
# without a ChangeSetId. IncludeNestedStacks is not in the answer.
#
# Whom it hurts: whoever tests locally a guard that looks for replaced or removed databases in
# change sets. The guard sees a harmless Modify of AWS::CloudFormation::Stack; executed, the change
# set takes the nested stack's table away.
# What to do: take a nested stack whose change has no ChangeSetId for one that may lose everything
# it holds (ListStackResources tells what), as one must for change sets made without the option.
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
stacks = boto3.client("cloudformation", **given)
s3 = boto3.client("s3", **given)
s3.create_bucket(Bucket="templates")

def put(name, resources):
    s3.put_object(Bucket="templates", Key=name, Body=json.dumps({"Resources": resources}))
    return f"{url}/templates/{name}"

def parent(template_url):
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": template_url}}
    return json.dumps({"Resources": {"Inner": nested}})

topic = {"Type": "AWS::SNS::Topic"}
table = {"Type": "AWS::DynamoDB::Table", "Properties": {
    "TableName": "orders", "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]}}
before = put("before.json", {"Topic": topic, "Orders": table})
after = put("after.json", {"Topic": topic})
stacks.create_stack(StackName="root", TemplateBody=parent(before))
stacks.get_waiter("stack_create_complete").wait(
    StackName="root", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
tables = boto3.client("dynamodb", **given).list_tables()["TableNames"]
stacks.create_change_set(StackName="root", ChangeSetName="without-orders",
                         TemplateBody=parent(after), IncludeNestedStacks=True)
stacks.get_waiter("change_set_create_complete").wait(
    StackName="root", ChangeSetName="without-orders", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
told = stacks.describe_change_set(StackName="root", ChangeSetName="without-orders")
changes = [(it["ResourceChange"]["LogicalResourceId"], it["ResourceChange"]["Action"],
            it["ResourceChange"].get("ChangeSetId")) for it in told["Changes"]]
stacks.execute_change_set(StackName="root", ChangeSetName="without-orders")
stacks.get_waiter("stack_update_complete").wait(
    StackName="root", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
left = boto3.client("dynamodb", **given).list_tables()["TableNames"]
print("expected: a ChangeSetId with the change of Inner, or no change set")
print(f"seen:     {told['Status']}, IncludeNestedStacks {told.get('IncludeNestedStacks')}, {changes}")
print(f"          tables before {tables}, after {left}")
same = (told["Status"] == "CREATE_COMPLETE" and "IncludeNestedStacks" not in told
        and changes == [("Inner", "Modify", None)] and tables == ["orders"] and left == [])
sys.exit(0 if same else "The behaviour has changed.")
PY
venv/bin/python ask.py
echo "As described: the nested stack's changes are not told."
