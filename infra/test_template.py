"""What infra/template.yaml makes: settings of buckets, functions, alarms, and what the contract wants as outputs."""

from __future__ import annotations

import re
import unittest

from rendered import ACCOUNT, HERE, TEMPLATE, Rendered, body

IMAGE = "111122223333.dkr.ecr.ap-southeast-2.amazonaws.com/migrate-database@sha256:" + "3f" * 32
PEOPLE = {f"{who}PrincipalArns": f"arn:aws:iam::{ACCOUNT}:user/jane" for who in ("Ci", "Promoter", "Approver", "Auditor")}
STACK = Rendered(MigrateDatabaseImageUri=IMAGE, **PEOPLE)
PACKAGES = ("intake", "verify-provenance", "promote", "approve", "apply-stack", "deploy-function", "migrate-database", "judge-run", "smoke-test", "record-promotion", "watch-drift", "portal")


class Lint(unittest.TestCase):
    def test_no_region_and_no_account_is_written_down(self):
        self.assertEqual(re.findall(r"\b[a-z]{2}-[a-z]+-\d\b|\b\d{12}\b", TEMPLATE.read_text()), [])


class Buckets(unittest.TestCase):
    def test_both_are_versioned_private_and_encrypted_with_our_key(self):
        for name, bucket in STACK.of_type("AWS::S3::Bucket").items():
            with self.subTest(name):
                self.assertEqual(bucket["VersioningConfiguration"], {"Status": "Enabled"})
                self.assertEqual(set(bucket["PublicAccessBlockConfiguration"].values()), {True})
                self.assertEqual(bucket["OwnershipControls"], {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
                self.assertEqual(bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"], [{
                    "BucketKeyEnabled": True,
                    "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": STACK.outputs["EncryptionKeyArn"]},
                }])

    def test_what_holds_evidence_outlives_the_stack(self):
        kept = {name for name, resource in STACK.resources.items() if resource.get("DeletionPolicy") == "Retain"}
        self.assertEqual(kept, {"ArtefactBucket", "RecordsBucket", "EncryptionKey", "SigningKey", "PromotionSigningKey", "ApprovalSigningKey"})
        for name in STACK.of_type("AWS::Logs::LogGroup"):
            log = STACK.resources[name]
            self.assertEqual((log["DeletionPolicy"], log["UpdateReplacePolicy"]), ("RetainExceptOnCreate", "Retain"), name)

    def test_no_version_expires(self):
        for bucket in STACK.of_type("AWS::S3::Bucket").values():
            for rule in bucket["LifecycleConfiguration"]["Rules"]:
                self.assertEqual(rule.keys(), {"Id", "Status", "AbortIncompleteMultipartUpload"})

    def test_records_are_locked_for_as_long_as_asked(self):
        bucket = Rendered(RecordLockDays="400").properties("RecordsBucket")
        self.assertTrue(bucket["ObjectLockEnabled"])
        self.assertEqual(bucket["ObjectLockConfiguration"]["Rule"], {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": "400"}})

    def test_artefacts_are_locked_where_it_is_asked_for(self):
        bucket = STACK.properties("ArtefactBucket")
        self.assertEqual({"ObjectLockEnabled", "ObjectLockConfiguration"} & {name for name, value in bucket.items() if value is not None}, set())
        bucket = Rendered(ArtefactLockDays="400").properties("ArtefactBucket")
        self.assertTrue(bucket["ObjectLockEnabled"])
        self.assertEqual(bucket["ObjectLockConfiguration"]["Rule"], {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": "400"}})

    def test_who_read_what_is_told_where_it_is_asked_for(self):
        for bucket, prefix in (("ArtefactBucket", "artefacts/"), ("RecordsBucket", "records/")):
            self.assertIsNone(STACK.properties(bucket).get("LoggingConfiguration"))
            self.assertEqual(Rendered(AccessLogBucket="logs").properties(bucket)["LoggingConfiguration"],
                             {"DestinationBucketName": "logs", "LogFilePrefix": prefix})

    def test_each_bucket_is_copied_whole_to_its_replica(self):
        self.assertNotIn("ReplicationRole", STACK.resources)
        replica = {"ReplicaAccountId": "444455556666", "ReplicaKeyArn": "arn:aws:kms:eu-west-1:444455556666:key/1"}
        for bucket, parameter, other in (("ArtefactBucket", "ReplicaArtefactBucket", "RecordsBucket"),
                                         ("RecordsBucket", "ReplicaRecordsBucket", "ArtefactBucket")):
            stack = Rendered(**replica, **{parameter: "replica"})
            self.assertIsNone(stack.properties(other).get("ReplicationConfiguration"))
            copied = stack.properties(bucket)["ReplicationConfiguration"]
            self.assertEqual(copied["Role"], stack.attribute("ReplicationRole", "Arn"))
            rule, = copied["Rules"]
            self.assertEqual((rule["Filter"], rule["Status"], rule["DeleteMarkerReplication"]), ({"Prefix": ""}, "Enabled", {"Status": "Disabled"}))
            self.assertEqual(rule["Destination"], {
                "Bucket": "arn:aws:s3:::replica", "Account": "444455556666", "AccessControlTranslation": {"Owner": "Destination"},
                "EncryptionConfiguration": {"ReplicaKmsKeyID": replica["ReplicaKeyArn"]}})
            self.assertTrue(stack.may("ReplicationRole", "s3:ReplicateObject", "arn:aws:s3:::replica/x"))
            self.assertFalse(stack.may("ReplicationRole", "s3:ReplicateObject", "arn:aws:s3:::another/x"))

    def test_the_longest_prefix_still_makes_a_bucket_name(self):
        parameter = STACK.template["Parameters"]["BucketPrefix"]["AllowedPattern"]
        self.assertTrue(re.fullmatch(parameter, "a" * 24) and not re.fullmatch(parameter, "a" * 25))
        self.assertLessEqual(len(f"{'a' * 24}-artefacts-{ACCOUNT}-ap-southeast-2"), 63)

    def test_every_event_of_the_contract_goes_to_the_gates_queue_and_from_there_to_the_gate(self):
        found = STACK.properties("ArtefactBucket")["NotificationConfiguration"]
        queue = STACK.attribute("EventQueue", "Arn")
        self.assertEqual({one["Event"]: one["Queue"] for one in found.pop("QueueConfigurations")},
                         {f"s3:{event}:*": queue for event in ("ObjectCreated", "ObjectRemoved", "ObjectTagging")})
        self.assertEqual(found, {})
        mapping, = Rendered(GateConcurrency="9").of_type("AWS::Lambda::EventSourceMapping").values()
        self.assertEqual((mapping["EventSourceArn"], mapping["FunctionName"]), (queue, "gatekeeper-intake"))
        self.assertEqual((mapping["FunctionResponseTypes"], mapping["ScalingConfig"]), (["ReportBatchItemFailures"], {"MaximumConcurrency": "9"}))

    def test_only_our_bucket_of_our_account_may_tell(self):
        statements = {one["Sid"]: one for one in STACK.properties("EventQueuePolicy")["PolicyDocument"]["Statement"]}
        self.assertEqual({one["Effect"] for sid, one in statements.items() if sid != "OnlyTheArtefactBucketTells"}, {"Deny"})
        tells = statements["OnlyTheArtefactBucketTells"]
        self.assertEqual((tells["Principal"], tells["Action"]), ({"Service": "s3.amazonaws.com"}, "sqs:SendMessage"))
        self.assertEqual(tells["Condition"], {"StringEquals": {"aws:SourceAccount": ACCOUNT},
                                              "ArnEquals": {"aws:SourceArn": STACK.attribute("ArtefactBucket", "Arn")}})
        self.assertEqual(STACK.resources["ArtefactBucket"]["DependsOn"], "EventQueuePolicy")
        self.assertEqual([one for one in STACK.of_type("AWS::Lambda::Permission").values() if one["Principal"] == "s3.amazonaws.com"], [])


class Keys(unittest.TestCase):
    def test_the_signing_keys_are_p256_and_the_other_one_rotates(self):
        for key in ("SigningKey", "PromotionSigningKey", "ApprovalSigningKey"):
            signing = STACK.properties(key)
            self.assertEqual((signing["KeySpec"], signing["KeyUsage"]), ("ECC_NIST_P256", "SIGN_VERIFY"))
        self.assertTrue(STACK.properties("EncryptionKey")["EnableKeyRotation"])

    def test_another_key_signs_in_place_of_the_stacks_own_which_stays(self):
        other = f"arn:aws:kms:ap-southeast-2:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
        for who, key in (("Gate", "SigningKey"), ("Promotion", "PromotionSigningKey"), ("Approval", "ApprovalSigningKey")):
            stack = Rendered(**{f"{who}KeyArn": other, "TrustRoot": "1:" + "3f" * 32})
            variable = {"Gate": "", "Promotion": "PROMOTION_", "Approval": "APPROVAL_"}[who] + "SIGNING_KEY_ARN"
            told = [one["Environment"]["Variables"][variable] for one in stack.of_type("AWS::Lambda::Function").values()
                    if variable in one.get("Environment", {}).get("Variables", {})]
            self.assertEqual((set(told), stack.outputs[f"{key}Arn"]), ({other}, other), who)
            self.assertIn(key, stack.resources)
            self.assertEqual(stack.outputs["TrustRoot"], "1:" + "3f" * 32)
        self.assertNotIn("TrustRoot", STACK.outputs)

    def test_a_key_of_its_own_stack_stays_and_only_its_signers_sign(self):
        made = Rendered(HERE / "signing-key.yaml", SignerRoleArns=STACK.outputs["GateSignerRoleArns"], DeployerPrincipalArns=f"arn:aws:iam::{ACCOUNT}:role/deployer")
        key = made.properties("Key")
        self.assertEqual((key["KeySpec"], key["KeyUsage"]), ("ECC_NIST_P256", "SIGN_VERIFY"))
        self.assertEqual({made.resources["Key"][policy] for policy in ("DeletionPolicy", "UpdateReplacePolicy")}, {"Retain"})
        own = STACK.properties("SigningKey")["KeyPolicy"]["Statement"]
        managed = next(one for one in own if one["Sid"] == "AccountManagesAndVerifies")
        self.assertEqual(next(one for one in key["KeyPolicy"]["Statement"] if one["Sid"] == managed["Sid"]), managed)
        allowed = [one for one in key["KeyPolicy"]["Statement"] if one["Effect"] == "Allow" and one is not None and "kms:Sign" in one["Action"]]
        self.assertEqual([one["Principal"] for one in allowed], [{"AWS": [STACK.attribute("IntakeRole", "Arn")]}])
        self.assertIn("OnlyDeployersChangeTheKey", {one["Sid"] for one in key["KeyPolicy"]["Statement"]})

    def test_logs_and_alarms_may_use_the_encryption_key_and_alarms_the_topic(self):
        self.assertEqual(STACK.properties("AlarmTopic")["KmsMasterKeyId"], STACK.outputs["EncryptionKeyArn"])
        services = {statement["Principal"].get("Service") for statement in STACK.properties("EncryptionKey")["KeyPolicy"]["Statement"]
                    if "kms:GenerateDataKey*" in statement["Action"]}
        self.assertEqual(services - {None}, {"cloudwatch.amazonaws.com", "logs.ap-southeast-2.amazonaws.com"})
        statement, = STACK.properties("AlarmTopicPolicy")["PolicyDocument"]["Statement"]
        self.assertEqual((statement["Principal"], statement["Action"]), ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish"))


class Functions(unittest.TestCase):
    def setUp(self):
        self.functions = STACK.of_type("AWS::Lambda::Function")

    def test_there_is_one_for_each_package_with_a_role_of_its_own(self):
        self.assertEqual({one["FunctionName"] for one in self.functions.values()}, {f"gatekeeper-{name}" for name in PACKAGES})
        zipped = {name: one for name, one in self.functions.items() if name != "MigrateDatabaseFunction"}
        self.assertEqual({one["Code"]["S3Key"] for one in zipped.values()},
                         {f"../target/lambda/{name}/" for name in PACKAGES if name != "migrate-database"})
        self.assertEqual(len({one["Role"] for one in self.functions.values()}), len(PACKAGES))

    def test_they_run_our_binary_on_the_chosen_architecture(self):
        for architecture in ("arm64", "x86_64"):
            functions = Rendered(Architecture=architecture, MigrateDatabaseImageUri=IMAGE).of_type("AWS::Lambda::Function")
            image = functions.pop("MigrateDatabaseFunction")
            self.assertEqual((image["PackageType"], image["Code"], image["Architectures"]), ("Image", {"ImageUri": IMAGE}, [architecture]))
            for one in functions.values():
                self.assertEqual((one["Runtime"], one["Handler"], one["Architectures"]), ("provided.al2023", "bootstrap", [architecture]))

    def test_without_an_image_there_are_no_databases_and_nobody_asks_for_them(self):
        without = Rendered(**PEOPLE)
        self.assertNotIn("MigrateDatabaseFunction", without.resources)
        for function in ("PromoteFunction", "WatchDriftFunction"):
            self.assertEqual(without.properties(function)["Environment"]["Variables"]["MIGRATE_DATABASE_FUNCTION"], "")
        definition = without.properties("PromotionStateMachine")["DefinitionSubstitutions"]
        self.assertEqual(definition, STACK.properties("PromotionStateMachine")["DefinitionSubstitutions"], "the definition stays valid")

    def test_an_image_is_named_by_its_digest(self):
        pattern = STACK.template["Parameters"]["MigrateDatabaseImageUri"]["AllowedPattern"]
        for image, allowed in ((IMAGE, True), ("", True), (IMAGE.split("@")[0], False), (f"{IMAGE.split('@')[0]}:11.8.2", False), (f"{IMAGE}0", False)):
            self.assertEqual(bool(re.fullmatch(pattern, image)), allowed, image)

    def test_databases_are_asked_from_a_vpc_when_one_is_named(self):
        self.assertNotIn("VpcConfig", STACK.properties("MigrateDatabaseFunction"))
        inside = Rendered(MigrateDatabaseImageUri=IMAGE, DatabaseSubnetIds="subnet-1,subnet-2", DatabaseSecurityGroupIds="sg-1")
        self.assertEqual(inside.properties("MigrateDatabaseFunction")["VpcConfig"],
                         {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]})

    def test_promote_has_time_to_hear_what_migrate_database_says(self):
        self.assertEqual((STACK.properties("PromoteFunction")["Timeout"], STACK.properties("MigrateDatabaseFunction")["Timeout"]), (120, 900))

    def test_they_know_where_to_look(self):
        known = {"ARTEFACT_BUCKET": STACK.outputs["ArtefactBucket"], "RECORDS_BUCKET": STACK.outputs["RecordsBucket"], "TLS_ROOTS": "amazon", "SDK_LOG_LEVEL": "warn"}
        witness = {"WITNESS_BUCKET": "", "TRUST_ROOT": "", "NOTIFICATION_BUS": ""}
        built, promotion, approval = ({name: STACK.outputs[output]} for name, output in
                                      (("SIGNING_KEY_ARN", "SigningKeyArn"), ("PROMOTION_SIGNING_KEY_ARN", "PromotionSigningKeyArn"),
                                       ("APPROVAL_SIGNING_KEY_ARN", "ApprovalSigningKeyArn")))
        promote = built | promotion | approval | {"STATE_MACHINE_ARN": STACK.outputs["PromotionStateMachine"], "MIGRATE_DATABASE_FUNCTION": "gatekeeper-migrate-database", "ACCOUNT_ID": ACCOUNT,
                                       "PERSON_ROLE_ID": "AROAPROMOTERROLE", "SHARED_ACCOUNT": "",
                                       "STAGE_BOUNDARY_ARN": STACK.outputs["StageBoundaryArn"]}
        gate = built | {"GATE_ROLE_IDS": "AROAINTAKEROLE", "EVENT_QUEUE_URL": STACK.outputs["EventQueueUrl"],
                        "VERIFY_PROVENANCE_FUNCTION": "gatekeeper-verify-provenance"}
        watch = built | promotion | approval | {"MIGRATE_DATABASE_FUNCTION": "gatekeeper-migrate-database", "JUDGE_RUN_FUNCTION": "gatekeeper-judge-run",
                                                "ALARM_TOPIC_ARN": STACK.outputs["AlarmTopicArn"]}
        more = {"WatchDriftFunction": watch, "RecordPromotionFunction": promotion, "IntakeFunction": gate, "PromoteFunction": promote,
                "ApproveFunction": approval | {"ACCOUNT_ID": ACCOUNT, "PERSON_ROLE_ID": "AROAAPPROVERROLE"},
                "PortalFunction": built | promotion | approval,
                "MigrateDatabaseFunction": {"DATABASE_CA_FILE": "/etc/ssl/certs/ca-certificates.crt"},
                "JudgeRunFunction": built, "ApplyStackFunction": {"STACK_ROLE_ARN": STACK.outputs["StackRoleArn"]}}
        for name, one in self.functions.items():
            knows = {} if name == "MigrateDatabaseFunction" else witness  # it comes to no ledger and verifies nothing
            self.assertEqual(one["Environment"]["Variables"], known | knows | more.get(name, {}), name)

    def test_each_logs_json_into_its_own_group_and_nowhere_else(self):
        for name, one in self.functions.items():
            group = f"/aws/lambda/{one['FunctionName']}"
            self.assertEqual(one["LoggingConfig"], {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": group}, "Lambda drops no line")
            writes = [statement["Resource"] for statement in STACK.statements(one["Role"].rsplit("/", 1)[-1])
                      if "logs:PutLogEvents" in statement.get("Action", [])]
            self.assertEqual(writes, [f"arn:aws:logs:ap-southeast-2:{ACCOUNT}:log-group:{group}:*"], name)

    def test_x_ray_traces_each(self):
        for name, one in self.functions.items():
            self.assertEqual(one["TracingConfig"], {"Mode": "Active"}, name)
            actions = [statement["Action"] for statement in STACK.statements(one["Role"].rsplit("/", 1)[-1]) if statement.get("Sid") == "TellXRay"]
            self.assertEqual(actions, [["xray:PutTraceSegments", "xray:PutTelemetryRecords"]], name)

    def test_what_the_gate_cannot_judge_is_kept_for_14_days(self):
        events = STACK.properties("EventQueue")
        self.assertEqual(events["RedrivePolicy"], {"deadLetterTargetArn": STACK.attribute("DeadLetterQueue", "Arn"), "maxReceiveCount": 5})
        self.assertGreaterEqual(events["VisibilityTimeout"], 6 * STACK.properties("IntakeFunction")["Timeout"])
        queue = STACK.properties("DeadLetterQueue")
        self.assertGreater(queue["MessageRetentionPeriod"], events["MessageRetentionPeriod"], "a letter is as old as its event")
        self.assertEqual((queue["MessageRetentionPeriod"], queue["SqsManagedSseEnabled"]), (14 * 24 * 3600, True))


class Schedules(unittest.TestCase):
    def test_drift_is_looked_for_every_15_minutes_by_one_run_at_a_time(self):
        rule, = (one for one in STACK.of_type("AWS::Events::Rule").values() if one["ScheduleExpression"] == "rate(15 minutes)")
        self.assertEqual([target["Arn"] for target in rule["Targets"]], [STACK.attribute("WatchDriftFunction", "Arn")])
        self.assertLess(STACK.properties("WatchDriftFunction")["Timeout"], 15 * 60)
        again, = (one for one in STACK.of_type("AWS::Lambda::EventInvokeConfig").values() if one["FunctionName"] == "gatekeeper-watch-drift")
        self.assertEqual(again["MaximumRetryAttempts"], 0, "the next run is the retry")

    def test_commits_whose_events_were_lost_are_settled_every_hour(self):
        rule, = (one for one in STACK.of_type("AWS::Events::Rule").values() if one["ScheduleExpression"] == "rate(1 hour)")
        target, = rule["Targets"]
        self.assertEqual((target["Arn"], body(target["Input"])), (STACK.attribute("IntakeFunction", "Arn"), {"sweep": {}}))
        again, = (one for one in STACK.of_type("AWS::Lambda::EventInvokeConfig").values() if one["FunctionName"] == "gatekeeper-intake")
        self.assertEqual(again["MaximumRetryAttempts"], 0, "the next hour is the retry")


class StateMachine(unittest.TestCase):
    def test_its_definition_and_the_template_agree_on_the_functions(self):
        substitutions = STACK.properties("PromotionStateMachine")["DefinitionSubstitutions"]
        definition = (HERE / "promotion.asl.json").read_text()
        self.assertEqual(set(re.findall(r"\$\{(\w+)\}", definition)), set(substitutions))

    def test_its_role_invokes_these_functions_only(self):
        invoked = [statement["Resource"] for statement in STACK.statements("PromotionRole")
                   if statement["Action"] == "lambda:InvokeFunction"]
        self.assertEqual([sorted(one) for one in invoked],
                         [sorted(STACK.properties("PromotionStateMachine")["DefinitionSubstitutions"].values())])

    def test_its_role_may_deliver_logs(self):
        actions = {action for statement in STACK.statements("PromotionRole") for action in statement["Action"] if "logs:" in action}
        self.assertLessEqual({"logs:CreateLogDelivery", "logs:PutResourcePolicy", "logs:DescribeLogGroups"}, actions)

    def test_it_is_standard_and_logged_without_what_goes_in_and_out(self):
        machine = STACK.properties("PromotionStateMachine")
        self.assertEqual(machine["StateMachineType"], "STANDARD")
        self.assertEqual((machine["LoggingConfiguration"]["Level"], machine["LoggingConfiguration"]["IncludeExecutionData"]), ("ALL", False))


class Watching(unittest.TestCase):
    def test_logs_are_kept_as_long_as_asked_and_encrypted(self):
        groups = Rendered(LogRetentionDays="90").of_type("AWS::Logs::LogGroup").values()
        self.assertEqual(len(groups), len(PACKAGES) + 1)
        for group in groups:
            self.assertEqual((group["RetentionInDays"], group["KmsKeyId"]), ("90", STACK.outputs["EncryptionKeyArn"]))

    def test_everything_worth_waking_somebody_alarms(self):
        alarms = STACK.of_type("AWS::CloudWatch::Alarm").values()
        watched = {(one["MetricName"], *(dimension["Value"] for dimension in one.get("Dimensions", []))) for one in alarms}
        self.assertEqual(watched, {
            ("ApproximateNumberOfMessagesVisible", "DeadLetterQueue"), ("Errors", "gatekeeper-intake"), ("ApproximateAgeOfOldestMessage", "EventQueue"),
            ("TagsReverted",), ("Promotions", "failed"), ("ExecutionsFailed", STACK.outputs["PromotionStateMachine"]),
            ("BreakGlass",), ("DriftFindings",), ("Errors", "gatekeeper-watch-drift"),
        })
        for one in alarms:
            threshold = 300 if one["MetricName"] == "ApproximateAgeOfOldestMessage" else 0
            self.assertEqual((one["AlarmActions"], one["Threshold"], one["ComparisonOperator"], one["TreatMissingData"]),
                             ([STACK.outputs["AlarmTopicArn"]], threshold, "GreaterThanThreshold", "notBreaching"))

    def test_alarms_are_mailed_to_whom_is_named(self):
        self.assertEqual(STACK.of_type("AWS::SNS::Subscription"), {})
        subscription, = Rendered(AlarmEmail="jane@bank.example").of_type("AWS::SNS::Subscription").values()
        self.assertEqual((subscription["Protocol"], subscription["Endpoint"]), ("email", "jane@bank.example"))

    def test_the_dashboard_shows_every_metric_of_the_functions(self):
        dashboard, = STACK.of_type("AWS::CloudWatch::Dashboard").values()
        widgets = body(dashboard["DashboardBody"])["widgets"]
        shown = {metric[1] for widget in widgets for metric in widget["properties"].get("metrics", []) if metric[0] == "ArtefactGatekeeper"}
        self.assertEqual(shown, {"Verdicts", "Promotions", "BreakGlass", "TagWrites", "TagsReverted", "GateErrors", "DriftFindings", "DriftChanged", "DriftErrors"})
        alarms, = (widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm")
        self.assertEqual(sorted(alarms), sorted(STACK.attribute(name, "Arn") for name in STACK.of_type("AWS::CloudWatch::Alarm")))

    def test_saved_queries_search_groups_that_exist(self):
        groups = {group["LogGroupName"] for group in STACK.of_type("AWS::Logs::LogGroup").values()}
        queries = STACK.of_type("AWS::Logs::QueryDefinition").values()
        self.assertEqual({query["Name"].split("/")[1] for query in queries},
                         {"one-commit", "refused-promotions", "broken-glass", "reverted-tags", "one-promotion", "drift"})
        for query in queries:
            self.assertLessEqual(set(query["LogGroupNames"]), groups)


class Outputs(unittest.TestCase):
    def test_the_contracts_are_there(self):
        self.assertLessEqual({
            "ArtefactBucket", "RecordsBucket", "PromoteFunction", "PromotionStateMachine", "CiRoleArn", "PromoterRoleArn",
            "AuditorRoleArn", "SigningKeyArn", "DeadLetterQueueUrl",
        }, STACK.outputs.keys())

    def test_workflows_have_a_role_where_they_may_promote(self):
        self.assertNotIn("GitHubPromoterRoleArn", STACK.outputs)
        stack = Rendered(GitHubPromoterSubjects="repo:example-bank/bank-payments:environment:uat", **PEOPLE)
        self.assertEqual(stack.outputs["GitHubPromoterRoleArn"], stack.attribute("GitHubPromoterRole", "Arn"))
        self.assertEqual(stack.outputs["PromoterRoleArn"], STACK.outputs["PromoterRoleArn"])


if __name__ == "__main__":
    unittest.main()
