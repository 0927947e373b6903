"""Who may do what: every role of infra/template.yaml tries what it must and what it must not.

This reads the policies alone, so it also covers what the local AWS doesn't enforce.
"""

from __future__ import annotations

import json
import re
import unittest

from rendered import ACCOUNT, HERE, Rendered

GATE = ("IntakeRole",)
STEPS = ("ApplyStackRole", "DeployFunctionRole", "MigrateDatabaseRole", "SmokeTestRole", "RecordPromotionRole")
FUNCTIONS = (*GATE, "VerifyProvenanceRole", "PromoteRole", "ApproveRole", *STEPS, "JudgeRunRole", "WatchDriftRole", "PortalRole")
TRACES = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")
PEOPLE = ("CiRole", "PromoterRole", "ApproverRole", "AuditorRole")
EVERYBODY = (*FUNCTIONS, "StackRole", *PEOPLE, "GitHubPromoterRole", "administrator", "made")

SHA = "3f1c9a0b5d7e2468ace013579bdf02468ace1357"
COMMIT = f"bank-payments/{SHA}"
MANIFEST = f"{COMMIT}/build-manifest.json"
ZIP = f"{COMMIT}/modules/MOD-012/functions/authorise-payment.zip"
BRANCH = "0d6e4079e36703ebd37c00722f5891d28b0e2811dc114b129215123adcce3605"  # the SHA-256 of `main`
PROMOTION = "01J0000000000000000000000A"
TAGGING = ("s3:PutObjectTagging", "s3:PutObjectVersionTagging")

# People: an IAM user, and a role that AWS IAM Identity Center lets people into.
USER = f"arn:aws:iam::{ACCOUNT}:user/jane"
SSO = f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/ap-southeast-2/AWSReservedSSO_Release_0123456789abcdef"
NAMED = {f"{who}PrincipalArns": f"{USER},{SSO}" for who in ("Ci", "Promoter", "Approver", "Auditor")}


def named(**parameters: str) -> Rendered:
    """The template where people and CI are named, with these parameter values."""
    return Rendered(**NAMED | parameters)


NOBODY = Rendered()
DEFAULT = named()
SUBJECT = "repo:example-bank/bank-payments:environment:uat"
GITHUB = named(GitHubPromoterSubjects=SUBJECT)
SECRET = f"arn:aws:secretsmanager:ap-southeast-2:{ACCOUNT}:secret:gatekeeper/uat/payments-AbCdEf"
SECRETS_KEY = f"arn:aws:kms:ap-southeast-2:{ACCOUNT}:key/secrets"
DATABASES = named(
    MigrateDatabaseImageUri="migrate-database@sha256:" + "3f" * 32, DatabaseSecretArns=SECRET.replace("-AbCdEf", "-*"),
    DatabaseSecretKeyArns=SECRETS_KEY)
ARTEFACTS = f"arn:aws:s3:::{DEFAULT.outputs['ArtefactBucket']}"
RECORDS = f"arn:aws:s3:::{DEFAULT.outputs['RecordsBucket']}"
FUNCTION = f"arn:aws:lambda:ap-southeast-2:{ACCOUNT}:function:"
STACK = f"arn:aws:cloudformation:ap-southeast-2:{ACCOUNT}:stack/"


def tags(existing: dict[str, str] | None = None, **requested: str) -> dict:
    """The condition keys of a request that sets these tags (`_` for `-`) on an object that has those."""
    wanted = {name.replace("_", "-"): value for name, value in requested.items()}
    return {f"s3__RequestObjectTag/{name}": value for name, value in wanted.items()} | {
        "s3__RequestObjectTagKeys": list(wanted)
    } | {f"s3__ExistingObjectTag/{name}": value for name, value in (existing or {}).items()}


class Case(unittest.TestCase):
    def only(self, allowed: tuple[str, ...], action: str, arn: str, stack: Rendered = DEFAULT, **keys: object) -> None:
        """Exactly these of everybody may."""
        present = (who for who in EVERYBODY if who in ("administrator", "made") or who in stack.resources)
        self.assertEqual(sorted(who for who in present if stack.may(who, action, arn, **keys)), sorted(allowed),
                         f"{action} {arn} {keys}")


class IntegrationPassed(Case):
    def test_true_on_an_artefact_is_the_gates_alone(self):
        for action in TAGGING:
            self.only(GATE, action, f"{ARTEFACTS}/{ZIP}", **tags(integration_passed="true"))

    def test_true_outside_of_the_layout_is_the_gates_alone_too(self):
        for key in ("file.zip", f"{COMMIT}/file.zip"):
            self.only(GATE, "s3:PutObjectTagging", f"{ARTEFACTS}/{key}", **tags(integration_passed="true"))

    def test_true_on_a_manifest_can_be_asked_for_by_ci_and_never_by_the_promoter(self):
        for action in TAGGING:
            self.only((*GATE, "CiRole", "administrator"), action, f"{ARTEFACTS}/{MANIFEST}", **tags(integration_passed="true"))

    def test_a_file_called_like_a_manifest_is_none(self):
        for key in (f"{COMMIT}/reports/build-manifest.json", f"{COMMIT}/modules/MOD-012/build-manifest.json"):
            self.only(GATE, "s3:PutObjectTagging", f"{ARTEFACTS}/{key}", **tags(integration_passed="true"))

    def test_true_cannot_come_with_an_upload(self):
        self.only((), "s3:PutObject", f"{ARTEFACTS}/{ZIP}", **tags(integration_passed="true"))
        self.only(("CiRole", "administrator"), "s3:PutObject", f"{ARTEFACTS}/{MANIFEST}", **tags(integration_passed="true"))

    def test_other_spellings_of_true_are_refused_too(self):
        for value in ("TRUE", "True", " true", "yes", ""):
            self.only(GATE, "s3:PutObjectTagging", f"{ARTEFACTS}/{ZIP}", **tags(integration_passed=value))

    def test_false_can_be_said_by_ci_everywhere_and_by_the_promoter_on_a_manifest(self):
        false = tags(integration_passed="false", team="payments")
        for action in TAGGING:
            self.only((*GATE, "CiRole", "administrator"), action, f"{ARTEFACTS}/{ZIP}", **false)
            self.only((*GATE, "CiRole", "PromoterRole", "administrator"), action, f"{ARTEFACTS}/{MANIFEST}", **false)
        self.only(("CiRole", "administrator"), "s3:PutObject", f"{ARTEFACTS}/{ZIP}", **false)

    def test_a_copy_or_a_replica_cannot_bring_tags_along(self):
        self.only((), "s3:PutObject", f"{ARTEFACTS}/{ZIP}", **{"s3__x-amz-copy-source": "elsewhere/file.zip"})
        for action in ("s3:ReplicateObject", "s3:ReplicateTags"):
            self.only((), action, f"{ARTEFACTS}/{ZIP}")

    def test_nobody_deletes_tags(self):
        for action in ("s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging"):
            self.only((), action, f"{ARTEFACTS}/{MANIFEST}")


class TheGatesOwnTag(Case):
    def test_only_the_gate_sets_or_changes_it(self):
        for existing in ({}, {"gatekeeper-outcome": "registered"}):
            self.only(GATE, "s3:PutObjectTagging", f"{ARTEFACTS}/{MANIFEST}",
                      **tags(existing, integration_passed="false", gatekeeper_outcome="built"))
        self.only((), "s3:PutObject", f"{ARTEFACTS}/{MANIFEST}", **tags(gatekeeper_outcome="built"))

    def test_whoever_sets_another_tag_may_write_it_back_as_it_is(self):
        self.only((*GATE, "CiRole", "administrator"), "s3:PutObjectTagging", f"{ARTEFACTS}/{MANIFEST}",
                  **tags({"gatekeeper-outcome": "registered"}, integration_passed="true", gatekeeper_outcome="registered"))


class Artefacts(Case):
    def test_only_ci_uploads(self):
        self.only(("CiRole", "administrator"), "s3:PutObject", f"{ARTEFACTS}/{ZIP}")

    def test_an_upload_is_encrypted_with_our_key_or_not_at_all_said(self):
        sse, key = "s3__x-amz-server-side-encryption", "s3__x-amz-server-side-encryption-aws-kms-key-id"
        ours, theirs = DEFAULT.outputs["EncryptionKeyArn"], f"arn:aws:kms:ap-southeast-2:{ACCOUNT}:key/another"
        for bucket, who, name in ((ARTEFACTS, "CiRole", ZIP), (RECORDS, "IntakeRole", f"{COMMIT}/verdict.json")):
            for allowed, keys in ((True, {}), (True, {sse: "aws:kms", key: ours}), (False, {sse: "aws:kms", key: theirs}),
                                  (False, {sse: "aws:kms"}), (False, {sse: "AES256"}),
                                  (False, {"s3__x-amz-server-side-encryption-customer-algorithm": "AES256"})):
                self.assertEqual(DEFAULT.may(who, "s3:PutObject", f"{bucket}/{name}", **keys), allowed, f"{who} {keys}")

    def test_nobody_deletes_a_version(self):
        for action in ("s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:PutObjectRetention", "s3:UpdateObjectEncryption"):
            self.only((), action, f"{ARTEFACTS}/{ZIP}")
        self.only(("administrator",), "s3:DeleteObject", f"{ARTEFACTS}/{ZIP}")

    def test_nothing_goes_without_tls(self):
        for bucket in (ARTEFACTS, RECORDS):
            self.only((), "s3:ListBucket", bucket, secure_transport=False)
            self.only((), "s3:GetObject", f"{bucket}/{ZIP}", secure_transport=False)

    def test_only_deployers_change_the_buckets_settings(self):
        stack = named(DeployerPrincipalArns=f"arn:aws:iam::{ACCOUNT}:role/platform/*,arn:aws:iam::{ACCOUNT}:user/jane")
        for bucket in (ARTEFACTS, RECORDS):
            for action in ("s3:PutBucketPolicy", "s3:PutBucketNotification", "s3:PutBucketVersioning", "s3:PutBucketLogging",
                           "s3:PutLifecycleConfiguration", "s3:PutReplicationConfiguration", "s3:PutBucketObjectLockConfiguration"):
                self.only((), action, bucket, stack)


