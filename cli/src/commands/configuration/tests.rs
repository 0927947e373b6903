use gatekeeper_store::memory::Memory;

use super::*;

const GOOD: &[u8] = br#"{"schema_version": 1, "stages": {"uat": {}}}"#;

#[test]
fn what_only_the_type_knows_is_wrong_too() {
    let told = |document: Document, text: &str| {
        let wrong = document.check(text.as_bytes());
        wrong.iter().map(|it| format!("{}: {}", it.path, it.message)).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(told(Document::Stages, std::str::from_utf8(GOOD).unwrap()), "");
    let all = [
        told(Document::Stages, "{"),
        told(Document::Stages, r#"{"schema_version": 1, "stages": {"prod": {"requires": "deployed:uta"}}}"#),
        told(Document::Stages, r#"{"schema_version": 1, "stages": {"uat": {}, "uat": {"approvals": 2}}}"#),
        told(Document::Stages, r#"{"schema_version": 1, "stages": {"uat": {"aprovals": 2}}}"#),
        told(Document::Policy, r#"{"schema_version": 1, "all": {"require": ["unit"], "waive": ["unit"]}}"#),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    config/stages.json: it is not JSON: EOF while parsing an object at line 1 column 1
    config/stages.json: `requires` of `prod` names the stage `uta`, which is not configured
    config/stages.json: not valid: the key `uat` stands twice at line 1 column 68
    stages.uat.aprovals: there is no such field; did you mean `approvals`?
    config/policy.json: not a policy: `all` both requires and waives `unit`
    ");
}

#[tokio::test]
async fn a_change_is_written_under_the_condition_of_what_was_read() {
    let records = Memory::default();
    let mut output = Output::to_stdout(crate::output::Format::Text);
    let key = "config/stages.json";
    put(Document::Stages, GOOD, true, &records, &mut output).await.unwrap();
    assert_eq!(records.bytes_of(key), None, "a dry run writes nothing");
    put(Document::Stages, GOOD, false, &records, &mut output).await.unwrap();
    assert_eq!(records.bytes_of(key).as_deref(), Some(GOOD));

    let mine: &[u8] = br#"{"schema_version": 1, "stages": {"uat": {"approvals": 1}}}"#;
    let Change { differences, precondition } = change(Document::Stages, mine, &records).await.unwrap();
    assert_eq!(differences[0].path, "stages.uat.approvals");
    records.upload(key, b"{}", &[]);
    let written = records.put(key, mine, "application/json", &precondition).await.unwrap();
    assert_eq!(written, Written::Conflict, "somebody else was faster");
}
