//! `intake`: fired when an object of the artefact bucket is created or removed.
//!
//! It looks at the commit that the object belongs to, validates, judges, writes the verdict and makes the tags agree.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    intake::run().await
}
