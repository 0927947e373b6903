//! Where the promotion stands in the ledger, from its entry to the signed head; and what the gate's own chain tells.

use gatekeeper_model::{
    finding::Code,
    identity::Person,
    ids::{Chain, Sha256},
    store_key::RecordKey,
};
use gatekeeper_promotion::{history::altered_record, record::Status};
use gatekeeper_proof::{
    Authority, freshness,
    ledger::{Entry, Kind, StoredEntry, newest_of, prove},
    witness,
};

use super::{Case, Checks, counted};
use crate::{
    exhibits::{Exhibits, Unread},
    model::{Ledger, LedgerEntry, Part},
    paper,
};

const PART: Part = Part::Ledger;
const CHAIN: &str = "the ledger is unbroken from the promotion's entry to its signed head";
const GATE_CHAIN: &str = "the gate's own ledger is unbroken to its signed head";
const SEEN: &str = "the ledger is the one that the witness outside has seen";
const GATE_SEEN: &str = "the gate's own ledger is the one that the witness outside has seen";
const FRESH: &str = "the ledgers end with the entries that were last stated to be their newest, or go on from them";
const RECORDED: &str = "the ledger holds the promotion, with the SHA-256 of its record";
const NEWEST: &str = "what the stage is said to run is what the ledger says was promoted last";
const REVOCATIONS: &str = "what the ledger tells of revocations is what is stored";

/// Tells where the promotion stands, and checks it.
pub(super) fn check(exhibits: &Exhibits, case: Option<&Case<'_>>, checks: &mut Checks) -> Option<Ledger> {
    let chain = exhibits.chain();
    let mut entries = exhibits.entries(paper::LEDGER);
    let place = case.and_then(|case| own(&entries, case)).map(|(sequence, _)| sequence);
    // What was before the promotion is no part of its evidence.
    if let Some(place) = place {
        entries.retain(|stored| stored.sequence >= place);
    }
    let at = exhibits.observed.question.at;
    let head = exhibits.document(paper::HEAD);
    if case.is_none() && entries.is_empty() && head == Err(Unread::Missing) {
        return None;
    }
    proved(exhibits, &chain, paper::HEAD, &entries, CHAIN, checks);
    witnessed(exhibits, &chain, [paper::LEDGER, paper::HEAD, paper::WITNESS], SEEN, checks);
    let gate_chain = Chain::of_gate(chain.repo.clone());
    witnessed(exhibits, &gate_chain, [paper::GATE_LEDGER, paper::GATE_HEAD, paper::GATE_WITNESS], GATE_SEEN, checks);
    fresh(exhibits, &chain, checks);
    if let Some(case) = case {
        recorded(case, &entries, place, checks);
        newest(case, &entries, checks);
        revocations(case, checks);
    } else if exhibits.subject().is_ok() {
        let name = "a stage that ran nothing has no promotions in its ledger";
        let brought = entries.iter().filter_map(|it| it.entry.as_ref()).filter(|it| brings(it));
        let brought: Vec<_> = brought.filter(|it| at.is_none_or(|at| it.recorded_at <= at)).collect();
        let wrong: Vec<_> =
            brought.iter().map(|it| format!("entry {} is of a {}", it.sequence, it.event.kind.as_str())).collect();
        let first = entries.first().map_or(1, |it| it.sequence);
        let from = if first > 1 { format!(", from entry {first} on") } else { String::new() };
        let open: Vec<_> = first_unread(exhibits, paper::LEDGER).into_iter().collect();
        checks.judged(PART, name, &wrong, &open, format!("{}{from}", counted(entries.len(), "entry")));
    }
    // What came after the time that was asked about is no part of the answer, but links it to the signed head.
    let is_then = |it: &StoredEntry| {
        it.entry.as_ref().is_none_or(|entry| at.is_none_or(|at| entry.recorded_at <= at) || Some(it.sequence) == place)
    };
    let later = entries.iter().filter(|it| !is_then(it)).count();
    let listed = entries.iter().filter(|it| is_then(it)).filter_map(|it| Some((it, it.entry.as_ref()?)));
    Some(Ledger {
        chain: RecordKey::ledger_prefix(&chain),
        entry: place,
        head: entries.last().map_or(0, |it| it.sequence),
        later,
        entries: listed
            .map(|(stored, entry)| LedgerEntry {
                sequence: stored.sequence,
                at: entry.recorded_at,
                kind: entry.event.kind.as_str().to_owned(),
                detail: words(entry),
                sha256: stored.sha256,
            })
            .collect(),
    })
}

