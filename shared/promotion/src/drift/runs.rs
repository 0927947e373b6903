//! What a runner left at a stage, held against what is there now.

use gatekeeper_model::finding::Code;
use jiff::Timestamp;

use super::Compared;
use crate::{
    record::PromotionRecord,
    runs::{
        PlannedRun,
        pulumi::PulumiProof,
        standing::{REFRESH_HOLDS, RunLook, StackNow, proof_of},
    },
};

/// The codes of what may be found of a stack.
const CODES: [Code; 2] = [Code::PulumiStackChanged, Code::PulumiDrifted];

impl Compared {
    pub(super) fn run(
        &mut self,
        planned: &PlannedRun,
        record: &PromotionRecord,
        look: Option<&RunLook>,
        now: Timestamp,
    ) {
        let program = match planned {
            PlannedRun::Pulumi(program) => program,
            // Nobody looks for it here: that nothing is found of it must not be taken for no difference.
            PlannedRun::Dbt(_) => {
                let run = planned.name();
                return self.notes.push(format!("`{run}`: what dbt built is not compared with what is there now"));
            }
        };
        let subject = program.subject();
        match (look, proof_of(record)) {
            (None | Some(RunLook::NotAsked), _) => self.unseen_run(&subject),
            (Some(RunLook::Unknown(why)), _) => {
                self.notes.push(format!("the stack {subject} could not be looked at: {why}"));
                self.unseen_run(&subject);
            }
            (_, None) => {
                self.notes.push(format!("how the promotion left the stack {subject} its record does not tell"));
                self.unseen_run(&subject);
            }
            (Some(RunLook::Pulumi(now_there)), Some(proof)) => self.pulumi(&subject, &proof, now_there, now),
        }
    }

    fn unseen_run(&mut self, subject: &str) {
        for code in CODES {
            self.unseen(code, subject);
        }
    }

    fn pulumi(&mut self, subject: &str, left: &PulumiProof, there: &StackNow, now: Timestamp) {
        let StackNow { is_locked, has_update, after, state_sha256, refresh } = there;
        if *is_locked {
            self.notes.push(format!("an update of the stack {subject} is under way, by its lock in the backend"));
            return self.unseen_run(subject);
        }
        let changed = match (after, state_sha256) {
            (Some(after), _) => Some(format!("behind the promotion's update its history has {after}")),
            (None, _) if !has_update => {
                Some(format!("its history has no `{}` any more, or another one", left.history_key))
            }
            (None, None) => Some(format!("its state `{}` is gone", left.state_key)),
            (None, Some(state)) if *state != left.state_sha256 => Some(format!(
                "its state has the SHA-256 `{state}`, and the promotion left `{}`: it was edited",
                left.state_sha256
            )),
            (None, Some(_)) => None,
        };
        if let Some(what) = changed {
            self.find(Code::PulumiStackChanged, subject, what);
        }
        let recent = refresh.as_ref().filter(|it| now.duration_since(it.left_at) < REFRESH_HOLDS);
        match recent.map(|it| (&it.differing, it.left_at)) {
            Some((Ok(differing), _)) if differing.is_empty() => {}
            Some((Ok(differing), left_at)) => {
                let counts = differing.iter().map(|(kind, count)| format!("{count} by `{kind}`"));
                let counts = counts.collect::<Vec<_>>().join(", ");
                let message = format!("resources are not as its state says, {counts}, by the refresh of {left_at}");
                self.find(Code::PulumiDrifted, subject, message);
            }
            Some((Err(why), left_at)) => {
                self.notes.push(format!("the refresh of {left_at} of the stack {subject} tells nothing: {why}"));
                self.unseen(Code::PulumiDrifted, subject);
            }
            None => {
                let since = refresh.as_ref().map_or_else(String::new, |it| format!(" since {}", it.left_at));
                self.notes.push(format!(
                    "whether the resources of the stack {subject} are as its state says nobody has looked{since}: let the \
                     workflow `pulumi-drift.yml` run on a schedule"
                ));
                self.unseen(Code::PulumiDrifted, subject);
            }
        }
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
