"""What AWS charges for calls and invocations: list prices of US East (N. Virginia) in US dollars, first tier, as AWS's pages of
prices had them in 2026. Storage, logs and traffic are not in it: they are the same however the gate works.
"""

from __future__ import annotations

from collections.abc import Mapping

# https://aws.amazon.com/s3/pricing: PUT, COPY, POST, LIST; GET and all others.
S3_WRITE, S3_READ = 0.005 / 1000, 0.0004 / 1000
# https://aws.amazon.com/lambda/pricing: requests; x86, for a gigabyte and a second.
LAMBDA_REQUEST, LAMBDA_GB_SECOND = 0.20 / 1_000_000, 0.0000166667
# https://aws.amazon.com/sqs/pricing: standard queues.
SQS_REQUEST = 0.40 / 1_000_000
# https://aws.amazon.com/kms/pricing: requests with keys on elliptic curves.
KMS_REQUEST = 0.15 / 10_000

MEMORY_GB = 0.5 # `MemorySize` of the gate in infra/template.yaml
MESSAGES_A_REQUEST = 10 # how many messages Lambda's pollers take and delete by one request, at most


def of(operations: Mapping[str, float], *, invocations: float, seconds: float, events: float) -> dict[str, float]:
    """What calls of these names, invocations that last `seconds` in all, and events through a queue cost."""
    kms = operations.get("KMS", 0)
    writes = sum(count for name, count in operations.items() if name.startswith(("Put", "List")))
    reads = sum(operations.values()) - writes - kms
    parts = {
        "s3": writes * S3_WRITE + reads * S3_READ,
        "kms": kms * KMS_REQUEST,
        "sqs": events * (1 + 2 / MESSAGES_A_REQUEST) * SQS_REQUEST,
        "lambda": invocations * LAMBDA_REQUEST + seconds * MEMORY_GB * LAMBDA_GB_SECOND,
    }
    return {**parts, "total": sum(parts.values())}
