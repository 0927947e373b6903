//! As much of AWS as one stack needs, answering at the level of HTTP, for what can't be had from a real one on demand:
//! a call that is throttled, or whose answer never comes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_sdk_s3::{
    config::{Credentials, SharedCredentialsProvider},
    primitives::SdkBody,
};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use gatekeeper_model::ids::Sha256;
use percent_encoding::percent_decode_str;

pub(crate) const ENDPOINT: &str = "http://127.0.0.1:9";

/// A call that doesn't go as it should.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// It never arrives.
    Lost(usize),
    /// It does its work, and its answer is lost.
    AnswerLost(usize),
    /// Every call of this action is answered by this error.
    Refused(&'static str, u16, &'static str, &'static str),
    /// The first call of this action is answered by this error.
    RefusedOnce(&'static str, u16, &'static str, &'static str),
}

#[derive(Debug, Default)]
pub(crate) struct Cloud {
    /// Objects by `bucket/key`.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// The stack's status, and the template that it runs.
    pub stack: Option<(String, String)>,
    pub change_set: Option<ChangeSet>,
    /// What executing a change set ends in, such as `UPDATE_ROLLBACK_COMPLETE`.
    pub ends_in: Option<&'static str>,
    /// The template that a change set says it has, where that isn't the one at the URL.
    pub other_template: Option<String>,
    /// Why no change set can be made.
    pub refuses: Option<&'static str>,
    /// What `DescribeChangeSet` tells of changes, page by page, by the change set's ARN; a change set that isn't here does
    /// nothing that is told.
    pub changes: BTreeMap<String, Vec<String>>,
    /// What `ListStackResources` tells, page by page, by the stack.
    pub resources: BTreeMap<String, Vec<String>>,
    /// What `ListExports` tells, page by page.
    pub exports: Vec<String>,
    /// What `DescribeStackResources` tells of the stack that has a physical id.
    pub holders: BTreeMap<String, String>,
    pub executions: usize,
    pub is_protected: bool,
    /// The template of the nested stack `Inner`, where there is one.
    pub nested: Option<String>,
    /// Whether S3 has no SHA-256 of the objects in the asset bucket, as of those that `cdk-assets` uploads.
    pub tells_no_digests: bool,
    pub fault: Option<Fault>,
    /// Every call, in order.
    pub calls: Vec<String>,
    /// The parameters of the last call of each action.
    pub asked: BTreeMap<String, BTreeMap<String, String>>,
    /// How many change sets were ever made.
    pub made: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct ChangeSet {
    pub status: String,
    pub execution: String,
    pub reason: String,
    pub template: String,
    pub id: String,
}

#[derive(Debug, Clone)]
struct Connector(Arc<Mutex<Cloud>>);

/// A configuration whose every call ends at `cloud`.
pub(crate) fn config(cloud: &Arc<Mutex<Cloud>>) -> SdkConfig {
    let connector = SharedHttpConnector::new(Connector(Arc::clone(cloud)));
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("ap-southeast-2"))
        .endpoint_url(ENDPOINT)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")))
        .retry_config(RetryConfig::disabled())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build()
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut cloud = self.0.lock().unwrap();
        let (action, parameters) = action_of(&request);
        let number = cloud.calls.len();
        cloud.calls.push(action.clone());
        cloud.asked.insert(action.clone(), parameters.clone());
        let lost = || HttpConnectorFuture::ready(Err(ConnectorError::io("killed".into())));
        match cloud.fault.clone() {
            Some(Fault::Lost(at)) if at == number => return lost(),
            Some(Fault::Refused(refused, status, code, message)) if refused == action => {
                return HttpConnectorFuture::ready(Ok(error(status, code, message)));
            }
            Some(Fault::RefusedOnce(refused, status, code, message)) if refused == action => {
                cloud.fault = None;
                return HttpConnectorFuture::ready(Ok(error(status, code, message)));
            }
            _ => {}
        }
        let answer = cloud.answer(&action, &parameters);
        match cloud.fault {
            Some(Fault::AnswerLost(at)) if at == number => lost(),
            _ => HttpConnectorFuture::ready(Ok(answer)),
        }
    }
}

