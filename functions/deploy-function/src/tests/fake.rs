//! Lambda and CloudFormation as their API references describe them, as far as the step uses them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use aws_config::SdkConfig;
use gatekeeper_aws::{
    scripted,
    scripted::{Answer, Request},
};
use gatekeeper_model::ids::Sha256;
use serde_json::{Value, json};
use tokio::time::Instant;

#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<Lambda>>);

/// The account.
#[derive(Default)]
pub(crate) struct Lambda {
    /// By the bundle's name.
    pub(crate) functions: BTreeMap<String, Function>,
    /// The content of the stack's layer, where it has one.
    pub(crate) layer: Option<Sha256>,
    /// What the function `Pay` runs, where the stack has it: an image by its digest, or whatever Lambda tells.
    pub(crate) image: Option<String>,
    /// A call that is refused so often, with a status and a code.
    pub(crate) refuse: Option<(&'static str, u32, u16, &'static str)>,
    /// From this call on nothing is answered; the call itself has its effect or not.
    pub(crate) dies_at: Option<(usize, bool)>,
    /// The call that has its effect and no answer.
    pub(crate) loses_answer_at: Option<usize>,
    /// After so many looks somebody changes every function, once.
    pub(crate) change_after_looks: u32,
    /// Publishes this code, whatever is asked for.
    pub(crate) publishes: Option<Sha256>,
    /// An update answers without the version that it publishes.
    pub(crate) tells_no_version: bool,
    /// Throttles as AWS does: 15 a second and a bucket of 15, `GetFunction` 100.
    pub(crate) enforces_quota: bool,
    /// The codes of the errors that were answered.
    pub(crate) refused: Vec<&'static str>,
    calls: Vec<(&'static str, bool)>,
    buckets: BTreeMap<bool, (f64, Option<Instant>)>,
}

pub(crate) struct Function {
    pub(crate) code: Sha256,
    pub(crate) memory: i32,
    /// What lies in the artefact bucket.
    pub(crate) stored: Sha256,
    pub(crate) versions: Vec<Version>,
    pub(crate) resource: Option<&'static str>,
    /// An update is in progress for so many looks.
    pub(crate) busy_for_looks: u32,
    /// Updates end like this.
    pub(crate) update_fails: Option<&'static str>,
    failed: Option<&'static str>,
    revision: u32,
    looks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Version {
    pub(crate) code: Sha256,
    pub(crate) memory: i32,
}

impl Function {
    /// The number of the version that holds what the function is: nothing is published where nothing has changed.
    pub(crate) fn publish(&mut self) -> String {
        let now = Version { code: self.code, memory: self.memory };
        if self.versions.last() != Some(&now) {
            self.versions.push(now);
        }
        self.versions.len().to_string()
    }

