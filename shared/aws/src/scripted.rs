//! AWS as a test plays it: every call of every client gets its answer from a closure, below the SDK's own reading and
//! writing, so that the answers which the local AWS never gives (throttling, conflicts, lost answers) are met as AWS
//! sends them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

/// A call as it left the SDK.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PUT` or `POST`.
    pub method: String,
    /// The path, with the query where there is one.
    pub path: String,
    /// The headers, by their lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body: JSON, or a form for the query protocol of CloudFormation and STS.
    pub body: String,
}

impl Request {
    /// A field of a JSON body.
    #[must_use]
    pub fn json(&self, field: &str) -> Option<Value> {
        serde_json::from_str::<Value>(&self.body).ok()?.get(field).cloned()
    }
}

/// What a call gets back.
#[derive(Debug, Clone)]
pub enum Answer {
    /// An answer of AWS.
    Http {
        /// Its status.
        status: u16,
        /// The code of the error, which JSON services tell in a header.
        error: Option<&'static str>,
        /// Its headers, beyond that.
        headers: Vec<(&'static str, String)>,
        /// Its body.
        body: String,
    },
    /// None: the connection broke, before AWS acted or after.
    Lost,
}

impl Answer {
    /// An answer with a JSON body.
    #[must_use]
    pub fn json(body: &Value) -> Self {
        Self::Http { status: 200, error: None, headers: Vec::new(), body: body.to_string() }
    }

    /// An answer with an XML body, as CloudFormation gives it.
    #[must_use]
    pub fn xml(body: impl Into<String>) -> Self {
        Self::Http { status: 200, error: None, headers: Vec::new(), body: body.into() }
    }

    /// An error of a JSON service, such as Lambda.
    #[must_use]
    pub fn error(status: u16, code: &'static str, message: &str) -> Self {
        let body = json!({"Type": "User", "message": message}).to_string();
        Self::Http { status, error: Some(code), headers: Vec::new(), body }
    }

    /// An error of a service of the query protocol, such as CloudFormation.
    #[must_use]
    pub fn xml_error(status: u16, code: &'static str, message: &str) -> Self {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>r-1</RequestId></ErrorResponse>"
        );
        Self::Http { status, error: None, headers: Vec::new(), body }
    }
}

/// A configuration whose clients get their answers from `answer`.
pub fn config(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> SdkConfig {
    let connector = SharedHttpConnector::new(Connector(Arc::new(answer)));
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "scripted");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build()
}

#[derive(Clone)]
struct Connector(Arc<dyn Fn(Request) -> Answer + Send + Sync>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri();
        let after_scheme = uri.split_once("://").map_or(uri, |(_, rest)| rest);
        let request = Request {
            method: request.method().to_owned(),
            path: after_scheme.find('/').map_or("/", |at| after_scheme.split_at(at).1).to_owned(),
            headers: request.headers().iter().map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
        };
        HttpConnectorFuture::ready(respond((self.0)(request)))
    }
}

fn respond(answer: Answer) -> Result<HttpResponse, ConnectorError> {
    match answer {
        Answer::Lost => Err(ConnectorError::io("connection reset".into())),
        Answer::Http { status, error, headers, body } => {
            let status = StatusCode::try_from(status).map_err(|error| ConnectorError::other(error.into(), None))?;
            let mut response = HttpResponse::new(status, SdkBody::from(body));
            let error = error.map(|code| ("x-amzn-errortype", code.to_owned()));
            for (name, value) in headers.into_iter().chain(error) {
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        }
    }
}
