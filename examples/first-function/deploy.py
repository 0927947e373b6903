"""Deploys the stored commit to a stage, dev say: the template that was uploaded, with the code that was uploaded.

usage: python deploy.py STAGE REPO SHA
"""

import os
import sys

import aws


def main(stage: str, repo: str, sha: str) -> None:
    bucket = os.environ.get("GATEKEEPER_ARTEFACT_BUCKET") or aws.outputs()["ArtefactBucket"]
    module = f"{repo}/{sha}/modules/MOD-001"
    template = aws.client("s3").get_object(Bucket=bucket, Key=f"{module}/cloudformation/amounts.json")["Body"].read()
    given = {"Stage": stage, "CommitSha": sha, "ArtefactBucket": bucket, "ArtefactPrefix": module}
    stack = {
        "StackName": f"{repo}-{stage}-amounts",
        "TemplateBody": template.decode(),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    cloudformation = aws.client("cloudformation")
    try:
        cloudformation.create_stack(**stack)
        done = "stack_create_complete"
    except cloudformation.exceptions.AlreadyExistsException:
        cloudformation.update_stack(**stack)
        done = "stack_update_complete"
    cloudformation.get_waiter(done).wait(StackName=stack["StackName"], WaiterConfig={"Delay": 2, "MaxAttempts": 150})


if __name__ == "__main__":
    main(*sys.argv[1:])
