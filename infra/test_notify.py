"""Who may tell the bus what has happened, and what infra/notify.yaml sends on."""

from __future__ import annotations

import json
import unittest

from samtranslator.yaml_helper import yaml_parse

from rendered import ACCOUNT, HERE, TEMPLATE, Rendered
from test_access import DEFAULT, named

BUS = f"arn:aws:events:ap-southeast-2:{ACCOUNT}:event-bus/releases"
TOLD = named(NotificationBus=BUS)
NOTIFY = Rendered(HERE / "notify.yaml", EventBusName="releases", Email="release@bank.example")
SAMPLES = [json.loads(sample.read_text()) for sample in sorted((TEMPLATE.parent.parent / "events" / "notifications").glob("*.json"))]
TELLS = {"IntakeRole", "PromoteRole", "ApproveRole", "RecordPromotionRole", "WatchDriftRole"}


class TheBus(unittest.TestCase):
    def test_without_one_nobody_is_told_and_nobody_may_tell(self):
        self.assertNotIn("NotifyPolicy", DEFAULT.resources)
        self.assertNotIn("events:PutEvents", json.dumps(DEFAULT.resources))
        known = DEFAULT.properties("IntakeFunction")["Environment"]["Variables"]
        self.assertEqual(known["NOTIFICATION_BUS"], "")

    def test_with_one_those_who_tell_may_tell_this_bus_and_in_the_gatekeepers_name_only(self):
        policy = TOLD.properties("NotifyPolicy")
        (statement,) = policy["PolicyDocument"]["Statement"]
        self.assertEqual((statement["Action"], statement["Resource"]), ("events:PutEvents", BUS))
        self.assertEqual(statement["Condition"]["ForAllValues:StringEquals"], {"events:source": "artefact-gatekeeper"})
        source = yaml_parse(TEMPLATE.read_text())["Resources"]["NotifyPolicy"]
        self.assertEqual({role["Ref"] for role in source["Properties"]["Roles"]}, TELLS)
        for role in TELLS:
            function = role.removesuffix("Role") + "Function"
            self.assertEqual(TOLD.properties(function)["Environment"]["Variables"]["NOTIFICATION_BUS"], BUS, function)


class PeopleAreTold(unittest.TestCase):
    def test_the_rule_takes_what_the_gatekeeper_tells_and_no_verdicts(self):
        pattern = NOTIFY.properties("Rule")["EventPattern"]
        kinds = pattern["detail-type"]
        kinds = kinds.split(",") if isinstance(kinds, str) else kinds
        self.assertEqual({"Verdict Changed", *kinds}, {sample["detail-type"] for sample in SAMPLES})
        self.assertEqual((pattern["source"], pattern["account"]), (["artefact-gatekeeper"], [ACCOUNT]))
        self.assertEqual({sample["source"] for sample in SAMPLES}, {"artefact-gatekeeper"})

    def test_the_topic_is_encrypted_and_only_the_rule_publishes(self):
        self.assertTrue(NOTIFY.properties("Topic")["KmsMasterKeyId"])
        statements = NOTIFY.properties("TopicPolicy")["PolicyDocument"]["Statement"]
        (allowed,) = [one for one in statements if one["Effect"] == "Allow"]
        self.assertEqual((allowed["Principal"], allowed["Action"]), ({"Service": "events.amazonaws.com"}, "sns:Publish"))
        self.assertIn("aws:SourceArn", allowed["Condition"]["ArnEquals"])


if __name__ == "__main__":
    unittest.main()
