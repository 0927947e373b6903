"""Gaps in Lambda and CloudFormation."""

from __future__ import annotations

import contextvars
import os
import socketserver
import threading
import time
from typing import Any, Callable

import ministack.app
import samtranslator.translator.transform as sam
from ministack.core import responses
from ministack.services import lambda_svc, sqs
from ministack.services.cloudformation import changesets, engine, handlers, provisioners

from patching import GapChanged, replace

# What AWS gives a new account as concurrency; here for one function's asynchronous events.
ASYNC_CONCURRENCY = 10
# Where MiniStack itself serves function URLs to clients that can't send another `Host`.
FUNCTION_URLS = "/_aws/lambda-url/"


def runtime_api_without_nagle() -> None:
    """Answers of the Lambda Runtime API leave at once; MiniStack's wait some 45 ms for Nagle and delayed ACK."""
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def asynchronous_events_wait_their_turn() -> None:
    """Events beyond a function's concurrency wait; MiniStack starts a process for each, or counts a throttle as a failure.

    So a burst of uploads would start hundreds of processes at once or, at the limit, end in the dead-letter queue.
    Source: Lambda developer guide, "Error handling for asynchronous invocations": throttled events go back to the
    queue, and attempts are counted for the function's own errors.
    """
    queued: contextvars.ContextVar[bool] = contextvars.ContextVar("queued_event", default=False)
    turns: dict[str, threading.Semaphore] = {}

    def mark(original: Callable) -> Callable:
        def invoke(func: dict, event: dict) -> None:
            token = queued.set(True)  # the thread that MiniStack starts for the event takes it along
            try:
                original(func, event)
            finally:
                queued.reset(token)
        return invoke

    def wait(original: Callable) -> Callable:
        def execute(func: dict, event: dict) -> dict:
            if not queued.get():
                return original(func, event)
            queued.set(False)  # a second call for the same event must not wait behind the first
            arn = (func.get("config") or func)["FunctionArn"]
            try:
                with turns.setdefault(arn, threading.Semaphore(ASYNC_CONCURRENCY)):
                    while (result := original(func, event)).get("throttle"):
                        time.sleep(0.1)
                return result
            finally:
                queued.set(True)
        return execute

    replace(lambda_svc, "invoke_async_with_retry", "func event", mark)
    replace(lambda_svc, "_execute_function", "func event", wait)


def batches_are_as_large_as_asked_for() -> None:
    """A queue's batch holds as many messages as the event source mapping's `BatchSize` says; MiniStack's at most ten.

    So what waits is taken at once. The batching window stays 0 here. Source: Lambda developer guide, "Using Lambda with
    Amazon SQS", "Batching behavior".
    """
    def wrap(original: Callable) -> Callable:
        def receive(queue_url: str, max_number: int) -> list:
            batch: list = []
            while len(batch) < max_number and (more := original(queue_url, max_number - len(batch))):
                batch += more
            return batch
        return receive

    replace(sqs, "_receive_messages_for_esm", "queue_url max_number", wrap)


def limits_of_mappings_are_numbers() -> None:
    """`MaximumConcurrency` may come by a template's parameter, as text; MiniStack's poller then compares text with numbers."""
    def wrap(original: Callable) -> Callable:
        def concurrency(*args: Any) -> int:
            return int(original(*args))
        return concurrency

    replace(lambda_svc, "_sqs_esm_concurrency", "esm func_rec config queue", wrap)


