use super::*;

fn lines() -> Vec<Line> {
    vec![
        Line::ok("region", "ap-southeast-2"),
        Line::ok(
            "caller",
            "arn:aws:sts::111122223333:assumed-role/gatekeeper-AuditorRole-ABCDEFGHIJ/jane@bank.example",
        ),
        Line::warn(
            "function `gatekeeper-promote`",
            "these credentials may not look",
            "look with the auditor's or a deployer's role",
        ),
        Line::fail(
            "config/stages.json",
            "stages.uat.aprovals: there is no such field; did you mean `approvals`?",
            "mend it",
        ),
    ]
}

#[test]
fn each_line_says_how_it_is_and_what_to_do() {
    let text = anstream::adapter::strip_str(&text(&lines())).to_string();
    insta::assert_snapshot!(text, @r"
        ok    region: ap-southeast-2
        ok    caller:
              arn:aws:sts::111122223333:assumed-role/gatekeeper-AuditorRole-ABCDEFGHIJ/jane@bank.example
        warn  function `gatekeeper-promote`: these credentials may not look
              → look with the auditor's or a deployer's role
        FAIL  config/stages.json: stages.uat.aprovals: there is no such field; did you
              mean `approvals`?
              → mend it

        2 ok, 1 to look at, 1 wrong
        ");
    insta::assert_json_snapshot!(lines()[3], @r#"
    {
      "level": "fail",
      "what": "config/stages.json",
      "found": "stages.uat.aprovals: there is no such field; did you mean `approvals`?",
      "what_to_do": "mend it"
    }
    "#);
}

#[test]
fn the_worst_line_is_the_answer() {
    let lines = lines();
    assert_eq!(answer(&lines[..3], true), Answer::Yes);
    assert_eq!(answer(&lines, true), Answer::No);
    assert_eq!(answer(&lines[..1], false), Answer::Open);
}
