//! The one HTTP client that all AWS clients share: HTTP/1.1 over rustls with ring, whose first handshake is 50 ms of CPU cheaper
//! than the SDK's default.
//!
//! The SDK has one of its own, `aws-smithy-http-client`, which brings HTTP/2 along: S3 doesn't speak it, and it is a twentieth of
//! each function's size. What errors are told as is taken from there, because the SDK's retries rest on it.

use std::{
    collections::HashMap,
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connection::{CaptureSmithyConnection, ConnectionMetadata},
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, retry::ErrorKind};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        self,
        connect::{CaptureConnection, HttpConnector as TcpConnector, HttpInfo, capture_connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tower_service::Service;

/// Amazon Trust Services' five roots, under which every AWS endpoint lies
/// (<https://www.amazontrust.com/repository/>): reading the system's whole store costs a cold start 6 ms.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// How long a connection is kept that nobody uses.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Which certificate authorities AWS's endpoints are trusted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsRoots {
    /// Amazon's five only, which a cold start need not look for.
    Amazon,
    /// The system's, for a proxy that has its own.
    Native,
}

impl TlsRoots {
    /// What can't be read is left out: who trusts too little is told so by the first handshake.
    fn store(self) -> RootCertStore {
        let certificates: Vec<_> = match self {
            Self::Amazon => CertificateDer::pem_slice_iter(AMAZON_ROOTS).flatten().collect(),
            Self::Native => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        roots
    }
}

/// A client that trusts these authorities.
pub(crate) fn client(roots: TlsRoots) -> SharedHttpClient {
    SharedHttpClient::new(Client { roots, state: Mutex::default() })
}

/// How long something may take: to connect, and from a request to the head of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Patience {
    connect: Option<Duration>,
    read: Option<Duration>,
}

/// A pool of connections for each patience that was asked for.
#[derive(Debug)]
struct Client {
    roots: TlsRoots,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tls: Option<Arc<ClientConfig>>,
    connectors: HashMap<Patience, SharedHttpConnector>,
}

impl HttpClient for Client {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let patience = Patience { connect: settings.connect_timeout(), read: settings.read_timeout() };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { tls, connectors } = &mut *state;
        let connector = connectors.entry(patience).or_insert_with(|| {
            let tls = tls.get_or_insert_with(|| {
                let config = ClientConfig::builder().with_root_certificates(self.roots.store());
                Arc::new(config.with_no_client_auth())
            });
            SharedHttpConnector::new(Connector::new(tls, patience))
        });
        connector.clone()
    }
}

/// Makes requests over connections that it keeps.
#[derive(Debug)]
struct Connector {
    client: legacy::Client<Connecting, SdkBody>,
    read_within: Option<Duration>,
}

impl Connector {
    fn new(tls: &ClientConfig, patience: Patience) -> Self {
        let mut tcp = TcpConnector::new();
        // A small request doesn't wait for the acknowledgement of the one before.
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(Connecting { https, within: patience.connect });
        Self { client, read_within: patience.read }
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let connection = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || metadata(&connection));
        }
        let (answer, within) = (self.client.request(request), self.read_within);
        HttpConnectorFuture::new(async move {
            let answer = in_time(answer, within, "read").await.map_err(told)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What the SDK wants to know of a connection: above all how to have it taken no more.
fn metadata(captured: &CaptureConnection) -> Option<ConnectionMetadata> {
    let poisoned = captured.clone();
    let connected = captured.connection_metadata();
    let connected = connected.as_ref()?;
    let mut extras = http::Extensions::new();
    connected.get_extras(&mut extras);
    let info = extras.get::<HttpInfo>();
    let mut metadata = ConnectionMetadata::builder().proxied(false).poison_fn(move || {
        if let Some(connected) = poisoned.connection_metadata().as_ref() {
            connected.poison();
        }
    });
    metadata.set_local_addr(info.map(HttpInfo::local_addr)).set_remote_addr(info.map(HttpInfo::remote_addr));
    Some(metadata.build())
}

/// Connects, in time: looking up the name and the TLS handshake counted.
#[derive(Debug, Clone)]
struct Connecting {
    https: HttpsConnector<TcpConnector>,
    within: Option<Duration>,
}

impl Service<http::Uri> for Connecting {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        Box::pin(in_time(self.https.call(uri), self.within, "connect"))
    }
}

/// Something took too long.
#[derive(Debug)]
struct TooLong {
    what: &'static str,
    limit: Duration,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} timeout occurred after {:?}", self.what, self.limit)
    }
}

impl Error for TooLong {}

async fn in_time<T, E: Into<BoxError>>(
    work: impl Future<Output = Result<T, E>>,
    limit: Option<Duration>,
    what: &'static str,
) -> Result<T, BoxError> {
    let Some(limit) = limit else { return work.await.map_err(Into::into) };
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(TooLong { what, limit }.into()),
    }
}

/// What kind of error it is, by which the SDK chooses whether it asks again.
fn told(error: BoxError) -> ConnectorError {
    let chain: &(dyn Error + 'static) = &*error;
    if find::<TooLong>(chain).is_some() {
        return ConnectorError::timeout(error);
    }
    let is_io = find::<std::io::Error>(chain).is_some();
    if let Some(hyper) = find::<hyper::Error>(chain) {
        return match hyper {
            it if it.is_timeout() => ConnectorError::timeout(error),
            it if it.is_user() => ConnectorError::user(error),
            it if it.is_closed() || it.is_canceled() || is_io => ConnectorError::io(error),
            // S3 hangs up like this now and then.
            it if it.is_incomplete_message() => ConnectorError::other(error, Some(ErrorKind::TransientError)),
            _ => ConnectorError::other(error, None),
        };
    }
    match find::<legacy::Error>(chain) {
        Some(it) if it.is_connect() || is_io => ConnectorError::io(error),
        _ => ConnectorError::other(error, None),
    }
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
