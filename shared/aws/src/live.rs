//! What is live: the functions of a plan as Lambda has them now, looked at rather than concluded. What could not be looked
//! at is told as such, each function for itself: it is never taken for missing.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_lambda::{Client, operation::get_function::GetFunctionOutput, types};
use futures_util::{StreamExt as _, stream};
use gatekeeper_model::ids::{ImageDigest, Sha256};
use gatekeeper_promotion::{plan::Plan, record::LiveFunction};
use serde_json::json;

use super::{
    failure::{Failure, said},
    pacer::{Pacer, Pacers},
    stack_functions::{NoFunction, Stacks, looking_client, place},
};

/// Functions that are looked at at once.
const LOOKS_IN_FLIGHT: usize = 8;

/// Every function that the plan names as it is live, in the plan's order, and behind them those that run a container image.
/// A function or stack that isn't there is missing; one that could not be looked at says why.
pub async fn look(config: &SdkConfig, plan: &Plan) -> Vec<LiveFunction> {
    look_at_pace(config, plan, &Pacers::of_lambda().looks).await
}

/// The same for who looks at several plans at once: together they keep to the pace of `GetFunction`.
pub async fn look_at_pace(config: &SdkConfig, plan: &Plan, pacer: &Pacer) -> Vec<LiveFunction> {
    let functions: Vec<_> = plan.functions.iter().collect();
    let of_images = plan.image_functions().map(|(stack, image)| (&stack.stack_name, image.resource.as_str()));
    let places = functions.iter().map(|it| place(it)).chain(of_images);
    let stacks = Stacks::list_each(&looking_client(config), places).await;
    let (lambda, names) = (&Client::new(config), &stacks.names(&functions));
    let mut found: Vec<_> = stream::iter(functions)
        .map(|function| async move {
            let bundle = function.function.as_str();
            match names.get(&function.function) {
                Some(Ok(name)) => {
                    let code = |answer: &GetFunctionOutput| {
                        Sha256::from_base64(answer.configuration().and_then(|it| it.code_sha256())?)
                    };
                    live(lambda, bundle, function.bundle.sha256, name, code, pacer).await
                }
                Some(Err(NoFunction::Absent(_))) => LiveFunction::missing(bundle, None),
                Some(Err(NoFunction::Unread(why))) => LiveFunction::unread(bundle, None, why),
                None => LiveFunction::unread(bundle, None, "it was not looked for"),
            }
        })
        .buffered(LOOKS_IN_FLIGHT)
        .collect()
        .await;
    found.extend(images(&stacks, lambda, plan, pacer).await);
    found
}

/// The functions that run a container image by its tag, with the image's digest in the place of the code's.
async fn images(stacks: &Stacks<'_>, lambda: &Client, plan: &Plan, pacer: &Pacer) -> Vec<LiveFunction> {
    let mut found = Vec::new();
    for (stack, image) in plan.image_functions() {
        let name = image.function(&stack.stack);
        let listed = match stacks.physical_id(&stack.stack_name, &image.resource, "AWS::Lambda::Function") {
            Ok(Some(listed)) => listed,
            Ok(None) => {
                found.push(LiveFunction::missing(&name, None));
                continue;
            }
            Err(why) => {
                found.push(LiveFunction::unread(&name, None, why));
                continue;
            }
        };
        let digest = |answer: &GetFunctionOutput| {
            ImageDigest::of_reference(answer.code().and_then(|it| it.resolved_image_uri())?).map(ImageDigest::sha256)
        };
        found.push(live(lambda, &name, image.digest.sha256(), listed, digest, pacer).await);
    }
    found
}

