//! What is told of migrations before they run.

use gatekeeper_promotion::step::ReportStatus;
use serde_json::{Value, json};

use crate::stage::{Files, Stage, With};

const FIRST: Files<'_> =
    &[("V1__ledger.sql", "CREATE TABLE ledger (id bigint PRIMARY KEY, note text);\nCREATE TABLE old ();\n")];
const SECOND: &str = "DROP TABLE ${schema}.old;\nALTER TABLE ledger RENAME COLUMN note TO remark;\n";

/// What a stage that has run the first migration is told of the second one.
async fn look(name: &str, second: &str, entry: Value, sql: bool) -> Value {
    let stage = Stage::new(name);
    let first = stage.tested(FIRST).await;
    let ran = stage.promotion(FIRST, &first, With::default()).go().await;
    assert_eq!(ran.status, ReportStatus::Applied, "{ran:#?}");
    let (files, placeholders) = ([FIRST[0], ("V2__drop.sql", second)], json!({"schema": "public"}));
    let answer = stage.promotion(&files, b"", With { entry, sql, placeholders, ..With::default() }).check().await;
    serde_json::to_value(answer).unwrap()
}

#[tokio::test]
async fn the_rules_that_the_pending_ones_break_are_told_and_no_applied_one_is_looked_at() {
    let answer = look("broken", SECOND, json!({}), false).await;
    insta::assert_json_snapshot!(answer, @r#"
    {
      "migrations": [
        {
          "broken": [
            {
              "line": 1,
              "message": "Dropping a table may break existing clients.",
              "refused": false,
              "rule": "ban-drop-table"
            },
            {
              "line": 2,
              "message": "Renaming a column may break existing clients.",
              "refused": false,
              "rule": "renaming-column"
            }
          ],
          "database": "payments",
          "file": "V2__drop.sql"
        }
      ],
      "pending": {
        "payments": [
          "V2__drop.sql"
        ]
      },
      "reasons": []
    }
    "#);
}

#[tokio::test]
async fn a_refused_rule_refuses_the_promotion_whatever_the_author_silenced() {
    let silenced = format!("-- squawk-ignore-file\n{SECOND}");
    let refuse = json!({"refuse_migrations": ["ban-drop-table", "renaming-column"]});
    let answer = look("refused", &silenced, refuse, true).await;
    assert_eq!(answer["migrations"][0]["sql"], silenced);
    insta::assert_json_snapshot!(answer["reasons"], @r#"
    [
      {
        "code": "migration-refused",
        "message": "line 2: ban-drop-table: Dropping a table may break existing clients; line 3: renaming-column: Renaming a column may break existing clients; where that is meant, name `V2__drop.sql` in `accept_migrations` of the stage's database",
        "subject": "payments/V2__drop.sql"
      }
    ]
    "#);

    let accept = json!({"refuse_migrations": ["ban-drop-table"], "accept_migrations": ["V2__drop.sql"]});
    let answer = look("accepted", &silenced, accept, false).await;
    assert_eq!(answer["reasons"], json!([]));
    assert_eq!(look("silenced", &silenced, json!({}), false).await["migrations"][0].get("broken"), None);
}
