//! `gatekeeper portal`: the evidence portal for a browser, which can't sign requests for IAM by itself.
//!
//! It listens on this machine only, signs what is asked with the caller's credentials and passes on the answer.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, anyhow};
use aws_config::SdkConfig;
use aws_sdk_s3::config::ProvideCredentials as _;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use gatekeeper_model::telemetry;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use ureq::{
    Agent,
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{
    aws::{Aws, Part, PlaceArgs},
    exit::{Answer, Misuse},
    output::Output,
};

/// More than the function itself may take.
const TIMEOUT: Duration = Duration::from_secs(40);
/// More than a function URL answers.
const MAX_BODY_BYTES: u64 = 8 * 1024 * 1024;

const EXAMPLES: &str = "\
Whoever can open a connection from this machine reads what you may read, until you end it with Ctrl-C.

Examples:
  gatekeeper portal
  gatekeeper portal --port 8053 --profile bank-audit";

/// Serves the evidence portal to a browser on this machine, signing its requests as you
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// The portal's function URL, else the stack's output `PortalUrl`
    #[arg(long, value_name = "URL", env = "GATEKEEPER_PORTAL_URL", hide_env_values = true)]
    url: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What it takes to pass a request on.
struct Portal {
    /// Without a slash at its end.
    url: String,
    /// What a browser of this machine calls us: anything else is a page elsewhere whose name leads here.
    hosts: [String; 2],
    config: SdkConfig,
    agent: Agent,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::at(&args.place).await?;
    let url = match &args.url {
        Some(url) => url.clone(),
        None => aws.part(Part::PortalUrl).await?,
    };
    let local = format!("the port {} of this machine can't be listened on", args.port);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .map_err(|error| Misuse(format!("{local}: {error}")))?;
    let address = listener.local_addr()?;
    let portal = Portal {
        url: url.trim_end_matches('/').to_owned(),
        hosts: [address.to_string(), format!("localhost:{}", address.port())],
        config: aws.config.clone(),
        agent: agent(),
    };
    portal.sign("/").await?; // without credentials there is nothing to open
    let here = format!("http://{address}/");
    output.result(&json!({"url": here}), &format!("the portal is at {here}, until Ctrl-C"))?;
    tokio::select! {
        never = serve(listener, Arc::new(portal)) => match never {},
        ended = tokio::signal::ctrl_c() => { ended.context("the program can't wait for signals")?; }
    }
    Ok(Answer::Yes)
}

async fn serve(listener: TcpListener, portal: Arc<Portal>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, Arc::clone(&portal)))),
            // Out of file descriptors, mostly: those that are open will end.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: TcpStream, portal: Arc<Portal>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let portal = Arc::clone(&portal);
        async move { Ok::<_, Infallible>(portal.answer(&request).await) }
    });
    // A browser that goes away is no trouble of ours.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer).await;
}

impl Portal {
    async fn answer(self: &Arc<Self>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| self.hosts.iter().any(|ours| ours == host)) {
            return plain(
                StatusCode::FORBIDDEN,
                "this is the gatekeeper's portal on this machine, under no other name",
            );
        }
        if *request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "pages are only read here");
        }
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
        self.pass_on(&target).await.unwrap_or_else(|error| {
            let why = telemetry::chain(error.as_ref());
            plain(StatusCode::BAD_GATEWAY, &format!("the portal could not be asked: {why}"))
        })
    }

    /// Asks the function URL for what a browser asked us.
    async fn pass_on(self: &Arc<Self>, target: &str) -> anyhow::Result<Response<Full<Bytes>>> {
        let signed = self.sign(target).await?;
        let portal = Arc::clone(self);
        tokio::task::spawn_blocking(move || portal.send(signed)).await?
    }

    /// A request that IAM knows as the caller's (Signature Version 4, for the service `lambda`).
    async fn sign(&self, target: &str) -> anyhow::Result<Request<()>> {
        let credentials =
            self.config.credentials_provider().context("there are no AWS credentials: pass `--profile`")?;
        let credentials = credentials.provide_credentials().await.context("the AWS credentials could not be read")?;
        let region = self.config.region().ok_or_else(|| Misuse("no AWS region: pass `--region`".to_owned()))?;
        let identity = credentials.into();
        let signing = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.as_ref())
            .name("lambda")
            .time(SystemTime::try_from(telemetry::wall_clock())?)
            .settings(SigningSettings::default())
            .build()?;
        let mut request = Request::get(format!("{}{target}", self.url)).body(())?;
        let uri = request.uri().to_string();
        let signable = SignableRequest::new("GET", &uri, std::iter::empty(), SignableBody::Bytes(b""))?;
        let (instructions, _) = sign(signable, &signing.into())?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    fn send(&self, request: Request<()>) -> anyhow::Result<Response<Full<Bytes>>> {
        let mut answer = self.agent.run(request).map_err(|error| anyhow!("{error}"))?;
        let body = answer.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec()?;
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = answer.status();
        let of_the_connection = [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH];
        for (name, value) in answer.headers() {
            if !of_the_connection.contains(name) {
                response.headers_mut().append(name, value.clone());
            }
        }
        Ok(response)
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{text}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn agent() -> Agent {
    let native = rustls_native_certs::load_native_certs().certs;
    let certificates = native.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(certificates.collect()))).build())
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .build()
        .into()
}