async fn live(
    lambda: &Client,
    bundle: &str,
    promoted: Sha256,
    name: &str,
    code: impl Fn(&GetFunctionOutput) -> Option<Sha256>,
    pacer: &Pacer,
) -> LiveFunction {
    let named = Some(name.to_owned());
    let unread = |why: String| LiveFunction::unread(bundle, named.clone(), format!("function `{name}`: {why}"));
    pacer.turn().await;
    let answer = match lambda.get_function().function_name(name).send().await {
        Ok(answer) => answer,
        Err(error) if Failure::of(&error) == Failure::Absent => return LiveFunction::missing(bundle, named),
        Err(error) => return unread(format!("it could not be looked at: {}", said(&error))),
    };
    let (configuration_sha256, later_settings_sha256) = (configuration_digest(&answer), later_digests(&answer));
    let code_sha256 = code(&answer);
    let Some(configuration) = answer.configuration else { return unread("Lambda tells nothing of it".to_owned()) };
    let Some(code_sha256) = code_sha256 else {
        return unread("Lambda tells no SHA-256 of its code".to_owned());
    };
    LiveFunction {
        configuration_sha256,
        later_settings_sha256,
        code_sha256: Some(code_sha256),
        is_promoted_code: code_sha256 == promoted,
        function_arn: configuration.function_arn,
        revision_id: configuration.revision_id,
        last_modified: configuration.last_modified,
        ..LiveFunction::missing(bundle, named)
    }
}

/// The digests of what an operator can set of a function or of a version beside its code: two that have the same are set up
/// the same. The reserved concurrency is the function's alone, so it is left out.
#[must_use]
pub fn settings_digest(configuration: &types::FunctionConfiguration) -> (Option<Sha256>, BTreeMap<u32, Sha256>) {
    let answer = GetFunctionOutput::builder().configuration(configuration.clone()).build();
    (configuration_digest(&answer), later_digests(&answer))
}

/// The SHA-256 of what an operator can set of a function beside its code, as the first gatekeepers knew it: it stays as
/// it is, because records hold it. What became known since is in [`later_digests`].
///
/// A setting that this SDK doesn't know can't be seen: `RuntimeConfig` is one. Those that `GetFunction` doesn't tell
/// (`NO_SETTINGS` in the tests lists them) are left to CloudFormation's own drift detection. `RevisionId` and `LastModified` are no part of
/// it: they also move where a function is changed and changed back, and the former where Lambda itself changes a state.
fn configuration_digest(answer: &GetFunctionOutput) -> Option<Sha256> {
    let it = answer.configuration()?;
    let environment: BTreeMap<_, _> =
        it.environment().and_then(types::EnvironmentResponse::variables).into_iter().flatten().collect();
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort();
        texts
    };
    let vpc = it.vpc_config();
    let image = it.image_config_response().and_then(types::ImageConfigResponse::image_config);
    let logging = it.logging_config();
    let settings = json!({
        "architectures": it.architectures().iter().map(types::Architecture::as_str).collect::<Vec<_>>(),
        "dead_letters": it.dead_letter_config().and_then(types::DeadLetterConfig::target_arn),
        "description": it.description().unwrap_or_default(),
        "environment": environment,
        "ephemeral_storage": it.ephemeral_storage().map(types::EphemeralStorage::size),
        "file_systems": it.file_system_configs().iter().map(|it| [it.arn(), it.local_mount_path()]).collect::<Vec<_>>(),
        "handler": it.handler(),
        "image": image.map(|it| (it.entry_point(), it.command(), it.working_directory())),
        "kms_key": it.kms_key_arn(),
        "layers": it.layers().iter().map(types::Layer::arn).collect::<Vec<_>>(),
        "log_format": logging.and_then(types::LoggingConfig::log_format).map(types::LogFormat::as_str),
        "log_group": logging.and_then(types::LoggingConfig::log_group),
        "log_levels": logging.map(|it| {
            (it.application_log_level().map(types::ApplicationLogLevel::as_str), it.system_log_level().map(types::SystemLogLevel::as_str))
        }),
        "memory": it.memory_size(),
        "package_type": it.package_type().map(types::PackageType::as_str),
        "reserved_concurrency": answer.concurrency().and_then(types::Concurrency::reserved_concurrent_executions),
        "role": it.role(),
        "runtime": it.runtime().map(types::Runtime::as_str),
        "security_groups": vpc.map(|it| sorted(it.security_group_ids())),
        "snap_start": it.snap_start().and_then(types::SnapStartResponse::apply_on).map(types::SnapStartApplyOn::as_str),
        "subnets": vpc.map(|it| sorted(it.subnet_ids())),
        "timeout": it.timeout(),
        "tracing": it.tracing_config().and_then(types::TracingConfigResponse::mode).map(types::TracingMode::as_str),
    });
    Some(Sha256::of(settings.to_string().as_bytes()))
}

