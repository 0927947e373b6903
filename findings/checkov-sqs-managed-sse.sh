#!/usr/bin/env bash
# checkov 3.3.30 (PyPI) takes a queue of a CloudFormation template for unencrypted although SQS's own
# encryption is switched on, and the same queue of a Terraform file for encrypted.
#
# Expected: CKV_AWS_27, "Ensure all data stored in the SQS queue is encrypted", holds in both for
# `SqsManagedSseEnabled: true` and `sqs_managed_sse_enabled = true`, which are the same setting.
#
# Seen: for CloudFormation only `KmsMasterKeyId` counts. The queue fails, and `alias/aws/sqs`, a key
# that nobody can manage either, passes.
#
# Whom it hurts: a team with one policy for both languages, which is told to pay for KMS calls in one
# of them, or waives the check for all queues and so also for those that have no encryption.
# What to do: waive it by queue, with the reason.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check checkov==3.3.30
echo "checkov $(venv/bin/checkov --version)"

cat >queue.yaml <<'END'
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Managed:
    Type: AWS::SQS::Queue
    Properties: {SqsManagedSseEnabled: true}
  WithKey:
    Type: AWS::SQS::Queue
    Properties: {KmsMasterKeyId: alias/aws/sqs}
END
cat >queue.tf <<'END'
resource "aws_sqs_queue" "managed" {
  sqs_managed_sse_enabled = true
}
END

judged() {
  venv/bin/checkov --file "$1" --check CKV_AWS_27 --compact --skip-download --output json >report.json || true
  venv/bin/python - <<'END'
import json
results = json.load(open("report.json"))["results"]
for word in ("passed", "failed"):
    for check in results[f"{word}_checks"]:
        print(check["resource"], word)
END
}

template=$(judged queue.yaml)
terraform=$(judged queue.tf)
printf 'CloudFormation:\n%s\nTerraform:\n%s\n' "$template" "$terraform"

grep -q '^AWS::SQS::Queue.WithKey passed$' <<<"$template" || { echo "the template was not judged" >&2; exit 1; }
grep -q '^aws_sqs_queue.managed passed$' <<<"$terraform" || { echo "Terraform's queue does not pass" >&2; exit 1; }
grep -q '^AWS::SQS::Queue.Managed failed$' <<<"$template" ||
  { echo "the template's queue passes too: this finding is over" >&2; exit 1; }
