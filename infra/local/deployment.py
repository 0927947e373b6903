"""Puts infra/template.yaml into an AWS account by CloudFormation, as `aws cloudformation package` and `deploy` do.

Only the local AWS is deployed to from here; boto3 does it, because the AWS CLI pins another botocore than MiniStack.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from instance import ACCOUNT, HERE, REGION, ROOT, Instance, LocalError, digest_of

STACK = "gatekeeper"
TEMPLATE = ROOT / "infra" / "template.yaml"
STAGES = HERE / "stages.json"
DEPLOYMENT_BUCKET = f"gatekeeper-deployments-{ACCOUNT}-{REGION}"
# What `cdk bootstrap` makes in an account, in the version that current CDK releases make.
CDK_VERSION_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
CDK_BOOTSTRAP_VERSION = "30"
# A second account for stages that are in an account of their own (`role_arn` in config/stages.json).
STAGE_ACCOUNT = "444455556666"
STAGE_ROLE = "gatekeeper-stage"
STAGE_ROLE_ARN = f"arn:aws:iam::{STAGE_ACCOUNT}:role/{STAGE_ROLE}"
# Who reads Pulumi's history and state there, in the buckets of examples/pipeline/stacks.py.
BACKEND_ROLE = "gatekeeper-pulumi-backends"
BACKEND_ROLE_ARN = f"arn:aws:iam::{STAGE_ACCOUNT}:role/{BACKEND_ROLE}"
# A third account, which is the witness of the ledger.
WITNESS = TEMPLATE.parent / "witness.yaml"
WITNESS_ACCOUNT = "777788889999"
WITNESS_STACK = "gatekeeper-witness"
WITNESS_BUCKET = f"gatekeeper-witness-{WITNESS_ACCOUNT}-{REGION}"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
# IAM users of the gatekeeper's account whom its roles name; nobody here has their keys, tests make some when they need them.
PEOPLE = {"Promoter": "jane", "Approver": "john", "Auditor": "audit", "Ci": "pipeline"}
# The workflow that may promote; nothing here speaks OIDC, so the administrator enters its role in its stead.
GITHUB_PROMOTER = "repo:example-bank/bank-payments:environment:uat"
DEPLOY_SECONDS = 120
# What may be a folder or a file in a template, by resource type.
LOCAL_CODE = {
    "AWS::Lambda::Function": "Code",
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
}
# Where the template looks for the functions, and where they are taken from: `GATEKEEPER_LOCAL_FUNCTIONS` names others, laid out alike.
BUILT = TEMPLATE.parent.parent / "target" / "lambda"
FUNCTIONS = Path(os.environ.get("GATEKEEPER_LOCAL_FUNCTIONS") or BUILT).resolve()
# Images on AWS; here the same binaries, because nothing runs containers.
INSTEAD_OF_IMAGES = {"MigrateDatabaseFunction": "../target/lambda/migrate-database/"}


def local_template() -> dict:
    """The template, with binaries in the place of images."""
    template = yaml_parse(TEMPLATE.read_text())
    for logical_id, folder in INSTEAD_OF_IMAGES.items():
        if function := template["Resources"].get(logical_id, {}).get("Properties"):
            function.update(PackageType="Zip", Code=folder, Runtime="provided.al2023", Handler="bootstrap")
    return template


def local_code(template: dict) -> dict[str, Path]:
    """The folders and files that the template's resources name, by logical id."""
    found = {}
    for logical_id, resource in template["Resources"].items():
        uri = resource.get("Properties", {}).get(LOCAL_CODE.get(resource["Type"], ""))
        if isinstance(uri, str) and not uri.startswith("s3://"):
            path = (TEMPLATE.parent / uri).resolve()
            if path.is_relative_to(BUILT):
                path = FUNCTIONS / path.relative_to(BUILT)
            if not path.exists() or (path.is_dir() and not any(path.iterdir())):
                raise LocalError(f"`{logical_id}` needs `{path}`, which is missing or empty: build the functions first")
            found[logical_id] = path
    return found


