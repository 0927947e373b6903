//! The rules of a stage after the first one: what an earlier stage must have run and for how long, who must have
//! approved, and when nothing new may come.
//!
//! Two people can waive them for one promotion by breaking the glass, or some of them until a time, which the promotion's
//! record tells ever after. Nobody can waive that a commit is Built,
//! attested, not revoked and unchanged: those are no rules of a stage.
//!
//! A rollback needs none of them: it brings back what was promoted by them once, and recovering is what one does in a
//! freeze. That the witness outside is asked is a rule of the same kind: who recovers does not wait for another account.

use std::collections::BTreeMap;

use gatekeeper_model::{
    finding::{Code, Finding},
    identity::{Identity, Person},
    ids::{Commit, Sha256, VersionId, WaiverId},
    manifest::Manifest,
    store_key::RecordKey,
};
use gatekeeper_proof::ledger::{Hold, Waiver};
use jiff::{SignedDuration, Timestamp};

use super::{
    approval::{Approval, BreakGlass, CountedApproval, GivenApproval},
    counting::{Counting, NotCounted, Owners, unproved},
    history::StageState,
    request::PromotionRequest,
};
use crate::{
    brake::{GivenRelease, on_hold},
    identities::{Authors, Identities, Placed},
    stage::{Requirement, Stage},
    waiver::{self, UsedWaiver},
};

/// Who asks, as far as it was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requester {
    /// No proof was sent.
    Unnamed,
    /// The proof that was sent does not hold, and why.
    Unproven(String),
    /// A principal of the account that is no person's own, by its ARN: a workflow, say.
    NoPerson(String),
    /// STS said who it is.
    Proven(Identity),
}

impl Requester {
    fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Proven(identity) => Some(identity),
            Self::Unnamed | Self::Unproven(_) | Self::NoPerson(_) => None,
        }
    }
}

/// The stage that is required first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// What it runs and ran.
    pub state: StageState,
    /// What is wrong with the signed word that the commit was verified for it; `None` where it holds.
    pub unattested: Option<Finding>,
}

/// Everything that the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The stage as it is configured.
    pub stage: &'a Stage,
    /// What is asked for.
    pub request: &'a PromotionRequest,
    /// Who asks.
    pub requester: &'a Requester,
    /// The commit.
    pub commit: &'a Commit,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// The manifest's version.
    pub manifest_version_id: &'a VersionId,
    /// What would be applied, by its digest; `None` where it can't be planned.
    pub plan_sha256: Option<Sha256>,
    /// The stage that is required first; `None` where it never ran anything of the repository.
    pub required: Option<&'a Earlier>,
    /// The approvals of the commit for the stage, in whatever versions of its manifest.
    pub approvals: &'a [GivenApproval],
    /// Who is who; or what is wrong with the document that says so.
    pub identities: Result<&'a Identities, &'a Finding>,
    /// What holds the stage, and the word that releases it, where there is one.
    pub hold: Option<(&'a Hold, Option<&'a GivenRelease>)>,
    /// What two people waive of the stage's rules until a time, of whichever repository.
    pub waivers: &'a BTreeMap<WaiverId, Waiver>,
    /// Where the witness outside disagrees with the ledger.
    pub witness: &'a [Finding],
    /// The trust root that names the keys, where there is one.
    pub trust: Option<&'a gatekeeper_proof::trust::Root>,
    /// The time.
    pub now: Timestamp,
}

/// What the rules come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Every reason against the promotion; empty where it may go on.
    pub reasons: Vec<Finding>,
    /// Who asks, where it is proved.
    pub requester: Option<Identity>,
    /// The approvals that count.
    pub approvals: Vec<CountedApproval>,
    /// The approvals that don't, and why.
    pub not_counted: Vec<NotCounted>,
    /// What two people waived.
    pub break_glass: Option<BreakGlass>,
    /// What was refused but for a waiver that counts.
    pub waived: Vec<UsedWaiver>,
    /// Where the witness outside disagrees with the ledger, and it goes on nevertheless: a rollback, which must not wait, and
    /// what two people waived.
    pub witness: Vec<Finding>,
    /// What holds the stage, where it goes on nevertheless: a rollback, and what two people waived.
    pub hold: Option<Hold>,
    /// What held the stage, and the word that released it, which the ledger is yet to tell.
    pub released: Option<Box<(Hold, GivenRelease)>>,
}

