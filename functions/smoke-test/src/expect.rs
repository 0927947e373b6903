//! Whether an answer is the expected one.

use gatekeeper_promotion::{
    facts::Answered,
    stage::{SmokeCheck, SmokeTarget},
};
use serde_json::Value;

/// The largest body that is read.
pub const MAX_BODY_BYTES: u64 = 64 * 1024;
/// So much of a body goes into the record.
const RECORDED_BYTES: usize = 2 * 1024;
/// So much of a value goes into a message.
const SHOWN_CHARACTERS: usize = 200;

/// What an endpoint or a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status, also that of an invocation.
    pub status: u16,
    /// The body's `content-type`.
    pub content_type: Option<String>,
    /// Lambda's word where the function ended with an error.
    pub function_error: Option<String>,
    body: Vec<u8>,
    /// The body goes on.
    cut: bool,
}

impl Answer {
    /// An answer, of whose body at most [`MAX_BODY_BYTES`] are kept.
    #[must_use]
    pub fn new(status: u16, content_type: Option<String>, function_error: Option<String>, mut body: Vec<u8>) -> Self {
        let limit = usize::try_from(MAX_BODY_BYTES).unwrap_or(usize::MAX);
        let cut = body.len() > limit;
        body.truncate(limit);
        Self { status, content_type, function_error, body, cut }
    }

    /// What the record tells of it.
    #[must_use]
    pub fn fact(&self) -> Answered {
        let start = self.body.get(..RECORDED_BYTES).unwrap_or(&self.body);
        Answered {
            status: self.status,
            content_type: self.content_type.clone(),
            function_error: self.function_error.clone(),
            body: String::from_utf8_lossy(start).into_owned(),
        }
    }
}

/// Whether the answer is the one that the check expects.
///
/// # Errors
/// In words, what is wrong with it.
pub fn judge(check: &SmokeCheck, answer: &Answer) -> Result<(), String> {
    match &check.target {
        SmokeTarget::Http { expect_status, .. } if answer.status != *expect_status => {
            let redirect = if (300..400).contains(&answer.status) { "; redirects are not followed" } else { "" };
            return Err(format!("answered with status `{}`, expected `{expect_status}`{redirect}", answer.status));
        }
        SmokeTarget::Invoke { .. } if answer.function_error.is_some() => {
            let error = answer.function_error.as_deref().unwrap_or_default();
            return Err(format!("the function ended with the error `{error}`"));
        }
        _ => {}
    }
    let Some(expected) = &check.expect_json else { return Ok(()) };
    if answer.cut {
        return Err(format!("the answer is larger than {MAX_BODY_BYTES} bytes, too large to be compared as JSON"));
    }
    let answered: Value =
        serde_json::from_slice(&answer.body).map_err(|error| format!("the answer is not JSON: {error}"))?;
    match difference(expected, &answered, "") {
        None => Ok(()),
        Some(difference) => Err(difference),
    }
}