def files_in(path: Path) -> list[Path]:
    """The file itself, or all files in the folder, in a fixed order."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def fingerprint() -> str:
    """Changes when the template, the functions, the state machine or the stages do."""
    code = local_code(local_template())
    files = [file for _, path in sorted(code.items()) for file in files_in(path)]
    return digest_of(TEMPLATE, WITNESS, STAGES, Path(__file__), *files)


def packed(path: Path) -> bytes:
    """A file's bytes, or a folder as a ZIP whose bytes depend on nothing but its files; stored, because deflating costs seconds."""
    if path.is_file():
        return path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file in files_in(path):
            entry = zipfile.ZipInfo(str(file.relative_to(path)), date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100755 if file.stat().st_mode & 0o111 else 0o100644) << 16
            archive.writestr(entry, file.read_bytes())
    return buffer.getvalue()


def ensure_bucket(s3: Any, bucket: str) -> None:
    """Makes a versioned bucket when it isn't there."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def upload(s3: Any, name: str, content: bytes) -> dict[str, str]:
    """Stores content under its digest, once; where it lies, as SAM's `CodeUri` and `DefinitionUri` take it."""
    key = f"{name}/{hashlib.sha256(content).hexdigest()}"
    try:
        version = s3.head_object(Bucket=DEPLOYMENT_BUCKET, Key=key)["VersionId"]
    except ClientError:
        version = s3.put_object(Bucket=DEPLOYMENT_BUCKET, Key=key, Body=content)["VersionId"]
    return {"Bucket": DEPLOYMENT_BUCKET, "Key": key, "Version": version}


def package(s3: Any) -> dict:
    """The template with its local code uploaded and named by bucket, key and version."""
    template = local_template()
    code = local_code(template)
    with ThreadPoolExecutor(2) as pool:
        uploads = pool.map(lambda item: (item[0], upload(s3, item[0], packed(item[1]))), code.items())
        for logical_id, location in uploads:
            resource = template["Resources"][logical_id]
            if resource["Type"] == "AWS::Lambda::Function":
                location = {f"S3{name.replace('Version', 'ObjectVersion')}": value for name, value in location.items()}
            resource["Properties"][LOCAL_CODE[resource["Type"]]] = location
    return template


def stack_parameters(instance: Instance, template: dict, given: dict[str, str]) -> list[dict[str, str]]:
    """The parameters that differ from their defaults on this machine, and those that are given."""
    values = {
        "Architecture": "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
        "StackRolePolicyArns": ADMINISTRATOR,
        "SharedAccount": "accepted",  # nothing is at stake on this machine, and the examples' roles name no boundary
        "CodeBucket": DEPLOYMENT_BUCKET,
        "WitnessBucket": WITNESS_BUCKET,
        **{f"{role}PrincipalArns": f"arn:aws:iam::{ACCOUNT}:user/{name}" for role, name in PEOPLE.items()},
        "GitHubPromoterSubjects": GITHUB_PROMOTER,
        "StageRoleArns": STAGE_ROLE_ARN,
        "BackendReadRoleArns": BACKEND_ROLE_ARN,
        "MigrateDatabaseImageUri": f"no-image@sha256:{'0' * 64}",  # see INSTEAD_OF_IMAGES
        "DatabaseSecretArns": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*",  # whatever a test calls its secret
        "DatabaseCaFile": str(instance.database.ca_file),
        **given,
    }
    declared = template.get("Parameters", {})
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items() if name in declared]


def wait(describe: Any, field: str) -> str:
    """Asks until the status in `field` is no longer in progress; returns it."""
    deadline = time.monotonic() + DEPLOY_SECONDS
    while True:
        status = describe()[field]
        if not status.endswith(("_PENDING", "_IN_PROGRESS")):
            return status
        if time.monotonic() > deadline:
            raise LocalError(f"the deployment still is `{status}` after {DEPLOY_SECONDS} s")
        time.sleep(0.05)


