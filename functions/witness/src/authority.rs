//! Asking a timestamp authority (RFC 3161, 3.4: over HTTP).

use std::io::Read as _;

use gatekeeper_aws::web;
use gatekeeper_model::{ids::Sha256, telemetry::chain};
use gatekeeper_timestamp::{MAX_BYTES, QUERY_TYPE, Query};
use ureq::Agent;

/// An authority, by its address.
#[derive(Debug, Clone)]
pub struct Authority {
    agent: Agent,
    url: String,
}

impl Authority {
    /// The authority that answers at `url`.
    #[must_use]
    pub fn at(url: String) -> Self {
        Self { agent: web::config().build().into(), url }
    }

    /// Its answer that it saw bytes of this digest, whole. That it is about them is looked at; whose word it is, who verifies it
    /// asks.
    ///
    /// # Errors
    /// In words, where it gives none.
    pub async fn stamp(&self, sha256: Sha256) -> Result<Vec<u8>, String> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| chain(&error))?;
        let query = Query::new(sha256, random);
        let (authority, der) = (self.clone(), query.to_der());
        let asked = tokio::task::spawn_blocking(move || authority.ask(&der)).await;
        let answer = asked.map_err(|error| chain(&error))??;
        query.answered(&answer).map_err(|error| chain(&error))?;
        Ok(answer)
    }

    fn ask(&self, query: &[u8]) -> Result<Vec<u8>, String> {
        let asked = self.agent.post(&self.url).header("content-type", QUERY_TYPE).send(query);
        let mut response = asked.map_err(|error| chain(&error))?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let mut answer = Vec::new();
        let mut body = response.body_mut().as_reader().take(MAX_BYTES + 1);
        body.read_to_end(&mut answer).map_err(|error| format!("its answer broke off: {}", chain(&error)))?;
        if answer.len() as u64 > MAX_BYTES {
            Err(format!("it answered more than {MAX_BYTES} bytes"))
        } else {
            Ok(answer)
        }
    }
}
