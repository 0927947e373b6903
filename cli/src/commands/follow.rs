//! `gatekeeper follow`: a promotion that is under way, or how it ended.

use futures_util::{StreamExt as _, stream};
use gatekeeper_model::{ids::PromotionId, store_key::RecordKey};
use gatekeeper_promotion::{
    record::{PromotionRecord, Status},
    step::PromotionRef,
};
use gatekeeper_store::record;

use super::promote::{recorded, to_the_end};
use crate::{
    aws::{Aws, AwsArgs},
    exit::{Answer, Misuse},
    output::Output,
    records::Records,
};

/// Places that are looked at at once.
const LOOKS_IN_FLIGHT: usize = 48;

const EXAMPLES: &str = "\
Examples:
  gatekeeper follow 01J0000000000000000000000A
  gatekeeper follow 01J0000000000000000000000A --output json";

/// Follows a promotion that is under way to its end, or tells how it ended
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The promotion, as `promote` and `status` tell it
    #[arg(value_name = "ID")]
    id: PromotionId,
    #[command(flatten)]
    aws: AwsArgs,
}

pub(crate) async fn run(args: &Args, output: &mut Output) -> anyhow::Result<Answer> {
    let aws = Aws::connect(&args.aws).await?;
    output.passing("looking for the promotion …");
    let found = find(&aws.records().await?, &args.id).await?;
    output.clear_passing();
    let Some(found) = found else {
        return Err(unknown(&args.id).into());
    };
    if matches!(found.status, Status::Running | Status::GoingBack) {
        output.progress(&format!(
            "{}@{} to {}, asked for by {}",
            found.repo,
            found.commit_sha,
            found.stage,
            found.asked_by()
        ));
        return to_the_end(&aws, &found.reference(), &found.execution_arn, output).await;
    }
    output.result(&found, &recorded(&found))?;
    Ok(Answer::yes_if(found.status == Status::Succeeded))
}

/// That there is no such promotion.
pub(super) fn unknown(id: &PromotionId) -> Misuse {
    Misuse(format!("`{id}`: no promotion has this id; `gatekeeper status` tells which are under way"))
}

/// The record of a promotion, in two dependent round trips: its id tells neither stage nor repository, but whatever was ever
/// promoted has a lock.
pub(super) async fn find(records: &impl Records, id: &PromotionId) -> anyhow::Result<Option<PromotionRecord>> {
    let locks = records.dated(&RecordKey::locks_prefix(None), None).await?;
    let places = locks.iter().filter_map(|it| RecordKey::stage_and_repo(&it.key));
    let looks = places.map(async |(stage, repo)| {
        let promotion = PromotionRef { stage, repo, promotion_id: id.clone() };
        record::read::<PromotionRecord>(records, &PromotionRecord::key(&promotion)).await
    });
    let mut looks = stream::iter(looks).buffered(LOOKS_IN_FLIGHT);
    while let Some(found) = looks.next().await {
        if let Some(found) = found? {
            return Ok(Some(found.record));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::records::tests::{World, commit};

    #[tokio::test]
    async fn a_promotion_is_found_by_its_id_alone() {
        let (world, commit) = (World::default(), commit("bank-payments", "1234567"));
        for stage in ["uat", "prod"] {
            world.put(&RecordKey::Lock(stage.parse().unwrap(), commit.repo.clone()), &json!({}));
        }
        let id = "01J0000000000000000000000A";
        world.promoted(&"prod".parse().unwrap(), &commit, id, &json!({"status": "failed"}));
        let found = find(&world.records, &id.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((found.stage.as_str(), found.status), ("prod", Status::Failed));
        let other = "01J0000000000000000000000B".parse().unwrap();
        assert_eq!(find(&world.records, &other).await.unwrap(), None);
    }
}
