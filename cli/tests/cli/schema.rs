//! The committed JSON Schemas are those that the types make.

use crate::common::gatekeeper;

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    for (arguments, name, committed) in [
        (&["schema"] as &[_], "build-manifest", include_str!("../../../shared/build-manifest.schema.json")),
        (&["schema", "manifest"], "build-manifest", include_str!("../../../shared/build-manifest.schema.json")),
        (&["schema", "handoff"], "handoff", include_str!("../../../shared/handoff.schema.json")),
        (&["schema", "policy"], "policy", include_str!("../../../shared/policy.schema.json")),
        (&["schema", "identities"], "identities", include_str!("../../../shared/identities.schema.json")),
        (&["schema", "stages"], "stages", include_str!("../../../shared/stages.schema.json")),
    ] {
        let run = gatekeeper(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert!(run.stdout == committed, "shared/{name}.schema.json is stale; regenerate it by `make schema`");
        // For a document that is JSON in either case.
        assert_eq!(gatekeeper(&[arguments, &["--output", "json"]].concat()).stdout, committed);
    }
}
