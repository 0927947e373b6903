//! What may stand behind what: removals before everything that is created, and nothing that takes back what was said.

use std::collections::HashSet;

use super::{
    alter::{self, Said, hash_one},
    judge,
    statement::Statement,
};

/// The statements of a dump so far.
#[derive(Default)]
pub(super) struct Order {
    /// Whether something was created.
    created: bool,
    /// The views whose stand-ins were created.
    stand_ins: HashSet<u64>,
    said: Said,
}

impl Order {
    /// Why `statement` can't stand here; nothing where it may.
    pub(super) fn check(&mut self, statement: Statement<'_>) -> Option<&'static str> {
        if statement.is(0, "SET") || statement.is(0, "RESET") || judge::empty_search_path(statement) {
            return None;
        }
        if alter::is_removal(statement) {
            let behind = "removes something behind a statement that creates something, which pg_dump never writes";
            return self.created.then_some(behind);
        }
        if statement.starts(&["CREATE", "OR", "REPLACE", "VIEW"]) {
            let stand_in = is_stand_in(statement);
            if !self.created && stand_in {
                return None;
            }
            let expected = self.stand_ins.remove(&view(statement, 4));
            return (!expected)
                .then_some("replaces a view that no stand-in was written of, which pg_dump never writes");
        }
        self.created = true;
        if statement.is(0, "ALTER") && !statement.is(1, "DEFAULT") {
            return self.said.alters(statement);
        }
        if statement.starts(&["CREATE", "VIEW"]) && is_stand_in(statement) {
            self.stand_ins.insert(view(statement, 2));
        }
        self.said.says(statement)
    }
}

fn view(statement: Statement<'_>, name: usize) -> u64 {
    hash_one(statement, name..statement.name_end(name))
}

/// Whether it is the stand-in of a view that is written in full later: its columns as `NULL`, and no source.
fn is_stand_in(statement: Statement<'_>) -> bool {
    let Some(query) = statement.outer().find(|&index| statement.has(index, &["AS", "SELECT"])) else { return false };
    let behind = query + 2;
    let null = behind == statement.tokens.len() || statement.has(behind, &["NULL", ":", ":"]);
    null && !statement.outer().any(|index| index > query && statement.is(index, "FROM"))
}
