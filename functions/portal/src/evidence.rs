//! The evidence on what a stage runs of a repository, or ran at a time.

use askama::Template;
use gatekeeper_evidence::{collect::collect, exhibits::Live, html, judge, model::Question};
use gatekeeper_model::ids::{Repo, StageName};
use gatekeeper_proof::PublicKeys;
use gatekeeper_store::{ReadStore, Stores};
use jiff::Timestamp;

use crate::{Trouble, page::Page, show::Time};

#[derive(Template)]
#[template(path = "evidence_of_stage.html")]
struct EvidenceOfStage {
    stage: StageName,
    repo: Repo,
    at: Option<Time>,
    /// HTML, made from a template that escapes.
    article: String,
}

/// The same as `gatekeeper evidence`, but for what is live: that is as the promotion's record and drift watching saw it.
pub(crate) async fn page<S: ReadStore>(
    stores: &Stores<'_, S>,
    witness: Option<&S>,
    question: Question,
    keys: PublicKeys,
    now: Timestamp,
) -> Result<Page, Trouble> {
    let Question { stage, repo, at } = question.clone();
    let exhibits = collect(stores, witness, question, Some(keys), now, |_| async { Live::AsRecorded }).await;
    if exhibits.documents.is_empty() && exhibits.observed.unread.is_empty() {
        return Ok(Page::not_found());
    }
    let article = html::article(&judge(&exhibits))?;
    Page::of(&EvidenceOfStage { stage, repo, at: at.map(Time), article })
}
