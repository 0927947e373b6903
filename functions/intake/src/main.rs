//! `intake`: fired with what S3 tells of the artefact bucket: objects that were created, removed or tagged, whoever did it.
//!
//! It looks at the commits that the objects belong to, validates, judges, writes the verdicts and makes the tags agree. A tag that
//! the gate doesn't agree with is set back; a `false` that somebody else put on the manifest of a Built commit takes it back.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    intake::run().await
}