fn action_of(request: &HttpRequest) -> (String, BTreeMap<String, String>) {
    let form = std::str::from_utf8(request.body().bytes().unwrap_or_default()).unwrap();
    if form.contains("Action=") {
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned();
        let mut parameters: BTreeMap<String, String> = form
            .split('&')
            .filter_map(|it| it.split_once('='))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        return (parameters.remove("Action").unwrap(), parameters);
    }
    let path = request.uri().strip_prefix(ENDPOINT).unwrap();
    let object = path.split('?').next().unwrap().trim_matches('/');
    let source = request.headers().get("x-amz-copy-source");
    let mut parameters = BTreeMap::from([("object".to_owned(), object.to_owned())]);
    for (name, value) in request.headers() {
        parameters.insert(name.to_owned(), value.to_owned());
    }
    let action = match (request.method(), source) {
        ("HEAD", _) if !object.contains('/') => "HeadBucket",
        ("HEAD", _) => "HeadObject",
        ("GET", _) => "GetObject",
        ("PUT", Some(_)) => "CopyObject",
        ("PUT", None) => {
            parameters.insert("body".to_owned(), form.to_owned());
            "PutObject"
        }
        other => panic!("{other:?} of {object}"),
    };
    (action.to_owned(), parameters)
}

fn response(status: u16, body: impl Into<SdkBody>) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), body.into())
}

fn error(status: u16, code: &str, message: &str) -> HttpResponse {
    let error = format!("<Code>{code}</Code><Message>{message}</Message>");
    response(status, format!("<ErrorResponse><Error>{error}</Error>{error}</ErrorResponse>"))
}

