//! `intake`: fired with what S3 tells of the artefact bucket: objects that were created, removed or tagged, whoever did it.
//!
//! It looks at the commits that the objects belong to, validates, judges, writes the verdicts and makes the tags agree. A tag that
//! the gate doesn't agree with is set back; a `false` that somebody else put on the manifest of a Built commit takes it back.

#![recursion_limit = "256"] // the AWS clients' futures nest deeply

/// Threads that inspect: few, because each has a heap of its own, which many small objects fill.
const INSPECTING_THREADS: usize = 4;

fn main() -> Result<(), lambda_runtime::Error> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(INSPECTING_THREADS).build()?.block_on(intake::run())
}
