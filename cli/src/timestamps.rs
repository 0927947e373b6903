//! What timestamp authorities say of the ledgers in a bundle of evidence.

use gatekeeper_evidence::{
    bundle::Files,
    model::{Check, Holds, Part},
    paper,
};
use gatekeeper_model::ids::Sha256;
use gatekeeper_proof::{Envelope, Statement, ledger::LedgerHead};
use gatekeeper_timestamp::{Invalid, Roots, read};
use jiff::{SignedDuration, Timestamp};

/// How far the gatekeeper's clock may be ahead of an authority's.
const CLOCKS: SignedDuration = SignedDuration::from_mins(5);

/// Holds each timestamp against the head that it is of. With the roots of authorities it must be there wherever there is a
/// head, and be theirs; without them it is read as far as it says something itself.
pub(crate) fn verified(files: &Files, authorities: Option<&Roots>) -> Vec<Check> {
    let mut checks = Vec::new();
    let pairs = [
        (paper::HEAD, paper::WITNESS, paper::TIMESTAMP, "the stage's ledger"),
        (paper::GATE_HEAD, paper::GATE_WITNESS, paper::GATE_TIMESTAMP, "the gate's own ledger"),
    ];
    for (own, seen, answer, of) in pairs {
        let told = match (files.get(answer), files.get(seen)) {
            (Some(answer), Some(head)) => of_head(answer, head, authorities),
            (Some(_), None) => Err(format!("`{answer}` is of `{seen}`, which is not in the bundle")),
            (None, _) if authorities.is_some() && files.contains_key(own) => {
                Err(format!("there is no `{answer}` in the bundle: nobody stamped it, or not yet"))
            }
            (None, _) => continue,
        };
        let name = format!("a timestamp authority saw {of} as the witness has it");
        let (holds, detail) = match told {
            Ok(detail) => (true, detail),
            Err(why) => (false, why),
        };
        checks.push(Check { part: Part::Bundle, name, holds: Holds::of(holds), detail });
    }
    checks
}

/// What an answer says of a head, in words.
fn of_head(answer: &[u8], head: &[u8], authorities: Option<&Roots>) -> Result<String, String> {
    let wrong = |error: Invalid| error.to_string();
    let sha256 = Sha256::of(head);
    let (at, by) = match authorities {
        Some(roots) => {
            let verified = roots.verify(answer, sha256).map_err(wrong)?;
            (verified.at, format!("by `{}`", verified.authority))
        }
        None => (read(answer, sha256).map_err(wrong)?.at, "by whom was not looked at: give `--tsa-root`".to_owned()),
    };
    // Whose signature the head has is another check's.
    let (sequence, recorded_at) = entry_of(head).ok_or("what it is of is no head of a ledger")?;
    if recorded_at.duration_since(at) > CLOCKS {
        return Err(format!(
            "it was given at {at:.0}, and entry {sequence} says that it was written at {recorded_at:.0}: one of the clocks is wrong"
        ));
    }
    Ok(format!("entry {sequence}, written at {recorded_at:.0}, and all before it were there at {at:.0}; {by}"))
}

fn entry_of(head: &[u8]) -> Option<(u64, Timestamp)> {
    let payload = Envelope::parse(head).ok()?.payload().ok()?;
    let head = serde_json::from_slice::<Statement<LedgerHead>>(&payload).ok()?.predicate;
    Some((head.sequence, head.recorded_at))
}

#[cfg(test)]
mod tests {
    use gatekeeper_evidence::{
        bundle::{self, SCRIPT},
        judge,
        sample::{World, question},
    };
    use gatekeeper_model::{ids::Chain, store_key::WitnessKey};
    use gatekeeper_store::ReadStore as _;
    use gatekeeper_timestamp::{
        Query,
        authority::{Authority, USUAL},
    };

    use super::*;

    /// A bundle whose stage's ledger was stamped by an authority.
    async fn stamped(authority: &Authority) -> Files {
        let mut world = World::promoted().await;
        world.hand_over().await;
        let chain = Chain { stage: question().stage, repo: question().repo };
        let witness = world.witness.as_ref().unwrap();
        let head = witness.first(&WitnessKey::chain_prefix(&chain)).await.unwrap().unwrap();
        let Some(WitnessKey::Head(_, place)) = WitnessKey::parse(&head) else { panic!("{head}") };
        let query = Query::new(Sha256::of(&witness.bytes_of(&head).unwrap()), [7; 8]);
        let answer = WitnessKey::Timestamp(chain, place).to_string();
        witness.upload(&answer, &authority.answer(&query.to_der()), &[]);
        let exhibits = world.exhibits(question()).await;
        bundle::files(&exhibits, &judge(&exhibits)).unwrap()
    }

    fn told(files: &Files, authorities: Option<&Roots>) -> Vec<String> {
        let checks = verified(files, authorities).into_iter();
        checks.map(|it| format!("{}: {}: {}", it.holds.word(), it.name, it.detail)).collect()
    }

    /// What `verify.sh` says of a bundle, given the roots of authorities.
    fn by_script(files: &Files, root: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let roots = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&roots, root).unwrap();
        let mut script = std::process::Command::new("sh");
        let output = script.arg(folder.path().join(SCRIPT)).arg("--tsa-root").arg(roots.path()).output().unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines.lines().filter(|it| it.contains("witness/") && it.contains("tsr")).collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn a_timestamp_is_of_the_head_that_the_witness_has_and_by_an_authority_that_is_trusted() {
        let authority = Authority::new(USUAL);
        let files = stamped(&authority).await;
        let [unasked] = told(&files, None).try_into().unwrap();
        assert!(
            unasked.starts_with("holds: a timestamp authority saw the stage's ledger as the witness has it: entry ")
        );
        assert!(unasked.ends_with("by whom was not looked at: give `--tsa-root`"), "{unasked}");
        let roots = Roots::from_pem(&authority.root()).unwrap();
        let [asked] = told(&files, Some(&roots)).try_into().unwrap();
        assert!(asked.starts_with("holds: ") && asked.ends_with("; by `CN=tsa,O=Example Trust`"), "{asked}");
        let script = by_script(&files, &authority.root());
        assert!(script.starts_with("holds  witness/stage.tsr: "), "{script}");

        let strange = Authority::new(USUAL).root();
        let [by_other] = told(&files, Some(&Roots::from_pem(&strange).unwrap())).try_into().unwrap();
        assert!(by_other.contains("FAILS") && by_other.contains("leads to none of the roots"), "{by_other}");
        assert!(by_script(&files, &strange).starts_with("FAILS  witness/stage.tsr"));
    }

    #[tokio::test]
    async fn a_timestamp_that_is_missing_or_of_something_else_is_told() {
        let authority = Authority::new(USUAL);
        let roots = Roots::from_pem(&authority.root()).unwrap();
        let files = stamped(&authority).await;
        let mut none = files.clone();
        none.remove(paper::TIMESTAMP);
        assert_eq!(told(&none, None), [""; 0]);
        assert!(
            told(&none, Some(&roots))[0].contains("FAILS") && by_script(&none, &authority.root()).contains("FAILS")
        );

        let mut other = files.clone();
        let head = files[paper::WITNESS].clone();
        other.insert(paper::WITNESS.to_owned(), [&head[..], b" "].concat());
        for authorities in [None, Some(&roots)] {
            assert!(told(&other, authorities)[0].contains("it is of other bytes"), "{:?}", told(&other, authorities));
        }
        assert!(by_script(&other, &authority.root()).starts_with("FAILS  witness/stage.tsr"));
    }
}
