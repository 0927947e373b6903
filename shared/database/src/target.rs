//! Where a database is and who may enter: read from a secret.

use std::{fmt, net::IpAddr};

use gatekeeper_model::place::Place;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::redact::Redactor;

/// PostgreSQL's port.
const DEFAULT_PORT: u16 = 5432;

/// Settings of libpq that would weaken a connection or lead it elsewhere. Only these names are repeated in a refusal:
/// what looks like a parameter may be a piece of a password that wasn't percent-encoded.
const REFUSED: &[&str] = &[
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "krbsrvname",
    "load_balance_hosts",
    "loggerLevel",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "socketFactory",
    "sslcert",
    "sslcrl",
    "sslcrldir",
    "sslfactory",
    "sslkey",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "target_session_attrs",
    "user",
];

/// What is wrong with a URL whose user or password is written as it is.
const UNENCODED: &str = "its URL can be read in more than one way: percent-encode what is special in user and password, that is \
                         `@` as `%40`, `:` as `%3A`, `/` as `%2F`, `?` as `%3F`, `#` as `%23` and `%` as `%25`";

/// Where a database is and who may enter. It never shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    database: String,
    user: String,
    password: String,
    tls: bool,
    channel_binding: bool,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Why a secret doesn't tell how to reach a database safely: never with a piece of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTarget(String);

fn invalid<T>(reason: impl Into<String>) -> Result<T, InvalidTarget> {
    Err(InvalidTarget(reason.into()))
}

/// What a secret tells, before it is judged.
#[derive(Default)]
struct Told {
    host: Option<String>,
    port: Option<String>,
    database: Option<String>,
    user: Option<String>,
    password: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Target {
    /// Reads a secret's text: a URL `postgresql://user:password@host:port/database?sslmode=require`, as Neon gives it;
    /// or JSON with that as `url`, and `username` and `password` where the URL has none; or JSON with `host`, `port`,
    /// `dbname`, `username` and `password`, as Secrets Manager keeps it for Amazon RDS.
    ///
    /// Whatever `sslmode` it asks for, the server's certificate and name are verified (`verify-full`); only a database
    /// on this machine may go without TLS.
    ///
    /// # Errors
    /// [`InvalidTarget`] where it can't be read, or asks for a connection that isn't safe or that Flyway can't use.
    pub fn from_secret(text: &str) -> Result<Self, InvalidTarget> {
        Self::from_secret_at(text, &Place::default())
    }

    /// The same of a secret that doesn't tell the whole place, such as one that Amazon RDS manages, which holds
    /// `username` and `password` only: what it leaves out is at `place`.
    ///
    /// # Errors
    /// [`InvalidTarget`] also where both tell it and not alike.
    pub fn from_secret_at(text: &str, place: &Place) -> Result<Self, InvalidTarget> {
        let text = text.trim();
        let told = if text.starts_with('{') { Told::from_json(text)? } else { Told::from_url(text)? };
        told.at(place)?.judge()
    }

    /// The server's name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The database's name on the server.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role that connects.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether connections are TLS with the server's name verified.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Whether the secret wants SCRAM to be bound to the TLS connection.
    pub(super) fn channel_binding(&self) -> bool {
        self.channel_binding
    }

    /// Only for what is handed to a tool, never for a text.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// Takes the password out of what a tool says.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        Redactor::of(&self.password)
    }
}

