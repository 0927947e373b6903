//! An operation of a service that speaks AWS's JSON protocol (Smithy specification, "AWS JSON 1.0" and "AWS JSON 1.1"):
//! what the SDK does for each call, by the SDK's own parts, without its crate of the service. A service of which one or
//! two operations are asked brings half a megabyte of types to a function otherwise.

use std::fmt;

use aws_config::SdkConfig;
use aws_runtime::{
    auth::{
        SigV4OperationSigningConfig,
        sigv4::{SCHEME_ID, SigV4AuthScheme},
    },
    invocation_id::InvocationIdInterceptor,
    recursion_detection::RecursionDetectionInterceptor,
    request_info::RequestInfoInterceptor,
    retries::classifiers::AwsErrorCodeClassifier,
    service_clock_skew::{ServiceClockSkewClassifier, ServiceClockSkewInterceptor},
    user_agent::{ApiMetadata, UserAgentInterceptor},
};
use aws_smithy_runtime::client::{
    orchestrator::operation::Operation,
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{
            AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
            static_resolver::StaticAuthSchemeOptionResolver,
        },
        identity::SharedIdentityResolver,
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        result::SdkError,
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::Layer, error::metadata::ErrorMetadata, retry::RetryConfig};
use aws_types::{SigningName, region::SigningRegion, service_config::ServiceConfigKey};
use serde_json::Value;

/// A service of AWS that speaks JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// What the SDKs call it, which is also its part of `AWS_ENDPOINT_URL_…`.
    pub id: &'static str,
    /// What its host begins with, before the region.
    pub host: &'static str,
    /// What a signature names it.
    pub signing_name: &'static str,
    /// What `X-Amz-Target` has before the operation.
    pub target: &'static str,
    /// The version of the protocol: `1.0` or `1.1`.
    pub json: &'static str,
}

/// Key Management Service.
pub const KMS: Service = Service { id: "KMS", host: "kms", signing_name: "kms", target: "TrentService", json: "1.1" };

/// Simple Queue Service.
pub const SQS: Service = Service { id: "SQS", host: "sqs", signing_name: "sqs", target: "AmazonSQS", json: "1.0" };

/// EventBridge.
pub const EVENT_BRIDGE: Service =
    Service { id: "EventBridge", host: "events", signing_name: "events", target: "AWSEvents", json: "1.1" };

/// Lambda, which names operations by paths and not by targets: [`JsonOperation::invoke`] is the one that is asked.
const LAMBDA: Service = Service { id: "Lambda", host: "lambda", signing_name: "lambda", target: "", json: "1.1" };

/// How a request names its operation.
#[derive(Debug)]
enum Named {
    /// By a header, with the version of the protocol.
    Target(String, &'static str),
    /// By its path.
    Path(String),
}

/// Why a call has no answer: the service's own words and code, or that nothing was heard of it.
pub type JsonError = SdkError<ErrorMetadata, HttpResponse>;

/// One operation of a service, ready to be called: signed, tried again as the SDK's standard mode does, and logged as each
/// call of the SDK is.
#[derive(Debug, Clone)]
pub struct JsonOperation(Operation<Unlogged<String>, Unlogged<Value>, ErrorMetadata>);

/// What may be a secret, and so has no words in a log.
struct Unlogged<T>(T);

impl<T> fmt::Debug for Unlogged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl JsonOperation {
    /// The operation of this name, with the credentials, the region, the endpoint, the retries and the HTTP client of `config`.
    #[must_use]
    pub fn new(config: &SdkConfig, service: Service, name: &'static str) -> Self {
        let named = Named::Target(format!("{}.{name}", service.target), service.json);
        Self::named(config, service, name, named)
    }

    /// Lambda's `Invoke` of this function. What the function throws is an error whose code is `FunctionError`.
    #[must_use]
    pub fn invoke(config: &SdkConfig, function: &str) -> Self {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        Self::named(config, LAMBDA, "Invoke", Named::Path(path))
    }

