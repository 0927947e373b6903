//! Has provenance verified by the function that is there for that: what reads certificates that strangers made has no right
//! but to read bundles, and what signs verdicts never reads a certificate.

use aws_config::SdkConfig;
use gatekeeper_aws::{failure::said, json_operation::JsonOperation};
use gatekeeper_gate::converge::{ProvenanceVerifier, Verifying};
use gatekeeper_model::provenance::Question;

/// `verify-provenance`; none where this gatekeeper was deployed without it, which nobody notices before it is asked.
#[derive(Debug)]
pub(crate) struct Function(Option<(String, JsonOperation)>);

impl Function {
    pub(crate) fn new(config: &SdkConfig, name: Option<&str>) -> Self {
        Self(name.map(|name| (name.to_owned(), JsonOperation::invoke(config, name))))
    }
}

impl ProvenanceVerifier for Function {
    fn verify<'a>(&'a self, question: &'a Question) -> Verifying<'a> {
        Box::pin(async move {
            let Some((name, invoke)) = &self.0 else {
                return Err("`VERIFY_PROVENANCE_FUNCTION` names no function: deploy the template as it is".into());
            };
            let answer = invoke.call(&serde_json::to_value(question)?).await;
            let answer = answer.map_err(|error| format!("`{name}` could not be asked: {}", said(&error)))?;
            serde_json::from_value(answer).map_err(|error| {
                format!("`{name}` gave an answer that is none: deploy all functions in one version: {error}").into()
            })
        })
    }
}