def failures(cloudformation: Any) -> str:
    """Each failed resource with its own reason; what was refused before any resource was touched is an event of its own kind."""
    failed = [
        (event["LogicalResourceId"], event["ResourceType"], event.get("ResourceStatusReason", "no reason given"))
        for event in cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        if event["ResourceStatus"].endswith("_FAILED")
    ]
    refused = [
        (event["ValidationPath"], event["ValidationName"], event["ValidationStatusReason"])
        for event in cloudformation.describe_events(StackName=STACK, Filters={"FailedEvents": True})["OperationEvents"]
        if "ValidationStatusReason" in event
    ]
    return "\n".join(f"  {what} ({kind}): {reason}" for what, kind, reason in dict.fromkeys(failed[::-1] + refused))


def apply(instance: Instance, template: dict, given: dict[str, str]) -> None:
    """Brings the stack to the template by a change set; raises `LocalError` with each failed resource's reason."""
    s3, cloudformation = instance.client("s3"), instance.client("cloudformation")
    body = json.dumps(template, sort_keys=True, default=str).encode()  # YAML reads an unquoted version as a date
    location = upload(s3, "template", body)
    try:
        stacks = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    except ClientError:
        stacks = []
    exists = bool(stacks) and stacks[0]["StackStatus"] != "REVIEW_IN_PROGRESS"
    change_set = cloudformation.create_change_set(
        StackName=STACK,
        ChangeSetName=f"deploy-{time.time_ns()}",
        ChangeSetType="UPDATE" if exists else "CREATE",
        TemplateURL=f"{instance.endpoint}/{location['Bucket']}/{location['Key']}",
        Parameters=stack_parameters(instance, template, given),
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )["Id"]
    if wait(lambda: cloudformation.describe_change_set(ChangeSetName=change_set), "Status") == "FAILED":
        made = cloudformation.describe_change_set(ChangeSetName=change_set)
        reason = made.get("StatusReason", "no reason given")
        if "didn't contain changes" in reason or "No updates" in reason:
            return
        raise LocalError(f"the template was refused: {reason}")
    cloudformation.execute_change_set(ChangeSetName=change_set)
    ended = wait(lambda: cloudformation.describe_stacks(StackName=STACK)["Stacks"][0], "StackStatus")
    if ended not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise LocalError(f"the stack ended as `{ended}`:\n{failures(cloudformation)}")


def stack_outputs(instance: Instance) -> dict[str, str]:
    """The stack's outputs by name."""
    stack = instance.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def cdk_bootstrap(instance: Instance, account: str) -> None:
    """What CDK's templates expect of an account: the asset bucket and the version of its bootstrap."""
    ensure_bucket(instance.client("s3", account), f"cdk-hnb659fds-assets-{account}-{REGION}")
    instance.client("ssm", account).put_parameter(
        Name=CDK_VERSION_PARAMETER, Value=CDK_BOOTSTRAP_VERSION, Type="String", Overwrite=True)


def stage_account(instance: Instance) -> None:
    """The second account, with the role that the steps assume there."""
    cdk_bootstrap(instance, STAGE_ACCOUNT)
    iam = instance.client("iam", STAGE_ACCOUNT)
    steps = {"ArnLike": {"aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:role/{STACK}/*", f"arn:aws:iam::{ACCOUNT}:root"]}}
    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole", "Condition": steps}]}
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    read = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject", "s3:GetObjectVersion"], "Resource": "arn:aws:s3:::*-pulumi-*"}
    for role, right in ((STAGE_ROLE, anything), (BACKEND_ROLE, read)):
        with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName=role, PolicyName="rights", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [right]}))


