use gatekeeper_model::store_key::WitnessKey;
use gatekeeper_proof::{
    LocalSigner, ledger,
    ledger::{Event as Entry, Kind},
};
use gatekeeper_store::memory::Memory;
use jiff::Timestamp;

use super::*;

struct World {
    records: Memory,
    outside: Memory,
    authority: Option<Authority>,
}

fn chain(stage: &str) -> Chain {
    Chain { stage: stage.parse().unwrap(), repo: "bank-payments".parse().unwrap() }
}

fn signer(stage: &str) -> LocalSigner {
    LocalSigner::from_seed(if stage == "gate" { 1 } else { 2 })
}

fn head_key(stage: &str) -> String {
    RecordKey::LedgerHead(chain(stage)).to_string()
}

impl World {
    fn new() -> Self {
        Self { records: Memory::default(), outside: Memory::default(), authority: None }
    }

    /// Appends to the chain of a stage, and gives the version of the head.
    async fn append(&self, stage: &str) -> String {
        let event = Entry::bare(Kind::Refusal, format!("refusal/{}", self.records.counts().0), "refused");
        let at = Timestamp::UNIX_EPOCH;
        ledger::append(&self.records, &signer(stage), &chain(stage), &event, None, at).await.unwrap();
        self.records.head(&head_key(stage), None).await.unwrap().unwrap().version_id.to_string()
    }

    async fn handle(&self, payload: &Value) -> Result<Answer, FunctionError> {
        let keys = PublicKeys::fixed(signer("gate").key(), signer("uat").key(), None);
        let log = Logger::silent();
        let (records, outside, authority) = (&self.records, &self.outside, self.authority.as_ref());
        Witness { records, outside, keys: &keys, authority, log: &log }.handle(payload).await
    }

    async fn failed(&self, messages: &[(&str, &str, &str)]) -> Vec<String> {
        match self.handle(&queue(messages)).await.unwrap() {
            Answer::Queue { failures } => failures.into_iter().map(|it| it.message_id).collect(),
            other @ Answer::CaughtUp { .. } => panic!("{other:?}"),
        }
    }

    fn has(&self, stage: &str, place: u64) -> bool {
        self.outside.bytes_of(&WitnessKey::Head(chain(stage), place).to_string()).is_some()
    }
}

/// What the schedule sends.
fn sample() -> Value {
    serde_json::from_str(include_str!("../../../events/witness-catch-up.json")).unwrap()
}