fn words(entry: &Entry) -> String {
    let event = &entry.event;
    let commit = event.commit_sha.as_ref().map(|sha| format!(" of {sha}")).unwrap_or_default();
    let glass = if event.break_glass { ", break-glass" } else { "" };
    let mut codes: Vec<_> = event.findings.iter().map(|it| it.code.as_str()).collect();
    codes.dedup();
    let findings = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
    let is_promotion = matches!(event.kind, Kind::Promotion | Kind::Rollback);
    let sent_back = event.findings.iter().find(|it| {
        is_promotion
            && matches!(it.code, Code::PromotionStopped | Code::StageOnHold)
            && it.message.starts_with("sent back")
    });
    let sent_back = sent_back.map(|it| format!("; {}", it.message)).unwrap_or_default();
    let approved: Vec<_> = event.approved_by.iter().map(Person::as_str).collect();
    let approved = if approved.is_empty() { String::new() } else { format!(", approved by {}", approved.join(", ")) };
    format!("{}{commit}{glass}{findings}, by {}{approved}: {}{sent_back}", event.outcome, event.by, event.reason)
}

/// Whether an entry is of a promotion that changed what the stage runs.
pub(crate) fn brings(entry: &Entry) -> bool {
    matches!(entry.event.kind, Kind::Promotion | Kind::Rollback) && entry.event.outcome == Status::Succeeded.as_str()
}

/// The promotion's own entry.
fn own<'a>(entries: &'a [StoredEntry], case: &Case<'_>) -> Option<(u64, &'a Entry)> {
    entries.iter().filter_map(|stored| Some((stored.sequence, stored.entry.as_ref()?))).find(|(_, entry)| {
        matches!(entry.event.kind, Kind::Promotion | Kind::Rollback)
            && entry.event.promotion_id.as_ref() == Some(&case.subject.promotion_id)
    })
}

fn proved(exhibits: &Exhibits, chain: &Chain, head: &str, entries: &[StoredEntry], name: &str, checks: &mut Checks) {
    let Some(keys) = &exhibits.keys else {
        return checks.unknown(PART, name, "the public keys could not be read");
    };
    let folder = if head == paper::HEAD { paper::LEDGER } else { paper::GATE_LEDGER };
    if let Some(why) = first_unread(exhibits, folder) {
        return checks.unknown(PART, name, why);
    }
    let proof =
        prove(chain, entries.to_vec(), exhibits.bytes(head), None, keys.of(gatekeeper_proof::Authority::of(chain)));
    match proof.broken {
        Some(broken) if broken.sequence == 0 => {
            checks.fails(PART, name, format!("the head of `{chain}`: {}", broken.what));
        }
        Some(broken) => checks.fails(PART, name, format!("entry {} of `{chain}`: {}", broken.sequence, broken.what)),
        None if entries.is_empty() => checks.holds(PART, name, format!("`{chain}` has no entries")),
        None => {
            let who = match gatekeeper_proof::Authority::of(chain) {
                Authority::Gate => "the gate's key",
                Authority::Promotion => "the promotion key",
            };
            let detail = format!("`{chain}`, entries {} to {}, the head signed with {who}", proof.first, proof.newest);
            checks.holds(PART, name, detail);
        }
    }
}

/// Holds a chain against the newest head that the witness has of it. Without a witness there is nothing to tell.
fn witnessed(exhibits: &Exhibits, chain: &Chain, [folder, head, witness]: [&str; 3], name: &str, checks: &mut Checks) {
    if !exhibits.observed.has_witness {
        return;
    }
    let Some(keys) = &exhibits.keys else {
        return checks.unknown(PART, name, "the public keys could not be read");
    };
    let unread = first_unread(exhibits, folder).or_else(|| {
        let why = exhibits.observed.unread.get(witness)?;
        Some(format!("the witness could not be looked at: {why}"))
    });
    if let Some(why) = unread {
        return checks.unknown(PART, name, why);
    }
    let key = keys.of(Authority::of(chain));
    let seen = exhibits.bytes(witness);
    let look = witness::Look::of(exhibits.bytes(head), seen, exhibits.entries(folder), chain, key);
    let seen = seen.and_then(|seen| newest_of(seen, chain, key).ok());
    match witness::compare(chain, &look, key, exhibits.observed.taken_at) {
        None => {
            let detail = match seen.and_then(|seen| Some((seen.sequence, seen.entry?.recorded_at))) {
                Some((sequence, at)) => format!("up to entry {sequence}, which was written at {at:.0}"),
                None => "it has nothing of it yet".to_owned(),
            };
            checks.holds(PART, name, detail);
        }
        Some(found) if found.code == Code::LedgerRolledBack => checks.fails(PART, name, found.message),
        Some(found) => checks.unknown(PART, name, format!("{}: {}", found.code, found.message)),
    }
}