class Records(Case):
    def test_each_record_has_its_writers(self):
        for key, writers in {
            f"{COMMIT}/verdict.json": GATE,
            f"{COMMIT}/revocation.json": (*GATE, "PromoterRole"),
            f"{COMMIT}/docs/handoffs/MOD-012-ci-built-{SHA}.handoff.md": GATE,
            f"{COMMIT}/docs/handoffs/MOD-012-ci-deployed-{SHA}.handoff.md": (*GATE, "RecordPromotionRole"),
            f"{COMMIT}/docs/handoffs/MOD-012-ci-revoked-{SHA}.handoff.md": GATE,
            f"{COMMIT}/docs/handoffs/MOD-012-ci-rolled-back-{SHA}.handoff.md": ("RecordPromotionRole",),
            f"{COMMIT}/attestations/built.dsse.json": GATE,
            "built/bank-payments/3f1c.json": GATE,
            "digests/3f1c/bank-payments/3f1c.json": GATE,
            "ledger/gate/bank-payments/0000000001.json": GATE,
            "ledger/uat/bank-payments/0000000001.json": ("PromoteRole", "RecordPromotionRole", "WatchDriftRole"),
            "ledger/uat/bank-payments/head.json": ("PromoteRole", "RecordPromotionRole", "WatchDriftRole"),
            "drift/uat/bank-payments.json": ("WatchDriftRole",),
            "promotions/uat/bank-payments/01JX/deployment.dsse.json": ("PromoteRole", "RecordPromotionRole"),
            "inspections/11/bank-payments/3f1c.json": GATE,
            "promotions/uat/bank-payments/01JX.json": ("PromoteRole", "RecordPromotionRole"),
            "promotions/uat/bank-payments/revocation.json": (),
            f"promotions/uat/bank-payments/{PROMOTION}/runs/lease.json": ("JudgeRunRole",),
            f"promotions/uat/bank-payments/{PROMOTION}/runs/dbt-MOD-301/manifest.json": ("JudgeRunRole",),
            "locks/uat/bank-payments.json": ("PromoteRole", "RecordPromotionRole"),
            "stages/uat/bank-payments.json": ("PromoteRole", "RecordPromotionRole"), # promote: of one that died before
            "config/stages.json": (),
            "config/policy.json": (),
            "config/identities.json": (),
            "anything/else": (),
        }.items():
            self.only(writers, "s3:PutObject", f"{RECORDS}/{key}")
            # After a conflict a writer looks whose it is: without this right every lost answer would be an error.
            for writer in writers:
                self.assertTrue(DEFAULT.may(writer, "s3:GetObject", f"{RECORDS}/{key}"), f"{writer} reads {key}")

    def test_only_deployers_configure(self):
        deployers = named(DeployerPrincipalArns=f"arn:aws:iam::{ACCOUNT}:role/administrator")
        for key in ("stages", "policy", "identities"):
            self.only(("administrator",), "s3:PutObject", f"{RECORDS}/config/{key}.json", deployers)
        self.only((), "s3:PutObject", f"{RECORDS}/{COMMIT}/verdict.json".replace("verdict", "other"), deployers)

    def test_nothing_is_deleted_and_no_lock_is_lifted(self):
        for action in ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:PutObjectRetention",
                       "s3:UpdateObjectEncryption"):
            self.only((), action, f"{RECORDS}/{COMMIT}/verdict.json")

    def test_ci_reads_what_became_of_a_commit_only(self):
        for key, allowed in ((f"{COMMIT}/verdict.json", True), (f"{COMMIT}/revocation.json", True), (f"{COMMIT}/docs/handoffs/x.handoff.md", True),
                             ("promotions/uat/bank-payments/01JX.json", False), ("config/stages.json", False), ("config/policy.json", True),
                             ("config/identities.json", False),
                             (f"built/bank-payments/{BRANCH}/last.json", True), (f"built/bank-payments/{BRANCH}/{COMMIT[-40:]}.json", False),
                             ("stages/last.json", False), ("promotions/built/last.json", False), ("built/last.json.json", False)):
            self.assertEqual(DEFAULT.may("CiRole", "s3:GetObject", f"{RECORDS}/{key}"), allowed, key)
        for action in ("s3:PutObject", "s3:GetObjectVersion", "s3:DeleteObject"):
            self.assertFalse(DEFAULT.may("CiRole", action, f"{RECORDS}/built/bank-payments/{BRANCH}/last.json"), action)
        self.assertFalse(DEFAULT.may("CiRole", "s3:ListBucket", RECORDS, s3__prefix="built/"))

    def test_approve_reads_of_a_commit_who_wrote_it_and_of_the_configuration_who_is_who(self):
        for arn, allowed in ((f"{ARTEFACTS}/{MANIFEST}", True), (f"{ARTEFACTS}/{ZIP}", False), (f"{ARTEFACTS}/{COMMIT}/reports/unit.xml", False),
                             (f"{RECORDS}/config/identities.json", True), (f"{RECORDS}/config/policy.json", False)):
            self.assertEqual(DEFAULT.may("ApproveRole", "s3:GetObject", arn), allowed, arn)
        self.assertFalse(DEFAULT.may("ApproveRole", "s3:PutObject", f"{ARTEFACTS}/{MANIFEST}"))

    def test_ci_lists_nothing_below_another_prefix_than_handoffs(self):
        for prefix, allowed in ((f"{COMMIT}/docs/handoffs/", True), (f"{COMMIT}/", False), ("promotions/", False), ("config/", False), ("", False)):
            self.assertEqual(DEFAULT.may("CiRole", "s3:ListBucket", RECORDS, s3__prefix=prefix), allowed, prefix)
        self.assertFalse(DEFAULT.may("CiRole", "s3:ListBucketVersions", RECORDS, s3__prefix=f"{COMMIT}/docs/handoffs/"))

    def test_ci_is_told_that_a_verdict_is_not_there_yet(self):
        """S3 says so only to those who may list; it asks without a prefix."""
        self.assertTrue(DEFAULT.may("CiRole", "s3:ListBucket", RECORDS))

    def test_ci_writes_no_handoff(self):
        for kind in ("built", "deployed", "revoked", "rolled-back"):
            self.assertFalse(DEFAULT.may("CiRole", "s3:PutObject", f"{RECORDS}/{COMMIT}/docs/handoffs/MOD-012-ci-{kind}-3f1c.handoff.md"))


class People(Case):
    def test_who_names_a_commit_by_its_first_digits_may_list_the_records(self):
        for who in ("PromoterRole", "ApproverRole", "AuditorRole"):
            self.assertTrue(DEFAULT.may(who, "s3:ListBucket", RECORDS, s3__prefix="bank-payments/3f1c9a0"), who)
        self.assertFalse(DEFAULT.may("ApproverRole", "s3:ListBucketVersions", RECORDS, s3__prefix="approvals/"))

    def test_promoters_and_auditors_read_all_that_status_commits_show_and_diff_ask_for(self):
        for who in ("PromoterRole", "AuditorRole"):
            for key in ("config/stages.json", "config/identities.json", "stages/uat/bank-payments.json", "locks/uat/bank-payments.json",
                        "drift/uat/bank-payments.json", f"promotions/uat/bank-payments/{PROMOTION}.json",
                        f"promotions/uat/bank-payments/{PROMOTION}/runs/lease.json", f"approvals/uat/{COMMIT}/{BRANCH}.json",
                        f"{COMMIT}/verdict.json", f"{COMMIT}/revocation.json"):
                self.assertTrue(DEFAULT.may(who, "s3:GetObject", f"{RECORDS}/{key}"), f"{who} {key}")
            for prefix in ("built/bank-payments/", "promotions/uat/bank-payments/", "stages/", ""):
                self.assertTrue(DEFAULT.may(who, "s3:ListBucket", RECORDS, s3__prefix=prefix), f"{who} {prefix}")
            for action in ("s3:GetObject", "s3:GetObjectVersion"):
                self.assertTrue(DEFAULT.may(who, action, f"{ARTEFACTS}/{MANIFEST}"), f"{who} {action}")