/// The first place where `answered` doesn't hold what is expected: every member of an object, recursively; every
/// element of an array, and no further ones; anything else equal.
fn difference(expected: &Value, answered: &Value, at: &str) -> Option<String> {
    match (expected, answered) {
        (Value::Object(expected), Value::Object(answered)) => expected.iter().find_map(|(name, expected)| {
            let at = format!("{at}/{name}");
            match answered.get(name) {
                Some(answered) => difference(expected, answered, &at),
                None => Some(format!("`{at}` is missing, expected `{}`", cut(expected))),
            }
        }),
        (Value::Array(expected), Value::Array(answered)) if expected.len() == answered.len() => {
            let pairs = expected.iter().zip(answered).enumerate();
            pairs
                .into_iter()
                .find_map(|(index, (expected, answered))| difference(expected, answered, &format!("{at}/{index}")))
        }
        _ if expected == answered => None,
        _ => Some(format!(
            "`{}` is `{}`, expected `{}`",
            if at.is_empty() { "/" } else { at },
            cut(answered),
            cut(expected)
        )),
    }
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    fn differ(expected: &Value, answered: &Value) -> Option<String> {
        difference(expected, answered, "")
    }

    #[test]
    fn what_is_expected_must_be_there_and_more_may_be() {
        let answered = json!({"status": "ok", "checks": [{"name": "ledger", "ok": true}], "uptime": 12, "note": null});
        for expected in
            [json!({}), json!({"status": "ok"}), json!({"checks": [{"ok": true}], "uptime": 12}), json!({"note": null})]
        {
            assert_eq!(differ(&expected, &answered), None, "{expected}");
        }
        for (expected, says) in [
            (json!({"status": "down"}), r#"`/status` is `"ok"`, expected `"down"`"#),
            (json!({"uptime": "12"}), r#"`/uptime` is `12`, expected `"12"`"#),
            (json!({"checks": [{"ok": false}]}), "`/checks/0/ok` is `true`, expected `false`"),
            (json!({"checks": []}), r#"`/checks` is `[{"name":"ledger","ok":true}]`, expected `[]`"#),
            (json!({"absent": null}), "`/absent` is missing, expected `null`"),
            (
                json!([]),
                r#"`/` is `{"checks":[{"name":"ledger","ok":true}],"note":null,"status":"ok","uptime":12}`, expected `[]`"#,
            ),
        ] {
            assert_eq!(differ(&expected, &answered).as_deref(), Some(says), "{expected}");
        }
    }

    fn check(target: SmokeTarget, expect_json: Option<Value>) -> SmokeCheck {
        SmokeCheck { repo: None, target, expect_json, deadline_seconds: 1 }
    }

    fn http(expect_status: u16) -> SmokeTarget {
        let (stack, output) = ("payments-api".parse().unwrap(), "ApiUrl".to_owned());
        SmokeTarget::Http { stack, output, path: String::new(), expect_status }
    }

    #[test]
    fn status_function_error_and_body_are_judged() {
        let answer = |status, body: &str| Answer::new(status, None, None, body.as_bytes().to_vec());
        let ok = Some(json!({"status": "ok"}));
        assert_eq!(judge(&check(http(200), None), &answer(200, "anything")), Ok(()));
        assert_eq!(judge(&check(http(404), None), &answer(404, "")), Ok(()));
        assert_eq!(judge(&check(http(200), ok.clone()), &answer(200, r#"{"status":"ok"}"#)), Ok(()));
        let says = |check: &SmokeCheck, answer: &Answer| judge(check, answer).unwrap_err();
        assert_eq!(says(&check(http(200), None), &answer(503, "")), "answered with status `503`, expected `200`");
        assert_eq!(
            says(&check(http(200), None), &answer(302, "")),
            "answered with status `302`, expected `200`; redirects are not followed"
        );
        // The right body under the wrong status is not the right answer.
        assert!(judge(&check(http(200), ok.clone()), &answer(500, r#"{"status":"ok"}"#)).is_err());
        assert!(says(&check(http(200), ok.clone()), &answer(200, "<html>")).starts_with("the answer is not JSON"));
        assert!(says(&check(http(200), ok.clone()), &answer(200, "")).starts_with("the answer is not JSON"));
        let invoke = SmokeTarget::Invoke { function: "authorise".parse().unwrap(), payload: json!({}) };
        let failed = Answer::new(200, None, Some("Unhandled".to_owned()), br#"{"status":"ok"}"#.to_vec());
        assert_eq!(says(&check(invoke, ok), &failed), "the function ended with the error `Unhandled`");
    }

    #[test]
    fn a_body_that_is_too_large_is_never_compared() {
        let mut body = br#"{"status":"ok"}"#.to_vec();
        body.resize(70_000, b' ');
        let answer = Answer::new(200, None, None, body);
        let refused = judge(&check(http(200), Some(json!({"status": "ok"}))), &answer).unwrap_err();
        assert_eq!(refused, "the answer is larger than 65536 bytes, too large to be compared as JSON");
        assert_eq!(judge(&check(http(200), None), &answer), Ok(()));
        assert_eq!(answer.fact().body.len(), 2048);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3..3).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same with members more, wherever there are members.
    fn extended(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let mut more: Map<_, _> = members.iter().map(|(name, value)| (name.clone(), extended(value))).collect();
                more.insert("more".to_owned(), json!(1));
                Value::Object(more)
            }
            Value::Array(elements) => elements.iter().map(extended).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn everything_holds_itself_and_what_has_less_members(value in any_json()) {
            prop_assert_eq!(differ(&value, &value), None);
            prop_assert_eq!(differ(&value, &extended(&value)), None);
        }

        #[test]
        fn what_holds_each_other_is_equal(one in any_json(), other in any_json()) {
            let both = differ(&one, &other).is_none() && differ(&other, &one).is_none();
            prop_assert_eq!(both, one == other);
        }

        #[test]
        fn a_member_that_is_missing_is_missed(value in any_json()) {
            let more = extended(&value);
            prop_assert_eq!(differ(&more, &value).is_none(), more == value);
        }
    }
}
