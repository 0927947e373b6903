# Reads a SAM template, and translates one by aws-sam-translator, the code that CloudFormation's own transform runs.
#
# usage: python translate.py parse FILE    writes the YAML or JSON template as JSON
#        python translate.py translate     writes the translated template of standard input: {"by": …, "template": …}
#
# Needs PyYAML, and aws-sam-translator to translate: no network, no credentials.
import copy
import json
import logging
import os
import sys

# The outcome must be that of every region of a partition.
REGIONS = ("us-east-1", "ap-southeast-2")


def stop(message):
    sys.exit(message)


def parse(file):
    try:
        import yaml
    except ImportError:
        stop("PyYAML is not installed beside this Python")

    class Loader(yaml.SafeLoader):
        """Keeps whatever JSON has no number for as the text that it is: dates, octal numbers, `yes`."""

    Loader.yaml_implicit_resolvers = {}
    for tag, expression, first in (
        ("bool", r"^(?:true|false|True|False|TRUE|FALSE)$", "tTfF"),
        ("int", r"^-?(?:0|[1-9][0-9]*)$", "-0123456789"),
        ("float", r"^-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]+)?$", "-0123456789"),
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("merge", r"^<<$", "<"),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", yaml.resolver.re.compile(expression), list(first))

    def mapping(loader, node):
        own = [key.value for key, _ in node.value]
        twice = {key for key in own if key != "<<" and own.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key `{min(twice)}` stands twice", node.start_mark)
        loader.flatten_mapping(node)
        return {str(loader.construct_object(key, deep=True)): loader.construct_object(value, deep=True) for key, value in node.value}

    def function(loader, suffix, node):
        name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
            return {name: value.split(".", 1) if suffix == "GetAtt" else value}
        if isinstance(node, yaml.SequenceNode):
            return {name: loader.construct_sequence(node, deep=True)}
        return {name: mapping(loader, node)}

    def number(loader, node):
        value = loader.construct_scalar(node)
        # `13.10` is a version of a database's engine, and another one than `13.1`.
        return float(value) if repr(float(value)) == value else value

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:float", number)
    Loader.add_multi_constructor("!", function)
    try:
        with open(file, encoding="utf-8") as text:
            documents = list(yaml.load_all(text, Loader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        stop(f"`{file}` is no YAML: {' '.join(str(error).split())}")
    if len(documents) != 1:
        stop(f"`{file}` holds {len(documents)} documents, and a template is one")
    json.dump(documents[0], sys.stdout)


def translated(template, region):
    from samtranslator.internal.managed_policies import get_bundled_managed_policy_map
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.translator.transform import transform

    class Policies:
        def load(self):
            return get_bundled_managed_policy_map("aws")

    os.environ["AWS_DEFAULT_REGION"] = region
    template = copy.deepcopy(template)
    parameters = copy.deepcopy(template.get("Parameters"))
    # Without defaults nothing of a stage's values is written into the template.
    for parameter in (template.get("Parameters") or {}).values():
        if isinstance(parameter, dict):
            parameter.pop("Default", None)
    try:
        made = transform(template, {}, Policies())
    except InvalidDocumentException as error:
        stop("\n".join(cause.message for cause in error.causes) or error.message)
    if parameters is not None:
        made["Parameters"] = parameters
    return made


def translate():
    logging.disable(logging.CRITICAL)
    try:
        from samtranslator import __version__
    except ImportError:
        stop("aws-sam-translator is not installed beside this Python")
    for name in ("AWS_REGION", "AWS_PROFILE"):
        os.environ.pop(name, None)
    template = json.load(sys.stdin)
    first, second = (translated(template, region) for region in REGIONS)
    if first != second:
        ids = sorted(name for name in {**first["Resources"], **second["Resources"]}
                     if first["Resources"].get(name) != second["Resources"].get(name))
        stop(f"what it makes of {', '.join(f'`{it}`' for it in ids)} depends on the region: write the region by a parameter of your own")
    json.dump({"by": f"aws-sam-translator {__version__}", "template": first}, sys.stdout)


if sys.argv[1:2] == ["parse"]:
    parse(sys.argv[2])
else:
    translate()
