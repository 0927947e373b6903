//! The committed JSON Schema of the manifest is the one that the types make.

use crate::common::gatekeeper;

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let run = gatekeeper(&["schema"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let committed = include_str!("../../../shared/build-manifest.schema.json");
    assert!(
        run.stdout == committed,
        "shared/build-manifest.schema.json is stale; regenerate it by `make schema` or \
         `cargo run -p gatekeeper-cli -- schema > shared/build-manifest.schema.json`"
    );
}
