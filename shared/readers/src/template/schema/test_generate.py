"""The table's generator: which properties it lists, and what it takes for a place of code."""

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import generate


def schema(type_name, properties, definitions=None, **more):
    return {"typeName": type_name, "properties": properties, "definitions": definitions or {}, **more}


def table(*documents):
    made, judged = generate.Table(), generate.Judged()
    for document in documents:
        made.add(generate.Schema(document), judged)
    made.unify()
    return made.text(), judged


class Lines(unittest.TestCase):
    def test_properties_and_shapes_are_listed_whatever_way_the_schema_says_them(self):
        text, _ = table(schema(
            "AWS::EC2::Thing",
            {
                "Name": {"type": "string"},
                "Part": {"$ref": "#/definitions/Part"},
                "Parts": {"type": "array", "items": {"$ref": "#/definitions/Part"}},
                "Either": {"oneOf": [{"properties": {"A": {}}}, {"properties": {"B": {}}}]},
                "Any": {"type": "object", "patternProperties": {".*": {"type": "string"}}},
                "Free": {"type": "object"},
            },
            {"Part": {"properties": {"Deeper": {"$ref": "#/definitions/Part"}, "Leaf": {}}}},
        ))
        self.assertEqual(text, (
            "AWS::EC2.Any *\n"
            "AWS::EC2.Either A B\n"
            "AWS::EC2.Part Deeper>Part Leaf\n"
            "AWS::EC2::Thing Any> Either> Free Name Part> Parts>Part\n"
        ))

    def test_shapes_of_one_name_that_differ_keep_apart_and_equal_ones_are_one(self):
        def of(name, leaf):
            return schema(f"AWS::EC2::{name}", {"Part": {"$ref": "#/definitions/Part"}}, {"Part": {"properties": {leaf: {}}}})
        text, _ = table(of("A", "X"), of("B", "Y"), of("C", "X"))
        self.assertIn("AWS::EC2::A Part>\n", text)
        self.assertIn("AWS::EC2::B Part>Part~2\n", text)
        self.assertIn("AWS::EC2::C Part>\n", text)

    def test_services_that_run_nothing_have_their_first_properties_only(self):
        text, _ = table(schema("AWS::SQS::Queue", {"A": {"properties": {"B": {}}}}))
        self.assertEqual(text, "AWS::SQS::Queue A\n")

    def test_what_is_refused_as_a_whole_has_no_line(self):
        text, _ = table(schema("AWS::Lambda::MicrovmImage", {"A": {}}), schema("AWS::Serverless::Function", {"A": {}}))
        self.assertEqual(text, "")


class Names(unittest.TestCase):
    def test_a_name_is_the_whole_primary_identifier_that_aws_does_not_choose(self):
        one, two, chosen, deep, sam = (
            schema("AWS::S3::Bucket", {}, primaryIdentifier=["/properties/BucketName"], readOnlyProperties=["/properties/Arn"]),
            schema("AWS::ApiGateway::Stage", {}, primaryIdentifier=["/properties/RestApiId", "/properties/StageName"]),
            schema("AWS::SNS::Topic", {}, primaryIdentifier=["/properties/TopicArn"], readOnlyProperties=["/properties/TopicArn"]),
            schema("AWS::New::Thing", {}, primaryIdentifier=["/properties/Ref/Name"]),
            schema("AWS::Serverless::SimpleTable", {}, primaryIdentifier=["/properties/TableName"]),
        )
        self.assertEqual("".join(generate.names([two, one, chosen, deep, sam])), "AWS::S3::Bucket BucketName\n")


class Suspects(unittest.TestCase):
    def unjudged(self, document):
        text, judged = table(document)
        return list(generate.unjudged(text, {document["typeName"]: set()}, judged))

    def test_a_new_place_of_code_must_be_judged(self):
        new = {"Source": {"properties": {"CodeS3Location": {}, "Mode": {}}}}
        for type_name in ("AWS::Lambda::Function", "AWS::New::Thing"):
            self.assertEqual(self.unjudged(schema(type_name, new)), [f"{type_name} Source.CodeS3Location"])

    def test_what_was_judged_stays_so_also_below(self):
        known = {"Command": {"properties": {"ScriptLocation": {"properties": {"Bucket": {}, "ScriptKey": {}}}}}}
        self.assertEqual(self.unjudged(schema("AWS::Glue::Job", known)), [])

    def test_each_judgement_is_of_a_property_that_is_there(self):
        lines = generate.read_table(generate.TABLE.read_text())
        every = {key: set(generate.paths(lines, key)) for key in lines if "." not in key}
        judged = generate.Judged()
        for type_name, path in judged.harmless:
            self.assertIn(path, every[type_name])
        # `RuntimeConfig` is in Lambda's own API and in no schema yet.
        rules = {(type_name, path) for type_name, rules in judged.rules.items() for path, _ in rules}
        missing = {(type_name, path) for type_name, path in rules if path not in every[type_name]}
        self.assertEqual(missing, {("AWS::Lambda::Function", "RuntimeConfig")})

    def test_a_type_with_a_sign_of_holding_data_must_be_judged(self):
        judged = [{"typeName": it[1] if it[0] == "-" else it[0]} for it in generate.entries(generate.STATEFUL)]
        self.assertEqual(list(generate.unjudged_state(judged, {"AWS::S3::Bucket"})), [])
        new = [schema("AWS::New::Thing", {"DeletionProtectionEnabled": {}}), schema("AWS::New::Other", {"Size": {}})]
        self.assertEqual(list(generate.unjudged_state(judged + new, set())), [
            "nobody has judged whether AWS::New::Thing holds data (DeletionProtectionEnabled): say it in stateful.txt"
        ])
        self.assertIn("AWS::New::Other", "".join(generate.unjudged_state(judged + new, {"AWS::New::Other"})))
        gone = [it for it in judged if it["typeName"] != "AWS::KMS::Key"]
        self.assertEqual(
            list(generate.unjudged_state(gone, set())), ["stateful.txt judges AWS::KMS::Key, which no schema has"]
        )

    def test_a_check_against_other_schemas_ends_with_what_nobody_has_judged(self):
        with tempfile.TemporaryDirectory() as folder:
            resources = Path(folder) / "resources"
            resources.mkdir()
            (resources / "a.json").write_text(json.dumps(schema("AWS::New::Thing", {"ImageUri": {}, "Size": {}})))
            said = io.StringIO()
            with mock.patch.object(sys, "argv", ["generate.py", "--check", "--schemas", folder]), contextlib.redirect_stderr(said):
                with self.assertRaises(SystemExit) as ended:
                    generate.main()
        self.assertEqual(ended.exception.code, 1)
        self.assertIn("nobody has judged AWS::New::Thing ImageUri", said.getvalue())
        self.assertNotIn("Size", said.getvalue())


if __name__ == "__main__":
    unittest.main()
