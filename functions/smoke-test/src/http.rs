//! One request of a smoke check over HTTP.

use std::io::Read as _;

use gatekeeper_aws::web;
pub use gatekeeper_aws::web::REQUEST_TIMEOUT;
use gatekeeper_model::telemetry::chain;
use ureq::{Agent, Error, unversioned::transport::DefaultConnector};

use crate::{
    address::{NotPublic, PublicOnly},
    expect::{Answer, MAX_BODY_BYTES},
};

/// What stages are asked with.
#[derive(Debug, Clone)]
pub struct Agents {
    /// For those that haven't consented to more.
    public: Agent,
    /// For those that have `allow_private`.
    any: Agent,
}

/// Why nobody answered, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// The host may not be asked, and asking again changes nothing.
    Forbidden(String),
    /// It didn't answer this time.
    Trouble(String),
}

/// Clients. `endpoint` is where AWS itself answers, if that isn't its usual address.
#[must_use]
pub fn agents(endpoint: Option<&str>) -> Agents {
    let config = web::config().build();
    let public = Agent::with_parts(config.clone(), DefaultConnector::new(), PublicOnly::new(endpoint));
    Agents { public, any: config.into() }
}

impl Agents {
    /// The one for a stage with or without `allow_private`.
    #[must_use]
    pub fn of(&self, allow_private: bool) -> Agent {
        if allow_private { self.any.clone() } else { self.public.clone() }
    }
}

/// Joins a stack's output and a check's path with exactly one slash.
///
/// # Errors
/// In words, where the output is nothing that a path can be appended to.
pub fn join(base: &str, path: &str) -> Result<String, &'static str> {
    let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        return Err("it is not an `https://` or `http://` URL");
    }
    if base.contains(['?', '#', ' ']) {
        return Err("it is a URL with a query, a fragment or a space, so no path can be appended");
    }
    if path.is_empty() {
        return Ok(base.to_owned());
    }
    Ok(format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/')))
}

/// The URL as it may be logged and recorded: without user, password, query and fragment.
#[must_use]
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Asks once.
///
/// # Errors
/// Where nobody may be asked or nobody answers: refused, unresolvable, a TLS error, a timeout. No query is told.
pub fn get(agent: &Agent, url: &str) -> Result<Answer, Unanswered> {
    let mut response = agent.get(url).call().map_err(|error| unanswered(&error))?;
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    let mut reader = response.body_mut().as_reader().take(MAX_BODY_BYTES + 1);
    let broken = |error| Unanswered::Trouble(format!("the answer broke off: {}", chain(&error)));
    reader.read_to_end(&mut body).map_err(broken)?;
    Ok(Answer::new(response.status().as_u16(), content_type, None, body))
}

fn unanswered(error: &Error) -> Unanswered {
    match error {
        Error::Other(other) if other.is::<NotPublic>() => Unanswered::Forbidden(other.to_string()),
        error => Unanswered::Trouble(trouble(error)),
    }
}

fn trouble(error: &Error) -> String {
    match error {
        // These repeat the URL, query and all.
        Error::BadUri(_) | Error::Http(_) => "the URL is not valid".to_owned(),
        Error::Timeout(_) => format!("no answer within {} seconds", REQUEST_TIMEOUT.as_secs()),
        Error::Io(error) => format!("no connection: {}", chain(error)),
        error => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_and_a_path_are_joined_with_exactly_one_slash() {
        for (base, path, url) in [
            ("https://a.example", "health", "https://a.example/health"),
            ("https://a.example/", "/health", "https://a.example/health"),
            ("https://a.example/Prod/", "health?deep=1", "https://a.example/Prod/health?deep=1"),
            ("https://a.example/Prod", "//b.example/", "https://a.example/Prod/b.example/"),
            ("http://127.0.0.1:80/x", "", "http://127.0.0.1:80/x"),
            ("https://a.example", "/", "https://a.example/"),
        ] {
            assert_eq!(join(base, path).as_deref(), Ok(url), "{base} {path}");
        }
        for base in [
            "",
            "a.example",
            "arn:aws:sns:eu-west-1:111122223333:x",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://a.example/?x=",
            "https://a.example/#x",
            "https://a.example/ x",
        ] {
            assert!(join(base, "health").is_err(), "{base}");
        }
    }

    #[test]
    fn what_is_shown_of_a_url_holds_no_secret() {
        assert_eq!(shown("https://jane:secret@a.example:8443/x?token=secret#secret"), "https://a.example:8443/x");
        assert_eq!(shown("https://a.example?token=secret@b"), "https://a.example");
        assert_eq!(shown("https://a.example/x@y"), "https://a.example/x@y");
    }
}
