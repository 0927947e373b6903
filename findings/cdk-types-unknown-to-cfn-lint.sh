#!/usr/bin/env bash
# aws-cdk-lib 2.276.0 (npm) offers constructs for resource types that cfn-lint 1.58.0 (PyPI) calls
# nonexistent, so that a stack which type-checks and synthesises fails the linter.
#
# Expected: the AWS CDK's developer guide says that its L1 constructs, the Cfn classes, are
# generated from the CloudFormation resource specification and map to its resources one to one.
# cfn-lint's README says that it validates against the CloudFormation resource provider schemas.
# With one source of types behind both, a type of the first would be expected to be known to the
# second in at least one region, or to be reported as not known rather than as not existing.
#
# Seen: of the 1912 types that the Cfn classes name, 31 are in none of the linter's bundled files,
# for no region. Some belong to services that were closed (AWS::OpsWorksCM::Server), others do not
# (AWS::Route53Resolver::FirewallConfig). cfn-lint ends with exit code 2 and error E3006, "does not
# exist in 'us-east-1'", for a template that the CDK wrote.
#
# Whom it hurts: pipelines that lint synthesised templates, and reviewers who take E3006 for a
# misspelt type. The two tools are released apart, so an upgrade of either can start it.
# What to do: upgrade both together, compare the lists as below before relying on a new type, and
# ignore E3006 for the one resource (Metadata, cfn-lint, config, ignore_checks), not as a whole.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact aws-cdk-lib@2.276.0 constructs@10
python3 -m venv venv
PIP_DISABLE_PIP_VERSION_CHECK=1 venv/bin/pip install --quiet cfn-lint==1.58.0
echo "aws-cdk-lib $(node -p 'require("aws-cdk-lib/package.json").version')"
venv/bin/cfn-lint --version

cat >compare.py <<'PY'
import json
import pathlib
import re
import sys

import cfnlint

constructs = set()
for file in pathlib.Path("node_modules/aws-cdk-lib").glob("*/lib/*.generated.js"):
    text = file.read_text(encoding="utf-8")
    constructs.update(re.findall(r'CFN_RESOURCE_TYPE_NAME="([^"]+)"', text))
known = set()
schemas = pathlib.Path(cfnlint.__file__).parent / "data" / "schemas" / "providers"
for file in schemas.glob("*.json"):
    known.update(json.loads(file.read_text(encoding="utf-8")))
unknown = sorted(constructs - known)
print("\n".join(unknown))
print("expected: no type of a Cfn class that cfn-lint knows in no region")
print(f"seen:     {len(unknown)} of {len(constructs)}")
same = (len(constructs), len(unknown)) == (1912, 31)
sys.exit(0 if same else "The numbers have changed.")
PY
venv/bin/python compare.py

cat >app.js <<'JS'
const cdk = require('aws-cdk-lib');
const resolver = require('aws-cdk-lib/aws-route53resolver');

const app = new cdk.App({ outdir: 'out' });
const stack = new cdk.Stack(app, 'Stack', {
  env: { account: '123456789012', region: 'us-east-1' },
});
new resolver.CfnFirewallConfig(stack, 'Config', {
  resourceId: 'vpc-0123456789abcdef0',
  firewallFailOpen: 'DISABLED',
});
app.synth();
JS
node app.js
code=0
venv/bin/cfn-lint --format parseable out/Stack.template.json >lint.txt || code=$?
cat lint.txt
echo "exit code of cfn-lint: $code"
[ "$code" = 2 ] || { echo "The exit code has changed." >&2; exit 1; }
grep -q "E3006.*AWS::Route53Resolver::FirewallConfig.*does not exist" lint.txt || {
    echo "The error has changed." >&2
    exit 1
}
echo "As described: the CDK wrote a type that cfn-lint says does not exist."
