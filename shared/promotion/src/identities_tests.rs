//! Every spelling of a person comes to that person, and what can't be placed is nobody's.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn identities(document: &Value) -> Identities {
    Identities::parse(document.to_string().as_bytes()).unwrap()
}

fn of_the_bank() -> Identities {
    identities(&json!({
        "schema_version": 1,
        "mail_domains": ["Bank.example", "bank.test"],
        "aliases": {"jane": ["janedoe", "Jane.Doe+Git@Home.example"], "bob@bank.example": ["bobby"]},
        "bots": ["dependabot[bot]", "ci", "noreply@anthropic.com", "release@bank.example"],
        "ignored_committers": ["noreply@git.bank.example"]
    }))
}

/// `person`, `nobody` or why not.
fn placed(identities: &Identities, text: &str) -> String {
    match identities.place(text) {
        Placed::Person(person) => person.to_string(),
        Placed::Nobody => "nobody".to_owned(),
        Placed::Unknown(why) => format!("? {why}"),
    }
}

#[test]
fn every_spelling_of_a_person_comes_to_one_name() {
    let bank = of_the_bank();
    for spelled in [
        "jane",
        "JANE",
        " jane@bank.example ",
        "Jane@Bank.Example",
        "jane+work@bank.example",
        "jane+a+b@bank.test",
        "jane@bank.example.",
        "Jane Doe <jane+work@bank.example>",
        "\"jane\"@bank.example",
        "12345678+JaneDoe@users.noreply.github.com",
        "janedoe@users.noreply.github.com",
        "janedoe",
        "9+janedoe@users.noreply.github.bank.example",
        "jane.doe@home.example",
        "jane.doe+x@home.example",
    ] {
        assert_eq!(placed(&bank, spelled), "jane@bank.example", "{spelled}");
    }
    assert_eq!(placed(&bank, "BOBBY@users.noreply.github.com"), "bob@bank.example");
}

#[test]
fn a_session_with_a_plus_is_the_person_of_its_address() {
    let bank = of_the_bank();
    assert_eq!(placed(&bank, "jane+admin"), placed(&bank, "jane+admin@bank.example"));
    assert!(bank.same(&Person::named("jane+admin"), &Person::named("jane@bank.example")));
    assert_eq!(placed(&bank, "+admin"), "+admin@bank.example");
}

#[test]
fn a_private_address_around_an_address_is_no_account() {
    let around = "jane@bank.example@users.noreply.github.com";
    assert_eq!(placed(&of_the_bank(), around), "? no address of a person");
    assert_eq!(placed(&Identities::default(), &format!("1+{around}")), "? no address of a person");
    let document = json!({"schema_version": 1, "aliases": {"jane": [around]}});
    let read = identities(&document);
    assert_eq!(identities(&serde_json::to_value(&read).unwrap()), read);
}

#[test]
fn programs_and_forges_are_nobody_by_any_spelling() {
    let bank = of_the_bank();
    for spelled in [
        "dependabot[bot]",
        "49699333+dependabot[bot]@users.noreply.github.com",
        "CI",
        "noreply@anthropic.com",
        "release+7@bank.example",
        "noreply@github.com",
        "web-flow",
        "noreply@git.bank.example",
        "41898282+github-actions[bot]@users.noreply.github.com",
    ] {
        assert_eq!(placed(&bank, spelled), "nobody", "{spelled}");
    }
}