def witness(instance: Instance, outputs: dict[str, str]) -> None:
    """The witness's bucket in an account of its own, by the template that a real one has."""
    cloudformation = instance.client("cloudformation", WITNESS_ACCOUNT)
    values = {"BucketName": WITNESS_BUCKET, "GatekeeperAccountId": ACCOUNT, "WitnessRoleArn": outputs["WitnessRoleArn"],
              "ReaderRoleArns": outputs["WitnessReaderRoleArns"], "LockDays": "1"}
    asked = {"StackName": WITNESS_STACK, "TemplateBody": WITNESS.read_text(),
             "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]}
    try:
        cloudformation.create_stack(**asked)
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**asked)
        except ClientError as error:
            if "No updates" not in str(error):
                raise
    ended = wait(lambda: cloudformation.describe_stacks(StackName=WITNESS_STACK)["Stacks"][0], "StackStatus")
    if ended not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise LocalError(f"the witness's stack ended as `{ended}`")


def people(instance: Instance) -> None:
    """The IAM users whom the roles of people and CI name, as far as they aren't there."""
    iam = instance.client("iam")
    for name in PEOPLE.values():
        try:
            iam.create_user(UserName=name)
        except iam.exceptions.EntityAlreadyExistsException:
            continue


def let_root_be_somebody(instance: Instance, outputs: dict[str, str]) -> None:
    """Lets the local administrator assume the roles that name who may, under any name.

    He is the account's root user, who on AWS assumes no role and whom the template therefore doesn't provide for (IAM user guide,
    "AWS account root user"). Nobody else of the account gets in by that.
    """
    iam = instance.client("iam")
    root = f"arn:aws:iam::{ACCOUNT}:root"
    administrator = {"Sid": "LocalAdministrator", "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": root},
                     "Condition": {"ArnEquals": {"aws:PrincipalArn": root}}}
    for role in (*PEOPLE, "GitHubPromoter"):
        output = f"{role}RoleArn"
        if output not in outputs:
            continue
        name = outputs[output].rpartition("/")[2]
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        if administrator not in trust["Statement"]:
            for statement in trust["Statement"]:
                if statement["Effect"] == "Deny":
                    statement["Condition"]["ArnNotEquals"] = {"aws:PrincipalArn": root}
            trust["Statement"].append(administrator)
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))


def upload_stages(instance: Instance, bucket: str) -> None:
    """Stores `config/stages.json` when it differs: each version stays in the bucket, and records pin one."""
    s3, content = instance.client("s3"), STAGES.read_bytes()
    try:
        stored = s3.get_object(Bucket=bucket, Key="config/stages.json")["Body"].read()
    except ClientError:
        stored = b""
    if stored != content:
        s3.put_object(Bucket=bucket, Key="config/stages.json", Body=content,
                      ContentType="application/json", ChecksumAlgorithm="SHA256")


def deploy(instance: Instance, given: dict[str, str] | None = None) -> dict[str, str]:
    """Everything that the gatekeeper needs in the instance, with these parameters of its template; returns what outputs.json says
    about it."""
    s3 = instance.client("s3")
    ensure_bucket(s3, DEPLOYMENT_BUCKET)
    cdk_bootstrap(instance, ACCOUNT)
    stage_account(instance)
    people(instance)
    apply(instance, package(s3), given or {})
    outputs = stack_outputs(instance)
    if "RecordsBucket" not in outputs:
        raise LocalError(f"`{TEMPLATE}` has no output `RecordsBucket`")
    if "WitnessRoleArn" in outputs:  # a template of a test of its own hands nothing over
        witness(instance, outputs)
    let_root_be_somebody(instance, outputs)
    upload_stages(instance, outputs["RecordsBucket"])
    return {**outputs, "StageRoleArn": STAGE_ROLE_ARN, "BackendReadRoleArn": BACKEND_ROLE_ARN,
            "WitnessAccountId": WITNESS_ACCOUNT}
