//! Whose approval counts: of people who are neither the requester nor any author, each once, of this manifest, and signed.
//!
//! `approve`, `promote` and the evidence ask here, so that they can't differ.

use gatekeeper_model::{
    finding::{Code, Finding},
    identity::Person,
    ids::{Commit, Sha256, StageName, VersionId},
};
use serde::{Deserialize, Serialize};

use super::approval::{Approval, GivenApproval, NotProved, Withdrawal};
use crate::identities::{Authors, Identities, Placed};

/// What approvals are counted for.
#[derive(Debug, Clone, Copy)]
pub struct Counting<'a> {
    /// The commit.
    pub commit: &'a Commit,
    /// The stage.
    pub stage: &'a StageName,
    /// The version of the commit's manifest.
    pub manifest_version_id: &'a VersionId,
    /// What would be applied; `None` where nobody has planned it yet, or it can't be planned.
    pub plan_sha256: Option<Sha256>,
    /// Whose own it is.
    pub owners: Owners<'a>,
}

/// Whose own a promotion is: nobody lets pass what is his own.
#[derive(Debug, Clone, Copy)]
pub struct Owners<'a> {
    /// Who asks for the promotion; `None` where nobody has yet.
    pub requester: Option<&'a Person>,
    /// Who wrote the commit.
    pub authors: &'a Authors,
    /// Who is who.
    pub identities: &'a Identities,
}

/// An approval that doesn't count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCounted {
    /// Who approved.
    pub person: Person,
    /// Why it doesn't count.
    pub why: String,
}

impl Counting<'_> {
    /// The approvals that count, the oldest first, and those that don't.
    #[must_use]
    pub fn count<'b>(&self, approvals: &'b [GivenApproval]) -> (Vec<&'b GivenApproval>, Vec<NotCounted>) {
        let mut given: Vec<_> = approvals.iter().collect();
        given.sort_by_key(|it| (it.stored.record.approved_at, it.person().clone()));
        let (mut counted, mut others): (Vec<&GivenApproval>, Vec<NotCounted>) = (Vec::new(), Vec::new());
        for it in given {
            let why = match &it.proof {
                Ok(_) => self.why_not(&it.stored.record, counted.iter().map(|it| it.person())),
                Err(not_proved) => Some(unproved(not_proved)),
            };
            match why {
                None => counted.push(it),
                Some(why) => others.push(NotCounted { person: it.person().clone(), why }),
            }
        }
        (counted, others)
    }

    /// Why an approval that is proved doesn't count beside those of `counted`; `None` where it does.
    #[must_use]
    pub fn why_not<'b>(&self, approval: &Approval, counted: impl Iterator<Item = &'b Person>) -> Option<String> {
        if let Some(Withdrawal { at, reason }) = &approval.withdrawn {
            return Some(format!("it was withdrawn at {at:.0}: {reason}"));
        }
        if !self.is_about_this(approval) {
            return Some(format!("that was version `{}` of the manifest", approval.manifest_version_id));
        }
        if let Some((approved, planned)) = self.other_plan(approval) {
            return Some(format!("that was the plan `{approved}`, and `{planned}` would be applied now"));
        }
        self.owners.why_not(&approval.approved_by.person, counted)
    }

    /// The plan that an approval is of and the one that would be applied, where they are not the same.
    #[must_use]
    pub fn other_plan(&self, approval: &Approval) -> Option<(Sha256, Sha256)> {
        approval.plan_sha256.zip(self.plan_sha256).filter(|(approved, planned)| approved != planned)
    }

    /// Whether an approval is of this commit, stage and manifest.
    #[must_use]
    pub fn is_about_this(&self, approval: &Approval) -> bool {
        approval.repo == self.commit.repo
            && approval.commit_sha == self.commit.sha
            && approval.stage == *self.stage
            && approval.manifest_version_id == *self.manifest_version_id
    }

    /// The authors who can't be placed, each by name, or that none is named: whoever they are, they may have approved.
    #[must_use]
    pub fn unknown_authors(&self) -> Vec<Finding> {
        let finding = |message: String| Finding::new(Code::AuthorUnknown, self.stage.as_str(), message);
        if !self.owners.authors.is_named {
            let message = "the manifest names neither `authors`, `author` nor `build.actor`; publish it from the clone \
                           that it was built in, or with `--author`";
            return vec![finding(message.to_owned())];
        }
        let unknown = self.owners.authors.unknown.iter();
        let remedy = "say in `config/identities.json` whose it is (`aliases`), or that it is nobody (`bots`)";
        unknown.map(|author| finding(format!("author {author}; {remedy}"))).collect()
    }
}

/// Why an approval that is not proved doesn't count.
#[must_use]
pub fn unproved(why: &NotProved) -> String {
    format!("it is not proved: {why}; it must be approved again")
}

impl Owners<'_> {
    /// Why a person's approval doesn't count beside those of `counted`; `None` where it does.
    #[must_use]
    pub fn why_not<'b>(&self, person: &Person, mut counted: impl Iterator<Item = &'b Person>) -> Option<String> {
        let same = |other: &Person| self.identities.same(other, person);
        if self.requester.is_some_and(same) {
            return Some("this is who asks for the promotion".to_owned());
        }
        if let Some(named) = self.authors.name_of(person, self.identities) {
            let as_whom = if Person::named(named).may_be(person) { String::new() } else { format!(", as `{named}`") };
            return Some(format!("this is the commit's author{as_whom}"));
        }
        match self.identities.place(person.as_str()) {
            Placed::Nobody => return Some("this is nobody, says `config/identities.json`".to_owned()),
            Placed::Unknown(why) if !self.identities.mail_domains.is_empty() => {
                return Some(format!(
                    "{why}, so it could be an author; add it to `aliases` of `config/identities.json`"
                ));
            }
            // Whoever names sessions knows what people are called.
            Placed::Unknown(_) | Placed::Person(_) => {}
        }
        counted.find(|other| same(other)).map(|other| format!("this is `{other}` again"))
    }
}

#[cfg(test)]
#[path = "counting_tests.rs"]
mod tests;
