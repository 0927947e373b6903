//! The command line of artefact-gatekeeper.

fn main() {}
