"""The witness outside: what infra/template.yaml makes where there is one, and what infra/witness.yaml lets whom do."""

from __future__ import annotations

import unittest

from ministack.core import iam_evaluator

from rendered import ACCOUNT, HERE, Rendered, body
import test_access  # its classes by its name: unittest would run them again here
from test_access import FUNCTION, FUNCTIONS, GITHUB, RECORDS, SUBJECT, named

BUCKET = "ledger-heads"
OUTSIDE = f"arn:aws:s3:::{BUCKET}"
HEAD = f"{OUTSIDE}/heads/uat/bank-payments/18446744073709551614.json"
HEADS = f"{RECORDS}/ledger/uat/bank-payments/head.json"
ENTRY = f"{RECORDS}/ledger/uat/bank-payments/0000000001.json"
STACK = named(WitnessBucket=BUCKET, GitHubPromoterSubjects=SUBJECT)
READERS = ("PromoteRole", "WatchDriftRole", "PortalRole", "AuditorRole", "PromoterRole", "GitHubPromoterRole")
OTHER_ACCOUNT = "777788889999"
WITNESS = Rendered(
    HERE / "witness.yaml", BucketName=BUCKET, GatekeeperAccountId=ACCOUNT, LockDays="400",
    WitnessRoleArn=STACK.outputs["WitnessRoleArn"], ReaderRoleArns=STACK.outputs["WitnessReaderRoleArns"])


def lets(principal: str, action: str, arn: str, account: str = ACCOUNT, tls: bool = True, **keys: object) -> str:
    """What the bucket's policy says to somebody."""
    context = iam_evaluator.EvalContext(
        principal_arn=principal, principal_type="AssumedRole", principal_account=account, action=action, resource_arn=arn,
        region="ap-southeast-2", secure_transport=tls,
        service_context={name.replace("__", ":").replace("_", "-").lower(): value for name, value in keys.items()})
    return iam_evaluator.evaluate_resource_policy(WITNESS.properties("BucketPolicy")["PolicyDocument"], context).decision


