//! What lies in AWS: the caller, the buckets, the keys, the functions, the configuration, and what the stages need.

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::BucketVersioningStatus,
};
use futures_util::{StreamExt as _, future::join_all, stream};
use gatekeeper_aws::{
    failure::said,
    kms::{KeyArns, KmsKeys},
    s3::S3Store,
    stage_account::stage_config,
};
use gatekeeper_model::{ids::StageName, telemetry};
use gatekeeper_promotion::stage::Stage;
use gatekeeper_proof::trust::TOLD_BEFORE;

use super::Line;
use crate::{
    aws::{Aws, Part, pinned_root},
    commands::configuration::{self, Document},
    schema_check::Wrong,
    stages::Stages,
};

/// Calls in flight.
const LOOKS_IN_FLIGHT: usize = 16;

/// The parts of an installation that a function is, by what it is there for.
const FUNCTIONS: [(Part, &str); 3] = [
    (Part::PromoteFunction, "promotions can't be asked for"),
    (Part::ApproveFunction, "nobody can approve"),
    (Part::JudgeRunFunction, "runners can't hand in their part"),
];

/// Every line, and whether AWS could be reached at all.
pub(super) async fn all(aws: &Aws<'_>) -> (Vec<Line>, bool) {
    let region = aws.config.region().map(ToString::to_string);
    let region_line = match &region {
        Some(region) => Line::ok("region", region.clone()),
        None => Line::fail("region", "none is chosen", "pass `--region`, or set it as for the AWS CLI"),
    };
    let caller = match aws.caller().await {
        Ok(arn) => Line::ok("caller", arn),
        Err(error) => {
            let why = telemetry::chain(error.as_ref());
            let what_to_do =
                "log in as for the AWS CLI, or pass `--profile`; nothing else of AWS can be looked at before";
            return (vec![region_line, Line::fail("caller", why, what_to_do)], false);
        }
    };
    let version = version(aws.output("Version").await.as_deref(), env!("CARGO_PKG_VERSION"));
    let mut lines = vec![region_line, caller, version];
    let (buckets, keys, functions) = tokio::join!(buckets(aws), keys(aws), functions(aws));
    let (bucket_lines, records) = buckets;
    lines.extend(bucket_lines);
    lines.extend(keys);
    lines.extend(functions);
    if let Some(records) = records {
        let (documents, stages) = tokio::join!(documents(&records), Stages::read(&records));
        lines.extend(documents);
        lines.extend(of_stages(aws, &stages).await);
    }
    (lines, true)
}

/// Whether the functions and the command are of one version. What is behind a `+` is a commit between two versions.
fn version(deployed: Option<&str>, own: &str) -> Line {
    let what = "version";
    let of = |deployed: &str| deployed.split('+').next() == Some(own);
    match deployed {
        Some(deployed) if of(deployed) => {
            Line::ok(what, format!("the functions are of {deployed}, this command is of {own}"))
        }
        Some(deployed) if deployed != "unknown" => Line::warn(
            what,
            format!("the functions are of {deployed}, this command is of {own}"),
            "take both from one release: the command first, because it understands older functions",
        ),
        _ => Line::warn(
            what,
            format!("the stack does not tell what its functions were built from; this command is of {own}"),
            "deploy by `infra/deploy.sh`, which tells it",
        ),
    }
}

/// What an answer means: there, forbidden to these credentials, or wrong.
fn refused<E>(what: &str, error: &SdkError<E>, what_to_do: &str) -> Line
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    let status = error.raw_response().map(|response| response.status().as_u16());
    if code.contains("AccessDenied") || code.contains("NotAuthorized") || status == Some(403) {
        return Line::warn(what, "these credentials may not look", "look with the auditor's or a deployer's role");
    }
    Line::fail(what, said(error), what_to_do)
}

/// The buckets, and the one with the records where it is there.
async fn buckets(aws: &Aws<'_>) -> (Vec<Line>, Option<S3Store>) {
    let (artefacts, records) = tokio::join!(
        bucket(aws, Part::ArtefactBucket, "artefact bucket"),
        bucket(aws, Part::RecordsBucket, "records bucket")
    );
    let store = records.1;
    ([artefacts.0, records.0].concat(), store)
}