fn result(action: &str, xml: &str) -> HttpResponse {
    response(200, format!("<{action}Response><{action}Result>{xml}</{action}Result></{action}Response>"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// One page of many, and the token of the next.
fn page(pages: Option<&Vec<String>>, list: &str, asked: &BTreeMap<String, String>) -> String {
    let number: usize = asked.get("NextToken").map_or(0, |token| token.parse().unwrap());
    let Some(page) = pages.and_then(|pages| pages.get(number)) else { return format!("<{list}/>") };
    let is_last = pages.is_none_or(|pages| number + 1 == pages.len());
    let next = if is_last { String::new() } else { format!("<NextToken>{}</NextToken>", number + 1) };
    format!("<{list}>{page}</{list}>{next}")
}

impl Cloud {
    fn answer(&mut self, action: &str, asked: &BTreeMap<String, String>) -> HttpResponse {
        let absent = || error(400, "ValidationError", "Stack with id bank-uat-api does not exist");
        match action {
            "GetCallerIdentity" => result(action, "<Account>111122223333</Account>"),
            "DescribeStacks" => {
                let Some((status, _)) = &self.stack else { return absent() };
                let xml = format!(
                    "<Stacks><member><StackName>bank-uat-api</StackName><StackId>stack-1</StackId>\
                     <CreationTime>2026-05-02T03:04:05Z</CreationTime><StackStatus>{status}</StackStatus>\
                     <EnableTerminationProtection>{}</EnableTerminationProtection></member></Stacks>",
                    self.is_protected
                );
                self.work();
                result(action, &xml)
            }
            "DescribeChangeSet" => match &self.change_set {
                _ if self.stack.is_none() => absent(),
                _ if asked["ChangeSetName"].starts_with("arn:") => {
                    let id = asked["ChangeSetName"].split('/').nth(1).unwrap();
                    let status = self.change_set.as_ref().map_or("CREATE_COMPLETE", |it| it.status.as_str());
                    let told = format!("<ChangeSetId>{id}</ChangeSetId><Status>{status}</Status>");
                    result(action, &format!("{told}{}", page(self.changes.get(id), "Changes", asked)))
                }
                None => error(404, "ChangeSetNotFound", "ChangeSet [x] does not exist"),
                Some(it) => result(
                    action,
                    &format!(
                        "<ChangeSetId>{}</ChangeSetId><Status>{}</Status><ExecutionStatus>{}</ExecutionStatus><StatusReason>{}</StatusReason>",
                        it.id, it.status, it.execution, it.reason
                    ),
                ),
            },
            "CreateChangeSet" => self.create_change_set(asked),
            "ListStackResources" => {
                let inner = "<member><LogicalResourceId>Inner</LogicalResourceId><PhysicalResourceId>stack-inner</PhysicalResourceId>\
                             <ResourceType>AWS::CloudFormation::Stack</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
                             <LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp></member>";
                match (self.resources.get(&asked["StackName"]), &self.nested) {
                    (None, Some(_)) if asked["StackName"] != "stack-inner" => {
                        result(action, &format!("<StackResourceSummaries>{inner}</StackResourceSummaries>"))
                    }
                    (resources, _) => result(action, &page(resources, "StackResourceSummaries", asked)),
                }
            }
            "ListExports" | "DescribeStackResources" => self.answer_lookup(action, asked),
            "GetTemplate" if asked["StackName"] == "stack-inner" => {
                let template = escape(self.nested.as_ref().unwrap());
                result(action, &format!("<TemplateBody>{template}</TemplateBody>"))
            }
            "GetTemplate" => {
                let template = self.other_template.as_ref().or(self.change_set.as_ref().map(|it| &it.template));
                result(action, &format!("<TemplateBody>{}</TemplateBody>", escape(template.unwrap())))
            }
            "ExecuteChangeSet" => match &mut self.change_set {
                Some(it) if it.execution == "AVAILABLE" => {
                    it.execution = "EXECUTE_IN_PROGRESS".to_owned();
                    let creates = self.stack.as_ref().unwrap().0 == "REVIEW_IN_PROGRESS";
                    let began = if creates { "CREATE_IN_PROGRESS" } else { "UPDATE_IN_PROGRESS" };
                    self.stack.as_mut().unwrap().0 = began.to_owned();
                    self.executions += 1;
                    result(action, "")
                }
                Some(_) => error(400, "InvalidChangeSetStatus", "it is not AVAILABLE"),
                None => error(404, "ChangeSetNotFound", "ChangeSet [x] does not exist"),
            },
            "DeleteChangeSet" => {
                self.change_set = None;
                result(action, "")
            }
            "UpdateTerminationProtection" => {
                self.is_protected = asked["EnableTerminationProtection"] == "true";
                result(action, "<StackId>stack-1</StackId>")
            }
            "DeleteStack" => {
                self.stack.as_mut().unwrap().0 = "DELETE_IN_PROGRESS".to_owned();
                result(action, "")
            }
            "DescribeStackEvents" => result(
                action,
                "<StackEvents><member><StackId>stack-1</StackId><EventId>1</EventId><StackName>bank-uat-api</StackName>\
                 <LogicalResourceId>PayFn</LogicalResourceId><PhysicalResourceId>pay</PhysicalResourceId>\
                 <ResourceType>AWS::Lambda::Function</ResourceType><Timestamp>2999-01-01T00:00:00Z</Timestamp>\
                 <ResourceStatus>UPDATE_FAILED</ResourceStatus><ResourceStatusReason>memory is too small</ResourceStatusReason>\
                 </member></StackEvents>",
            ),
            "DescribeEvents" => result(
                action,
                "<OperationEvents><member><EventType>VALIDATION_ERROR</EventType><LogicalResourceId>Bucket</LogicalResourceId>\
                 <ResourceType>AWS::S3::Bucket</ResourceType><Timestamp>2999-01-01T00:00:00Z</Timestamp>\
                 <ValidationFailureMode>FAIL</ValidationFailureMode><ValidationName>NAME_CONFLICT_VALIDATION</ValidationName>\
                 <ValidationStatusReason>it already exists</ValidationStatusReason><ValidationPath>/Resources/Bucket</ValidationPath>\
                 </member><member><EventType>HOOK_INVOCATION_ERROR</EventType><LogicalResourceId>Table</LogicalResourceId>\
                 <ResourceType>AWS::DynamoDB::Table</ResourceType><Timestamp>2999-01-01T00:00:00Z</Timestamp>\
                 <HookFailureMode>WARN</HookFailureMode><HookType>Bank::Hook</HookType><HookStatusReason>no backup</HookStatusReason>\
                 </member></OperationEvents>",
            ),
            _ => self.answer_s3(action, asked),
        }
    }

    /// What other stacks of the account hold.
    fn answer_lookup(&self, action: &str, asked: &BTreeMap<String, String>) -> HttpResponse {
        if action == "ListExports" {
            return result(action, &page(Some(&self.exports), "Exports", asked));
        }
        match self.holders.get(&asked["PhysicalResourceId"]) {
            Some(resources) => result(action, &format!("<StackResources>{resources}</StackResources>")),
            None => error(400, "ValidationError", "Stack for it does not exist"),
        }
    }

    /// What CloudFormation does between two looks.
    fn work(&mut self) {
        let (status, template) = self.stack.as_mut().unwrap();
        let new = match status.as_str() {
            "DELETE_IN_PROGRESS" => {
                self.stack = None;
                return;
            }
            "CREATE_IN_PROGRESS" => self.ends_in.unwrap_or("CREATE_COMPLETE"),
            "UPDATE_IN_PROGRESS" => self.ends_in.unwrap_or("UPDATE_COMPLETE"),
            _ => return,
        };
        *status = new.to_owned();
        // Executed change sets vanish.
        let change_set = self.change_set.take().unwrap();
        if !new.contains("ROLLBACK") {
            *template = change_set.template;
        }
    }

    fn create_change_set(&mut self, asked: &BTreeMap<String, String>) -> HttpResponse {
        if self.change_set.is_some() {
            return error(400, "AlreadyExistsException", "ChangeSet already exists");
        }
        let template = asked.get("TemplateBody").cloned().unwrap_or_else(|| {
            let url = &asked["TemplateURL"];
            let object = url.strip_prefix(ENDPOINT).unwrap().trim_start_matches('/').split('?').next().unwrap();
            String::from_utf8(self.objects[object].clone()).unwrap()
        });
        let runs = self.stack.get_or_insert_with(|| ("REVIEW_IN_PROGRESS".to_owned(), String::new())).1.clone();
        let is_empty = runs == template;
        self.made += 1;
        let reason = self.refuses.or(is_empty.then_some("The submitted information didn't contain changes."));
        self.change_set = Some(ChangeSet {
            status: if reason.is_some() { "FAILED" } else { "CREATE_COMPLETE" }.to_owned(),
            execution: if reason.is_some() { "UNAVAILABLE" } else { "AVAILABLE" }.to_owned(),
            reason: reason.unwrap_or_default().to_owned(),
            template,
            id: format!(
                "arn:aws:cloudformation:ap-southeast-2:111122223333:changeSet/{}/{}",
                asked["ChangeSetName"], self.made
            ),
        });
        result("CreateChangeSet", "")
    }

    fn answer_s3(&mut self, action: &str, asked: &BTreeMap<String, String>) -> HttpResponse {
        let object = &asked["object"];
        if action == "CopyObject" {
            let bucket = object.split('/').next().unwrap();
            let source = asked["x-amz-copy-source"].split('?').next().unwrap();
            if asked.contains_key("if-none-match") && self.objects.contains_key(object) {
                return error(
                    412,
                    "PreconditionFailed",
                    "At least one of the pre-conditions you specified did not hold",
                );
            }
            if !self.objects.keys().any(|it| it.starts_with(bucket)) {
                return error(404, "NoSuchBucket", "The specified bucket does not exist");
            }
            let Some(bytes) = self.objects.get(source).cloned() else {
                return error(404, "NoSuchKey", "The specified key does not exist.");
            };
            self.objects.insert(object.clone(), bytes);
            return response(200, "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>");
        }
        if action == "PutObject" && asked.contains_key("if-none-match") && self.objects.contains_key(object) {
            return error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
        }
        if action == "PutObject" {
            self.objects.insert(object.clone(), asked["body"].clone().into_bytes());
            return response(200, "");
        }
        if action == "HeadBucket" {
            let there = self.objects.keys().any(|it| it.starts_with(object));
            return response(if there { 200 } else { 404 }, "");
        }
        let Some(bytes) = self.objects.get(object) else {
            let gone = "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>";
            return response(404, if action == "HeadObject" { "" } else { gone });
        };
        let body = if action == "HeadObject" { SdkBody::empty() } else { SdkBody::from(bytes.clone()) };
        let mut answer = response(200, body);
        let is_told =
            |name: &str| !(self.tells_no_digests && object.starts_with("cdk-") && name.starts_with("x-amz-checksum"));
        for (name, value) in [
            ("x-amz-version-id", "v1".to_owned()),
            ("etag", "e".to_owned()),
            ("x-amz-checksum-sha256", Sha256::of(bytes).to_base64()),
            ("x-amz-checksum-type", "FULL_OBJECT".to_owned()),
        ]
        .into_iter()
        .filter(|(name, _)| is_told(name))
        {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}