/// Holds both chains against what was last stated of them. Where nothing was, there is nothing to tell: nobody gains by removing
/// a statement that only says how young the evidence is.
fn fresh(exhibits: &Exhibits, chain: &Chain, checks: &mut Checks) {
    let document = match exhibits.document(paper::FRESHNESS) {
        Ok(document) => document,
        Err(Unread::Missing) => return,
        Err(unread) => return checks.unknown(PART, FRESH, unread.to_string()),
    };
    let Some(keys) = &exhibits.keys else {
        return checks.unknown(PART, FRESH, "the public keys could not be read");
    };
    let stated = match freshness::open(&document.bytes, chain, keys) {
        Ok(stated) => stated,
        Err(error) => return checks.fails(PART, FRESH, format!("what was stated: {error}")),
    };
    let mut behind = Vec::new();
    let folders = [paper::LEDGER, paper::GATE_LEDGER];
    for ((of, folder), newest) in freshness::chains(chain).iter().zip(folders).zip(&stated.newest) {
        if let Some(why) = first_unread(exhibits, folder) {
            return checks.unknown(PART, FRESH, why);
        }
        let entries = exhibits.entries(folder);
        let found = entries.iter().find(|it| newest.as_ref().is_some_and(|newest| newest.sequence == it.sequence));
        let ends_at = entries.last().map_or(0, |it| it.sequence);
        let what = stated.contradicts(newest.as_ref(), found.map(|it| it.sha256), ends_at);
        behind.extend(what.map(|what| format!("`{of}` was rolled back: {what}")));
    }
    if !behind.is_empty() {
        return checks.fails(PART, FRESH, behind.join("; "));
    }
    let (at, until) = (stated.at, stated.fresh_until);
    if exhibits.observed.taken_at > until {
        let why = format!(
            "it was last stated at {at:.0} and counted until {until:.0}: drift watching does not run, or what it stated later \
             was kept back"
        );
        return checks.unknown(PART, FRESH, why);
    }
    checks.holds(PART, FRESH, format!("stated at {at:.0}, signed with the promotion key; it counts until {until:.0}"));
}

/// Why a part of the chain that lies in `folder` could not be looked at; `None` where all of it was.
fn first_unread(exhibits: &Exhibits, folder: &str) -> Option<String> {
    let is_of_it = |name: &str| name.strip_prefix(folder).is_some_and(|rest| !rest.contains('/'));
    let (name, why) = exhibits.observed.unread.iter().find(|(name, _)| is_of_it(name))?;
    Some(format!("`{name}` could not be looked at: {why}"))
}

fn recorded(case: &Case<'_>, entries: &[StoredEntry], place: Option<u64>, checks: &mut Checks) {
    let entry = place.and_then(|place| entries.iter().find(|it| it.sequence == place)?.entry.as_ref());
    let Some(entry) = entry else {
        let promotion = &case.subject.promotion_id;
        return match first_unread(case.exhibits, paper::LEDGER) {
            Some(why) => checks.unknown(PART, RECORDED, why),
            None => checks.fails(PART, RECORDED, format!("no entry of the chain is about promotion `{promotion}`")),
        };
    };
    let Some(digest) = &entry.event.record else {
        return checks.fails(PART, RECORDED, format!("entry {} carries no digest of a record", entry.sequence));
    };
    match &case.record {
        Ok(read) if read.sha256 == digest.sha256 => {
            checks.holds(PART, RECORDED, format!("entry {}, SHA-256 `{}`", entry.sequence, digest.sha256));
        }
        Ok(read) => {
            let wrong = format!("entry {} says `{}`, the record is `{}`", entry.sequence, digest.sha256, read.sha256);
            checks.fails(PART, RECORDED, format!("the record was changed: {wrong}"));
        }
        Err(unread) => {
            checks.unread(PART, RECORDED, &format!("entry {} tells of `{}`", entry.sequence, digest.key), unread);
        }
    }
}

