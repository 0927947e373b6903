//! Asking STS whose signature a proof bears, and making a proof (STS API reference, `GetCallerIdentity`).

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_sts::{
    config::{
        Credentials, ProvideCredentials as _,
        endpoint::{DefaultResolver, Params, ResolveEndpoint as _},
        interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::SdkError,
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use gatekeeper_model::identity::{
    BoundRequest, Caller, CallerUnknown, Identity, IdentityProof, NotProven, REQUEST_HEADER, STS_BODY, STS_CONTENT_TYPE,
};
use jiff::Timestamp;

use crate::failure::{Failure, code, status};

/// What tells who made a proof: STS, at the gatekeeper's own choice of endpoint.
#[derive(Debug)]
pub struct Callers {
    client: aws_sdk_sts::Client,
    host: String,
    account: String,
    person_role_id: Option<String>,
}

impl Callers {
    /// Those of `account`, told by STS as `config` reaches it; people are the sessions of the role with the unique id
    /// `person_role_id`, and nobody is where there is no such role.
    ///
    /// # Errors
    /// [`CallerUnknown`] where `config` doesn't tell where STS is.
    pub async fn new(config: &SdkConfig, account: &str, person_role_id: Option<String>) -> Result<Self, CallerUnknown> {
        let endpoint = endpoint(config).await?;
        // No credentials of the function's own: should the proof's headers not take their place, STS answers nothing.
        let nobody = Credentials::new("nobody", "nobody", None, None, "the proof signs");
        let sts = aws_sdk_sts::config::Builder::from(config).credentials_provider(nobody).endpoint_url(&endpoint);
        let client = aws_sdk_sts::Client::from_conf(sts.build());
        Ok(Self { client, host: host(&endpoint).to_owned(), account: account.to_owned(), person_role_id })
    }

    /// Who made the proof, if it was made for `request` just now.
    ///
    /// # Errors
    /// [`CallerUnknown`] where STS could not be asked; that the proof doesn't hold is an answer.
    pub async fn identify(
        &self,
        proof: &IdentityProof,
        request: &BoundRequest<'_>,
        now: Timestamp,
    ) -> Result<Result<Caller, NotProven>, CallerUnknown> {
        if let Err(wrong) = proof.check(request, &self.host, now) {
            return Ok(Err(wrong));
        }
        let call = self.client.get_caller_identity().customize().interceptor(SendAs(proof.clone()));
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error @ SdkError::ServiceError(_))
                if matches!(status(&error), Some(400 | 401 | 403)) && Failure::of(&error) != Failure::Throttled =>
            {
                let code = code(&error).unwrap_or("no code");
                return Ok(Err(NotProven::new(format!("STS does not accept its signature: `{code}`"))));
            }
            Err(error) => return Err(CallerUnknown("asked of STS", error.into())),
        };
        let (Some(arn), Some(account), Some(user_id)) = (answer.arn, answer.account, answer.user_id) else {
            return Err(CallerUnknown("told by STS", "it answered without an ARN, an account or a user id".into()));
        };
        if account != self.account {
            return Ok(Err(NotProven::new(format!("`{arn}` is not of account `{}`", self.account))));
        }
        let identity = Identity::of(&arn, &account, &user_id, &self.account).ok();
        let is_person = |it: &Identity| self.person_role_id.as_ref().is_some_and(|role| it.is_session_of(role));
        Ok(Ok(match identity.filter(is_person) {
            Some(identity) => Caller::Person(identity),
            None => Caller::Other(arn),
        }))
    }
}

/// Makes a request go out with the headers of a proof and with none of its own. Its body is [`STS_BODY`] by itself.
#[derive(Debug)]
struct SendAs(IdentityProof);

#[dyn_dispatch_hint]
impl Intercept for SendAs {
    fn name(&self) -> &'static str {
        "SendAs"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        if request.body().bytes() != Some(STS_BODY.as_bytes()) {
            return Err("the SDK spells `GetCallerIdentity` in another way than the proof".into());
        }
        let own: Vec<String> = request.headers().iter().map(|(name, _)| name.to_owned()).collect();
        for name in own {
            request.headers_mut().remove(name);
        }
        for (name, value) in &self.0.headers {
            request.headers_mut().try_insert(name.clone(), value.clone())?;
        }
        Ok(())
    }
}

/// Signs, with the credentials of `config`, the proof that its caller makes `request`.
///
/// # Errors
/// [`CallerUnknown`] where there are no credentials or no region to sign with.
pub async fn prove(
    config: &SdkConfig,
    request: &BoundRequest<'_>,
    now: Timestamp,
) -> Result<IdentityProof, CallerUnknown> {
    let unsigned = |source: BoxError| CallerUnknown("proved", source);
    let endpoint = endpoint(config).await?;
    let region = config.region().ok_or_else(|| unsigned("no AWS region is configured".into()))?;
    let provider = config.credentials_provider().ok_or_else(|| unsigned("there are no AWS credentials".into()))?;
    let credentials = provider.provide_credentials().await.map_err(|error| unsigned(error.into()))?;
    let identity = credentials.into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region.as_ref())
        .name("sts")
        .time(SystemTime::try_from(now).map_err(|error| unsigned(error.into()))?)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| unsigned(error.into()))?
        .into();
    let own = [
        ("content-type", STS_CONTENT_TYPE.to_owned()),
        ("host", host(&endpoint).to_owned()),
        (REQUEST_HEADER, request.digest().to_string()),
    ];
    let headers = own.iter().map(|(name, value)| (*name, value.as_str()));
    let url = format!("{}/", endpoint.trim_end_matches('/'));
    let signable = SignableRequest::new("POST", url, headers, SignableBody::Bytes(STS_BODY.as_bytes()))
        .map_err(|error| unsigned(error.into()))?;
    let (instructions, _) = sign(signable, &parameters).map_err(|error| unsigned(error.into()))?.into_parts();
    let signed = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers = own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(signed).collect();
    Ok(IdentityProof { method: "POST".to_owned(), headers, body: STS_BODY.to_owned() })
}