def function_urls_can_be_reached() -> None:
    """A function URL is `http://127.0.0.1:<port>/_aws/lambda-url/<id>/`; MiniStack's is AWS's, which resolves nowhere.

    So whoever reads it from a stack's output or from GetFunctionUrlConfig asks it as it stands. The event is as on
    AWS: the path without our prefix, `requestContext.domainName` and the header `host` with the name of AWS.
    Source: Lambda developer guide, "Invoking Lambda function URLs".
    """
    def reachable(original: Callable) -> Callable:
        def create(func_name: str, data: dict, qualifier: str | None) -> tuple:
            status, headers, body = original(func_name, data, qualifier)
            if status != 201:
                return status, headers, body
            config = lambda_svc._function_urls[lambda_svc._url_config_key(func_name, qualifier)]
            url_id = config["FunctionUrl"].removeprefix("https://").split(".")[0]
            config["FunctionUrl"] = f"{os.environ['AWS_ENDPOINT_URL']}{FUNCTION_URLS}{url_id}/"
            return lambda_svc.json_response(config, status=status)
        return create

    def by_path(original: Callable) -> Callable:
        def id_of(function_url: str) -> str:
            return function_url.rstrip("/").rsplit("/", 1)[-1]
        return id_of

    replace(lambda_svc, "_create_function_url_config", "func_name data qualifier", reachable)
    replace(lambda_svc, "_function_url_id", "function_url", by_path)


def function_urls_own_every_path() -> None:
    """Each path under `Host: <id>.lambda-url.<region>.on.aws` is the function's; MiniStack answers `/health` and more itself.

    Source: Lambda developer guide, "Invoking Lambda function URLs".
    """
    def path_first(original: Callable) -> Callable:
        def parse_url(host: str, path: str) -> tuple | None:
            return original("" if path.startswith(FUNCTION_URLS) else host, path)
        return parse_url

    def by_path(original: Callable) -> Callable:
        async def app(scope: dict, receive: Callable, send: Callable) -> None:
            if scope["type"] == "http":
                host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
                if asked := ministack.app._parse_lambda_url(host, scope["path"]):
                    # Headers and `raw_path` stay: a caller's signature is over what was sent.
                    scope = {**scope, "path": f"{FUNCTION_URLS}{asked[0]}{asked[1]}"}
            await original(scope, receive, send)
        return app

    replace(ministack.app, "_parse_lambda_url", "host path", path_first)
    replace(ministack.app, "app", "scope receive send", by_path)


def sam_knows_parameter_values() -> None:
    """SAM's transform sees the values of the stack's parameters; MiniStack hands it none.

    Without them `AutoPublishAlias` misses code that changes by parameter.
    Source: SAM specification, "AutoPublishAlias"; CloudFormation runs transforms on a template with its parameters.
    """
    values: contextvars.ContextVar[dict] = contextvars.ContextVar("sam_parameter_values", default={})

    def remember(original: Callable) -> Callable:
        def apply(template: dict, provided_params: Any = None, previous_params: Any = None) -> Any:
            token = values.set(engine._transform_parameters(template, provided_params, previous_params))
            try:
                return original(template, provided_params, previous_params)
            finally:
                values.reset(token)
        return apply

    def supply(original: Callable) -> Callable:
        def transform(input_fragment: dict, parameter_values: dict, *args: Any, **kwargs: Any) -> dict:
            return original(input_fragment, {**values.get(), **parameter_values}, *args, **kwargs)
        return transform

    for module in (changesets, handlers):
        replace(module, "_apply_transforms", "template provided_params previous_params", remember)
    replace(sam, "transform",
            "input_fragment parameter_values managed_policy_loader feature_toggle passthrough_metadata",
            supply)


def saved_queries_are_a_known_type() -> None:
    """A template may hold `AWS::Logs::QueryDefinition`; MiniStack refuses any template with a type it doesn't know.

    A saved query changes nothing for anybody else, so it gets an id and nothing more: it can't be listed or run.
    Source: CloudFormation template reference, `AWS::Logs::QueryDefinition` (its `Ref` is the query's id).
    """
    if "AWS::Logs::QueryDefinition" in provisioners._RESOURCE_HANDLERS:
        raise GapChanged("MiniStack knows `AWS::Logs::QueryDefinition` now: remove `saved_queries_are_a_known_type`")
    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, properties, stack: (responses.new_uuid(), {}),
        "update": lambda physical_id, old, new, stack: (physical_id, {}),
        "delete": lambda physical_id, properties: None,
    }