class TheOtherAccount(unittest.TestCase):
    def test_what_it_keeps_is_locked_for_everybody(self):
        bucket = WITNESS.properties("Bucket")
        self.assertEqual(bucket["ObjectLockConfiguration"]["Rule"], {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": "400"}})
        self.assertEqual((bucket["ObjectLockEnabled"], bucket["VersioningConfiguration"]), (True, {"Status": "Enabled"}))
        self.assertEqual(set(bucket["PublicAccessBlockConfiguration"].values()), {True})
        self.assertEqual({WITNESS.resources["Bucket"][policy] for policy in ("DeletionPolicy", "UpdateReplacePolicy")}, {"Retain"})

    def test_only_the_witness_writes_heads_and_nobody_over_one(self):
        writer = STACK.outputs["WitnessRoleArn"]
        self.assertEqual(lets(writer, "s3:PutObject", HEAD, s3__if_none_match="*"), "Allow")
        self.assertEqual(lets(writer, "s3:PutObject", HEAD), "Deny", "without a condition it would write over one")
        self.assertEqual(lets(writer, "s3:PutObject", f"{OUTSIDE}/other/x.json", s3__if_none_match="*"), "Deny")
        others = [STACK.attribute(role, "Arn") for role in (*READERS, "IntakeRole", "RecordPromotionRole")]
        for other in (*others, f"arn:aws:iam::{ACCOUNT}:role/administrator"):
            self.assertEqual(lets(other, "s3:PutObject", HEAD, s3__if_none_match="*"), "Deny", other)
        owner = f"arn:aws:iam::{OTHER_ACCOUNT}:role/administrator"
        self.assertEqual(lets(owner, "s3:PutObject", HEAD, OTHER_ACCOUNT, s3__if_none_match="*"), "Deny")

    def test_who_compares_reads_and_nobody_else_of_the_gatekeepers_account(self):
        for role in (*READERS, "WitnessRole"):
            arn = STACK.attribute(role, "Arn")
            self.assertEqual(lets(arn, "s3:GetObject", HEAD), "Allow", role)
            self.assertEqual(lets(arn, "s3:ListBucketVersions", OUTSIDE), "Allow", role)
            self.assertEqual(lets(arn, "s3:GetObject", HEAD, tls=False), "Deny", role)
        for other in (STACK.attribute("IntakeRole", "Arn"), f"arn:aws:iam::{ACCOUNT}:role/administrator"):
            self.assertEqual({lets(other, "s3:GetObject", HEAD), lets(other, "s3:ListBucketVersions", OUTSIDE)}, {"ImplicitDeny"})

    def test_nobody_deletes_hides_or_prepares_it(self):
        everybody = [(STACK.attribute(role, "Arn"), ACCOUNT) for role in (*READERS, "WitnessRole")]
        everybody += [(f"arn:aws:iam::{OTHER_ACCOUNT}:role/administrator", OTHER_ACCOUNT), (f"arn:aws:iam::{OTHER_ACCOUNT}:root", OTHER_ACCOUNT)]
        for who, account in everybody:
            for action in ("DeleteObject", "DeleteObjectVersion", "BypassGovernanceRetention", "PutObjectRetention", "PutObjectLegalHold"):
                self.assertEqual(lets(who, f"s3:{action}", HEAD, account), "Deny", f"{who} {action}")
            for action in ("PutLifecycleConfiguration", "PutBucketVersioning", "DeleteBucket"):
                self.assertEqual(lets(who, f"s3:{action}", OUTSIDE, account), "Deny", f"{who} {action}")


class TheGatekeeper(unittest.TestCase):
    def test_without_one_nothing_is_made_and_nobody_looks_for_it(self):
        without = named()
        made = {name for name in STACK.resources.keys() - GITHUB.resources.keys()}
        self.assertEqual({name for name in without.resources if "Witness" in name}, set())
        self.assertTrue(all("Witness" in name for name in made), made)
        self.assertIsNone(without.properties("RecordsBucket").get("NotificationConfiguration"))
        self.assertEqual({name for name in without.outputs if "Witness" in name}, set())

    def test_no_function_that_reads_the_ledger_can_be_without_it(self):
        source = STACK.template["Resources"]
        for name, one in STACK.of_type("AWS::Lambda::Function").items():
            if name != "MigrateDatabaseFunction":
                self.assertEqual(source[name]["Properties"]["Environment"]["Variables"]["WITNESS_BUCKET"], {"Ref": "WitnessBucket"}, name)
                self.assertEqual(one["Environment"]["Variables"]["WITNESS_BUCKET"], BUCKET, name)
        self.assertEqual(STACK.outputs["WitnessBucket"], BUCKET, "by which `gatekeeper ledger verify` finds it")

    def test_every_new_head_goes_to_the_witness(self):
        found = STACK.properties("RecordsBucket")["NotificationConfiguration"]
        queue = STACK.attribute("WitnessQueue", "Arn")
        rules = [{"Name": "prefix", "Value": "ledger/"}, {"Name": "suffix", "Value": "/head.json"}]
        self.assertEqual(found, {"QueueConfigurations": [{"Event": "s3:ObjectCreated:*", "Queue": queue, "Filter": {"S3Key": {"Rules": rules}}}]})
        mapping = STACK.properties("WitnessEvents")
        self.assertEqual((mapping["EventSourceArn"], mapping["FunctionName"], mapping["FunctionResponseTypes"]),
                         (queue, "gatekeeper-witness", ["ReportBatchItemFailures"]))
        tells = STACK.properties("WitnessQueuePolicy")["PolicyDocument"]["Statement"][0]
        self.assertEqual(tells["Condition"], {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnEquals": {"aws:SourceArn": RECORDS}})
        self.assertGreaterEqual(STACK.properties("WitnessQueue")["VisibilityTimeout"], 6 * STACK.properties("WitnessFunction")["Timeout"])
        letters = STACK.properties("WitnessDeadLetterQueue")["MessageRetentionPeriod"]
        self.assertGreater(letters, STACK.properties("WitnessQueue")["MessageRetentionPeriod"], "a letter is as old as its event")

    def test_what_was_lost_is_caught_up_every_hour(self):
        hourly = (one for one in STACK.of_type("AWS::Events::Rule").values() if one["ScheduleExpression"] == "rate(1 hour)")
        target, = (target for rule in hourly for target in rule["Targets"] if target["Arn"] != STACK.attribute("IntakeFunction", "Arn"))
        self.assertEqual((target["Arn"], body(target["Input"])), (STACK.attribute("WitnessFunction", "Arn"), {"catch_up": True}))

    def test_it_may_do_nothing_else(self):
        may = lambda action, arn, **keys: STACK.may("WitnessRole", action, arn, **keys)  # noqa: E731
        for action, arn in (("s3:GetObject", HEADS), ("s3:GetObjectVersion", HEADS), ("s3:GetObject", ENTRY), ("s3:ListBucketVersions", RECORDS),
                            ("s3:PutObject", HEAD), ("s3:GetObject", HEAD), ("s3:ListBucketVersions", OUTSIDE),
                            ("kms:Decrypt", STACK.outputs["EncryptionKeyArn"]), ("kms:GetPublicKey", STACK.outputs["SigningKeyArn"]),
                            ("kms:GetPublicKey", STACK.outputs["PromotionSigningKeyArn"]), ("sqs:ReceiveMessage", STACK.attribute("WitnessQueue", "Arn"))):
            self.assertTrue(may(action, arn), f"{action} {arn}")
        for action, arn in (("s3:PutObject", HEADS), ("s3:PutObject", ENTRY), ("s3:GetObject", f"{RECORDS}/config/stages.json"),
                            ("s3:DeleteObject", HEAD), ("s3:PutObject", f"{OUTSIDE}/x"), ("kms:Sign", STACK.outputs["SigningKeyArn"]),
                            ("kms:Sign", STACK.outputs["PromotionSigningKeyArn"]), ("kms:GenerateDataKey", STACK.outputs["EncryptionKeyArn"])):
            self.assertFalse(may(action, arn), f"{action} {arn}")
        self.assertTrue(may("s3:ListBucketVersions", RECORDS, s3__prefix="ledger/uat/"))
        self.assertFalse(may("s3:ListBucketVersions", RECORDS, s3__prefix="promotions/"))
        statement, = STACK.properties("WitnessRole")["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(statement["Principal"], {"Service": "lambda.amazonaws.com"})

    def test_who_compares_reads_it_and_only_the_witness_writes(self):
        for role in (*FUNCTIONS, *READERS):
            self.assertEqual(STACK.may(role, "s3:GetObject", HEAD), role in READERS, role)
            self.assertEqual(STACK.may(role, "s3:ListBucketVersions", OUTSIDE), role in READERS, role)
            self.assertFalse(STACK.may(role, "s3:PutObject", HEAD), role)
        self.assertEqual(STACK.outputs["WitnessReaderRoleArns"].split(","), [STACK.attribute(role, "Arn") for role in READERS])
        few = Rendered(WitnessBucket=BUCKET)
        self.assertEqual(few.outputs["WitnessReaderRoleArns"].split(","), [few.attribute(role, "Arn") for role in READERS[:3]])

    def test_no_stages_template_keeps_heads_from_it(self):
        stack = test_access.Takeover().deployed(WitnessBucket=BUCKET)
        attacks = [(action, stack.attribute(queue, "Arn")) for queue in ("WitnessQueue", "WitnessDeadLetterQueue")
                   for action in ("sqs:PurgeQueue", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:SetQueueAttributes")]
        attacks += [(f"lambda:{action}EventSourceMapping", stack.attribute("WitnessEvents", "EventSourceMappingArn")) for action in ("Update", "Delete")]
        attacks += [(action, f"{FUNCTION}gatekeeper-witness") for action in ("lambda:UpdateFunctionCode", "lambda:PutFunctionConcurrency")]
        attacks += [("events:DisableRule", f"arn:aws:events:ap-southeast-2:{ACCOUNT}:rule/gatekeeper-WitnessFunctionCatchUp-1"),
                    ("s3:PutBucketNotification", RECORDS)]
        for action, arn in attacks:
            self.assertFalse(stack.may("made", action, arn), f"{action} {arn}")
            self.assertFalse(stack.may("StackRole", action, arn), f"{action} {arn}")

    def test_its_trouble_wakes_somebody_and_is_on_the_dashboard(self):
        alarms = STACK.of_type("AWS::CloudWatch::Alarm")
        watched = {(one["MetricName"], one["Dimensions"][0]["Value"]) for name, one in alarms.items() if name.startswith("Witness")}
        self.assertEqual(watched, {("ApproximateNumberOfMessagesVisible", "WitnessDeadLetterQueue"), ("Errors", "gatekeeper-witness")})
        dashboard, = STACK.of_type("AWS::CloudWatch::Dashboard").values()
        shown, = (widget["properties"]["alarms"] for widget in body(dashboard["DashboardBody"])["widgets"] if widget["type"] == "alarm")
        self.assertEqual(sorted(shown), sorted(STACK.attribute(name, "Arn") for name in alarms))

    def test_it_is_a_function_like_the_others(self):
        one = STACK.properties("WitnessFunction")
        self.assertEqual((one["FunctionName"], one["Code"]["S3Key"]), ("gatekeeper-witness", "../target/lambda/witness/"))
        self.assertEqual(one["LoggingConfig"]["LogGroup"], "/aws/lambda/gatekeeper-witness")
        self.assertEqual((one["TracingConfig"], one["Runtime"]), ({"Mode": "Active"}, "provided.al2023"))
        groups = STACK.properties("WitnessLogs")
        self.assertEqual(groups["KmsKeyId"], STACK.outputs["EncryptionKeyArn"])


if __name__ == "__main__":
    unittest.main()