/// The URL of STS in the configured region, or the configured one.
async fn endpoint(config: &SdkConfig) -> Result<String, CallerUnknown> {
    let unknown = |source: BoxError| CallerUnknown("asked: where STS is isn't known", source);
    let parameters = Params::builder()
        .set_region(config.region().map(ToString::to_string))
        .set_endpoint(config.endpoint_url().map(str::to_owned))
        .set_use_fips(config.use_fips())
        .set_use_dual_stack(config.use_dual_stack())
        .build()
        .map_err(|error| unknown(error.into()))?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&parameters).await.map_err(unknown)?;
    Ok(endpoint.url().to_owned())
}

/// The host of a URL, with the port where it has one.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        scripted,
        scripted::{Answer, Request},
    };

    const NOW: &str = "2026-05-02T03:04:05Z";

    fn answer(arn: &str, user_id: &str) -> Answer {
        Answer::xml(format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>{user_id}</UserId>\
             <Account>111122223333</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        ))
    }

    /// What becomes of jane's proof where STS answers `sts`, and what STS was sent.
    async fn identify(sts: Answer) -> (Result<Result<Caller, NotProven>, CallerUnknown>, Vec<Request>) {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let config = scripted::config({
            let sent = Arc::clone(&sent);
            move |request| {
                sent.lock().unwrap().push(request);
                sts.clone()
            }
        });
        let (repo, stage) = ("bank-payments".parse().unwrap(), "prod".parse().unwrap());
        let request = BoundRequest {
            manifest_version_id: None,
            action: "approve",
            repo: &repo,
            commit_sha: None,
            stage: &stage,
            reason: "looked at the change",
            switches: Vec::new(),
            accept_replacement: Vec::new(),
            plan_sha256: None,
            id: None,
        };
        let now = NOW.parse().unwrap();
        let proof = prove(&config, &request, now).await.unwrap();
        let callers = Callers::new(&config, "111122223333", Some("AROAEXAMPLE".to_owned())).await.unwrap();
        let told = callers.identify(&proof, &request, now).await;
        let sent = std::mem::take(&mut *sent.lock().unwrap());
        for request in &sent {
            assert_eq!((request.method.as_str(), request.body.as_str()), ("POST", STS_BODY));
            assert_eq!(request.headers, proof.headers, "the proof's headers and no others");
        }
        (told, sent)
    }

    #[tokio::test]
    async fn a_proof_is_sent_as_it_was_signed_and_tells_who_signed_it() {
        let jane = answer("arn:aws:sts::111122223333:assumed-role/approver/Jane", "AROAEXAMPLE:Jane");
        let (told, sent) = identify(jane).await;
        let Caller::Person(jane) = told.unwrap().unwrap() else { panic!("jane is a person") };
        assert_eq!(jane.person.as_str(), "jane");
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].headers["host"], "sts.eu-west-1.amazonaws.com");
        insta::assert_snapshot!(sent[0].headers["authorization"], @"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260502/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-gatekeeper-request, Signature=adea49006c40df6dc8f0c1f89974c29f9d2167a917bb37309376ba818bfeb7fb");
    }

    #[tokio::test]
    async fn who_came_by_another_role_is_no_person_whatever_the_session_is_called() {
        for (arn, user_id) in [
            ("arn:aws:sts::111122223333:assumed-role/approver/jane", "AROAOTHER:jane"),
            ("arn:aws:sts::111122223333:assumed-role/ci/AROAEXAMPLE", "AROACI:AROAEXAMPLE:jane"),
            ("arn:aws:iam::111122223333:user/jane", "AIDAEXAMPLE"),
            ("arn:aws:iam::111122223333:root", "111122223333"),
        ] {
            let (told, _) = identify(answer(arn, user_id)).await;
            assert_eq!(told.unwrap().unwrap(), Caller::Other(arn.to_owned()));
        }
    }

    #[tokio::test]
    async fn a_signature_that_sts_refuses_proves_nothing() {
        let (told, sent) = identify(Answer::xml_error(403, "SignatureDoesNotMatch", "it does not match")).await;
        assert_eq!(
            told.unwrap().unwrap_err().to_string(),
            "STS does not accept its signature: `SignatureDoesNotMatch`"
        );
        assert_eq!(sent.len(), 1);
    }

    #[tokio::test]
    async fn sts_that_cannot_be_asked_is_an_error_and_no_answer() {
        for answer in [Answer::Lost, Answer::xml_error(400, "Throttling", "slow down")] {
            let (told, sent) = identify(answer).await;
            assert!(told.is_err(), "{told:?}");
            assert!(sent.len() > 1, "it was asked again");
        }
    }
}
