"""Starts the local AWS: MiniStack, with the gaps closed that the gatekeeper would otherwise fall into.

Each gap is closed by one small function (`gaps_s3.py`, `gaps_iam.py`, `gaps_compute.py`, `gaps_registry.py`) that replaces a name inside of
MiniStack before its server starts. A name that has gone, or that takes other parameters than those we wrote against,
ends the start with a message: a gap that silently came open again would make the tests prove nothing.

What MiniStack needs from its environment is set by `instance.py`; what stays different from AWS is in
`README.md`.
"""

from __future__ import annotations

import sys

import ministack.app

import gaps_compute
import gaps_iam
import gaps_registry
import gaps_s3
from patching import GapChanged

# Where one name is replaced twice, the later one runs first and sees the earlier one's work.
CLOSERS = (
    gaps_s3.tagging_behind_a_delete_marker,
    gaps_s3.heads_count_tags,
    gaps_s3.listed_versions_are_encoded,
    gaps_s3.tagging_notifications,
    gaps_s3.notifications_name_the_caller,
    gaps_s3.eventbridge_events_name_the_version,
    gaps_s3.code_and_templates_across_accounts,
    gaps_s3.copies_across_accounts,
    gaps_s3.template_urls_name_a_version,
    gaps_s3.bucket_policies_name_foreign_roles,
    gaps_s3.bucket_properties_are_applied,
    gaps_iam.wildcards_match_every_character,
    gaps_iam.tag_conditions,
    gaps_iam.tags_of_a_put_need_permission,
    gaps_iam.upload_headers_as_condition_keys,
    gaps_iam.variables_in_conditions,
    gaps_iam.loopback_counts_as_tls,
    gaps_iam.principal_arn_of_a_session_is_the_role,
    gaps_iam.each_parameter_needs_permission,
    gaps_iam.a_layer_version_is_read_by_its_own_permission,
    gaps_iam.role_boundaries_are_applied,
    gaps_compute.runtime_api_without_nagle,
    gaps_compute.asynchronous_events_wait_their_turn,
    gaps_compute.batches_are_as_large_as_asked_for,
    gaps_compute.limits_of_mappings_are_numbers,
    gaps_compute.function_urls_can_be_reached,
    gaps_compute.function_urls_own_every_path,
    gaps_compute.sam_knows_parameter_values,
    gaps_compute.saved_queries_are_a_known_type,
    gaps_registry.images_that_are_not_there_are_told,
    gaps_registry.repositories_are_described_by_their_names,
    gaps_registry.tags_of_images_are_resolved_once,
)


def main() -> None:
    """Closes the gaps and serves until it is told to end."""
    try:
        for close in CLOSERS:
            close()
    except GapChanged as changed:
        sys.exit(f"error: {changed}")
    sys.argv = sys.argv[:1]
    ministack.app.main()


if __name__ == "__main__":
    main()