class Promotion(Case):
    def test_the_promoter_invokes_promote_and_nothing_else(self):
        self.only(("SmokeTestRole", "administrator", "made"), "lambda:InvokeFunction", f"{FUNCTION}bank-payments-uat-authorise")
        self.only(("PromoterRole", "administrator"), "lambda:InvokeFunction", f"{FUNCTION}gatekeeper-promote")
        self.only(("PromoterRole", "WatchDriftRole", "administrator"), "lambda:InvokeFunction", f"{FUNCTION}gatekeeper-judge-run") # hands in runs; looks
        self.only(("PromoteRole", "administrator"), "states:StartExecution", DEFAULT.outputs["PromotionStateMachine"])

    def test_a_workflow_promotes_like_the_promoter_and_opens_no_portal(self):
        both = ("PromoterRole", "GitHubPromoterRole")
        for name, others in (("promote", ()), ("judge-run", ("WatchDriftRole",))):
            self.only((*both, *others, "administrator"), "lambda:InvokeFunction", f"{FUNCTION}gatekeeper-{name}", GITHUB)
        self.only((*GATE, *both), "s3:PutObject", f"{RECORDS}/{COMMIT}/revocation.json", GITHUB)
        self.only((*GATE, "CiRole", *both, "administrator"), "s3:PutObjectTagging", f"{ARTEFACTS}/{MANIFEST}", GITHUB,
                  **tags(integration_passed="false"))
        portal = [one for one in GITHUB.statements("PromoterRole") if one["Resource"] == Portal.PORTAL]
        self.assertEqual(len(portal), 2)
        self.assertEqual(GITHUB.statements("GitHubPromoterRole"), [one for one in GITHUB.statements("PromoterRole") if one not in portal])

    def test_the_steps_cannot_touch_the_gatekeeper_whatever_a_template_asks(self):
        """StackRole with administrator's rights too: what CDK's own execution role has."""
        stack = named(StackRolePolicyArns="arn:aws:iam::aws:policy/AdministratorAccess")
        self.assertIn("arn:aws:iam::aws:policy/AdministratorAccess", stack.properties("StackRole")["ManagedPolicyArns"])
        stack.properties("StackRole")["Policies"].append(
            {"PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}})
        intake = stack.attribute("IntakeRole", "Arn")
        for who in ("ApplyStackRole", "DeployFunctionRole", "SmokeTestRole", "StackRole"):
            for action, arn in (
                ("lambda:UpdateFunctionCode", f"{FUNCTION}gatekeeper-intake"), ("lambda:InvokeFunction", f"{FUNCTION}gatekeeper-migrate-database"),
                ("lambda:InvokeFunction", f"{FUNCTION}gatekeeper-promote"),
                ("cloudformation:CreateChangeSet", f"{STACK}gatekeeper/1"), ("cloudformation:DeleteStack", f"{STACK}gatekeeper/1"),
                ("iam:PutRolePolicy", intake), ("iam:PassRole", intake), ("iam:UpdateAssumeRolePolicy", intake), ("sts:AssumeRole", intake),
                ("iam:DeleteRolePolicy", stack.attribute("StackRole", "Arn")),
                ("s3:PutBucketPolicy", ARTEFACTS), ("s3:PutObject", f"{ARTEFACTS}/{ZIP}"), ("s3:PutObject", f"{RECORDS}/config/stages.json"),
                ("kms:ScheduleKeyDeletion", stack.outputs["EncryptionKeyArn"]), ("kms:PutKeyPolicy", stack.outputs["SigningKeyArn"]),
                ("s3:PutObject", f"{RECORDS}/ledger/uat/bank-payments/head.json"), ("kms:Sign", stack.outputs["PromotionSigningKeyArn"]),
            ):
                self.assertFalse(stack.may(who, action, arn), f"{who} {action}")

    def test_only_cloudformation_gets_the_stack_role_and_only_from_apply_stack(self):
        role = DEFAULT.attribute("StackRole", "Arn")
        self.only(("ApplyStackRole", "administrator"), "iam:PassRole", role, iam__PassedToService="cloudformation.amazonaws.com")
        self.only(("administrator",), "iam:PassRole", role, iam__PassedToService="lambda.amazonaws.com")

    def test_stages_in_other_accounts(self):
        stage = "arn:aws:iam::444455556666:role/gatekeeper-stage"
        self.only(("administrator", "made"), "sts:AssumeRole", stage)
        self.only((*STEPS, "WatchDriftRole", "administrator"), "sts:AssumeRole", stage, named(StageRoleArns=stage))


class Sizes(Case):
    """Characters without white space (IAM and S3 quotas), under the longest names that these quotas leave room for."""

    def size(self, document: object) -> int:
        text = json.dumps(document).replace(" ", "")
        return len(text) + text.count("gatekeeper") * (32 - len("gatekeeper"))

    def test_policies_fit(self):
        stack = named(GitHubPromoterSubjects=SUBJECT, GitHubSubjects=SUBJECT, DatabaseSecretArns=f"{SECRET},{SECRET}", CodeBucket="gatekeeper-code",
                      DeployerPrincipalArns=f"{SSO},{SSO}", StageRoleArns=f"arn:aws:iam::444455556666:role/gatekeeper-stage,{SSO}")
        for name, policy in stack.of_type("AWS::IAM::ManagedPolicy").items():
            self.assertLess(self.size(policy["PolicyDocument"]), 6144, name)
        for name, policy in stack.of_type("AWS::S3::BucketPolicy").items():
            self.assertLess(self.size(policy["PolicyDocument"]), 20480, name)
        for name, role in stack.of_type("AWS::IAM::Role").items():
            self.assertLess(sum(self.size(policy["PolicyDocument"]) for policy in role.get("Policies", [])), 10240, name)
            self.assertLess(self.size(role["AssumeRolePolicyDocument"]), 2048, name)

    def test_eight_people_fit_into_a_roles_trust(self):
        stack = named(PromoterPrincipalArns=",".join([SSO] * 8))
        self.assertLess(self.size(stack.properties("PromoterRole")["AssumeRolePolicyDocument"]), 2048)


class Databases(Case):
    def test_migrate_database_reads_the_secrets_that_are_named_and_nobody_else_does(self):
        self.only(("MigrateDatabaseRole", "administrator"), "secretsmanager:GetSecretValue", SECRET, DATABASES)
        for action in ("PutSecretValue", "DeleteSecret", "DescribeSecret", "UpdateSecret", "ListSecretVersionIds"):
            self.only(("administrator",), f"secretsmanager:{action}", SECRET, DATABASES)
        for other in (SECRET.replace("payments", "ledger"), SECRET.replace(ACCOUNT, "444455556666")):
            self.only(("administrator", "made"), "secretsmanager:GetSecretValue", other, DATABASES)

    def test_by_default_it_reads_none(self):
        self.only(("administrator", "made"), "secretsmanager:GetSecretValue", SECRET)
        self.assertNotIn("DecipherSecrets", [one.get("Sid") for one in DEFAULT.statements("MigrateDatabaseRole")])

    def test_no_stages_template_reads_a_migration_secret(self):
        stack = named(StackRolePolicyArns="arn:aws:iam::aws:policy/AdministratorAccess", DatabaseSecretArns=SECRET)
        for who in ("StackRole", "ApplyStackRole", "DeployFunctionRole", "SmokeTestRole"):
            stack.properties(who)["Policies"].append({"PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}})
            self.assertFalse(stack.may(who, "secretsmanager:GetSecretValue", SECRET), who)
            self.assertTrue(stack.may(who, "secretsmanager:GetSecretValue", SECRET.replace("gatekeeper/", "bank-payments/")), who)

    def test_the_secrets_key_is_used_through_secrets_manager_only(self):
        statement, = (one for one in DATABASES.statements("MigrateDatabaseRole") if one.get("Sid") == "DecipherSecrets")
        self.assertEqual((statement["Action"], statement["Resource"]), ("kms:Decrypt", [SECRETS_KEY]))
        self.assertEqual(statement["Condition"], {"StringEquals": {"kms:ViaService": "secretsmanager.ap-southeast-2.amazonaws.com"}})

    def test_it_reads_the_plan_the_migrations_and_the_snapshots_only(self):
        schema = f"{COMMIT}/modules/MOD-012/schema"
        for key, allowed in ((f"{schema}/payments-schema.sql", True), (f"{schema}/payments/migrations/V1__create_ledger.sql", True),
                             (ZIP, False), (MANIFEST, False), (f"{COMMIT}/reports/junit.xml", False)):
            for action in ("s3:GetObject", "s3:GetObjectVersion"):
                self.assertEqual(DATABASES.may("MigrateDatabaseRole", action, f"{ARTEFACTS}/{key}"), allowed, key)
        for key, allowed in (("promotions/uat/bank-payments/01JX.json", True), ("config/stages.json", False), (f"{COMMIT}/verdict.json", False)):
            self.assertEqual(DATABASES.may("MigrateDatabaseRole", "s3:GetObject", f"{RECORDS}/{key}"), allowed, key)

    def test_it_is_invoked_by_the_promotion_and_by_promote(self):
        function = f"{FUNCTION}gatekeeper-migrate-database"
        self.only(("PromoteRole", "WatchDriftRole", "administrator"), "lambda:InvokeFunction", function, DATABASES)
        self.only(("administrator",), "lambda:InvokeFunction", function)
        invoked = [one["Resource"] for one in DATABASES.statements("PromoteRole") if one["Action"] == "lambda:InvokeFunction"]
        self.assertEqual(invoked, [function])
        self.assertTrue(DATABASES.may("PromotionRole", "lambda:InvokeFunction", function))

    def test_in_a_vpc_lambda_makes_its_interfaces_and_the_function_none(self):
        create = "ec2:CreateNetworkInterface"
        self.only(("administrator", "made"), create, "*", DATABASES)
        inside = named(DatabaseSubnetIds="subnet-1", DatabaseSecurityGroupIds="sg-1")
        self.only(("MigrateDatabaseRole", "administrator", "made"), create, "*", inside)
        self.only(("administrator", "made"), create, "*", inside, lambda__SourceFunctionArn=f"{FUNCTION}gatekeeper-migrate-database")


class Work(Case):
    """What each role needs for its work on AWS, where the local AWS asks for less."""

    def check(self, who: str, **work: tuple[str, ...]) -> None:
        things = {
            "artefacts": ARTEFACTS, "artefact": f"{ARTEFACTS}/{ZIP}", "records": RECORDS, "key": DEFAULT.outputs["EncryptionKeyArn"],
            "verdict": f"{RECORDS}/{COMMIT}/verdict.json", "promotion": f"{RECORDS}/promotions/uat/bank-payments/01JX.json",
            "stages": f"{RECORDS}/config/stages.json", "asset": f"arn:aws:s3:::cdk-hnb659fds-assets-{ACCOUNT}-ap-southeast-2/3f1c.zip",
            "stack": f"{STACK}bank-payments-uat-payments-api/1", "function": f"{FUNCTION}bank-payments-uat-authorise",
            "layer": f"arn:aws:lambda:ap-southeast-2:{ACCOUNT}:layer:uat-shared:7",
            "repository": f"arn:aws:ecr:ap-southeast-2:{ACCOUNT}:repository/cdk-hnb659fds-container-assets-{ACCOUNT}-ap-southeast-2",
            "shared_repository": "arn:aws:ecr:ap-southeast-2:999999999999:repository/bank/pay",
            "execution": f"arn:aws:states:ap-southeast-2:{ACCOUNT}:execution:gatekeeper-promotion:01JX", "anything": "*",
            "bootstrap": f"arn:aws:ssm:ap-southeast-2:{ACCOUNT}:parameter/cdk-bootstrap/hnb659fds/version",
            "itself": f"{STACK}gatekeeper/1", "letters": DEFAULT.attribute("DeadLetterQueue", "Arn"), "events": DEFAULT.attribute("EventQueue", "Arn"),
            "logs": f"arn:aws:logs:ap-southeast-2:{ACCOUNT}:log-group:/aws/lambda/gatekeeper-promote:log-stream:one",
        }
        for thing, actions in work.items():
            for action in actions:
                self.assertTrue(DEFAULT.may(who, action, things[thing]), f"{who} {action} {thing}")

    def test_the_gate_looks_tags_and_writes(self):
        for who in GATE:
            self.check(
                who, artefacts=("s3:ListBucket", "s3:ListBucketVersions"), records=("s3:ListBucket",), verdict=("s3:GetObject",),
                artefact=("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
                key=("kms:Decrypt", "kms:GenerateDataKey"), events=("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"),
            )

    def test_only_the_gate_takes_events_and_none_of_ours_puts_any_there(self):
        queue = DEFAULT.attribute("EventQueue", "Arn")
        for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"):
            self.only((*GATE, "administrator"), action, queue)
        self.only(("administrator",), "sqs:SendMessage", queue)

    def test_promote_verifies_and_locks(self):
        self.check(
            "PromoteRole", artefacts=("s3:ListBucket", "s3:ListBucketVersions"), records=("s3:ListBucket",), verdict=("s3:GetObject",),
            artefact=("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectVersionTagging"), stages=("s3:GetObject", "s3:GetObjectVersion"),
            key=("kms:Decrypt", "kms:GenerateDataKey"), execution=("states:DescribeExecution",),
        )

    def test_apply_stack_copies_assets_and_changes_stacks(self):
        self.check(
            "ApplyStackRole", promotion=("s3:GetObject",), artefact=("s3:GetObject", "s3:GetObjectVersion"),
            asset=("s3:GetObject", "s3:PutObject"), key=("kms:Decrypt",), anything=("cloudformation:GetTemplateSummary",),
            bootstrap=("ssm:GetParameters",), repository=("ecr:DescribeImages", "ecr:DescribeRepositories"),
            shared_repository=("ecr:DescribeImages", "ecr:DescribeRepositories"),
            stack=tuple(f"cloudformation:{name}" for name in (
                "CreateChangeSet", "DescribeChangeSet", "ExecuteChangeSet", "DeleteChangeSet", "DescribeStacks",
                "DescribeStackEvents", "DescribeEvents", "GetTemplate", "ListStackResources",
                "DeleteStack", "UpdateTerminationProtection")),
        )

    def test_apply_stack_writes_no_bucket_but_the_asset_buckets_of_its_account(self):
        for bucket in ("cdk-hnb659fds-assets-999999999999-ap-southeast-2", "bank-site", f"cdk-hnb659fds-staging-{ACCOUNT}-ap-southeast-2"):
            self.assertFalse(DEFAULT.may("ApplyStackRole", "s3:PutObject", f"arn:aws:s3:::{bucket}/3f1c.zip"), bucket)
        self.assertFalse(DEFAULT.may("ApplyStackRole", "s3:PutObject", f"{ARTEFACTS}/{COMMIT}/modules/MOD-012/assets/3f1c.zip"))
        self.assertFalse(DEFAULT.may("ApplyStackRole", "s3:DeleteObject", f"arn:aws:s3:::cdk-hnb659fds-assets-{ACCOUNT}-ap-southeast-2/3f1c.zip"))

    def test_nobody_of_ours_pushes_an_image(self):
        repository = f"arn:aws:ecr:ap-southeast-2:{ACCOUNT}:repository/bank/pay"
        for action in ("ecr:PutImage", "ecr:BatchDeleteImage", "ecr:PutImageTagMutability", "ecr:InitiateLayerUpload"):
            self.assertFalse(DEFAULT.may("ApplyStackRole", action, repository), action)

    def test_cloudformation_reads_code_for_a_stage(self):
        self.check("StackRole", artefact=("s3:GetObject", "s3:GetObjectVersion"), asset=("s3:GetObject",), key=("kms:Decrypt",),
                   bootstrap=("ssm:GetParameters",))

    def test_deploy_function_updates_from_the_pinned_version(self):
        self.check(
            "DeployFunctionRole", promotion=("s3:GetObject",), artefact=("s3:GetObjectVersion",), key=("kms:Decrypt",),
            stack=("cloudformation:DescribeStackResource", "cloudformation:ListStackResources"),
            function=tuple(f"lambda:{name}" for name in (
                "GetFunction", "UpdateFunctionCode", "PublishVersion")),
            layer=("lambda:GetLayerVersion",),
        )

    def test_migrate_database_reads(self):
        self.check("MigrateDatabaseRole", promotion=("s3:GetObject",), key=("kms:Decrypt",))

    def test_judge_run_reads_what_it_judges_and_assumes_who_reads_backends(self):
        self.check("JudgeRunRole", records=("s3:ListBucket",), promotion=("s3:GetObject",), key=("kms:Decrypt", "kms:GenerateDataKey"))
        manifest = f"{ARTEFACTS}/{COMMIT}/modules/MOD-301/dbt/manifest.json"
        for arn, allowed in ((manifest, True), (f"{ARTEFACTS}/{ZIP}", False), (f"{RECORDS}/config/policy.json", True),
                             (f"{RECORDS}/{COMMIT}/revocation.json", True), (f"{RECORDS}/ledger/gate/bank-payments/head.json", True),
                             (f"{RECORDS}/ledger/uat/bank-payments/head.json", False), (f"{RECORDS}/config/stages.json", False)):
            self.assertEqual(DEFAULT.may("JudgeRunRole", "s3:GetObject", arn), allowed, arn)
        self.assertTrue(DEFAULT.may("JudgeRunRole", "s3:GetObjectVersion", manifest))
        reader = "arn:aws:iam::444455556666:role/pulumi-reader"
        self.assertFalse(DEFAULT.may("JudgeRunRole", "sts:AssumeRole", reader))
        self.only(("JudgeRunRole", "administrator"), "sts:AssumeRole", reader, named(BackendReadRoleArns=reader))

    def test_verify_provenance_reads_bundles_and_nothing_else(self):
        self.check("VerifyProvenanceRole", key=("kms:Decrypt",))
        for arn, allowed in ((f"{ARTEFACTS}/{COMMIT}/provenance/build.sigstore.json", True), (f"{ARTEFACTS}/{ZIP}", False),
                             (f"{ARTEFACTS}/{MANIFEST}", False), (f"{RECORDS}/config/policy.json", False)):
            for action in ("s3:GetObject", "s3:GetObjectVersion"):
                self.assertEqual(DEFAULT.may("VerifyProvenanceRole", action, arn), allowed, arn)
        self.only((*GATE, "administrator"), "lambda:InvokeFunction", f"{FUNCTION}gatekeeper-verify-provenance")

    def test_smoke_test_asks(self):
        self.check("SmokeTestRole", promotion=("s3:GetObject",), key=("kms:Decrypt",), stack=("cloudformation:DescribeStacks",),
                   function=("lambda:InvokeFunction", "lambda:InvokeFunctionUrl"))

    def test_record_promotion_sees_what_is_live(self):
        self.check("RecordPromotionRole", records=("s3:ListBucket",), promotion=("s3:GetObject",), function=("lambda:GetFunction",),
                   stack=("cloudformation:ListStackResources",), key=("kms:Decrypt", "kms:GenerateDataKey"))
        execution = f"arn:aws:states:ap-southeast-2:{ACCOUNT}:execution:gatekeeper-promotion:01JX"
        self.assertFalse(DEFAULT.may("RecordPromotionRole", "states:DescribeExecution", execution))

    def test_watch_drift_looks_and_tells(self):
        self.check("WatchDriftRole", artefacts=("s3:ListBucketVersions",), artefact=("s3:GetObjectVersionTagging",),
                   records=("s3:ListBucket", "s3:ListBucketVersions"), verdict=("s3:GetObject", "s3:GetObjectVersion"), promotion=("s3:GetObject",),
                   function=("lambda:GetFunction",), key=("kms:Decrypt", "kms:GenerateDataKey"), anything=("cloudformation:BatchDescribeTypeConfigurations",),
                   stack=tuple(f"cloudformation:{name}" for name in (
                       "DescribeStacks", "GetTemplate", "ListStackResources", "DetectStackDrift", "DescribeStackResourceDrifts")))
        self.assertFalse(DEFAULT.may("WatchDriftRole", "s3:GetObject", f"{ARTEFACTS}/{ZIP}"))

    def test_ci_uploads_in_parts_and_waits_for_the_verdict(self):
        self.check("CiRole", artefacts=("s3:ListBucket", "s3:ListBucketVersions"), itself=("cloudformation:DescribeStacks",), artefact=("s3:AbortMultipartUpload", "s3:GetObjectTagging"),
                   key=("kms:GenerateDataKey", "kms:Decrypt"), records=("s3:ListBucket",))

    def test_the_promoter_follows_and_revokes(self):
        self.check("PromoterRole", artefacts=("s3:ListBucketVersions",), itself=("cloudformation:DescribeStacks",), artefact=("s3:GetObject", "s3:GetObjectTagging"),
                   records=("s3:ListBucket",), promotion=("s3:GetObject",), verdict=("s3:GetObject",), stages=("s3:GetObject",),
                   execution=("states:DescribeExecution", "states:GetExecutionHistory"), key=("kms:Decrypt", "kms:GenerateDataKey"))

    def test_the_auditor_looks_everywhere(self):
        self.check("AuditorRole", artefacts=("s3:ListBucketVersions", "s3:GetBucketPolicy"), artefact=("s3:GetObjectVersion",),
                   records=("s3:GetBucketObjectLockConfiguration",), promotion=("s3:GetObjectVersion", "s3:GetObjectRetention"),
                   execution=("states:GetExecutionHistory",), logs=("logs:FilterLogEvents", "logs:StartQuery"), key=("kms:Decrypt",),
                   function=("lambda:GetFunction",), stack=("cloudformation:GetTemplate",), letters=("sqs:GetQueueAttributes",))


class ExactKeys(Case):
    """A wildcard of a policy takes slashes too: whoever may write one kind of record must not get at another by it."""

    D = "3f" * 32
    # Each variant of `RecordKey` (shared/model/src/store_key.rs), who writes it, and one key of it.
    KINDS = {
        "Verdict": (GATE, f"{COMMIT}/verdict.json"),
        "Revocation": ((*GATE, "PromoterRole", "GitHubPromoterRole"), f"{COMMIT}/revocation.json"),
        "BuiltHandoff": (GATE, f"{COMMIT}/docs/handoffs/MOD-012-ci-built-{SHA}.handoff.md"),
        "DeployedHandoff": ((*GATE, "RecordPromotionRole"), f"{COMMIT}/docs/handoffs/MOD-012-ci-deployed-{SHA}.handoff.md"),
        "RevokedHandoff": (GATE, f"{COMMIT}/docs/handoffs/MOD-012-ci-revoked-{SHA}.handoff.md"),
        "RolledBackHandoff": (("RecordPromotionRole",), f"{COMMIT}/docs/handoffs/MOD-012-ci-rolled-back-{SHA}.handoff.md"),
        "Inspections": (GATE, f"inspections/11/bank-payments/{SHA}.json"),
        "StagesConfig": ((), "config/stages.json"),
        "PolicyConfig": ((), "config/policy.json"),
        "IdentitiesConfig": ((), "config/identities.json"),
        "TrustedRoot": ((), "config/trusted-roots/corp.json"),
        "TrustRoot": ((), "config/trust/2.root.json"),
        "LastBuilt": (GATE, f"built/bank-payments/{D}/last.json"),
        "Predecessor": (GATE, f"built/bank-payments/{D}/{SHA}.json"),
        "Promotion": (("PromoteRole", "RecordPromotionRole"), "promotions/uat/bank-payments/01JX.json"),
        "Stage": (("PromoteRole", "RecordPromotionRole"), "stages/uat/bank-payments.json"),
        "Lock": (("PromoteRole", "RecordPromotionRole"), "locks/uat/bank-payments.json"),
        "Drift": (("WatchDriftRole",), "drift/uat/bank-payments.json"),
        "Freshness": (("WatchDriftRole",), "drift/uat/bank-payments/freshness.json"),
        "StageRepositories": (("WatchDriftRole",), "drift/uat.repositories.json"),
        "Approval": (("ApproveRole",), f"approvals/uat/{COMMIT}/{D}.json"),
        "BuiltAttestation": (GATE, f"{COMMIT}/attestations/built.dsse.json"),
        "PromotionAttestation": (("PromoteRole", "RecordPromotionRole"), "promotions/uat/bank-payments/01JX/deployment.dsse.json"),
        "StopWish": (("PromoteRole", "RecordPromotionRole"), f"promotions/uat/bank-payments/{PROMOTION}/stop.json"),
        "HoldRelease": (("ApproveRole",), f"approvals/uat/{PROMOTION}.json"),
        "ProposedWaiver": (("ApproveRole",), f"approvals/uat/waivers/{PROMOTION}.json"),
        "OpenLease": (("JudgeRunRole",), f"promotions/uat/bank-payments/{PROMOTION}/runs/lease.json"),
        "RunCompletion": (("JudgeRunRole",), f"promotions/uat/bank-payments/{PROMOTION}/runs/dbt-MOD-301.json"),
        "RunEvidence": (("JudgeRunRole",), f"promotions/uat/bank-payments/{PROMOTION}/runs/dbt-MOD-301/run_results.json"),
        "LedgerEntry": (("PromoteRole", "RecordPromotionRole", "WatchDriftRole"), "ledger/uat/bank-payments/0000000001.json"),
        "LedgerHead": (("PromoteRole", "RecordPromotionRole", "WatchDriftRole"), "ledger/uat/bank-payments/head.json"),
        "DigestIndex": (GATE, f"digests/{D}/{COMMIT}.json"),
    }
    FOLDERS = ("approvals", "built", "config", "digests", "drift", "inspections", "ledger", "locks", "promotions", "stages")
    # Who writes anything at all into a folder at the top.
    OWNERS = {"approvals": {"ApproveRole"}, "built": set(GATE), "config": set(), "digests": set(GATE), "drift": {"WatchDriftRole"},
              "inspections": set(GATE), "ledger": {"PromoteRole", "RecordPromotionRole", "WatchDriftRole", *GATE},
              "locks": {"PromoteRole", "RecordPromotionRole"}, "promotions": {"PromoteRole", "RecordPromotionRole", "JudgeRunRole"}, "stages": {"PromoteRole", "RecordPromotionRole"}}

    def writers(self, key: str) -> set[str]:
        present = (who for who in EVERYBODY if who in ("administrator", "made") or who in GITHUB.resources)
        return {who for who in present if GITHUB.may(who, "s3:PutObject", f"{RECORDS}/{key}")}

    def test_every_kind_is_here_and_every_folder_is_reserved(self):
        source = (HERE.parent / "shared/model/src/store_key.rs").read_text()
        variants = re.search(r"pub enum RecordKey \{(.*?)\n\}", source, re.DOTALL)[1]
        known = set(re.findall(r"^    ([A-Z]\w+)", variants, re.MULTILINE))
        self.assertEqual(known - self.KINDS.keys(), set(), "say here who writes it, and in the buckets' policy")
        reserved = re.search(r"RESERVED_REPOS: \[&str; \d+\] =\s*\[(.*?)\]", (HERE.parent / "shared/model/src/ids.rs").read_text(), re.DOTALL)[1]
        self.assertEqual(set(re.findall(r'"([^"]+)"', reserved)), set(self.FOLDERS))

    def test_each_kind_has_its_writers_for_commits_of_both_lengths(self):
        for kind, (writers, key) in self.KINDS.items():
            for sha in (SHA, "3f" * 32):
                self.assertEqual(self.writers(key.replace(SHA, sha)), set(writers), f"{kind} {sha}")

    def test_a_records_name_in_another_folder_gives_nobody_a_way_in(self):
        """Whatever may be written of a commit, below each folder at the top, and deeper in a commit's own."""
        of_commits = [key.removeprefix(COMMIT) for _, key in self.KINDS.values() if key.startswith(COMMIT)]
        for folder in self.FOLDERS:
            for name in of_commits:
                for between in ("", f"/{SHA}", f"/uat/{COMMIT}", f"/{self.D}/{COMMIT}", f"/uat/bank-payments/{'x' * 18}/{'x' * 21}"):
                    key = f"{folder}{between}{name}"
                    self.assertLessEqual(self.writers(key), self.OWNERS[folder], key)

    def test_nothing_deeper_in_a_commits_folder_is_anybodys(self):
        of_commits = [key.removeprefix(COMMIT) for _, key in self.KINDS.values() if key.startswith(COMMIT)]
        for name in of_commits:
            for key in (f"{COMMIT}/x{name}", f"{COMMIT}/attestations{name}", f"{COMMIT}/docs/handoffs{name}", f"{COMMIT}/{SHA}{name}", f"x/{COMMIT}{name}"):
                self.assertEqual(self.writers(key), set(), key)

    def test_a_repository_called_like_a_record_is_promoted_like_others(self):
        for repo in ("verdict", "revocation", "docs", "attestations", "handoffs"):
            for folder in ("stages", "locks", "drift"):
                _, key = self.KINDS[folder.removesuffix("s").capitalize()]
                self.assertEqual(self.writers(key.replace("bank-payments", repo)), self.writers(key), f"{folder} {repo}")
            _, key = self.KINDS["Approval"]
            self.assertEqual(self.writers(key.replace("bank-payments", repo)), {"ApproveRole"}, repo)

    def test_the_tag_of_a_manifest_is_asked_for_at_a_manifests_place_only(self):
        for key in (f"x/y/{COMMIT}/build-manifest.json", f"{COMMIT}/x/build-manifest.json", "bank-payments/build-manifest.json",
                    "a/b/c/build-manifest.json", f"bank-payments/{SHA[:-1]}/build-manifest.json"):
            self.only(GATE, "s3:PutObjectTagging", f"{ARTEFACTS}/{key}", **tags(integration_passed="true"))
        self.only((*GATE, "CiRole", "administrator"), "s3:PutObjectTagging", f"{ARTEFACTS}/bank-payments/{'3f' * 32}/build-manifest.json",
                  **tags(integration_passed="true"))

    def test_what_is_put_can_be_read_at_once(self):
        for who, bucket, key in (("CiRole", ARTEFACTS, ZIP), ("PromoterRole", RECORDS, f"{COMMIT}/revocation.json")):
            for storage_class, allowed in (("STANDARD", True), ("GLACIER_IR", True), ("GLACIER", False), ("DEEP_ARCHIVE", False)):
                self.assertEqual(DEFAULT.may(who, "s3:PutObject", f"{bucket}/{key}", **{"s3__x-amz-storage-class": storage_class}), allowed, storage_class)


class Takeover(Case):
    """A role with `*` that a stack made in the gatekeeper's account, as a template that passed the gate would have it."""

    BOUNDARY = DEFAULT.outputs["StageBoundaryArn"]
    BOB = f"arn:aws:sts::{ACCOUNT}:assumed-role/made/bob"  # a function called bob

    def attacks(self, stack: Rendered) -> list[tuple[str, str]]:
        """What would take over the gate."""
        region = f"ap-southeast-2:{ACCOUNT}"
        ours = f"arn:aws:iam::{ACCOUNT}:"
        found = [(action, f"{FUNCTION}gatekeeper-{name}") for name in ("intake", "verify-provenance", "promote", "approve", "record-promotion", "portal")
                 for action in ("lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:AddPermission", "lambda:InvokeFunction",
                                "lambda:DeleteFunction", "lambda:PutFunctionConcurrency", "lambda:PutFunctionEventInvokeConfig")]
        found += [(action, stack.attribute(role, "Arn")) for role in stack.of_type("AWS::IAM::Role")
                  for action in ("iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:PassRole", "iam:DeleteRole", "sts:AssumeRole",
                                 "iam:PutRolePermissionsBoundary")]
        found += [(action, self.BOUNDARY) for action in ("iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:DeletePolicy", "iam:DeletePolicyVersion")]
        found += [(action, f"{ours}oidc-provider/token.actions.githubusercontent.com") for action in
                  ("iam:UpdateOpenIDConnectProviderThumbprint", "iam:AddClientIDToOpenIDConnectProvider", "iam:DeleteOpenIDConnectProvider")]
        found += [("iam:UpdateSAMLProvider", f"{ours}saml-provider/AWSSSO_0123_DO_NOT_DELETE"), ("sso:CreateAccountAssignment", "*"),
                  ("identitystore:CreateUser", "*"), ("organizations:DetachPolicy", "*"),
                  ("iam:CreateAccessKey", USER), ("iam:UpdateLoginProfile", USER), ("iam:PutUserPolicy", USER), ("iam:UpdateAssumeRolePolicy", SSO)]
        found += [(action, f"arn:aws:cloudwatch:{region}:alarm:gatekeeper-BreakGlassAlarm-1X") for action in
                  ("cloudwatch:DeleteAlarms", "cloudwatch:DisableAlarmActions", "cloudwatch:PutMetricAlarm", "cloudwatch:SetAlarmState")]
        found += [(action, f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/gatekeeper") for action in ("cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards")]
        found += [(f"logs:{action}", f"arn:aws:logs:{region}:log-group:{group['LogGroupName']}{behind}") for group in stack.of_type("AWS::Logs::LogGroup").values()
                  for action in ("DeleteLogGroup", "PutRetentionPolicy", "DeleteLogStream", "PutSubscriptionFilter") for behind in ("", ":*", ":log-stream:one")]
        found += [("events:DisableRule", f"arn:aws:events:{region}:rule/gatekeeper-WatchDriftFunctionSchedule-1"), ("events:PutTargets", f"arn:aws:events:{region}:rule/gatekeeper-x"),
                  ("sns:DeleteTopic", stack.outputs["AlarmTopicArn"]), ("sns:Publish", stack.outputs["AlarmTopicArn"]),
                  *((action, stack.attribute(queue, "Arn")) for queue in ("EventQueue", "DeadLetterQueue")
                    for action in ("sqs:PurgeQueue", "sqs:ReceiveMessage", "sqs:SetQueueAttributes", "sqs:StartMessageMoveTask")),
                  *((f"lambda:{action}EventSourceMapping", stack.attribute("IntakeEvents", "EventSourceMappingArn")) for action in ("Update", "Delete")),
                  ("states:StartExecution", stack.outputs["PromotionStateMachine"]), ("states:UpdateStateMachine", stack.outputs["PromotionStateMachine"]),
                  ("states:StopExecution", f"arn:aws:states:{region}:execution:gatekeeper-promotion:01JX"),
                  ("cloudformation:UpdateStack", f"{STACK}gatekeeper/1"), ("cloudformation:DeleteStack", f"{STACK}gatekeeper/1"),
                  ("s3:PutObject", f"arn:aws:s3:::{stack.parameters['CodeBucket']}/gatekeeper/0123"), ("s3:PutBucketPolicy", ARTEFACTS),
                  ("s3:PutObject", f"{ARTEFACTS}/{ZIP}"), ("s3:PutObject", f"{RECORDS}/{COMMIT}/verdict.json"), ("s3:PutObject", f"{RECORDS}/config/stages.json"),
                  ("s3:PutObject", f"{RECORDS}/{COMMIT}/revocation.json"), ("s3:PutBucketNotification", ARTEFACTS),
                  ("secretsmanager:GetSecretValue", SECRET)]
        found += [(action, stack.attribute(key, "Arn")) for key in ("EncryptionKey", "SigningKey", "PromotionSigningKey", "ApprovalSigningKey") for action in
                  ("kms:Sign", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:CreateGrant")]
        return found

    def deployed(self, **parameters: str) -> Rendered:
        return named(CodeBucket="gatekeeper-code-1", DatabaseSecretArns=SECRET, GitHubSubjects=SUBJECT, GitHubPromoterSubjects=SUBJECT, **parameters)

    def test_within_the_boundary_it_can_do_nothing_to_the_gate(self):
        stack = self.deployed()
        for action, arn in self.attacks(stack):
            self.assertFalse(stack.may("made", action, arn), f"{action} {arn}")

    def test_nor_can_cloudformation_for_a_stage_with_an_administrators_rights_even_where_the_account_is_shared(self):
        for parameters in ({}, {"SharedAccount": "accepted"}):
            stack = self.deployed(StackRolePolicyArns="arn:aws:iam::aws:policy/AdministratorAccess", **parameters)
            stack.properties("StackRole")["Policies"].append({"PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}})
            for action, arn in self.attacks(stack):
                self.assertFalse(stack.may("StackRole", action, arn), f"{action} {arn}")

    def test_it_can_do_what_a_service_does(self):
        for action, arn in (("dynamodb:PutItem", f"arn:aws:dynamodb:ap-southeast-2:{ACCOUNT}:table/payments"), ("s3:PutObject", "arn:aws:s3:::bank-payments/x"),
                            ("lambda:InvokeFunction", f"{FUNCTION}bank-payments-uat-post"), ("sts:AssumeRole", "arn:aws:iam::999900001111:role/statements"),
                            ("secretsmanager:GetSecretValue", SECRET.replace("gatekeeper/", "bank-payments/")), ("iam:GetRole", f"arn:aws:iam::{ACCOUNT}:role/x")):
            self.assertTrue(self.deployed().may("made", action, arn), action)

    def test_it_makes_nobody_without_the_boundary_and_acts_as_nobody_else(self):
        stack = self.deployed(StageRoleArns="arn:aws:iam::444455556666:role/gatekeeper-stage")
        for action in ("iam:CreateRole", "iam:CreateUser", "iam:PutRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:PutRolePermissionsBoundary",
                       "iam:DeleteUserPermissionsBoundary", "iam:PassRole", "sts:AssumeRole", "iam:CreateServiceLinkedRole"):
            self.assertFalse(stack.may("made", action, f"arn:aws:iam::{ACCOUNT}:role/any"), action)
        self.assertFalse(stack.may("made", "sts:AssumeRole", "arn:aws:iam::444455556666:role/gatekeeper-stage"))
        for action in ("cloudformation:UpdateStack", "cloudformation:CreateStack", "cloudformation:ExecuteChangeSet"):
            self.assertFalse(stack.may("made", action, f"{STACK}bank-payments-uat-payments-api/1"), f"{action}: CloudFormation would act as StackRole")

    def test_cloudformation_makes_roles_and_users_with_the_boundary_only(self):
        for shared, parameters in ((False, {}), (True, {"SharedAccount": "accepted"})):
            stack = self.deployed(**parameters)
            stack.properties("StackRole")["Policies"].append({"PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}})
            for kind, name in (("role", "Role"), ("user", "User")):
                for action in (f"Create{name}", f"Put{name}Policy", f"Attach{name}Policy", f"Put{name}PermissionsBoundary"):
                    arn = f"arn:aws:iam::{ACCOUNT}:{kind}/bank-payments-uat-x"
                    for boundary, allowed in ((self.BOUNDARY, True), ("arn:aws:iam::aws:policy/AdministratorAccess", shared), (None, shared)):
                        keys = {} if boundary is None else {"iam__PermissionsBoundary": boundary}
                        self.assertEqual(stack.may("StackRole", f"iam:{action}", arn, **keys), allowed, f"{action} {boundary}")
                self.assertEqual(stack.may("StackRole", f"iam:Delete{name}PermissionsBoundary", arn, iam__PermissionsBoundary=self.BOUNDARY), shared)
                self.assertTrue(stack.may("StackRole", f"iam:Delete{name}", arn))
            for action, arn in (("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/administrator"), ("iam:UpdateLoginProfile", f"arn:aws:iam::{ACCOUNT}:user/administrator"),
                                ("iam:AddUserToGroup", f"arn:aws:iam::{ACCOUNT}:group/all"), ("iam:PutGroupPolicy", f"arn:aws:iam::{ACCOUNT}:group/all")):
                self.assertEqual(stack.may("StackRole", action, arn), shared, action)
            self.assertFalse(stack.may("StackRole", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-cfn-exec-role-{ACCOUNT}-ap-southeast-2"))
            self.assertTrue(stack.may("StackRole", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/bank-payments-uat-payments-api-Role-1X"))

    def test_a_function_called_like_a_person_enters_no_role(self):
        """Not even where the account is shared and nothing bounds it: trust policies alone keep it out."""
        stack = self.deployed(SharedAccount="accepted")
        for role in stack.of_type("AWS::IAM::Role"):
            for name in ("bob", "jane", "x"):
                self.assertFalse(stack.lets_in(role, self.BOB, name), f"{role} {name}")

    def test_no_chain_of_roles_leads_in(self):
        """Through a named role that lets anybody of its account in: its sessions come from no identity provider."""
        careless = f"arn:aws:iam::{ACCOUNT}:role/release"
        stack = Rendered(**{f"{who}PrincipalArns": careless for who in ("Promoter", "Approver", "Auditor")})
        for role in ("PromoterRole", "ApproverRole", "AuditorRole"):
            session = f"arn:aws:sts::{ACCOUNT}:assumed-role/release/bob"
            self.assertFalse(stack.lets_in(role, session, "bob"), role)
            for provider, allowed in ((f"arn:aws:iam::{ACCOUNT}:saml-provider/okta", True), ("cognito-identity.amazonaws.com", False),
                                      (f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com", False),
                                      (f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.example", False)):
                self.assertEqual(stack.lets_in(role, session, "bob", aws__FederatedProvider=provider), allowed, f"{role} {provider}")
            self.assertTrue(stack.lets_in(role, session, "bob", saml__sub="bob@bank.example"), role)

    def test_an_audit_accounts_tools_come_by_their_role(self):
        tool = "arn:aws:iam::999900001111:role/evidence"
        stack = named(AuditorPrincipalArns=tool, ApproverPrincipalArns=tool)
        session = "arn:aws:sts::999900001111:assumed-role/evidence/collector"
        self.assertTrue(stack.lets_in("AuditorRole", session, "collector"))
        self.assertFalse(stack.lets_in("ApproverRole", session, "collector"))

    def test_people_come_under_their_own_names_only(self):
        """Who may choose the session's name is whoever he likes: his own second person."""
        sso = f"arn:aws:sts::{ACCOUNT}:assumed-role/{SSO.rsplit('/', 1)[-1]}/jane@bank.example"
        provider = f"arn:aws:iam::{ACCOUNT}:saml-provider/AWSSSO_0123_DO_NOT_DELETE"
        for role in ("PromoterRole", "ApproverRole"):
            for arn, own, keys in ((USER, "jane", {}), (sso, "jane@bank.example", {"aws__FederatedProvider": provider})):
                for name in (own, "john", f"{own}x", f"x{own}", ""):
                    self.assertEqual(DEFAULT.lets_in(role, arn, name, **keys), name == own, f"{role} {arn} {name}")
            self.assertFalse(DEFAULT.lets_in(role, USER.replace("jane", "john"), "john"), "not named")
            self.assertFalse(DEFAULT.lets_in(role, f"arn:aws:iam::{ACCOUNT}:root", "root"))

    def test_only_acceptance_says_that_the_account_is_shared(self):
        self.assertNotIn("SharedAccount", DEFAULT.outputs)
        accepted = named(SharedAccount="accepted")
        self.assertEqual(accepted.outputs["SharedAccount"], "accepted")
        self.assertEqual(accepted.properties("PromoteFunction")["Environment"]["Variables"]["SHARED_ACCOUNT"], "accepted")
        self.assertEqual(DEFAULT.template["Parameters"]["SharedAccount"]["AllowedValues"], ["", "accepted"])
        self.assertNotIn("SharedAccount", (HERE / "deploy.sh").read_text(), "nobody accepts it by the way")

    def test_a_template_can_name_the_boundary_without_an_account(self):
        self.assertEqual(self.BOUNDARY, f"arn:aws:iam::{ACCOUNT}:policy/gatekeeper/gatekeeper-stage-boundary")
        self.assertEqual(DEFAULT.properties("PromoteFunction")["Environment"]["Variables"]["STAGE_BOUNDARY_ARN"], self.BOUNDARY)


class Approvals(Case):
    APPROVAL = f"{RECORDS}/approvals/prod/{COMMIT}/{'3f' * 32}.json"

    def test_only_approve_writes_them_and_an_administrator_cannot_either(self):
        self.only(("ApproveRole",), "s3:PutObject", self.APPROVAL)

    def test_it_writes_nothing_else(self):
        for key in (f"{COMMIT}/verdict.json", "config/stages.json", "stages/prod/bank-payments.json", "ledger/prod/bank-payments/head.json",
                    "promotions/prod/bank-payments/01JX.json"):
            self.assertFalse(DEFAULT.may("ApproveRole", "s3:PutObject", f"{RECORDS}/{key}"), key)
        self.assertFalse(DEFAULT.may("ApproveRole", "s3:GetObject", f"{ARTEFACTS}/{ZIP}"))

    def test_people_approve_by_the_function(self):
        self.only(("ApproverRole", "administrator"), "lambda:InvokeFunction", f"{FUNCTION}gatekeeper-approve")

    def test_an_approver_promotes_nothing_and_a_promoter_approves_nothing(self):
        self.assertFalse(DEFAULT.may("ApproverRole", "lambda:InvokeFunction", f"{FUNCTION}gatekeeper-promote"))
        for promoter in ("PromoterRole", "GitHubPromoterRole"):
            self.assertFalse(GITHUB.may(promoter, "lambda:InvokeFunction", f"{FUNCTION}gatekeeper-approve"), promoter)

    def test_who_counts_them_reads_them(self):
        for who in ("PromoteRole", "ApproveRole"):
            self.assertTrue(DEFAULT.may(who, "s3:GetObject", self.APPROVAL), who)
            for prefix, allowed in ((f"approvals/prod/{COMMIT}/", True), (f"{COMMIT}/", False), ("", False), ("locks/prod/", who == "PromoteRole")):
                self.assertEqual(DEFAULT.may(who, "s3:ListBucketVersions", RECORDS, s3__prefix=prefix), allowed, f"{who} {prefix}")


class Brake(Case):
    STOP = f"promotions/uat/bank-payments/{PROMOTION}/stop.json"
    HOLDS = "ledger/holds/stage-uat/head.json"

    def test_promote_alone_is_asked_to_stop_promotions_and_what_completes_them_could(self):
        self.only(("PromoteRole", "RecordPromotionRole"), "s3:PutObject", f"{RECORDS}/{self.STOP}")

    def test_approve_releases_by_its_word_and_enters_nothing(self):
        self.only(("ApproveRole",), "s3:PutObject", f"{RECORDS}/approvals/uat/{PROMOTION}.json")
        self.assertFalse(DEFAULT.may("ApproveRole", "s3:PutObject", f"{RECORDS}/{self.HOLDS}"))
        for who in ("ApproveRole", "ApproverRole", "PromoterRole", "AuditorRole"):
            self.assertTrue(DEFAULT.may(who, "s3:GetObject", f"{RECORDS}/{self.HOLDS}"), who)
        # What was asked for waits for approvers, who look at it.
        self.assertTrue(DEFAULT.may("ApproverRole", "s3:GetObject", f"{RECORDS}/ledger/uat/bank-payments/head.json"))
        self.assertFalse(DEFAULT.may("ApproverRole", "s3:GetObject", f"{RECORDS}/promotions/uat/bank-payments/01JX.json"))

    def test_every_step_sees_that_a_promotion_is_stopped_and_that_it_is_not(self):
        for who in ("ApplyStackRole", "DeployFunctionRole", "MigrateDatabaseRole", "JudgeRunRole", "SmokeTestRole", "RecordPromotionRole"):
            self.assertTrue(DEFAULT.may(who, "s3:GetObject", f"{RECORDS}/{self.STOP}"), who)
            self.assertTrue(DEFAULT.may(who, "s3:ListBucket", RECORDS), f"{who}: S3 says that nothing is there to those who may list")


class Drift(Case):
    def test_who_watches_changes_nothing_in_a_stage(self):
        """With an administrator's rights to read too, as CloudFormation's drift detection may need them."""
        stack = named(DriftPolicyArns="arn:aws:iam::aws:policy/ReadOnlyAccess")
        self.assertEqual(stack.properties("WatchDriftRole")["ManagedPolicyArns"], ["arn:aws:iam::aws:policy/ReadOnlyAccess"])
        writes = set()
        for statement in DATABASES.statements("WatchDriftRole"):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            writes |= {action for action in actions if not action.split(":")[1].startswith(("Get", "List", "Describe", "Detect", "BatchDescribe"))}
        self.assertEqual(writes, {
            "logs:CreateLogStream", "logs:PutLogEvents", "s3:PutObject", "kms:Decrypt", "kms:GenerateDataKey", "sns:Publish",
            "lambda:InvokeFunction", "xray:PutTraceSegments", "xray:PutTelemetryRecords"})

    def test_it_tells_people_and_nobody_else_does(self):
        self.only(("WatchDriftRole", "administrator"), "sns:Publish", DEFAULT.outputs["AlarmTopicArn"])

    def test_no_stages_template_silences_it(self):
        stack = named(StackRolePolicyArns="arn:aws:iam::aws:policy/AdministratorAccess")
        stack.properties("StackRole")["Policies"].append(
            {"PolicyDocument": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}})
        for action, arn in (
            ("lambda:UpdateFunctionCode", f"{FUNCTION}gatekeeper-watch-drift"), ("sns:DeleteTopic", stack.outputs["AlarmTopicArn"]),
            ("events:DisableRule", f"arn:aws:events:ap-southeast-2:{ACCOUNT}:rule/gatekeeper-WatchDriftFunctionSchedule-1"),
            ("s3:PutObject", f"{RECORDS}/drift/uat/bank-payments.json"),
        ):
            self.assertFalse(stack.may("StackRole", action, arn), action)

    def test_status_reads_what_it_found(self):
        for who in ("PromoterRole", "AuditorRole"):
            self.assertTrue(DEFAULT.may(who, "s3:GetObject", f"{RECORDS}/drift/uat/bank-payments.json"), who)
        self.assertFalse(DEFAULT.may("CiRole", "s3:GetObject", f"{RECORDS}/drift/uat/bank-payments.json"))


class Signing(Case):
    def test_only_the_gate_signs_and_an_administrator_cannot_either(self):
        self.only(GATE, "kms:Sign", DEFAULT.outputs["SigningKeyArn"])

    def test_who_promotes_signs_by_another_key(self):
        self.only(("PromoteRole", "RecordPromotionRole", "WatchDriftRole"), "kms:Sign", DEFAULT.outputs["PromotionSigningKeyArn"])

    def test_who_writes_approvals_signs_nothing_else_and_nobody_else_signs_them(self):
        self.only(("ApproveRole",), "kms:Sign", DEFAULT.outputs["ApprovalSigningKeyArn"])
        for key in ("SigningKeyArn", "PromotionSigningKeyArn"):
            self.assertFalse(DEFAULT.may("ApproveRole", "kms:Sign", DEFAULT.outputs[key]))

    def test_the_auditor_verifies(self):
        for key in ("SigningKeyArn", "PromotionSigningKeyArn", "ApprovalSigningKeyArn"):
            self.only(("AuditorRole", "administrator"), "kms:Verify", DEFAULT.outputs[key])

    def test_who_verifies_reads_the_public_keys(self):
        people = ("AuditorRole", "PortalRole", "PromoterRole", "administrator")
        self.only((*GATE, "PromoteRole", "JudgeRunRole", "WatchDriftRole", *people), "kms:GetPublicKey", DEFAULT.outputs["SigningKeyArn"])
        self.only(("PromoteRole", "RecordPromotionRole", "WatchDriftRole", *people), "kms:GetPublicKey", DEFAULT.outputs["PromotionSigningKeyArn"])
        self.only(("ApproveRole", "ApproverRole", "PromoteRole", "WatchDriftRole", *people), "kms:GetPublicKey", DEFAULT.outputs["ApprovalSigningKeyArn"])


class Keys(Case):
    """Who may change a signing key's policy may sign with it; without the encryption key nothing stored can be read."""
    SIGNING = ("SigningKey", "PromotionSigningKey", "ApprovalSigningKey")
    KEYS = ("EncryptionKey", *SIGNING)
    USES = ("kms:DescribeKey", "kms:Get*", "kms:List*", "kms:Verify", "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*")

    def managing(self, stack: Rendered, key: str) -> set[str]:
        """What the key's policy lets the account do beside using it."""
        account = f"arn:aws:iam::{ACCOUNT}:root"
        managed, = (one for one in stack.properties(key)["KeyPolicy"]["Statement"]
                    if one["Effect"] == "Allow" and one["Principal"].get("AWS") == account)
        return set(managed["Action"]) - set(self.USES)

    def test_only_deployers_change_them(self):
        administrator = f"arn:aws:iam::{ACCOUNT}:role/administrator"
        ours = named(DeployerPrincipalArns=f"{administrator},arn:aws:iam::{ACCOUNT}:user/jane")
        others = named(DeployerPrincipalArns=f"arn:aws:iam::{ACCOUNT}:role/platform/*")
        for key in self.KEYS:
            self.assertLessEqual({"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:DisableKey"}, self.managing(others, key))
            for action in self.managing(others, key):
                self.only(("administrator",), action, ours.attribute(key, "Arn"), ours)
                self.only((), action, others.attribute(key, "Arn"), others)
        for key in self.SIGNING:
            self.only(("AuditorRole", "administrator"), "kms:Verify", others.attribute(key, "Arn"), others)

    def test_nobody_lends_them_and_who_signs_is_unchanged(self):
        for deployers in ("", f"arn:aws:iam::{ACCOUNT}:role/administrator"):
            stack = named(DeployerPrincipalArns=deployers)
            for key in self.KEYS:
                self.only((), "kms:CreateGrant", stack.attribute(key, "Arn"), stack)
            self.only(GATE, "kms:Sign", stack.outputs["SigningKeyArn"], stack)

    def test_root_can_always_repair_their_policies(self):
        stack = named(DeployerPrincipalArns=f"arn:aws:iam::{ACCOUNT}:role/platform/*")
        for key in self.KEYS:
            denied, = (one for one in stack.properties(key)["KeyPolicy"]["Statement"] if one["Effect"] == "Deny")
            self.assertEqual(denied["Condition"], {"ArnNotLike": {
                "aws:PrincipalArn": [f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{ACCOUNT}:role/platform/*"]}})

    def test_without_deployers_the_accounts_iam_decides(self):
        for key in self.KEYS:
            for action in self.managing(DEFAULT, key):
                self.only(("administrator",), action, DEFAULT.attribute(key, "Arn"))


class Portal(Case):
    PORTAL = f"{FUNCTION}gatekeeper-portal"

    def test_auditors_and_promoters_open_it_by_its_url_and_nobody_invokes_it_otherwise(self):
        readers = ("AuditorRole", "PromoterRole", "administrator")
        self.only(readers, "lambda:InvokeFunctionUrl", self.PORTAL, lambda__FunctionUrlAuthType="AWS_IAM")
        self.only(readers, "lambda:InvokeFunction", self.PORTAL, lambda__InvokedViaFunctionUrl="true")
        self.only(("administrator",), "lambda:InvokeFunction", self.PORTAL)
        self.only(("SmokeTestRole", "administrator", "made"), "lambda:InvokeFunctionUrl", f"{FUNCTION}bank-payments-uat-authorise",
                  lambda__FunctionUrlAuthType="AWS_IAM")

    def test_its_url_is_iams(self):
        url, = DEFAULT.of_type("AWS::Lambda::Url").values()
        self.assertEqual(url["AuthType"], "AWS_IAM")
        self.assertTrue(DEFAULT.outputs["PortalUrl"].endswith(".on.aws/"))

    def test_it_reads_what_is_stored_and_does_nothing_else(self):
        for statement in DEFAULT.statements("PortalRole"):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            self.assertLessEqual(set(actions), {
                "logs:CreateLogStream", "logs:PutLogEvents", "s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectVersion", "s3:ListBucket",
                "s3:ListBucketVersions", "kms:Decrypt", "kms:GetPublicKey", "xray:PutTraceSegments", "xray:PutTelemetryRecords",
            })

    def test_it_lists_no_more_than_its_pages_need(self):
        for prefix, allowed in (("stages/", True), ("locks/", True), (f"digests/{'3f' * 32}/", True), ("ledger/uat/bank-payments/", True),
                                ("", False), (f"{COMMIT}/", False), ("promotions/", False), ("config/", False)):
            for action in ("s3:ListBucket", "s3:ListBucketVersions"):
                self.assertEqual(DEFAULT.may("PortalRole", action, RECORDS, s3__prefix=prefix), allowed, prefix)
                self.assertFalse(DEFAULT.may("PortalRole", action, ARTEFACTS, s3__prefix=prefix), prefix)

    def test_it_is_told_what_is_not_there(self):
        for bucket in (ARTEFACTS, RECORDS):
            self.assertTrue(DEFAULT.may("PortalRole", "s3:ListBucket", bucket))


class Auditor(Case):
    def test_changes_nothing(self):
        reads = ("Get", "List", "Describe", "Filter")
        # Reading too: they start or stop a query of logs, decipher, check a signature, and open the portal.
        harmless = {"logs:StartQuery", "logs:StopQuery", "kms:Decrypt", "kms:Verify"}
        portal = {"lambda:InvokeFunction", "lambda:InvokeFunctionUrl"}
        for statement in DEFAULT.statements("AuditorRole"):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            for action in actions:
                opens = action in portal and statement["Resource"] == Portal.PORTAL
                self.assertTrue(opens or action in harmless or action.split(":")[1].startswith(reads), action)


class Trust(Case):
    def test_functions_roles_are_lambdas_alone(self):
        for role in FUNCTIONS:
            statement, = DEFAULT.properties(role)["AssumeRolePolicyDocument"]["Statement"]
            self.assertEqual(statement["Principal"], {"Service": "lambda.amazonaws.com"}, role)

    def test_who_is_not_named_has_no_role(self):
        for role in PEOPLE:
            self.assertNotIn(role, NOBODY.resources)
            self.assertNotIn(f"{role}Arn", NOBODY.outputs)
            self.assertEqual(DEFAULT.outputs[f"{role}Arn"], DEFAULT.attribute(role, "Arn"))
        for function in ("PromoteFunction", "ApproveFunction"):
            self.assertEqual(NOBODY.properties(function)["Environment"]["Variables"]["PERSON_ROLE_ID"], "", "nobody is a person")

    def test_no_role_of_ours_trusts_an_account_or_everybody(self):
        """Whom an account's root is named for is whoever its IAM lets, a role that a stack made too."""
        for stack in (NOBODY, DEFAULT, GITHUB, DATABASES):
            for role, properties in stack.of_type("AWS::IAM::Role").items():
                for statement in properties["AssumeRolePolicyDocument"]["Statement"]:
                    trusted = statement["Principal"]
                    if statement["Effect"] == "Allow" and "AWS" in trusted:
                        self.assertEqual((role in PEOPLE, trusted["AWS"]), (True, [USER, SSO]), role)

    def test_parameters_take_named_principals_only(self):
        pattern = {name: declared["AllowedPattern"] for name, declared in DEFAULT.template["Parameters"].items() if "AllowedPattern" in declared}
        wildcard = f"arn:aws:iam::{ACCOUNT}:role/platform/*"
        sso = SSO.replace("0123456789abcdef", "*")
        nobody = ("*", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:*", f"arn:aws:iam::{ACCOUNT}:user/*", wildcard, f"{USER}?",
                  f"arn:aws:sts::{ACCOUNT}:assumed-role/jane/jane", f"arn:aws:iam::{ACCOUNT}:group/all", "AROAEXAMPLE")
        for who in ("Ci", "Promoter", "Approver", "Auditor"):
            for arn, allowed in ((USER, True), (SSO, True), ("", True), (f"arn:aws:iam::{ACCOUNT}:root", False), (sso, False),
                                 *((arn, False) for arn in nobody)):
                self.assertEqual(bool(re.fullmatch(pattern[f"{who}PrincipalArns"], arn)), allowed, f"{who} {arn}")
        for arn, allowed in ((USER, True), (SSO, True), (sso, True), ("", True), (f"arn:aws:iam::{ACCOUNT}:root", True), *((arn, False) for arn in nobody)):
            self.assertEqual(bool(re.fullmatch(pattern["DeployerPrincipalArns"], arn)), allowed, arn)
        for arn, allowed in ((SSO, True), (USER, False), (wildcard, False), (f"arn:aws:iam::{ACCOUNT}:root", False)):
            self.assertEqual(bool(re.fullmatch(pattern["StageRoleArns"], arn)), allowed, arn)

    def test_workflows_promote_from_exactly_these_environments_and_in_a_role_of_their_own(self):
        self.assertNotIn("GitHubPromoterRole", DEFAULT.resources)
        statement, = GITHUB.properties("GitHubPromoterRole")["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(statement["Action"], "sts:AssumeRoleWithWebIdentity")
        self.assertEqual(statement["Condition"], {"StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com", "token.actions.githubusercontent.com:sub": [SUBJECT],
        }})

    def test_where_only_workflows_promote_nobody_is_the_promoter(self):
        stack = Rendered(GitHubPromoterSubjects=SUBJECT)
        self.assertIn("GitHubPromoterRole", stack.resources)
        self.assertNotIn("PromoterRole", stack.resources)

    def test_no_role_for_people_takes_a_web_identity(self):
        stack = named(GitHubPromoterSubjects=SUBJECT, GitHubSubjects=SUBJECT)
        for role in ("PromoterRole", "ApproverRole", "AuditorRole"):
            for statement in stack.properties(role)["AssumeRolePolicyDocument"]["Statement"]:
                self.assertEqual((statement["Action"], set(statement["Principal"])), ("sts:AssumeRole", {"AWS"}), role)

    def test_with_github_ci_comes_from_there_only(self):
        subject = "repo:example-bank/bank-payments:environment:gatekeeper"
        statement, = Rendered(GitHubSubjects=subject).properties("CiRole")["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(statement["Action"], "sts:AssumeRoleWithWebIdentity")
        self.assertEqual(statement["Condition"]["StringLike"], {"token.actions.githubusercontent.com:sub": [subject]})
        self.assertEqual(statement["Condition"]["StringEquals"], {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"})

    def test_no_own_policy_allows_more_than_it_names(self):
        """`*` as the resource only for actions that take none, or that only read."""
        unbounded = {
            "PromotionRole": ("logs:", "xray:"), "AuditorRole": ("cloudformation:", "cloudwatch:", "lambda:", "logs:", "states:List"),
            "ApplyStackRole": "cloudformation:GetTemplateSummary", "WatchDriftRole": "cloudformation:BatchDescribeTypeConfigurations",
        }
        for role in DEFAULT.of_type("AWS::IAM::Role"):
            for statement in DEFAULT.statements(role):
                if statement["Effect"] == "Deny":
                    continue
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                for action in actions:
                    self.assertTrue("*" not in action or (role, action) == ("AuditorRole", "s3:Get*"), f"{role} {action}")
                    if statement["Resource"] == "*" and not (role in FUNCTIONS and action in TRACES):
                        self.assertTrue(action.startswith(unbounded.get(role, ("nothing",))), f"{role} {action}")


if __name__ == "__main__":
    unittest.main()