impl Told {
    fn from_json(text: &str) -> Result<Self, InvalidTarget> {
        // The error of a parser may quote what it stumbled over.
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
            return invalid("it begins like JSON and is none");
        };
        let field = |names: &[&str]| -> Result<Option<String>, InvalidTarget> {
            let Some((name, value)) = names.iter().find_map(|name| Some((name, fields.get(*name)?))) else {
                return Ok(None);
            };
            match value {
                Value::String(text) => Ok(Some(text.clone())),
                Value::Number(number) => Ok(Some(number.to_string())),
                Value::Null => Ok(None),
                _ => invalid(format!("its `{name}` is neither text nor a number")),
            }
        };
        let (user, password) = (field(&["username", "user"])?, field(&["password"])?);
        if let Some(url) = field(&["url"])? {
            let mut told = Self::from_url(url.trim())?;
            if (told.user.is_some() && user.is_some()) || (told.password.is_some() && password.is_some()) {
                return invalid("it tells user or password twice: in `url` and beside it");
            }
            told.user = told.user.or(user);
            told.password = told.password.or(password);
            return Ok(told);
        }
        if field(&["engine"])?.is_some_and(|engine| !engine.contains("postgres")) {
            return invalid("its `engine` is not PostgreSQL");
        }
        let host = field(&["host"])?;
        let sslmode = field(&["sslmode"])?.map(|mode| ("sslmode".to_owned(), mode));
        Ok(Self {
            host,
            port: field(&["port"])?,
            database: field(&["dbname", "database"])?,
            user,
            password,
            parameters: sslmode.into_iter().collect(),
        })
    }

    fn from_url(url: &str) -> Result<Self, InvalidTarget> {
        if url.starts_with("jdbc:") {
            return invalid("it is a JDBC URL: give it as `postgresql://user:password@host/database`");
        }
        let Some(rest) = url.strip_prefix("postgresql://").or_else(|| url.strip_prefix("postgres://")) else {
            return invalid("it is neither JSON nor a URL that begins with `postgresql://`");
        };
        // Readers split an unencoded password at different places, and what one of them takes for a host is asked of the DNS.
        let (authority, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if behind.contains('@') || authority.matches('@').count() > 1 {
            return invalid(UNENCODED);
        }
        let (address, query) = rest.split_once('?').map_or((rest, None), |(address, query)| (address, Some(query)));
        let (authority, database) =
            address.split_once('/').map_or((address, None), |(authority, database)| (authority, Some(database)));
        let (user_info, host_port) =
            authority.split_once('@').map_or((None, authority), |(user_info, host)| (Some(user_info), host));
        let (user, password) = match user_info.map(|it| it.split_once(':').map_or((it, None), |(u, p)| (u, Some(p)))) {
            None => (None, None),
            Some((user, password)) => (Some(decoded(user)?), password.map(decoded).transpose()?),
        };
        let (host, port) = match host_port.strip_prefix('[').and_then(|it| it.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
            None => host_port.split_once(':').map_or((host_port, None), |(host, port)| (host, Some(port))),
        };
        let mut parameters = Vec::new();
        for parameter in query.iter().flat_map(|query| query.split('&')).filter(|it| !it.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            parameters.push((decoded(name)?, decoded(value)?));
        }
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Self {
            // A name or an address has nothing to encode, so what is encoded there is something else.
            host: Some(host.to_owned()),
            port: port.map(str::to_owned),
            database: database.map(decoded).transpose()?.and_then(filled),
            user: user.and_then(filled),
            password: password.and_then(filled),
            parameters,
        })
    }

    /// What is told, with what it leaves out from `place`.
    fn at(mut self, place: &Place) -> Result<Self, InvalidTarget> {
        let contradicts = |what: &str, field: &str| {
            invalid(format!("the {what} that it tells is not `{field}` of the database's entry in config/stages.json"))
        };
        match (&self.host, &place.host) {
            (Some(told), Some(host)) if !told.eq_ignore_ascii_case(host) => return contradicts("host", "host"),
            _ => self.host = self.host.or_else(|| place.host.clone()),
        }
        match (&self.port, place.port) {
            (Some(told), Some(port)) if told.parse() != Ok(port) => return contradicts("port", "port"),
            _ => self.port = self.port.or_else(|| place.port.map(|port| port.to_string())),
        }
        match (&self.database, &place.dbname) {
            (Some(told), Some(name)) if told != name => return contradicts("database", "dbname"),
            _ => self.database = self.database.or_else(|| place.dbname.clone()),
        }
        Ok(self)
    }

    fn judge(self) -> Result<Target, InvalidTarget> {
        let Some(host) = self.host else {
            return invalid(
                "it has neither `url` nor `host`: a secret that Amazon RDS manages has none, so tell `host`, `port` and \
                 `dbname` in the database's entry of config/stages.json",
            );
        };
        if host.contains(',') {
            return invalid("it names several hosts: name the primary one only");
        }
        let address = host.parse::<IpAddr>().ok();
        let name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if host.is_empty() || host.len() > 253 || (address.is_none() && !host.bytes().all(name)) {
            return invalid(
                "its host is not a host's name or address: percent-encode what is special in user and password",
            );
        }
        let first_label = host.split('.').next().unwrap_or_default();
        if first_label.ends_with("-pooler") {
            return invalid(
                "its host is a connection pooler, and Flyway holds session locks that a pooler loses: take the direct \
                 host, without `-pooler`",
            );
        }
        let digits = |port: &String| port.bytes().all(|b| b.is_ascii_digit());
        let port = self.port.map_or(Some(DEFAULT_PORT), |port| Some(port).filter(digits)?.parse().ok());
        let Some(port) = port.filter(|port| *port > 0) else {
            return invalid(
                "its port is not a number from 1 to 65535: percent-encode what is special in user and password",
            );
        };
        let loopback = address.map_or_else(|| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback());
        let (mut tls, mut channel_binding) = (!loopback, false);
        for (name, value) in &self.parameters {
            match (name.as_str(), value.as_str()) {
                ("sslmode", "require" | "verify-ca" | "verify-full") => tls = true,
                ("sslmode", "disable") if loopback => tls = false,
                ("sslmode", _) => {
                    return invalid("its `sslmode` does not ask for TLS: make it `verify-full`");
                }
                ("channel_binding", "require") => channel_binding = true,
                ("channel_binding", value) if value != "prefer" => {
                    return invalid("its `channel_binding` is neither `require` nor `prefer`");
                }
                // The default, and what the gatekeeper sets itself.
                ("channel_binding" | "application_name" | "connect_timeout", _) => {}
                // Neon's way for clients that don't send the server's name in TLS: those here do.
                ("options", value) if value.strip_prefix("endpoint=") == Some(first_label) => {}
                (name, _) if REFUSED.contains(&name) => {
                    return invalid(format!("its `{name}` is not a parameter that it may set: remove it"));
                }
                _ => {
                    return invalid(
                        "it sets a parameter that the gatekeeper doesn't know: remove it, or percent-encode what is \
                         special in user and password",
                    );
                }
            }
        }
        let needed = |what: &str, value: Option<String>| match value {
            None => invalid(format!("it tells no {what}")),
            Some(text) if text.is_empty() => invalid(format!("it tells no {what}")),
            Some(text) if text.chars().any(char::is_control) => {
                invalid(format!("its {what} holds a control character"))
            }
            Some(text) => Ok(text),
        };
        Ok(Target {
            database: needed("database", self.database)?,
            user: needed("user", self.user)?,
            password: needed("password", self.password)?,
            host,
            port,
            tls,
            channel_binding,
        })
    }
}

fn decoded(text: &str) -> Result<String, InvalidTarget> {
    let is_encoded = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_encoded) {
        return invalid(UNENCODED);
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => invalid("a percent-encoded part of its URL is not UTF-8"),
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