/// What S3 tells of these keys and versions, each in a message of its own.
fn queue(messages: &[(&str, &str, &str)]) -> Value {
    let records = messages.iter().map(|(id, key, version)| {
        let told = json!({"Records": [{
            "eventName": "ObjectCreated:Put", "eventTime": "2026-05-02T03:04:05Z",
            "s3": {"bucket": {"name": "records"}, "object": {"key": key, "versionId": version}}
        }]});
        json!({"eventSource": "aws:sqs", "messageId": id, "body": told.to_string(), "attributes": {}})
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

#[tokio::test]
async fn each_head_goes_over_as_it_was_written_whatever_was_written_over_it() {
    let world = World::new();
    let (first, gate) = (world.append("uat").await, world.append("gate").await);
    let second = world.append("uat").await;
    world.records.upload(&head_key("uat"), b"{}", &[]);
    let (uat, of_gate) = (head_key("uat"), head_key("gate"));
    assert_eq!(world.failed(&[("1", &uat, &first), ("2", &of_gate, &gate), ("3", &uat, &second)]).await, [""; 0]);
    assert!(world.has("uat", 1) && world.has("uat", 2) && world.has("gate", 1));
    assert_eq!(world.failed(&[("1", &uat, &first), ("3", &uat, &second)]).await, [""; 0], "twice is once");
    assert_eq!(world.outside.counts().1, 3);
}

#[tokio::test]
async fn what_is_no_head_or_does_not_go_on_fails_alone() {
    let world = World::new();
    let good = world.append("uat").await;
    let forged = world.records.upload(&head_key("gate"), b"{}", &[]).to_string();
    let messages = [
        ("forged", head_key("gate"), forged),
        ("entry", RecordKey::LedgerEntry(chain("uat"), 1).to_string(), "v1".to_owned()),
        ("good", head_key("uat"), good),
    ];
    let messages = messages.each_ref().map(|(id, key, version)| (*id, key.as_str(), version.as_str()));
    assert_eq!(world.failed(&messages).await, ["forged", "entry"]);
    assert!(world.has("uat", 1));

    // An older head back, the entry above it away, and another one on top.
    let old = world.records.bytes_of(&head_key("uat")).unwrap();
    let second = world.append("uat").await;
    assert_eq!(world.failed(&[("second", &head_key("uat"), &second)]).await, [""; 0]);
    world.records.upload(&head_key("uat"), &old, &[]);
    world.records.delete(&RecordKey::LedgerEntry(chain("uat"), 2).to_string());
    let other = world.append("uat").await;
    let third = world.append("uat").await;
    assert_eq!(world.failed(&[("2", &head_key("uat"), &other), ("3", &head_key("uat"), &third)]).await, ["2", "3"]);
    let error = world.handle(&json!({"catch_up": true})).await.unwrap_err();
    assert!(
        error.message.contains("the ledger's chain `uat/bank-payments` was rolled back: entry 2 is `"),
        "{error:?}"
    );
    assert!(!world.has("uat", 3));
}

#[tokio::test]
async fn what_was_lost_on_the_way_is_caught_up() {
    let world = World::new();
    assert_eq!(world.handle(&sample()).await.unwrap(), Answer::CaughtUp { chains: 0, handed_over: 0, stamped: 0 });
    for stage in ["gate", "uat", "uat", "prod"] {
        world.append(stage).await;
    }
    let caught_up = async || world.handle(&json!({"catch_up": true})).await.unwrap();
    assert_eq!(caught_up().await, Answer::CaughtUp { chains: 3, handed_over: 3, stamped: 0 });
    assert!(world.has("gate", 1) && world.has("uat", 2) && world.has("prod", 1));
    assert_eq!(caught_up().await, Answer::CaughtUp { chains: 3, handed_over: 0, stamped: 0 });

    // One chain that fails keeps no other from it.
    for stage in ["gate", "prod"] {
        world.append(stage).await;
    }
    world.records.upload(&head_key("gate"), b"{}", &[]);
    assert_eq!(world.handle(&json!({"catch_up": true})).await.unwrap_err().error_type, "WitnessError");
    assert!(world.has("prod", 2));
}

#[tokio::test]
async fn what_the_witness_has_is_stamped_and_an_authority_that_is_down_keeps_nothing_from_it() {
    use gatekeeper_timestamp::authority::{Authority as Openssl, USUAL};

    let mut world = World::new();
    let stamp = |world: &World, stage: &str, place| {
        let [head, answer] = [WitnessKey::Head, WitnessKey::Timestamp].map(|of| of(chain(stage), place).to_string());
        let answer = world.outside.bytes_of(&answer)?;
        let of_head = Sha256::of(&world.outside.bytes_of(&head).unwrap());
        Some(gatekeeper_timestamp::read(&answer, of_head).map(|_| answer).unwrap())
    };
    // Nobody listens there: a port of no server.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.authority = Some(Authority::at(format!("http://{nobody}/")));
    let (first, gate) = (world.append("uat").await, world.append("gate").await);
    assert_eq!(world.failed(&[("1", &head_key("uat"), &first), ("2", &head_key("gate"), &gate)]).await, [""; 0]);
    assert!(world.has("uat", 1) && world.has("gate", 1) && stamp(&world, "uat", 1).is_none());
    let error = world.handle(&sample()).await.unwrap_err();
    assert!(error.message.contains("entry 1 of `gate/bank-payments` got no timestamp: "), "{}", error.message);

    world.authority = Some(Authority::at(Openssl::new(USUAL).serve(3)));
    let second = world.append("uat").await;
    assert_eq!(world.failed(&[("1", &head_key("uat"), &second)]).await, [""; 0]);
    let stamped = stamp(&world, "uat", 2).unwrap();
    assert_eq!(world.handle(&sample()).await.unwrap(), Answer::CaughtUp { chains: 2, handed_over: 0, stamped: 1 });
    assert!(
        stamp(&world, "gate", 1).is_some() && stamp(&world, "uat", 1).is_none(),
        "the newest is of what is before it too"
    );
    assert_eq!(world.handle(&sample()).await.unwrap(), Answer::CaughtUp { chains: 2, handed_over: 0, stamped: 0 });
    assert_eq!(stamp(&world, "uat", 2), Some(stamped), "a stamp is never written over");
}

#[tokio::test]
async fn other_events_are_called_what_they_are() {
    for event in [json!({}), json!({"catch_up": false}), json!({"catch_up": true, "stage": "uat"}), json!([])] {
        let error = World::new().handle(&event).await.unwrap_err();
        assert_eq!(error.error_type, "InvalidWitnessEvent", "{event}");
    }
}

#[test]
fn a_queue_is_answered_as_lambda_reads_it() {
    let failures = vec![BatchItemFailure { message_id: "m1".to_owned() }];
    let answer = serde_json::to_value(Answer::Queue { failures }).unwrap();
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "m1"}]}));
}
