//! The evidence portal: what the stages run and why it may, as pages for a browser. It reads what
//! is stored, never what is live, and changes nothing. Its pages need no JavaScript.

mod evidence;
mod history;
mod overview;
mod page;
mod read;
mod route;
mod search;
mod show;
#[cfg(test)]
mod tests;

use futures_util::future::try_join3;
use gatekeeper_evidence::model::Question;
use gatekeeper_model::telemetry::{Clock, Logger, chain};
use gatekeeper_proof::{KeyHolder, PublicKeys, SigningError};
use gatekeeper_store::{ReadStore, StoreError, Stores};
use lambda_http::{Body, Request, RequestExt as _, Response, http::Method, request::RequestContext};
use page::Page;
use route::{NoPage, Route};
use serde_json::json;

/// What the pages are made from.
#[derive(Debug)]
pub struct Portal<S> {
    /// The artefact bucket: the manifest and the checksums of what is stored.
    pub artefacts: S,
    /// The records bucket.
    pub records: S,
    /// The bucket of the witness outside, where there is one.
    pub witness: Option<S>,
    /// The gate's key, whose public half its statements are verified by.
    pub gate_key: Box<dyn KeyHolder>,
    /// Promotion's key, the same.
    pub promotion_key: Box<dyn KeyHolder>,
    /// That of the function `approve`, to verify approvals with.
    pub approval_key: Box<dyn KeyHolder>,
    /// Where it tells who read what.
    pub log: Logger,
    /// The present.
    pub clock: Clock,
}

/// Why a page could not be made.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// The records could not be read.
    #[error(transparent)]
    Records(#[from] StoreError),
    /// The public keys could not be had.
    #[error(transparent)]
    Keys(#[from] SigningError),
    /// A page could not be written.
    #[error("a page could not be written")]
    Template(#[from] askama::Error),
}

impl<S: ReadStore> Portal<S> {
    /// Answers a request, always: what goes wrong is a page too, and a line in the log with everything about it.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let request_id = request.lambda_context_ref().map_or("", |context| &context.request_id);
        let log = self.log.for_request(request_id);
        let page = match self.page(request).await {
            Ok(page) => page,
            Err(trouble) => {
                log.error("page failed", json!({"path": request.uri().path(), "error": chain(&trouble)}));
                Page::failed(request_id)
            }
        };
        log.info(
            "page read",
            json!({
                "path": request.uri().path(), "status": page.status.as_u16(), "principal": principal(request),
            }),
        );
        page.response(*request.method() == Method::HEAD)
    }

    async fn page(&self, request: &Request) -> Result<Page, Trouble> {
        let parameters = request.query_string_parameters();
        let parameters: Vec<_> = parameters.iter().collect();
        let route = match Route::parse(request.method(), request.raw_http_path(), &parameters) {
            Ok(route) => route,
            Err(NoPage::NotFound) => return Ok(Page::not_found()),
            Err(NoPage::MethodNotAllowed) => return Ok(Page::method_not_allowed()),
            Err(NoPage::Malformed(why)) => return Ok(Page::malformed(&why)),
        };
        match route {
            Route::Overview => overview::page(&self.records).await,
            Route::Search(digest) => search::page(&self.records, digest).await,
            Route::History(repo, cursor) => history::page(&self.records, repo, &cursor, &self.keys().await?).await,
            Route::Evidence(stage, repo, at) => {
                let stores = Stores { artefacts: &self.artefacts, records: &self.records };
                let question = Question { stage, repo, at };
                evidence::page(&stores, self.witness.as_ref(), question, self.keys().await?, (self.clock)()).await
            }
        }
    }

    async fn keys(&self) -> Result<PublicKeys, SigningError> {
        let Self { gate_key, promotion_key, approval_key, .. } = self;
        let keys = try_join3(gate_key.trusted(), promotion_key.trusted(), approval_key.trusted());
        let (gate, promotion, approval) = keys.await?;
        Ok(PublicKeys { gate, promotion, approval: Some(approval), trust: None })
    }
}

/// Who asked, as IAM knows them.
fn principal(request: &Request) -> Option<String> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.authorizer.as_ref()?.iam.as_ref()?.user_arn.clone(),
        _ => None,
    }
}