async fn bucket(aws: &Aws<'_>, part: Part, what: &str) -> (Vec<Line>, Option<S3Store>) {
    let name = match aws.part(part).await {
        Ok(name) => name,
        Err(error) => {
            let why = telemetry::chain(error.as_ref());
            return (
                vec![Line::fail(
                    what,
                    why,
                    "name the gatekeeper's stack by `--gatekeeper-stack`, or its outputs by `--outputs`",
                )],
                None,
            );
        }
    };
    let store = aws.bucket(&name);
    let what = format!("{what} `{name}`");
    let head = store.client().head_bucket().bucket(&name).send().await;
    if let Err(error) = head {
        return (vec![refused(&what, &error, "see that the region and the account are the gatekeeper's")], None);
    }
    let versioning = store.client().get_bucket_versioning().bucket(&name).send().await;
    let line = match versioning {
        Ok(answer) if answer.status() == Some(&BucketVersioningStatus::Enabled) => {
            Line::ok(what, "is there and keeps versions")
        }
        Ok(_) => {
            Line::fail(what, "keeps no versions", "turn versioning on: without it nothing can be pinned or proved")
        }
        Err(error) => {
            refused(&format!("{what}, whether it keeps versions"), &error, "see that the bucket is the gatekeeper's")
        }
    };
    (vec![line], Some(store))
}

async fn keys(aws: &Aws<'_>) -> Vec<Line> {
    let what = "signing keys";
    let keys = async {
        let (gate, promotion) = (aws.part(Part::SigningKey).await?, aws.part(Part::PromotionSigningKey).await?);
        anyhow::Ok((gate, promotion, aws.part(Part::ApprovalSigningKey).await?))
    };
    let (gate, promotion, approval) = match keys.await {
        Ok(keys) => keys,
        Err(error) => {
            let why = telemetry::chain(error.as_ref());
            return vec![Line::warn(
                what,
                why,
                "evidence can't be verified without them; `--outputs` or the stack's outputs name them",
            )];
        }
    };
    let arns = KeyArns { gate: &gate, promotion: &promotion, approval: &approval };
    match KmsKeys::new(&aws.config, arns).public_keys().await {
        Ok(_) => {
            let read = Line::ok(what, "all three can be read, so signatures can be verified");
            [read].into_iter().chain(trust_root(aws).await).collect()
        }
        Err(error) => {
            let why = telemetry::chain(&error);
            let what_to_do =
                "signatures can't be verified with these credentials; promoters and auditors may read the keys";
            vec![Line::warn(what, why, what_to_do)]
        }
    }
}

/// How it is with the trust root, where there is one.
async fn trust_root(aws: &Aws<'_>) -> Option<Line> {
    let what = "trust root";
    let read = async {
        let Some(pin) = pinned_root(aws).await? else { return anyhow::Ok(None) };
        Ok(Some(gatekeeper_aws::trust::read(&aws.records().await?, &pin).await?.root))
    };
    let root = match read.await {
        Ok(root) => root?,
        Err(error) => {
            let why = telemetry::chain(error.as_ref());
            return Some(Line::fail(
                what,
                why,
                "nothing that is signed is believed without it; see `gatekeeper keys list`",
            ));
        }
    };
    let told = format!("version {}, until {:.0}", root.version, root.expires);
    let renew = "make the next one by `gatekeeper keys renew`, and have it signed and published";
    let now = telemetry::wall_clock();
    Some(if root.has_expired(now) {
        Line::fail(what, format!("{told}: it has expired, so promotions are refused"), renew)
    } else if root.expires.duration_since(now) < TOLD_BEFORE {
        Line::warn(what, told, renew)
    } else {
        Line::ok(what, told)
    })
}

async fn functions(aws: &Aws<'_>) -> Vec<Line> {
    let client = aws_sdk_lambda::Client::new(&aws.config);
    let looks = FUNCTIONS.iter().map(async |(part, without)| {
        let name = match aws.part(*part).await {
            Ok(name) => name,
            Err(error) => {
                let why = telemetry::chain(error.as_ref());
                return Line::fail(
                    format!("function ({without} without it)"),
                    why,
                    "update the installation: its stack does not name the function",
                );
            }
        };
        let what = format!("function `{name}`");
        match client.get_function_configuration().function_name(&name).send().await {
            Ok(it) => {
                let state = it.state().map_or("unknown", |state| state.as_str());
                let updated = it.last_update_status().map_or("unknown", |status| status.as_str());
                // A local AWS tells neither.
                if ["Active", "unknown"].contains(&state) && ["Successful", "unknown"].contains(&updated) {
                    Line::ok(
                        what,
                        format!(
                            "is there, last changed {}",
                            it.last_modified().unwrap_or("at a time that is not told")
                        ),
                    )
                } else {
                    Line::fail(
                        what,
                        format!("its state is `{state}`, its last update `{updated}`"),
                        "deploy the gatekeeper's stack again",
                    )
                }
            }
            Err(error) => refused(&what, &error, &format!("deploy the gatekeeper's stack again: {without}")),
        }
    });
    join_all(looks).await
}

