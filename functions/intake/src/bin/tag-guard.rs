//! `tag-guard`: fired when the tags of an object of the artefact bucket change, whoever changes them.
//!
//! It looks at the commit that the object belongs to and sets back what the gate doesn't agree with; a `false` that
//! somebody else put on the manifest of a Built commit takes the commit back.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    intake::run().await
}
