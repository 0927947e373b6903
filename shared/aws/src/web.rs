//! Asking somebody who isn't AWS over HTTP.

use std::{sync::Arc, time::Duration};

use ureq::{
    Agent,
    config::ConfigBuilder,
    tls::{Certificate, RootCerts, TlsConfig},
    typestate::AgentScope,
};

/// The longest that one request may take, from the name's resolution to the body's end.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How everybody is asked: by the system's roots, or Mozilla's where the system has none.
///
/// No redirect is followed: what answers elsewhere is not what was asked. No connection is kept: a restarted endpoint must be
/// met anew. No proxy is taken from the environment, which would resolve names for itself.
#[must_use]
pub fn config() -> ConfigBuilder<AgentScope> {
    let native = rustls_native_certs::load_native_certs().certs;
    let roots = if native.is_empty() {
        RootCerts::WebPki
    } else {
        let certificates = native.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
        RootCerts::Specific(Arc::new(certificates.collect()))
    };
    Agent::config_builder()
        .proxy(None)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .timeout_global(Some(REQUEST_TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("artefact-gatekeeper/", env!("CARGO_PKG_VERSION")))
}