/// The documents of the configuration.
async fn documents(records: &S3Store) -> Vec<Line> {
    let looks = [Document::Stages, Document::Policy].map(async |document| {
        let what = document.key().to_string();
        match configuration::stored(document, records).await {
            Err(error) => Line::warn(what, telemetry::chain(error.as_ref()), "look with a role that may read it"),
            Ok(None) if document == Document::Stages => Line::warn(
                what,
                "is not there yet",
                "configure the stages: nothing can be promoted before (`gatekeeper stages put`)",
            ),
            Ok(None) => Line::ok(what, "is not there: ADR-053's own conditions bind"),
            Ok(Some(body)) => match document.check(&body.bytes).as_slice() {
                [] => Line::ok(what, "is good"),
                [Wrong { path, message }, rest @ ..] => {
                    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                    Line::fail(
                        what,
                        format!("{path}: {message}{more}"),
                        "mend it: `gatekeeper stages check` and `gatekeeper policy check` name every place",
                    )
                }
            },
        }
    });
    join_all(looks).await
}

/// What the stages need: their roles, and their databases' secrets. No secret's value is read.
async fn of_stages(aws: &Aws<'_>, stages: &Stages) -> Vec<Line> {
    let configured = stages.order.iter().filter_map(|name| Some((name, stages.get(name)?)));
    let looks = configured.map(async |(name, stage)| {
        let (role, secrets) = tokio::join!(role(aws, name, stage), secrets(aws, name, stage));
        role.into_iter().chain(secrets).collect::<Vec<_>>()
    });
    stream::iter(looks).buffered(LOOKS_IN_FLIGHT).collect::<Vec<_>>().await.concat()
}

async fn role(aws: &Aws<'_>, name: &StageName, stage: &Stage) -> Option<Line> {
    let role = stage.role_arn.as_ref()?;
    let what = format!("stage `{name}`, role `{role}`");
    let config = stage_config(&aws.config, Some(role)).await;
    let answer = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await;
    Some(match answer {
        Ok(_) => Line::ok(what, "these credentials may take it"),
        // Its trust names the gatekeeper's functions, and mostly nobody else.
        Err(_) => Line::warn(
            what,
            "these credentials may not take it, so whether the functions may can't be told from here",
            "it must trust the gatekeeper's functions, and `StageRoleArns` must name it; a dry run of a promotion proves it",
        ),
    })
}

async fn secrets(aws: &Aws<'_>, name: &StageName, stage: &Stage) -> Vec<Line> {
    let client = aws_sdk_secretsmanager::Client::new(&aws.config);
    let looks = stage.databases.iter().map(async |(database, entry)| {
        let what = format!("stage `{name}`, secret of database `{database}`");
        let answer = client.describe_secret().secret_id(&entry.secret_arn).send().await;
        match answer {
            Ok(it) if it.deleted_date().is_some() => {
                Line::fail(what, "is marked for deletion", "restore it, or name another one")
            }
            Ok(_) => Line::ok(what, "is there"),
            Err(error) => {
                refused(&what, &error, "name the secret that holds how to reach the database in `secret_arn`")
            }
        }
    });
    join_all(looks).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_command_of_two_versions_are_told() {
        let told = |deployed| {
            let Line { level, found, .. } = version(deployed, "0.4.0");
            format!("{level:?}: {found}\n")
        };
        let all = [Some("0.4.0"), Some("0.4.0+3f1c9a0b5d7e.changed"), Some("0.3.9"), Some("unknown"), None].map(told);
        insta::assert_snapshot!(all.concat(), @r"
        Ok: the functions are of 0.4.0, this command is of 0.4.0
        Ok: the functions are of 0.4.0+3f1c9a0b5d7e.changed, this command is of 0.4.0
        Warn: the functions are of 0.3.9, this command is of 0.4.0
        Warn: the stack does not tell what its functions were built from; this command is of 0.4.0
        Warn: the stack does not tell what its functions were built from; this command is of 0.4.0
        ");
    }
}