fn newest(case: &Case<'_>, entries: &[StoredEntry], checks: &mut Checks) {
    if let Some(altered) = altered(case.exhibits) {
        return checks.fails(PART, NEWEST, altered);
    }
    let at = case.exhibits.observed.question.at;
    let mut brought = entries.iter().filter_map(|stored| stored.entry.as_ref()).filter(|entry| brings(entry));
    // Its own entry may have been written a moment after the stage was said to run it.
    let own = Some(&case.subject.promotion_id);
    let is_then =
        |entry: &Entry| at.is_none_or(|at| entry.recorded_at <= at) || entry.event.promotion_id.as_ref() == own;
    let brought = brought.rfind(|entry| is_then(entry));
    let said = (&case.subject.promotion_id, &case.subject.commit_sha);
    match brought {
        Some(entry)
            if (entry.event.promotion_id.as_ref(), entry.event.commit_sha.as_ref()) == (Some(said.0), Some(said.1)) =>
        {
            checks.holds(PART, NEWEST, format!("entry {}, promotion `{}`", entry.sequence, said.0));
        }
        Some(entry) => {
            let id = entry.event.promotion_id.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            let sha = entry.event.commit_sha.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
            let wrong = format!("entry {} is of promotion `{id}`, which brought `{sha}`", entry.sequence);
            checks.fails(PART, NEWEST, wrong);
        }
        None => match first_unread(case.exhibits, paper::LEDGER) {
            Some(why) => checks.unknown(PART, NEWEST, why),
            None => checks.fails(PART, NEWEST, "the entries that were read tell of no promotion that succeeded"),
        },
    }
}

/// Where the document of what the stage runs isn't the one that the head was signed over, as far as that head tells.
fn altered(exhibits: &Exhibits) -> Option<String> {
    let (keys, head) = (exhibits.keys.as_ref()?, exhibits.bytes(paper::HEAD)?);
    let stored = exhibits.bytes(paper::STAGE).map(Sha256::of);
    altered_record(&exhibits.chain(), stored, Some(head), keys).map(|it| format!("`{}`: {}", it.subject, it.message))
}

/// The gate's chain tells of revocations too, so that one can't be removed unseen.
fn revocations(case: &Case<'_>, checks: &mut Checks) {
    let chain = Chain::of_gate(case.exhibits.observed.question.repo.clone());
    let entries = case.exhibits.entries(paper::GATE_LEDGER);
    proved(case.exhibits, &chain, paper::GATE_HEAD, &entries, GATE_CHAIN, checks);
    let mut told = entries.iter().filter_map(|stored| stored.entry.as_ref()).filter(|entry| {
        entry.event.kind == Kind::Revocation && entry.event.commit_sha.as_ref() == Some(&case.subject.commit_sha)
    });
    let stored = case.exhibits.document(paper::REVOCATION);
    let unread = match &stored {
        Err(unread @ Unread::NotLooked(_)) => Some(format!("the revocation: {unread}")),
        _ => first_unread(case.exhibits, paper::GATE_LEDGER),
    };
    if let Some(why) = unread {
        return checks.unknown(PART, REVOCATIONS, why);
    }
    let stored = stored.ok().map(|document| gatekeeper_model::ids::Sha256::of(&document.bytes));
    match (told.next_back(), stored) {
        (None, None) => checks.holds(PART, REVOCATIONS, "neither tells of one of this commit"),
        (Some(entry), Some(sha256)) if entry.event.record.as_ref().is_none_or(|it| it.sha256 == sha256) => {
            checks.holds(PART, REVOCATIONS, format!("entry {}, by {}", entry.sequence, entry.event.by));
        }
        (Some(entry), Some(_)) => {
            checks.fails(PART, REVOCATIONS, format!("the stored one is not the one of entry {}", entry.sequence));
        }
        (Some(entry), None) => {
            let why = format!(
                "entry {} tells of one, by {}: {}; it is not stored any more",
                entry.sequence, entry.event.by, entry.event.reason
            );
            checks.fails(PART, REVOCATIONS, why);
        }
        (None, Some(_)) => {
            checks.fails(PART, REVOCATIONS, "one is stored that the gate has not entered into the ledger");
        }
    }
}
