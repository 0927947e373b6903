"""infra/template.yaml as CloudFormation would see it: after SAM's transform, with every intrinsic function resolved.

And who may do what in it: policies are evaluated by MiniStack's IAM evaluator, with the request's condition keys as
AWS's Service Authorization Reference names them. Nothing runs and nothing is called.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ["AWS_DEFAULT_REGION"] = "ap-southeast-2"  # SAM's transform asks boto3 for one
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "local"))

import gaps_iam  # noqa: E402  (what MiniStack's evaluator lacks)
from ministack.core import iam_evaluator  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

TEMPLATE = HERE / "template.yaml"
ACCOUNT = "111122223333"
PSEUDO = {
    "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws", "AWS::Region": "ap-southeast-2", "AWS::StackName": "gatekeeper",
    "AWS::NoValue": None,
}
# What `Fn::GetAtt …Arn` gives, for resources whose name CloudFormation makes up.
ARNS = {
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/gatekeeper/{{0}}",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/gatekeeper/{{0}}",
    "AWS::KMS::Key": f"arn:aws:kms:ap-southeast-2:{ACCOUNT}:key/{{0}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:ap-southeast-2:{ACCOUNT}:{{0}}",
    "AWS::SNS::Topic": f"arn:aws:sns:ap-southeast-2:{ACCOUNT}:{{0}}",
    "AWS::Events::Rule": f"arn:aws:events:ap-southeast-2:{ACCOUNT}:rule/gatekeeper-{{0}}",
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:ap-southeast-2:{ACCOUNT}:alarm:{{0}}",
}
# … and for those that are named in the template, by the property with the name.
NAMED_ARNS = {
    "AWS::S3::Bucket": ("BucketName", "arn:aws:s3:::{0}"),
    "AWS::Lambda::Function": ("FunctionName", f"arn:aws:lambda:ap-southeast-2:{ACCOUNT}:function:{{0}}"),
    "AWS::Logs::LogGroup": ("LogGroupName", f"arn:aws:logs:ap-southeast-2:{ACCOUNT}:log-group:{{0}}:*"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", f"arn:aws:states:ap-southeast-2:{ACCOUNT}:stateMachine:{{0}}"),
}
REF_IS_THE_ARN = {"AWS::IAM::ManagedPolicy", "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}

gaps_iam.variables_in_conditions()
logging.getLogger("samtranslator.metrics").setLevel(logging.ERROR)  # it complains about metrics nobody asked for


class Rendered:
    """The template with these parameter values, defaults for the others."""

    def __init__(self, template: Path = TEMPLATE, **parameters: str) -> None:
        source = yaml_parse(template.read_text())
        for resource in source["Resources"].values():  # as `aws cloudformation package` does
            for name in {"CodeUri", "DefinitionUri"} & resource.get("Properties", {}).keys():
                resource["Properties"][name] = {"Bucket": "code", "Key": resource["Properties"][name]}
        self.parameters = {name: declared.get("Default") for name, declared in source["Parameters"].items()} | parameters
        self.template = transform(source, {}, _NoManagedPolicies())
        self.conditions = self.template.get("Conditions", {})
        self.resources = {
            logical_id: {**resource, "Properties": self.resolve(resource.get("Properties", {}))}
            for logical_id, resource in self.template["Resources"].items() if self.is_made(resource)
        }
        self.outputs = {name: self.resolve(output["Value"]) for name, output in self.template["Outputs"].items() if self.is_made(output)}

    def of_type(self, kind: str) -> dict[str, dict]:
        """The properties of each resource of that type, by logical id."""
        return {name: found["Properties"] for name, found in self.resources.items() if found["Type"] == kind}

    def properties(self, logical_id: str) -> dict:
        return self.resources[logical_id]["Properties"]

    # Intrinsic functions

    def is_made(self, one: dict) -> bool:
        """Whether this resource or output is there under its condition."""
        return "Condition" not in one or self.holds({"Condition": one["Condition"]})

    def holds(self, condition: Any) -> bool:
        (function, argument), = condition.items()
        if function == "Condition":
            return self.holds(self.conditions[argument])
        if function == "Fn::Not":
            return not self.holds(argument[0])
        if function == "Fn::Or":
            return any(self.holds(one) for one in argument)
        assert function == "Fn::Equals", function
        left, right = self.resolve(argument)
        return left == right

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, argument), = value.items()
            if function == "Ref":
                return self.ref(argument)
            if function.startswith("Fn::"):
                return self.call(function, argument)
        resolved = {name: self.resolve(item) for name, item in value.items()}
        return {name: item for name, item in resolved.items() if item is not None}

    def call(self, function: str, argument: Any) -> Any:
        if function == "Fn::If":
            return self.resolve(argument[1 if self.holds({"Condition": argument[0]}) else 2])
        if function == "Fn::GetAtt":
            return self.attribute(*(argument if isinstance(argument, list) else argument.split(".", 1)))
        if function == "Fn::Sub":
            text, values = argument if isinstance(argument, list) else (argument, {})
            values = {name: self.resolve(value) for name, value in values.items()}
            return re.sub(r"\$\{([^!}]+)\}", lambda name: str(values[name[1]] if name[1] in values else self.named(name[1])), text)
        argument = self.resolve(argument)
        if function == "Fn::Join":
            return argument[0].join(argument[1])
        if function == "Fn::Split":
            return argument[1].split(argument[0])
        assert function == "Fn::Select", function
        return argument[1][int(argument[0])]

    def named(self, name: str) -> Any:
        return self.attribute(*name.split(".", 1)) if "." in name else self.ref(name)

    def ref(self, name: str) -> Any:
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            value = self.parameters[name]
            listed = self.template["Parameters"][name]["Type"] == "CommaDelimitedList"
            return value.split(",") if listed else value
        kind = self.template["Resources"][name]["Type"]
        if kind in REF_IS_THE_ARN:
            return self.attribute(name, "Arn")
        return self.resolve(self.template["Resources"][name]["Properties"][NAMED_ARNS[kind][0]]) if kind in NAMED_ARNS else name

    def attribute(self, name: str, attribute: str) -> str:
        resource = self.template["Resources"][name]
        if attribute in ("Name", "QueueName"):
            return self.resolve(resource["Properties"].get("StateMachineName", name))
        if attribute == "FunctionUrl":
            return f"https://{name.lower()}.lambda-url.ap-southeast-2.on.aws/"
        if attribute == "RoleId":
            return f"AROA{name.upper()}"
        if attribute == "EventSourceMappingArn":
            return f"arn:aws:lambda:ap-southeast-2:{ACCOUNT}:event-source-mapping:{name.lower()}"
        assert attribute == "Arn", f"{name}.{attribute}"
        if "ManagedPolicyName" in resource["Properties"]:
            return ARNS["AWS::IAM::ManagedPolicy"].format(self.resolve(resource["Properties"]["ManagedPolicyName"]))
        if resource["Type"] in NAMED_ARNS:
            named_by, arn = NAMED_ARNS[resource["Type"]]
            return arn.format(self.resolve(resource["Properties"][named_by]))
        return ARNS[resource["Type"]].format(name)

    # Who may do what

    def statements(self, role: str) -> list[dict]:
        """All statements of a role's own and managed policies (those that this template makes)."""
        properties = self.properties(role)
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        documents += [self.properties(arn.rsplit("/", 1)[-1])["PolicyDocument"]
                      for arn in properties.get("ManagedPolicyArns", []) if "/gatekeeper/" in arn]
        return [statement for document in documents for statement in document["Statement"]]

    def resource_policy(self, arn: str) -> dict | None:
        """The bucket's or the key's policy that decides beside the caller's."""
        for policy in self.of_type("AWS::S3::BucketPolicy").values():
            if arn.split("/")[0] == f"arn:aws:s3:::{policy['Bucket']}":
                return policy["PolicyDocument"]
        for name, key in self.of_type("AWS::KMS::Key").items():
            if arn == self.attribute(name, "Arn"):
                return key["KeyPolicy"]
        return None

    def may(self, who: str, action: str, arn: str, **keys: Any) -> bool:
        """Whether a principal of this account may do that.

        `who` is a role's logical id; `administrator`, a role whose own policy allows everything; or `made`, such a role
        as a stage's template makes it, within the stage boundary.
        `keys` are the request's condition keys, with `__` for `:`; it comes by TLS unless they say otherwise.
        """
        is_ours = who not in ("administrator", "made")
        own = self.statements(who) if is_ours else [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
        limits = [[iam_evaluator.parse_policy_document(self.properties("StageBoundary")["PolicyDocument"])]] if who == "made" else []
        context = iam_evaluator.EvalContext(
            principal_arn=self.attribute(who, "Arn") if is_ours else f"arn:aws:iam::{ACCOUNT}:role/{who}",
            principal_type="AssumedRole", principal_account=ACCOUNT, action=action, resource_arn=arn,
            region="ap-southeast-2", secure_transport=keys.pop("secure_transport", True),
            service_context={name.replace("__", ":").lower(): value for name, value in keys.items()},
        )
        identity = iam_evaluator.evaluate(context, [iam_evaluator.parse_policy_document({"Statement": own})], *limits).decision
        policy = self.resource_policy(arn)
        resource = iam_evaluator.evaluate_resource_policy(policy, context).decision if policy else "ImplicitDeny"
        if "Deny" in (identity, resource):
            return False
        if action.startswith("kms:"):  # the key's policy must allow: the caller itself, or the account and so its IAM
            named = iam_evaluator.evaluate_resource_policy(policy, context, named_only=True).decision == "Allow"
            return named or "Allow" == resource == identity
        return "Allow" in (identity, resource)

    def lets_in(self, role: str, arn: str, name: str, action: str = "sts:AssumeRole", **keys: Any) -> bool:
        """Whether a role's trust policy lets a principal in, a user or a session by its ARN, under a session's name.

        `keys` are condition keys that describe the principal, with `__` for `:`.
        """
        account, described = arn.split(":")[4], {name.replace("__", ":").lower(): value for name, value in keys.items()}
        kind = "AssumedRole" if ":assumed-role/" in arn else "User" if ":user/" in arn else "Root"
        if kind == "AssumedRole":
            described.setdefault("aws:userid", f"AROA{arn.split('/')[1].upper()}:{arn.rsplit('/', 1)[-1]}")
        elif kind == "User":
            described |= {"aws:username": arn.rsplit("/", 1)[-1], "aws:userid": "AIDA"}
        context = iam_evaluator.EvalContext(
            principal_arn=arn, principal_type=kind, principal_account=account, action=action, resource_arn=self.attribute(role, "Arn"),
            region="ap-southeast-2", service_context={"sts:rolesessionname": name}, principal_keys=described)
        return iam_evaluator.evaluate_trust_policy(self.properties(role)["AssumeRolePolicyDocument"], arn, context)


class _NoManagedPolicies:
    def load(self) -> dict:
        return {}


def body(document: str | dict) -> dict:
    """A property that holds JSON."""
    return json.loads(document) if isinstance(document, str) else document
