"""The local AWS with the gatekeeper deployed: `up`, `down`, `status`.

    .local/venv/bin/python infra/local/gatekeeper_local.py up

`GATEKEEPER_LOCAL_STATE` is the folder for everything an instance keeps (default `.local`),
`GATEKEEPER_LOCAL_PORT` its port (default a free one).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time

from botocore.exceptions import BotoCoreError, ClientError

import deployment
from instance import ACCOUNT, REGION, Instance, LocalError, state_folder
from postgres import private


def up(instance: Instance, given: dict[str, str] | None = None) -> None:
    """Starts and deploys what isn't there yet, and deploys again what has changed, or with the parameters that are given."""
    began = time.monotonic()
    fingerprint = deployment.fingerprint()
    running = instance.is_up() and instance.runs_this_code()
    if running and not given and deployed_fingerprint(instance) == fingerprint:
        print(f"already up at {instance.endpoint}")
        return
    if not running:
        instance.stop()
        instance.start()
    try:
        deploy_to(instance, given)
    except BaseException:
        if not running:
            instance.stop()  # nothing half deployed stays behind
        raise
    print(f"up at {instance.endpoint} in {time.monotonic() - began:.1f} s")


def deploy_to(instance: Instance, given: dict[str, str] | None = None) -> None:
    """Deploys the gatekeeper into an instance that runs, and writes its outputs."""
    fingerprint = deployment.fingerprint()
    outputs = deployment.deploy(instance, given)
    write_outputs(instance, {
        "Endpoint": instance.endpoint, "Region": REGION, "AccountId": ACCOUNT,
        "AccessKeyId": ACCOUNT, "SecretAccessKey": ACCOUNT,
        **instance.database.outputs(),
        **outputs,
        "DeployedFingerprint": fingerprint,
    })


def down(instance: Instance) -> None:
    """Stops what `up` started and removes its state."""
    was_up = bool(instance.record() or instance.database.record())
    instance.stop()
    print("down" if was_up else "nothing was up")


def status(instance: Instance) -> None:
    """Says whether it is up; exit code 1 when it isn't."""
    if not instance.is_up():
        print("down")
        sys.exit(1)
    current = deployed_fingerprint(instance) == deployment.fingerprint() and instance.runs_this_code()
    print(f"up at {instance.endpoint}" + ("" if current else ", older than the code here"))


def deployed_fingerprint(instance: Instance) -> str | None:
    """What was deployed last; None when no deployment succeeded."""
    with contextlib.suppress(FileNotFoundError):
        return json.loads(instance.outputs_file.read_text()).get("DeployedFingerprint")
    return None


def write_outputs(instance: Instance, outputs: dict[str, str]) -> None:
    """Writes outputs.json whole or not at all, and for nobody else: it holds a password."""
    new = instance.outputs_file.with_suffix(".new")
    with open(new, "w", opener=private) as file:
        file.write(json.dumps(outputs, indent=2) + "\n")
    os.replace(new, instance.outputs_file)


def main() -> None:
    """Reads the command line; trouble ends with a message and exit code 1."""
    commands = ("up", "down", "status")
    parser = argparse.ArgumentParser(description="the local AWS with the gatekeeper deployed")
    parser.add_argument("command", choices=commands)
    parser.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE",
                        help="of `up`: a parameter of the template, for this deployment; can be given many times")
    asked = parser.parse_args()
    given = dict(parameter.split("=", 1) for parameter in asked.parameter if "=" in parameter)
    if len(given) != len(asked.parameter) or (given and asked.command != "up"):
        parser.error("`--parameter KEY=VALUE` goes with `up`")
    instance = Instance(state_folder())
    try:
        with instance.locked():
            match asked.command:
                case "up": up(instance, given)
                case "down": down(instance)
                case _: status(instance)
    except (LocalError, BotoCoreError, ClientError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
