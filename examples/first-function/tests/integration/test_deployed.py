"""Against the function that is deployed to dev."""

import json
import os

import pytest

import aws

needs_dev = pytest.mark.skipif(os.environ.get("RUN_INTEGRATION") != "1", reason="RUN_INTEGRATION=1 is not set")


@needs_dev
def test_the_deployed_function_answers() -> None:
    stack = aws.client("cloudformation").describe_stacks(StackName="first-function-dev-amounts")["Stacks"][0]
    name = next(it["OutputValue"] for it in stack["Outputs"] if it["OutputKey"] == "CheckAmountName")
    answer = aws.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"amount": "12.50"}))
    assert json.load(answer["Payload"]) == {"amount": "12.50", "payable": True}