    fn configuration(&self, name: &str) -> Value {
        let status = if self.busy_for_looks > 0 {
            "InProgress"
        } else if self.failed.is_some() {
            "Failed"
        } else {
            "Successful"
        };
        json!({
            "FunctionName": format!("uat-{name}"), "CodeSha256": self.code.to_base64(), "State": "Active",
            "FunctionArn": format!("arn:aws:lambda:eu-west-1:111122223333:function:uat-{name}"),
            "LastUpdateStatus": status, "LastUpdateStatusReason": self.failed, "RevisionId": self.revision.to_string(),
            "MemorySize": self.memory,
        })
    }
}

impl Fake {
    pub(crate) fn new(lambda: Lambda) -> Self {
        Self(Arc::new(Mutex::new(lambda)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Lambda> {
        self.0.lock().unwrap()
    }

    pub(crate) fn config(&self) -> SdkConfig {
        let fake = self.clone();
        scripted::config(move |request| fake.lock().answer(&request))
    }

    /// How often a call was made.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.lock().calls.iter().filter(|(name, _)| *name == call).count()
    }

    /// How often it had an effect.
    pub(crate) fn count_accepted(&self, call: &str) -> usize {
        self.lock().calls.iter().filter(|(name, accepted)| *name == call && *accepted).count()
    }

    pub(crate) fn calls(&self) -> usize {
        self.lock().calls.len()
    }

    pub(crate) fn writes(&self) -> usize {
        self.count("UpdateFunctionCode") + self.count("PublishVersion")
    }
}

impl Lambda {
    pub(crate) fn add(&mut self, name: &str, code: Sha256, stored: Sha256) {
        let function = Function {
            code,
            memory: 128,
            stored,
            versions: Vec::new(),
            resource: Some("AWS::Lambda::Function"),
            busy_for_looks: 0,
            update_fails: None,
            failed: None,
            revision: 1,
            looks: 0,
        };
        self.functions.insert(name.to_owned(), function);
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let (call, name) = identify(request);
        let number = self.calls.len() + 1;
        let dead = self.dies_at.is_some_and(|(at, after_it)| number > at || number == at && !after_it);
        self.calls.push((call, false));
        if dead {
            return Answer::Lost;
        }
        let answer = self.outcome(call, name, request).unwrap_or_else(|(status, code)| {
            self.refused.push(code);
            Answer::error(status, code, "as told")
        });
        let dies_now = self.dies_at.is_some_and(|(at, _)| number == at);
        if dies_now || self.loses_answer_at == Some(number) { Answer::Lost } else { answer }
    }

    fn outcome(&mut self, call: &'static str, name: &str, request: &Request) -> Result<Answer, (u16, &'static str)> {
        if call == "ListStackResources" {
            return Ok(self.resources(request));
        }
        if call == "GetLayerVersion" {
            let content = self.layer.map(|content| json!({"CodeSha256": content.to_base64()}));
            return Ok(Answer::json(&json!({"Content": content})));
        }
        if let ("GetFunction", "pay", Some(image)) = (call, name, &self.image) {
            let arn = "arn:aws:lambda:eu-west-1:111122223333:function:uat-pay";
            return Ok(Answer::json(&json!({
                "Configuration": {"FunctionArn": arn, "PackageType": "Image"},
                "Code": {"RepositoryType": "ECR", "ImageUri": "pay:v1", "ResolvedImageUri": image},
            })));
        }
        if self.enforces_quota && !self.admits(call == "GetFunction") {
            return Err((429, "TooManyRequestsException"));
        }
        if let Some((refused, times @ 1.., status, code)) = &mut self.refuse
            && *refused == call
        {
            *times -= 1;
            return Err((*status, code));
        }
        let (change_after, publishes) = (self.change_after_looks, self.publishes);
        let tells_no_version = self.tells_no_version;
        let function = self.functions.get_mut(name).unwrap();
        let revision = request.json("RevisionId").and_then(|id| id.as_str()?.parse().ok());
        let stale = revision.is_some_and(|revision: u32| revision != function.revision);
        let answer = match call {
            "GetFunction" if request.path.contains("Qualifier=") => {
                let number: usize = request.path.rsplit('=').next().unwrap().parse().unwrap();
                let version = number.checked_sub(1).and_then(|at| function.versions.get(at));
                let Version { code, memory } = version.ok_or((404, "ResourceNotFoundException"))?;
                json!({"Configuration": {"CodeSha256": code.to_base64(), "MemorySize": memory}})
            }
            "GetFunction" => {
                let answer = json!({"Configuration": function.configuration(name)});
                function.looks += 1;
                if function.busy_for_looks > 0 {
                    function.busy_for_looks -= 1;
                    // The revision changes with the end of an update too.
                    function.revision += u32::from(function.busy_for_looks == 0);
                }
                function.revision += u32::from(change_after > 0 && function.looks == change_after);
                answer
            }
            _ if function.busy_for_looks > 0 => return Err((409, "ResourceConflictException")),
            _ if stale => return Err((412, "PreconditionFailedException")),
            "UpdateFunctionCode" => {
                assert_ne!(request.json("DryRun"), Some(true.into()));
                assert_eq!(request.json("S3Bucket"), Some("artefacts".into()));
                assert_eq!(request.json("S3Key"), Some(format!("{name}.zip").into()));
                assert_eq!(request.json("S3ObjectVersion"), Some("v7".into()));
                assert!(revision.is_some(), "the update isn't under a revision");
                function.failed = function.update_fails;
                if function.failed.is_none() {
                    function.code = function.stored;
                }
                function.busy_for_looks = 3;
                function.revision += 1;
                let is_published = request.json("Publish") == Some(true.into());
                let mut answer = function.configuration(name);
                answer["CodeSha256"] = function.stored.to_base64().into();
                if is_published && function.failed.is_none() && !tells_no_version {
                    answer["Version"] = function.publish().into();
                }
                answer
            }
            "PublishVersion" => {
                if request.json("CodeSha256") != Some(function.code.to_base64().into()) {
                    return Err((400, "InvalidParameterValueException"));
                }
                let (version, code) = (function.publish(), publishes.unwrap_or(function.code));
                json!({"Version": version, "CodeSha256": code.to_base64()})
            }
            _ => unreachable!("{request:?}"),
        };
        if let Some(last) = self.calls.last_mut() {
            last.1 = true;
        }
        Ok(Answer::json(&answer))
    }

    /// A token bucket of its own, so that the pacer isn't measured by itself.
    fn admits(&mut self, look: bool) -> bool {
        let rate = if look { 100.0 } else { 15.0 };
        let now = Instant::now();
        let (tokens, since) = self.buckets.entry(look).or_insert((rate, None));
        let passed = since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        *tokens = (*tokens + passed * rate).min(rate);
        *since = Some(now);
        let admitted = *tokens >= 1.0;
        *tokens -= f64::from(u8::from(admitted));
        admitted
    }

    /// Two pages of resources.
    fn resources(&self, request: &Request) -> Answer {
        let second = request.body.contains("NextToken=second");
        let half = self.functions.len() / 2;
        let functions = self.functions.iter().enumerate().filter(|(index, _)| (*index >= half) == second);
        let members: String = functions
            .filter_map(|(_, (name, function))| {
                let kind = function.resource?;
                Some(format!(
                    "<member><LogicalResourceId>{name}Fn</LogicalResourceId><PhysicalResourceId>uat-{name}</PhysicalResourceId>\
                     <ResourceType>{kind}</ResourceType><ResourceStatus>UPDATE_COMPLETE</ResourceStatus>\
                     <LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp></member>"
                ))
            })
            .collect();
        let layer = self.layer.filter(|_| second).map_or("", |_| {
            "<member><LogicalResourceId>Layer</LogicalResourceId><PhysicalResourceId>arn:layer:1</PhysicalResourceId>\
             <ResourceType>AWS::Lambda::LayerVersion</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
             <LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp></member>"
        });
        let image = self.image.as_ref().filter(|_| second).map_or("", |_| {
            "<member><LogicalResourceId>Pay</LogicalResourceId><PhysicalResourceId>uat-pay</PhysicalResourceId>\
             <ResourceType>AWS::Lambda::Function</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
             <LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp></member>"
        });
        let next = if second { "" } else { "<NextToken>second</NextToken>" };
        Answer::xml(format!(
            "<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries>{members}{layer}{image}\
             </StackResourceSummaries>{next}</ListStackResourcesResult></ListStackResourcesResponse>"
        ))
    }
}

/// The operation and the bundle's name.
fn identify(request: &Request) -> (&'static str, &str) {
    if request.body.starts_with("Action=ListStackResources") {
        return ("ListStackResources", "");
    }
    if request.path.starts_with("/2018-10-31/layers/arn%3Alayer/versions/1") {
        return ("GetLayerVersion", "");
    }
    let path = request.path.split('?').next().unwrap().strip_prefix("/2015-03-31/functions/uat-").unwrap();
    match (request.method.as_str(), path.split_once('/')) {
        ("GET", None) => ("GetFunction", path),
        ("PUT", Some((name, "code"))) => ("UpdateFunctionCode", name),
        ("POST", Some((name, "versions"))) => ("PublishVersion", name),
        _ => panic!("{request:?}"),
    }
}