#[test]
fn what_nobody_can_place_is_nobodys_and_says_why() {
    let shown = |identities: &Identities, names: &[&str]| {
        names.iter().map(|name| format!("{name}: {}", placed(identities, name))).collect::<Vec<_>>().join("\n")
    };
    let long = format!("{}@bank.example", "x".repeat(320));
    let names = [
        "",
        "  ",
        "<>",
        "+@users.noreply.github.com",
        "12345678+superdev@users.noreply.github.com",
        "7+evil[bot]@users.noreply.github.com",
        "jane@other.example",
        "jane@evil-bank.example",
        "jane@laptop.local",
        "jane@localhost",
        "@bank.example",
        "j\u{430}ne@bank.example",
        "jane doe",
        &long,
    ];
    insta::assert_snapshot!(shown(&of_the_bank(), &names[..13]), @"
    : ? it is empty
      : ? it is empty
    <>: ? it is empty
    +@users.noreply.github.com: ? an account on GitHub, which nothing says whose it is
    12345678+superdev@users.noreply.github.com: ? an account on GitHub, which nothing says whose it is
    7+evil[bot]@users.noreply.github.com: ? an account on GitHub, which nothing says whose it is
    jane@other.example: ? not of the mail domains
    jane@evil-bank.example: ? not of the mail domains
    jane@laptop.local: ? not of the mail domains
    jane@localhost: ? not of the mail domains
    @bank.example: ? no address of a person
    jаne@bank.example: ? it has characters that no session's name has
    jane doe: ? it has characters that no session's name has
    ");
    // Without the document a name is what it is spelled like.
    insta::assert_snapshot!(shown(&Identities::default(), &names[..13]), @"
    : ? it is empty
      : ? it is empty
    <>: ? it is empty
    +@users.noreply.github.com: ? an account on GitHub, which nothing says whose it is
    12345678+superdev@users.noreply.github.com: ? an account on GitHub, which nothing says whose it is
    7+evil[bot]@users.noreply.github.com: ? an account on GitHub, which nothing says whose it is
    jane@other.example: jane@other.example
    jane@evil-bank.example: jane@evil-bank.example
    jane@laptop.local: ? no address of a person
    jane@localhost: ? no address of a person
    @bank.example: ? no address of a person
    jаne@bank.example: ? it has characters that no session's name has
    jane doe: ? it has characters that no session's name has
    ");
    assert!(matches!(of_the_bank().place(&long), Placed::Unknown(_)));
}

#[test]
fn two_sessions_are_one_person_by_the_document_or_by_the_spelling() {
    let same =
        |identities: &Identities, one: &str, other: &str| identities.same(&Person::named(one), &Person::named(other));
    let (bank, none) = (of_the_bank(), Identities::default());
    for (one, other, by_the_document, by_the_spelling) in [
        ("jane", "jane@bank.test", true, true),
        ("jane@bank.example", "jane@bank.test", true, false),
        ("janedoe", "jane@bank.test", true, false),
        ("jane+x@bank.example", "jane@bank.example", true, true),
        ("jane", "jane@other.example", true, true),
        ("jane", "bob", false, false),
        ("jane@bank.example", "bob@bank.example", false, false),
    ] {
        assert_eq!(same(&bank, one, other), by_the_document, "{one} {other}");
        assert_eq!(same(&none, one, other), by_the_spelling, "{one} {other}");
        assert_eq!(same(&bank, other, one), by_the_document, "{other} {one}");
    }
}

#[test]
fn a_document_with_a_mistake_is_none() {
    let refused = [
        json!({}),
        json!({"schema_version": 2}),
        json!({"schema_version": 1, "mail_domain": []}),
        json!({"schema_version": 1, "mail_domains": ["@bank.example"]}),
        json!({"schema_version": 1, "mail_domains": ["users.noreply.github.com"]}),
        json!({"schema_version": 1, "aliases": {"jane": ["jd"], "john": ["JD@users.noreply.github.com"]}}),
        json!({"schema_version": 1, "aliases": {"jane": ["john"], "john": []}}),
        json!({"schema_version": 1, "aliases": {"jane": ["ci"]}, "bots": ["CI"]}),
        json!({"schema_version": 1, "bots": [" "]}),
    ];
    let told =
        refused.iter().map(|document| Identities::parse(document.to_string().as_bytes()).unwrap_err().to_string());
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @"
    no document of identities: missing field `schema_version` at line 1 column 2
    no document of identities: `schema_version` is 2, this gatekeeper knows 1
    no document of identities: unknown field `mail_domain`, expected one of `schema_version`, `mail_domains`, `aliases`, `bots`, `ignored_committers` at line 1 column 14
    no document of identities: `@bank.example` of `mail_domains` is no domain of people's addresses
    no document of identities: `users.noreply.github.com` of `mail_domains` is no domain of people's addresses
    no document of identities: `jd` is both `jane` and `john`
    no document of identities: `john` is both `jane` and `john`
    no document of identities: `ci` is both `jane` and nobody
    no document of identities: ` ` is no name
    ");
}

fn manifest(change: &Value) -> Manifest {
    let mut manifest = json!({
        "schema_version": 1, "repo": "bank-payments", "commit_sha": "3f".repeat(20), "branch": "main",
        "timestamp": "2026-05-02T03:04:05Z", "modules": []
    });
    manifest.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    serde_json::from_value(manifest).unwrap()
}

/// Who is known, then who isn't.
fn authors(identities: &Identities, change: &Value) -> String {
    let Authors { people, unknown, is_named } = Authors::of(&manifest(change), identities);
    let people = people.iter().map(|it| format!("{} ({})", it.person, it.named));
    let told: Vec<_> = people.chain(unknown.iter().map(ToString::to_string)).collect();
    if is_named { told.join("; ") } else { "nobody is named".to_owned() }
}

#[test]
fn everybody_whom_the_manifest_names_is_an_author() {
    let bank = of_the_bank();
    let named = json!({
        "author": "jane+old@bank.example",
        "authors": [
            {"name": "Jane", "email": "1+janedoe@users.noreply.github.com", "commits": 2},
            {"name": "Bob", "email": "bob@bank.example", "commits": 1},
            {"name": "dependabot[bot]", "email": "49699333+dependabot[bot]@users.noreply.github.com", "commits": 1},
            {"name": "Ann `x` Other", "email": "ann@other.example", "commits": 1},
            {"name": "No Address", "email": "", "commits": 1}
        ],
        "build": {"run_url": "https://jenkins.bank.example/1", "run_attempt": 1, "actor": "carl"}
    });
    insta::assert_snapshot!(authors(&bank, &named), @"bob@bank.example (bob@bank.example); carl@bank.example (carl); jane@bank.example (1+janedoe@users.noreply.github.com); jane@bank.example (jane+old@bank.example); `No Address`: it has characters that no session's name has; `ann@other.example` (Ann x Other): not of the mail domains");
    insta::assert_snapshot!(authors(&bank, &json!({})), @"nobody is named");
    insta::assert_snapshot!(authors(&bank, &json!({"author": " ", "authors": []})), @"nobody is named");
    // Programs alone: it is known that nobody wrote it.
    assert_eq!(authors(&bank, &json!({"author": "dependabot[bot]"})), "");
}

#[test]
fn a_person_who_stands_twice_is_refused() {
    let twice = r#"{"schema_version": 1, "aliases": {"jane": ["janedoe"], "jane": ["j.doe"]}}"#;
    let error = Identities::parse(twice.as_bytes()).unwrap_err();
    insta::assert_snapshot!(error, @"no document of identities: the key `jane` stands twice at line 1 column 73");
}

#[test]
fn an_account_on_github_is_no_session_of_the_same_spelling() {
    let run = |actor: &str| json!({"build": {"run_url": "https://github.com/example-bank/bank-payments/actions/runs/1", "run_attempt": 1, "actor": actor}});
    let told = ["janedoe", "jane", "superdev", "ci"].map(|actor| authors(&of_the_bank(), &run(actor)));
    insta::assert_snapshot!(told.join("\n"), @"
    jane@bank.example (janedoe)
    jane@bank.example (jane)
    `superdev`: the build's actor, an account on GitHub, which nothing says whose it is
    ");
    assert_eq!(authors(&Identities::default(), &run("superdev")), "superdev (superdev)");
}

proptest! {
    #[test]
    fn placing_never_panics_and_no_case_or_plus_makes_another_person(
        local in "[a-z][a-z0-9.]{0,8}", plus in "[a-z0-9+]{0,5}", text in ".{0,40}"
    ) {
        let bank = of_the_bank();
        let _ = (bank.place(&text), Identities::default().place(&text));
        let plain = format!("{local}@bank.example");
        let spelled = format!("{}+{plus}@BANK.example", local.to_uppercase());
        prop_assert_eq!(bank.place(&plain), bank.place(&spelled));
        prop_assert_eq!(Identities::default().place(&plain), Identities::default().place(&spelled));
    }
}
