"""Lambda and CloudFormation behave as on AWS: each gap that `gaps_compute.py` closes, by real calls."""

from __future__ import annotations

import io
import json
import statistics
import time
import unittest
import zipfile
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import gaps_compute
from instance import ACCOUNT, REGION
from local_aws import PATIENCE_SECONDS, LocalAwsTest, allow, names, tag_set


class Functions(LocalAwsTest):
    def test_a_warm_invocation_does_not_wait_for_nagle(self) -> None:
        function = self.function()
        took = []
        for _ in range(12):
            began = time.perf_counter()
            self.functions.invoke(FunctionName=function, Payload=b"{}")
            took.append(time.perf_counter() - began)
        self.assertLess(statistics.median(took), 0.035, took)

    def test_an_event_that_keeps_failing_ends_whole_in_the_dead_letter_queue(self) -> None:
        bucket, (url, arn) = self.bucket(), self.queue()
        function = self.function(allow("sqs:SendMessage"))
        self.functions.put_function_event_invoke_config(
            FunctionName=function, MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": arn}})
        self.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
            "LambdaFunctionConfigurations": [{
                "LambdaFunctionArn": self.functions.get_function(FunctionName=function)["Configuration"]["FunctionArn"],
                "Events": ["s3:ObjectTagging:*"]}]})
        version = self.put(bucket)
        self.s3.put_object_tagging(Bucket=bucket, Key="key", Tagging=tag_set(a="b"))
        letter = self.receive(url)
        self.assertEqual(letter["requestPayload"]["Records"][0]["s3"]["object"]["versionId"], version)
        self.assertEqual(letter["requestContext"]["condition"], "RetriesExhausted")
        self.assertEqual(letter["responsePayload"]["errorType"], "Refused")

    def processes_of(self, function: str, events: int) -> list[str]:
        """The process ids that the function's log names, once for each of so many events."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{function}")
            lines = [event["message"].strip() for page in pages for event in page["events"]]
            found = [line for line in lines if line.startswith("pid ")]
            if len(found) >= events:
                return found
            time.sleep(0.05)
        self.fail(f"{len(found)} of {events} events were handled")

    def test_events_beyond_the_concurrency_of_a_function_wait(self) -> None:
        url, arn = self.queue()
        function = self.function(allow("sqs:SendMessage"))
        self.functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
        self.functions.put_function_event_invoke_config(
            FunctionName=function, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}})
        for _ in range(8):
            self.functions.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"sleep": 0.1}')
        self.assertEqual(len(self.processes_of(function, 8)), 8)
        self.assertNotIn("Messages", self.sqs.receive_message(QueueUrl=url))

    def test_a_burst_of_events_does_not_start_a_process_for_each(self) -> None:
        function = self.function()
        for _ in range(30):
            self.functions.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"sleep": 0.2}')
        self.assertLessEqual(len(set(self.processes_of(function, 30))), gaps_compute.ASYNC_CONCURRENCY)

    def test_what_waits_in_a_queue_is_one_batch_whatever_limits_the_mapping(self) -> None:
        url, arn = self.queue()
        function = self.function(allow("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"))
        for number in range(25):
            self.sqs.send_message(QueueUrl=url, MessageBody=str(number))
        self.stack("create", {"Parameters": {"Limit": {"Type": "Number"}}, "Resources": {"Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping", "Properties": {
                "EventSourceArn": arn, "FunctionName": function, "BatchSize": 100, "MaximumBatchingWindowInSeconds": 1,
                "ScalingConfig": {"MaximumConcurrency": {"Ref": "Limit"}}}}}}, Limit="2")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            events = self.logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
            if [event for event in events if event["message"].startswith("REPORT")]:
                break
            time.sleep(0.05)
        self.assertEqual(len([event for event in events if event["message"].startswith("START")]), 1)
        waiting = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
        self.assertEqual(waiting["ApproximateNumberOfMessages"], "0")

    def test_a_missing_execution_is_named_as_such(self) -> None:
        machine = self.stepfunctions.create_state_machine(
            name=f"machine-{next(names)}", roleArn=self.role(),
            definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}))["stateMachineArn"]
        self.assertRefused("ExecutionDoesNotExist", self.stepfunctions.describe_execution,
                           executionArn=machine.replace(":stateMachine:", ":execution:") + ":none")

    def test_sam_publishes_a_new_version_when_the_code_comes_by_parameter(self) -> None:
        bucket = self.bucket()
        template = {
            "Transform": "AWS::Serverless-2016-10-31",
            "Parameters": {"Key": {"Type": "String"}},
            "Resources": {"Function": {"Type": "AWS::Serverless::Function", "Properties": {
                "Runtime": "provided.al2023", "Handler": "bootstrap", "AutoPublishAlias": "live",
                "CodeUri": {"Bucket": bucket, "Key": {"Ref": "Key"}}}}},
            "Outputs": {"Version": {"Value": {"Ref": "Function.Version"}}}}
        def code(content: bytes) -> bytes:
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("bootstrap", content)
            return buffer.getvalue()

        self.put(bucket, "one", code(b"1"))
        self.put(bucket, "two", code(b"2"))
        stack, first = self.stack("create", template, Key="one")
        _, second = self.stack("update", template, stack, Key="two")
        self.assertNotEqual(first["Version"], second["Version"])

    def test_a_template_may_hold_a_saved_query(self) -> None:
        query = {"Type": "AWS::Logs::QueryDefinition", "Properties": {"Name": "q", "QueryString": "fields @message"}}
        stack, _ = self.stack("create", {"Resources": {"Query": query}})
        query["Properties"]["QueryString"] += " | limit 1"
        self.stack("update", {"Resources": {"Query": query}}, stack)
        self.cloudformation.delete_stack(StackName=stack)
        self.cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=stack, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100})


class FunctionUrls(LocalAwsTest):
    """The function under each URL answers the event that it got."""

    def url_of(self, function: str, auth_type: str = "NONE") -> str:
        url = self.functions.create_function_url_config(FunctionName=function, AuthType=auth_type)["FunctionUrl"]
        if auth_type == "NONE":
            self.functions.add_permission(FunctionName=function, StatementId="open", Principal="*",
                                          Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
        return url

    def ask(self, url: str, **options: Any) -> dict:
        with urlopen(Request(url, **options), timeout=PATIENCE_SECONDS) as answer:
            return json.loads(answer.read())

    def assertStatus(self, status: int, url: str, **options: Any) -> None:
        with self.assertRaises(HTTPError) as caught:
            self.ask(url, **options)
        self.assertEqual(caught.exception.code, status)
        caught.exception.close()

    def test_a_function_url_can_be_asked_as_it_stands(self) -> None:
        function = self.function()
        url = self.url_of(function)
        self.assertEqual(self.functions.get_function_url_config(FunctionName=function)["FunctionUrl"], url)
        self.assertEqual(self.functions.list_function_url_configs(FunctionName=function)["FunctionUrlConfigs"][0]["FunctionUrl"], url)
        self.assertEqual(self.functions.update_function_url_config(FunctionName=function, AuthType="NONE")["FunctionUrl"], url)
        self.assertEqual(self.ask(url)["rawPath"], "/")
        event = self.ask(f"{url}payments", data=b'{"a": 1}', headers={"Content-Type": "application/json"})
        self.assertEqual((event["requestContext"]["http"]["method"], event["body"]), ("POST", '{"a": 1}'))

    def test_a_stack_puts_that_url_out(self) -> None:
        function = self.function()
        template = {
            "Resources": {
                "Url": {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": function, "AuthType": "NONE"}},
                "Open": {"Type": "AWS::Lambda::Permission", "Properties": {
                    "FunctionName": function, "Principal": "*", "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"}}},
            "Outputs": {"ApiUrl": {"Value": {"Fn::GetAtt": ["Url", "FunctionUrl"]}}}}
        stack, outputs = self.stack("create", template)
        self.assertEqual(self.ask(outputs["ApiUrl"] + "health")["rawPath"], "/health")
        template["Resources"]["Url"]["Properties"]["InvokeMode"] = "BUFFERED"
        template["Resources"]["Url"]["Properties"]["Cors"] = {"AllowOrigins": ["*"]}
        self.assertEqual(self.stack("update", template, stack)[1], outputs)

    def test_the_event_is_as_on_aws(self) -> None:
        event = self.ask(self.url_of(self.function()) + "health/deep?a=1&b=x%20y")
        context = event["requestContext"]
        self.assertEqual((event["rawPath"], context["http"]["path"]), ("/health/deep", "/health/deep"))
        self.assertEqual(event["rawQueryString"], "a=1&b=x%20y")
        self.assertEqual(event["queryStringParameters"], {"a": "1", "b": "x y"})
        self.assertRegex(context["domainName"], rf"^[a-z0-9]{{32}}\.lambda-url\.{REGION}\.on\.aws$")
        self.assertEqual(event["headers"]["host"], context["domainName"])
        self.assertTrue(context["domainName"].startswith(context["apiId"] + "."))

    def test_every_path_under_the_name_of_aws_is_the_function_s(self) -> None:
        url = self.url_of(self.function())
        host = self.ask(url)["requestContext"]["domainName"]
        for path in ("/", "/health", "/_ministack/reset", "/oauth2/token", "/bucket/key"):
            for method in ("GET", "POST"):
                event = self.ask(self.instance.endpoint + path, method=method, headers={"Host": host})
                self.assertEqual((event["requestContext"]["http"]["method"], event["rawPath"]), (method, path))
                self.assertEqual(event["requestContext"]["domainName"], host)

    def test_a_url_that_no_function_has_is_not_found(self) -> None:
        url = self.url_of(self.function())
        self.assertStatus(404, url.replace(url.rstrip("/")[-32:], "a" * 32))

    def test_a_url_under_iam_wants_a_signature(self) -> None:
        url = self.url_of(self.function(), "AWS_IAM")
        self.assertStatus(403, url)
        keys = self.sts.assume_role(RoleArn=self.role(allow("lambda:InvokeFunctionUrl")), RoleSessionName="session")["Credentials"]
        for secret in (keys["SecretAccessKey"], "wrong"):
            request = AWSRequest("GET", f"{url}health")
            SigV4Auth(Credentials(keys["AccessKeyId"], secret, keys["SessionToken"]), "lambda", REGION).add_auth(request)
            if secret == "wrong":
                self.assertStatus(403, request.url, headers=dict(request.headers))
            else:
                self.assertEqual(self.ask(request.url, headers=dict(request.headers))["rawPath"], "/health")


if __name__ == "__main__":
    unittest.main()