impl Circumstances<'_> {
    /// Applies the stage's rules.
    #[must_use]
    pub fn rule(&self) -> Ruling {
        let mut ruling = Ruling { requester: self.requester.identity().cloned(), ..Ruling::default() };
        if let Requester::Unproven(why) = self.requester {
            ruling.reasons.push(self.finding(Code::RequesterUnproven, format!("the proof of who asks: {why}")));
        }
        let held = self.held(&mut ruling);
        if self.request.rollback {
            ruling.witness = self.witness.to_vec();
            return ruling;
        }
        let (approvals, not_counted, too_few) = self.approvals();
        (ruling.approvals, ruling.not_counted) = (approvals, not_counted);
        if self.request.break_glass
            && let Err(invalid) = self.identities
        {
            ruling.reasons.push(invalid.clone());
        }
        let broken = [self.requirement(), too_few, self.freeze(), held, self.expired(), self.witness.to_vec()].concat();
        let (broken, waived) = self.waive(broken);
        ruling.waived = waived;
        let needs_a_person = self.stage.approvals > 0 || self.request.break_glass;
        let nobody = match self.requester {
            Requester::Unnamed => Some(
                "it must be proved who asks, which `gatekeeper promote` does: the event has no `identity_proof`"
                    .to_owned(),
            ),
            Requester::NoPerson(arn) => {
                Some(format!("a person must ask, by a session of the promoter's role: `{arn}` is none"))
            }
            Requester::Unproven(_) | Requester::Proven(_) => None,
        };
        ruling.reasons.extend(nobody.filter(|_| needs_a_person).map(|why| self.finding(Code::RequesterUnproven, why)));
        if !self.request.break_glass {
            ruling.reasons.extend(broken);
        } else if let Some(requester) = self.requester.identity() {
            match self.second_person(&requester.person).and_then(GivenApproval::counted) {
                Some(approved_by) => {
                    let requester = requester.person.clone();
                    ruling.break_glass = Some(BreakGlass { requester, approved_by, waived: broken });
                    ruling.witness = self.witness.to_vec();
                }
                None => {
                    let message = format!(
                        "to break the glass a second person must have agreed to it; ask somebody else for `{}`",
                        self.approve_command(" --break-glass")
                    );
                    ruling.reasons.push(self.finding(Code::ApprovalsMissing, message));
                    ruling.reasons.extend(self.unproved());
                }
            }
        }
        ruling
    }

    /// Sets aside what waivers that count are about; of the others it is said why they don't.
    fn waive(&self, broken: Vec<Finding>) -> (Vec<Finding>, Vec<UsedWaiver>) {
        let (mut stand, mut waived) = (Vec::new(), Vec::new());
        for mut finding in broken {
            // Whatever the head says: what is proof is never set aside.
            let is_rule = waiver::WAIVABLE.contains(&finding.code);
            let about = self.waivers.values().filter(|it| is_rule && it.is_about(finding.code, self.commit));
            let about = about.map(|waiver| (waiver, self.not_waived(waiver)));
            let (count, others): (Vec<_>, Vec<_>) = about.partition(|(_, why)| why.is_none());
            if let Some((waiver, _)) = count.first() {
                waived.push(UsedWaiver { waiver: (*waiver).clone(), finding });
                continue;
            }
            for (waiver, why) in others {
                let why = why.unwrap_or_default();
                finding.message = format!("{} (the waiver `{}` doesn't count: {why})", finding.message, waiver.id);
            }
            stand.push(finding);
        }
        (stand, waived)
    }

    /// Why a waiver doesn't count for the commit; `None` where it does. Who wrote a commit waives nothing for it.
    fn not_waived(&self, waiver: &Waiver) -> Option<String> {
        if let Some(why) = waiver::over(waiver, self.now) {
            return Some(why);
        }
        let Ok(identities) = self.identities else { return Some("nobody can tell who is who".to_owned()) };
        let authors = Authors::of(self.manifest, identities);
        if let Some(unknown) = self.counting(&authors, identities).unknown_authors().first() {
            return Some(format!("nobody can tell who wrote the commit: {}", unknown.message));
        }
        let owners = Owners { requester: None, authors: &authors, identities };
        let (proposed, agreed) = (&waiver.proposed_by, &waiver.agreed_by);
        let why = |person, other: Option<&Person>| {
            owners.why_not(person, other.into_iter()).map(|why| format!("`{person}`: {why}"))
        };
        why(proposed, None).or_else(|| why(agreed, Some(proposed)))
    }

    fn finding(&self, code: Code, message: impl Into<String>) -> Finding {
        Finding::new(code, self.request.stage.as_str(), message)
    }

    fn requirement(&self) -> Vec<Finding> {
        let Requirement::Deployed(first) = &self.stage.requires else { return Vec::new() };
        let unmet = |message: String| vec![self.finding(Code::RequiresNotMet, message)];
        let sha = &self.commit.sha;
        let promoted = self.required.and_then(|earlier| Some((earlier, earlier.state.promotion_of(sha)?)));
        let Some((Earlier { state, unattested }, completed)) = promoted else {
            return unmet(format!("`{}` was never promoted to `{first}`, which must run it first", self.commit));
        };
        if completed.manifest_version_id.as_ref() != Some(self.manifest_version_id) {
            let theirs = completed.manifest_version_id.as_ref().map_or("unknown", VersionId::as_str);
            return unmet(format!(
                "`{first}` ran version `{theirs}` of the commit's manifest, now it is version `{}`; promote it to \
                 `{first}` again",
                self.manifest_version_id
            ));
        }
        if !state.stands(sha) {
            return unmet(format!("a rollback took `{}` off `{first}`; promote it there again first", self.commit));
        }
        if let Some(unattested) = unattested {
            return vec![unattested.clone()];
        }
        let soak = SignedDuration::from_mins(i64::from(self.stage.soak_minutes));
        let left = soak - state.time_run(sha, self.manifest_version_id, self.now);
        if !left.is_positive() {
            return Vec::new();
        }
        let over = if state.commit_sha == *sha {
            format!("it is over at {:.0}", self.now + left)
        } else {
            format!("the time stands still while `{first}` runs `{}`", state.commit_sha)
        };
        let message = format!(
            "`{first}` must run the commit for {} before, of which {} are left; {over}",
            minutes(soak),
            minutes(left)
        );
        vec![self.finding(Code::SoakNotOver, message)]
    }

    /// That the stage is held, where no word that counts releases it.
    fn held(&self, ruling: &mut Ruling) -> Vec<Finding> {
        let Some((hold, release)) = self.hold else { return Vec::new() };
        let approvals = self.stage.approvals;
        let not_counted = release.map(|release| match self.identities {
            Ok(identities) => release.why_not(hold, approvals, identities),
            Err(_) if approvals > 0 => Some("nobody can tell who is who".to_owned()),
            Err(_) => release.why_not(hold, approvals, &Identities::default()),
        });
        if let (Some(release), Some(None)) = (release, &not_counted) {
            ruling.released = Some(Box::new((hold.clone(), release.clone())));
            return Vec::new();
        }
        ruling.hold = Some(hold.clone());
        vec![on_hold(&self.request.stage, hold, not_counted.flatten().as_deref())]
    }

    /// A trust root that has expired may be an old one that somebody keeps us at. A rollback doesn't wait for that, and two
    /// people may waive it.
    fn expired(&self) -> Vec<Finding> {
        let expired = self.trust.filter(|root| root.has_expired(self.now));
        let finding = expired.map(|root| {
            let (version, expires) = (root.version, root.expires);
            let message = format!(
                "version {version} of the trust root expired at {expires:.0}, and no later one is stored: `gatekeeper keys \
                 renew` makes it, which people sign"
            );
            Finding::new(Code::TrustRootExpired, RecordKey::TrustRoot(version).to_string(), message)
        });
        finding.into_iter().collect()
    }

    fn freeze(&self) -> Vec<Finding> {
        let frozen = self.stage.freeze.iter().filter_map(|window| Some((window, window.frozen_until(self.now)?)));
        let finding = |(window, until): (&crate::stage::freeze::FreezeWindow, Timestamp)| {
            let message = format!("frozen until {}: {}", window.local(until), window.reason);
            self.finding(Code::StageFrozen, message)
        };
        frozen.map(finding).collect()
    }

    /// The approvals that count, those that don't, and what is wrong where they are too few.
    fn approvals(&self) -> (Vec<CountedApproval>, Vec<NotCounted>, Vec<Finding>) {
        let identities = match self.identities {
            Ok(identities) => identities,
            // Nobody's approval counts while nobody can tell who is who.
            Err(invalid) if self.stage.approvals > 0 => return (Vec::new(), Vec::new(), vec![invalid.clone()]),
            Err(_) => return (Vec::new(), Vec::new(), Vec::new()),
        };
        let needed = usize::from(self.stage.approvals);
        let authors = Authors::of(self.manifest, identities);
        let counting = self.counting(&authors, identities);
        let (counted, not_counted) = counting.count(self.approvals);
        let counted: Vec<_> = counted.into_iter().filter_map(GivenApproval::counted).collect();
        if needed == 0 {
            return (counted, not_counted, Vec::new());
        }
        let mut findings = counting.unknown_authors();
        if counted.len() < needed {
            let names = counted.iter().map(|approval| format!("`{}` approved", approval.person));
            let others = not_counted.iter().map(|it| format!("`{}` doesn't count: {}", it.person, it.why));
            let given = names.chain(others).collect::<Vec<_>>().join(", ");
            let given = if given.is_empty() { given } else { format!(" ({given})") };
            let message = format!(
                "{} of {needed} approvals{given}; ask somebody who is neither the requester nor the author for `{}`",
                counted.len(),
                self.approve_command("")
            );
            findings.push(self.finding(Code::ApprovalsMissing, message));
            findings.extend(self.other_plans(&counting));
            findings.extend(self.unproved());
        }
        (counted, not_counted, findings)
    }

    /// That approvals are of another plan, where they would be of this commit otherwise.
    fn other_plans(&self, counting: &Counting<'_>) -> Option<Finding> {
        let is_given = |it: &&GivenApproval| it.stored.record.withdrawn.is_none();
        let of_this = self.proved().filter(is_given).filter(|it| counting.is_about_this(&it.stored.record));
        let other = of_this.filter(|it| counting.other_plan(&it.stored.record).is_some());
        let people: Vec<_> = other.map(|it| format!("`{}`", it.person())).collect();
        let planned = self.plan_sha256.filter(|_| !people.is_empty())?;
        let message = format!(
            "{} approved another plan than `{planned}`, which would be applied now: its parameters, the stage's configuration, \
             what the request accepts or Pulumi's preview have changed since; look at it by `gatekeeper promote --dry-run` and \
             approve it by `--plan-sha256 {planned}`",
            people.join(", ")
        );
        Some(self.finding(Code::ApprovalPlanDiffers, message))
    }

    fn proved(&self) -> impl Iterator<Item = &GivenApproval> {
        self.approvals.iter().filter(|it| it.proof.is_ok())
    }

    /// The approvals that are nobody's word, each by its person: they are missed where there are too few others.
    fn unproved(&self) -> Vec<Finding> {
        let told = self.approvals.iter().filter_map(|it| {
            let why = unproved(it.proof.as_ref().err()?);
            Some(self.finding(Code::ApprovalNotProved, format!("the approval of `{}`: {why}", it.person())))
        });
        told.collect()
    }

    fn counting<'b>(&'b self, authors: &'b Authors, identities: &'b Identities) -> Counting<'b> {
        Counting {
            commit: self.commit,
            stage: &self.request.stage,
            manifest_version_id: self.manifest_version_id,
            plan_sha256: self.plan_sha256,
            owners: Owners {
                requester: self.requester.identity().map(|identity| &identity.person),
                authors,
                identities,
            },
        }
    }

    /// The first approval to break the glass by somebody else than the requester, who may be an author.
    fn second_person(&self, requester: &Person) -> Option<&GivenApproval> {
        let (identities, nobody) = (self.identities.ok()?, Authors::default());
        let counting = self.counting(&nobody, identities);
        let agrees = |approval: &Approval| {
            approval.break_glass
                && approval.withdrawn.is_none()
                && counting.is_about_this(approval)
                && counting.other_plan(approval).is_none()
        };
        let agreed = self.proved().filter(|it| agrees(&it.stored.record));
        let others = agreed.filter(|it| {
            !identities.same(it.person(), requester) && identities.place(it.person().as_str()) != Placed::Nobody
        });
        others.min_by_key(|it| (it.stored.record.approved_at, it.person().clone()))
    }

    fn approve_command(&self, flags: &str) -> String {
        let (stage, Commit { repo, sha }) = (&self.request.stage, self.commit);
        format!("gatekeeper approve --stage {stage} --repo {repo} --sha {sha}{flags} --reason …")
    }
}

/// `2 h 5 min`, rounded up to whole minutes.
fn minutes(duration: SignedDuration) -> String {
    let minutes = (duration + SignedDuration::from_millis(59_999)).as_mins();
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
