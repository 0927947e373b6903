//! A proof holds for the request, the host and the minutes that it was made for, and for nothing else.

use super::*;

const SHA: &str = "3f1c9a0b5d7e2468ace013579bdf02468ace1357";
const HOST: &str = "sts.eu-west-1.amazonaws.com";
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260502/eu-west-1/sts/aws4_request, \
     SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-gatekeeper-request, \
     Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";

fn now() -> Timestamp {
    "2026-05-02T03:10:00Z".parse().unwrap()
}

/// Changes one field of the request that the proof is for.
type Change = fn(&mut BoundRequest<'static>);

fn request(change: Change) -> BoundRequest<'static> {
    let mut request = BoundRequest {
        manifest_version_id: None,
        action: "approve",
        repo: Box::leak(Box::new("bank-payments".parse().unwrap())),
        commit_sha: Some(Box::leak(Box::new(SHA.parse().unwrap()))),
        stage: Box::leak(Box::new("prod".parse().unwrap())),
        reason: "looked at the change",
        switches: Vec::new(),
        accept_replacement: Vec::new(),
        plan_sha256: None,
        id: None,
    };
    change(&mut request);
    request
}

fn proof() -> IdentityProof {
    let headers = [
        ("authorization", AUTHORIZATION.to_owned()),
        ("content-type", STS_CONTENT_TYPE.to_owned()),
        ("host", HOST.to_owned()),
        ("x-amz-date", "20260502T030405Z".to_owned()),
        ("x-amz-security-token", "IQoJb3JpZ2luX2VjEXAMPLE==".to_owned()),
        (REQUEST_HEADER, request(|_| ()).digest().to_string()),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    IdentityProof { method: "POST".to_owned(), headers, body: STS_BODY.to_owned() }
}

fn refuse(change: impl FnOnce(&mut IdentityProof)) -> String {
    let mut proof = proof();
    change(&mut proof);
    proof.check(&request(|_| ()), HOST, now()).unwrap_err().to_string()
}

fn with(name: &str, value: &str) -> String {
    refuse(|proof| {
        proof.headers.insert(name.to_owned(), value.to_owned());
    })
}

#[test]
fn a_proof_holds_for_what_it_was_made_for() {
    assert_eq!(proof().check(&request(|_| ()), HOST, now()), Ok(()));
}

#[test]
fn the_text_that_a_proof_is_bound_to_is_the_same_everywhere() {
    insta::assert_snapshot!(request(|it| it.switches = vec!["break_glass", "dry_run"]), @r#"
        artefact-gatekeeper request v1
        action=approve
        repo=bank-payments
        commit_sha=3f1c9a0b5d7e2468ace013579bdf02468ace1357
        stage=prod
        manifest_version_id=
        reason=looked at the change
        switches=break_glass,dry_run
        "#);
}

#[test]
fn a_proof_for_another_request_is_none() {
    let others: [Change; 8] = [
        |it| it.action = "promote",
        |it| it.repo = Box::leak(Box::new("bank-core".parse().unwrap())),
        |it| it.commit_sha = Some(Box::leak(Box::new("0".repeat(40).parse().unwrap()))),
        |it| it.commit_sha = None,
        |it| it.stage = Box::leak(Box::new("uat".parse().unwrap())),
        |it| it.manifest_version_id = Some(Box::leak(Box::new("v2".into()))),
        |it| it.reason = "another one",
        |it| it.switches = vec!["break_glass"],
    ];
    for (index, other) in others.into_iter().enumerate() {
        let refused = proof().check(&request(other), HOST, now()).unwrap_err().to_string();
        assert_eq!(refused, "it was signed for another request than this one", "{index}");
    }
}

#[test]
fn a_proof_holds_for_fifteen_minutes() {
    let at = |now: &str| proof().check(&request(|_| ()), HOST, now.parse().unwrap());
    for held in ["2026-05-02T03:19:05Z", "2026-05-02T02:49:05Z"] {
        assert_eq!(at(held), Ok(()), "{held}");
    }
    for over in ["2026-05-02T03:19:06Z", "2026-05-02T02:49:04Z", "2026-05-03T03:04:05Z"] {
        assert!(at(over).is_err(), "{over}");
    }
}

#[test]
fn whatever_is_tampered_with_is_refused_by_name() {
    let without = |name: &str| {
        refuse(|proof| {
            proof.headers.remove(name);
        })
    };
    let signed = |from: &str, to: &str| with("authorization", &AUTHORIZATION.replace(from, to));
    let refusals = [
        refuse(|proof| proof.method = "GET".to_owned()),
        refuse(|proof| proof.body = "Action=GetSessionToken&Version=2011-06-15".to_owned()),
        refuse(|proof| proof.body.push_str("&Action=AssumeRole")),
        without("authorization"),
        without("content-type"),
        without("host"),
        without("x-amz-date"),
        without("x-amz-security-token"),
        without(REQUEST_HEADER),
        with("x-forwarded-host", "evil.example"),
        with("Host", HOST),
        with("x-amz-content-sha256", "unsigned"),
        with("content-type", "application/json"),
        with("host", "sts.amazonaws.com.evil.example"),
        with("x-amz-date", "2026-05-02"),
        with("x-amz-date", "20260502T024404Z"),
        with("x-amz-security-token", "a\r\nhost: evil.example"),
        with("x-amz-security-token", &"a".repeat(MAX_HEADER + 1)),
        with(REQUEST_HEADER, &Sha256::of(b"another").to_string()),
        signed(";x-gatekeeper-request", ""),
        signed("host;", ""),
        signed("content-type;", "content-type;x-other;"),
        signed("content-type;", "content-type;content-type;"),
        signed("/sts/", "/s3/"),
        signed("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        signed("Signature=5d", "Signature="),
        with("authorization", "Bearer token"),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn what_a_proof_is_shown_as_holds_no_secret() {
    assert!(!format!("{:?}", proof()).contains("EXAMPLE"));
}

#[test]
fn a_person_is_behind_users_and_sessions_only() {
    let person = |arn: &str| Identity::of(arn, "111122223333", "AROAEXAMPLE", "111122223333").map(|it| it.person.0);
    let ok = |name: &str| Ok(name.to_owned());
    assert_eq!(person("arn:aws:iam::111122223333:user/jane"), ok("jane"));
    assert_eq!(person("arn:aws:iam::111122223333:user/staff/payments/Jane"), ok("jane"));
    assert_eq!(person("arn:aws:sts::111122223333:assumed-role/approver/Jane@bank.example"), ok("jane@bank.example"));
    assert_eq!(person("arn:aws-cn:sts::111122223333:assumed-role/promoter/jane"), ok("jane"));
    for nobody in [
        "arn:aws:iam::111122223333:root",
        "arn:aws:sts::111122223333:federated-user/jane",
        "arn:aws:sts::111122223333:assumed-role/approver/",
        "arn:aws:sts::111122223333:assumed-role/a/b/c",
        "arn:aws:iam::111122223333:role/approver",
        "jane",
        "",
    ] {
        assert!(person(nobody).is_err(), "{nobody}");
    }
    let foreign = Identity::of("arn:aws:iam::444455556666:user/jane", "444455556666", "AIDA", "111122223333");
    insta::assert_snapshot!(foreign.unwrap_err(), @"`arn:aws:iam::444455556666:user/jane` is of account `444455556666`, only principals of account `111122223333` may ask");
}

#[test]
fn two_names_of_one_person_are_one_person() {
    let same = |one: &str, other: &str| Person::named(one).may_be(&Person::named(other));
    for (one, other) in [("jane", "Jane"), ("jane", "jane@bank.example"), ("Jane@Bank.example", "jane@bank.example ")] {
        assert!(same(one, other) && same(other, one), "{one} {other}");
    }
    for (one, other) in [("jane", "janet"), ("jane@bank.example", "jane@other.example"), ("jane", "jan@e"), ("", "a@b")]
    {
        assert!(!same(one, other) && !same(other, one), "{one} {other}");
    }
}