/// The SHA-256 of the settings that later gatekeepers know, by the generation that first did. A generation's digest stays
/// as it is; what is added gets the next number.
fn later_digests(answer: &GetFunctionOutput) -> BTreeMap<u32, Sha256> {
    let Some(it) = answer.configuration() else { return BTreeMap::new() };
    let managed = it.capacity_provider_config().and_then(|it| it.lambda_managed_instances_capacity_provider_config());
    let second = json!({
        "capacity_provider": managed.map(|it| {
            (it.capacity_provider_arn(), it.per_execution_environment_max_concurrency(), it.execution_environment_memory_gib_per_v_cpu())
        }),
        "direct_reads": it.file_system_configs().iter().map(|it| {
            it.s3_files_config().and_then(|it| it.direct_s3_read()).map(types::DirectS3Read::as_str)
        }).collect::<Vec<_>>(),
        "durable": it.durable_config().map(|it| (it.execution_timeout(), it.kms_key_arn(), it.retention_period_in_days())),
        "ipv6": it.vpc_config().and_then(types::VpcConfigResponse::ipv6_allowed_for_dual_stack),
        "tenancy": it.tenancy_config().map(|it| it.tenant_isolation_mode().as_str()),
    });
    [(2, Sha256::of(second.to_string().as_bytes()))].into()
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{
        CapacityProviderConfig, Concurrency, DurableConfig, EnvironmentResponse, FunctionConfiguration,
        LambdaManagedInstancesCapacityProviderConfig, Runtime, TenancyConfig, TenantIsolationMode,
    };

    use super::*;
    use crate::{
        scripted,
        scripted::{Answer, Request},
    };

    fn plan() -> Plan {
        let function = json!({
            "module": "MOD-012", "function": "authorise", "stack": "api", "stack_name": "uat-api", "logical_id": "Fn",
            "key": "k", "version_id": "v1", "sha256": Sha256::of(b"code"), "size": 4,
        });
        serde_json::from_value(json!({"stacks": [], "functions": [function], "migrations": [], "smoke": []})).unwrap()
    }

    /// The function as it is seen where AWS answers so.
    async fn seen(stack: Answer, function: Answer) -> LiveFunction {
        let config = scripted::config(move |request: Request| {
            if request.body.contains("Action=ListStackResources") { stack.clone() } else { function.clone() }
        });
        look(&config, &plan()).await.remove(0)
    }

    fn stack() -> Answer {
        Answer::xml(
            "<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries><member>\
             <LogicalResourceId>Fn</LogicalResourceId><PhysicalResourceId>uat-authorise</PhysicalResourceId>\
             <ResourceType>AWS::Lambda::Function</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>\
             <LastUpdatedTimestamp>2026-05-02T03:04:05Z</LastUpdatedTimestamp></member></StackResourceSummaries>\
             </ListStackResourcesResult></ListStackResourcesResponse>",
        )
    }

    fn runs(code: &[u8]) -> Answer {
        Answer::json(&json!({"Configuration": {"CodeSha256": Sha256::of(code).to_base64()}}))
    }

    #[tokio::test]
    async fn a_function_is_seen_with_its_code() {
        let live = seen(stack(), runs(b"code")).await;
        assert_eq!((live.is_promoted_code, live.unread), (true, None));
        let other = seen(stack(), runs(b"by hand")).await;
        assert_eq!((other.is_promoted_code, other.code_sha256), (false, Some(Sha256::of(b"by hand"))));
    }

    #[tokio::test]
    async fn what_is_not_there_is_missing() {
        let no_stack = Answer::xml_error(400, "ValidationError", "Stack with id uat-api does not exist");
        let no_function = Answer::error(404, "ResourceNotFoundException", "Function not found");
        let empty = "<ListStackResourcesResponse><ListStackResourcesResult/></ListStackResourcesResponse>";
        for (stack, function) in
            [(no_stack, runs(b"code")), (stack(), no_function), (Answer::xml(empty), runs(b"code"))]
        {
            let live = seen(stack, function).await;
            assert_eq!((live.code_sha256, live.unread), (None, None));
        }
    }

    /// Whatever keeps from looking is told in AWS's own words, and is never that something is missing.
    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_looked_at_is_never_missing() {
        let denied = "User: arn:aws:sts::111122223333:assumed-role/promoter/jane is not authorized to perform: \
                      cloudformation:ListStackResources";
        let odd = Answer::xml_error(400, "ValidationError", "1 validation error detected");
        for (stack_answer, function, says) in [
            (Answer::xml_error(403, "AccessDenied", denied), runs(b"code"), "AccessDenied: User: arn:aws:sts"),
            (odd, runs(b"code"), "ValidationError: 1 validation error detected"),
            (Answer::xml_error(400, "Throttling", "Rate exceeded"), runs(b"code"), "Throttling: Rate exceeded"),
            (Answer::xml_error(403, "OptInRequired", "not enabled"), runs(b"code"), "OptInRequired: not enabled"),
            (Answer::Lost, runs(b"code"), "connection reset"),
            (stack(), Answer::error(403, "AccessDeniedException", "lambda:GetFunction"), "AccessDeniedException"),
            (stack(), Answer::error(429, "TooManyRequestsException", "slow"), "TooManyRequestsException: slow"),
            (stack(), Answer::error(500, "ServiceException", "oops"), "ServiceException: oops"),
            (stack(), Answer::Lost, "connection reset"),
            (stack(), Answer::json(&json!({})), "Lambda tells nothing of it"),
            (stack(), Answer::json(&json!({"Configuration": {}})), "Lambda tells no SHA-256 of its code"),
        ] {
            let live = seen(stack_answer, function).await;
            let why = live.unread.clone().unwrap_or_default();
            assert!(why.contains(says) && !why.contains("request_id"), "{says}: {live:?}");
            assert_eq!((live.code_sha256, live.is_promoted_code), (None, false));
        }
    }

    fn digest(change: impl FnOnce(FunctionConfiguration) -> FunctionConfiguration) -> Sha256 {
        let variables = [("A", "1"), ("B", "2"), ("C", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = EnvironmentResponse::builder().set_variables(Some(variables.into())).build();
        let configuration = FunctionConfiguration::builder()
            .runtime(Runtime::Nodejs20x)
            .memory_size(256)
            .environment(environment)
            .revision_id("r1")
            .last_modified("2026-05-02T03:04:05.000+0000")
            .build();
        configuration_digest(&GetFunctionOutput::builder().configuration(change(configuration)).build()).unwrap()
    }

    #[test]
    fn the_configurations_digest_tells_settings_apart_and_nothing_else() {
        let same = digest(|it| it);
        let touched = digest(|mut it| {
            it.revision_id = Some("r2".to_owned());
            it.last_modified = Some("2026-05-02T04:04:05.000+0000".to_owned());
            it.code_sha256 = Some("other".to_owned());
            it
        });
        assert_eq!(same, touched);
        let larger = digest(|mut it| {
            it.memory_size = Some(512);
            it
        });
        let variables = [("A".to_owned(), "2".to_owned())];
        let other_environment = digest(|mut it| {
            it.environment = Some(EnvironmentResponse::builder().set_variables(Some(variables.into())).build());
            it
        });
        assert!(same != larger && same != other_environment && larger != other_environment);
        let stopped = GetFunctionOutput::builder()
            .configuration(FunctionConfiguration::builder().build())
            .concurrency(Concurrency::builder().reserved_concurrent_executions(0).build());
        let runs = GetFunctionOutput::builder().configuration(FunctionConfiguration::builder().build());
        assert_ne!(configuration_digest(&stopped.build()), configuration_digest(&runs.build()));
        assert_eq!(configuration_digest(&GetFunctionOutput::builder().build()), None);
    }

    fn later(configuration: FunctionConfiguration) -> BTreeMap<u32, Sha256> {
        later_digests(&GetFunctionOutput::builder().configuration(configuration).build())
    }

    #[test]
    fn what_later_gatekeepers_know_has_digests_of_its_own() {
        let none = FunctionConfiguration::builder();
        let durable = DurableConfig::builder().execution_timeout(3600).build();
        let tenancy = TenancyConfig::builder().tenant_isolation_mode(TenantIsolationMode::PerTenant).build().unwrap();
        let managed = LambdaManagedInstancesCapacityProviderConfig::builder().capacity_provider_arn("arn").build();
        let managed = CapacityProviderConfig::builder()
            .lambda_managed_instances_capacity_provider_config(managed.unwrap())
            .build();
        let each = [
            none.clone().build(),
            none.clone().durable_config(durable).build(),
            none.clone().tenancy_config(tenancy).build(),
            none.capacity_provider_config(managed).build(),
        ];
        let digests: std::collections::BTreeSet<_> = each.into_iter().map(|it| later(it)[&2]).collect();
        assert_eq!(digests.len(), 4);
        // These stand in records: a change of theirs would be told as drift of every function.
        insta::assert_snapshot!(later(FunctionConfiguration::builder().build())[&2], @"bb1b3189e3d54efbfb6f57cad392e343bcad2fe5649be45e32e909fb4fce37cc");
        insta::assert_snapshot!(digest(|it| it), @"dc144c279c742bfcd54088e814ec70bc96e95acd5240b096f26726db81128933");
    }

    /// CloudFormation's properties of a function that the digests cover.
    const SETTINGS: &[&str] = &[
        "Architectures",
        "CapacityProviderConfig",
        "DeadLetterConfig",
        "Description",
        "DurableConfig",
        "Environment",
        "EphemeralStorage",
        "FileSystemConfigs",
        "Handler",
        "ImageConfig",
        "KmsKeyArn",
        "Layers",
        "LoggingConfig",
        "MemorySize",
        "PackageType",
        "ReservedConcurrentExecutions",
        "Role",
        "Runtime",
        "SnapStart",
        "TenancyConfig",
        "Timeout",
        "TracingConfig",
        "VpcConfig",
    ];

    /// Those that they don't: what the code itself is, names and tags, what only acts while a stack is updated, and what
    /// `GetFunction` doesn't tell.
    const NO_SETTINGS: &[&str] = &[
        "Arn",
        "Code",
        "FunctionName",
        "SnapStartResponse",
        "Tags",
        "PublishToLatestPublished",
        "CodeSigningConfigArn",
        "FunctionScalingConfig",
        "RecursiveLoop",
        "RuntimeManagementConfig",
    ];

    #[test]
    fn each_property_that_cloudformation_knows_of_a_function_is_covered_or_left_out_on_purpose() {
        let (_, properties) =
            gatekeeper_readers::template::types().find(|(it, _)| *it == "AWS::Lambda::Function").unwrap();
        let mut decided = [SETTINGS, NO_SETTINGS].concat();
        decided.sort_unstable();
        assert_eq!(properties, decided);
    }
}