    fn named(config: &SdkConfig, service: Service, name: &'static str, named: Named) -> Self {
        let region = config.region().cloned();
        let has_region = region.is_some();
        let mut layer = Layer::new("json operation");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(SigV4OperationSigningConfig::default());
        layer.store_put(SigningName::from_static(service.signing_name));
        layer.store_put(ApiMetadata::new(service.signing_name, env!("CARGO_PKG_VERSION")));
        layer.store_or_unset(config.app_name().cloned());
        layer.store_or_unset(region.clone().map(SigningRegion::from));
        layer.store_or_unset(region);

        let schemes = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
        let mut components = RuntimeComponentsBuilder::new("json operation")
            .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(schemes)))
            .with_retry_classifier(HttpStatusCodeClassifier::default())
            .with_retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .with_retry_classifier(AwsErrorCodeClassifier::<ErrorMetadata>::new())
            .with_retry_classifier(ServiceClockSkewClassifier::<ErrorMetadata>::new())
            .with_interceptor(ServiceClockSkewInterceptor::new())
            .with_interceptor(RequestInfoInterceptor::new())
            .with_interceptor(UserAgentInterceptor::new())
            .with_interceptor(InvocationIdInterceptor::new())
            .with_interceptor(RecursionDetectionInterceptor::new())
            .with_http_client(config.http_client())
            .with_sleep_impl(config.sleep_impl())
            .with_time_source(config.time_source());
        if let Some(provider) = config.credentials_provider() {
            components.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(provider));
        }
        if let Some(cache) = config.identity_cache() {
            components.set_identity_cache(Some(cache));
        }

        let mut operation = Operation::builder()
            .service_name(service.id)
            .operation_name(name)
            .endpoint_url(&endpoint(config, &service))
            .standard_retry(&config.retry_config().cloned().unwrap_or_else(RetryConfig::standard))
            .with_connection_poisoning()
            .runtime_plugin(StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components));
        if let Some(timeouts) = config.timeout_config() {
            operation = operation.timeout_config(timeouts.clone());
        }
        if let Some(version) = config.behavior_version() {
            operation = operation.behavior_version(version);
        }
        let operation = operation
            .serializer(
                move |Unlogged(body)| {
                    if has_region { request(&named, body) } else { Err("no AWS region is configured".into()) }
                },
            )
            .deserializer(answer)
            .build();
        Self(operation)
    }

    /// Calls it with `input` and gives what the service answered.
    ///
    /// # Errors
    /// [`JsonError`] where the service refused or nothing was heard of it: [`crate::failure`] tells what it means.
    pub async fn call(&self, input: &Value) -> Result<Value, JsonError> {
        self.0.invoke(Unlogged(input.to_string())).await.map(|Unlogged(answer)| answer)
    }
}

/// Where the service answers: at the endpoint that is configured for it or for all, else at its own in the region.
fn endpoint(config: &SdkConfig, service: &Service) -> String {
    let own = || {
        let key = ServiceConfigKey::builder().service_id(service.id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        config.service_config()?.load_config(key.build().ok()?)
    };
    let of_caller = config.get_origin("endpoint_url").is_client_config();
    let configured = if of_caller { None } else { own() };
    configured.or_else(|| config.endpoint_url().map(str::to_owned)).unwrap_or_else(|| {
        let region = config.region().map_or("", |region| region.as_ref());
        let fips = if config.use_fips() == Some(true) { "-fips" } else { "" };
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("https://{}{fips}.{region}.{domain}", service.host)
    })
}

fn request(named: &Named, body: String) -> Result<HttpRequest, BoxError> {
    let length = body.len().to_string();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri(match named {
        Named::Target(..) => "/",
        Named::Path(path) => path.as_str(),
    })?;
    let headers = request.headers_mut();
    headers.try_insert("content-length", length)?;
    match named {
        Named::Target(target, json) => {
            headers.try_insert("content-type", format!("application/x-amz-json-{json}"))?;
            headers.try_insert("x-amz-target", target.clone())?;
        }
        Named::Path(_) => drop(headers.try_insert("content-type", "application/json")?),
    }
    Ok(request)
}

fn answer(response: &HttpResponse) -> Result<Unlogged<Value>, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    if !response.status().is_success() {
        return Err(OrchestratorError::operation(refusal(response, body)));
    }
    // What a function throws comes with the status of what it answers.
    if response.headers().get("x-amz-function-error").is_some() {
        let thrown = ErrorMetadata::builder().code("FunctionError").message(String::from_utf8_lossy(body));
        return Err(OrchestratorError::operation(thrown.build()));
    }
    // An operation without an output answers with nothing or with `{}`.
    if body.is_empty() {
        return Ok(Unlogged(Value::Null));
    }
    let answer = serde_json::from_slice(body).map_err(|error| OrchestratorError::response(error.into()))?;
    Ok(Unlogged(answer))
}

/// What the service says of an error: its code is in a header or in the body, with a namespace or an address at times
/// (Smithy specification, "Operation error serialization").
fn refusal(response: &HttpResponse, body: &[u8]) -> ErrorMetadata {
    // Whoever stands between may answer with something else than JSON; then the status has to tell.
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let of_query = response.headers().get("x-amzn-query-error").and_then(|it| it.split_once(';')).map(|(code, _)| code);
    let of_header = response.headers().get("x-amzn-errortype");
    let code = of_query.or_else(|| of_header.or_else(|| text("code")).or_else(|| text("__type")).map(bare));
    let message = ["message", "Message", "errorMessage"].into_iter().find_map(text);
    let mut refusal = ErrorMetadata::builder();
    if let Some(code) = code {
        refusal = refusal.code(code);
    }
    if let Some(message) = message {
        refusal = refusal.message(message);
    }
    refusal.build()
}

fn bare(code: &str) -> &str {
    let code = code.split_once(':').map_or(code, |(code, _)| code);
    code.split_once('#').map_or(code, |(_, code)| code)
}

#[cfg(test)]
#[path = "json_operation_tests.rs"]
mod tests;
