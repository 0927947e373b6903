//! What `pg_dump` alters: objects that it has just created, each in one way, once.
//!
//! A normal form sorts statements, so it keeps no order. Therefore a dump may hold no two statements of which the later
//! one takes back what the earlier one says: `pg_dump` writes none.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher, Hash as _, Hasher},
    ops::Range,
};

use super::{judge, lexer::Kind, statement::Statement};

/// The actions of `ALTER` in a schema-only dump, as `pg_dump` 15 to 18 write them: `_` is one name or number, `…` is the rest, and
/// what stands left of `|` tells one action of an object from another.
///
/// The first two are of owners.
const ACTIONS: [&str; 38] = [
    "OWNER TO | _",
    "USING _ OWNER TO | _",
    "ADD CONSTRAINT _ | …",
    "ALTER COLUMN _ SET DEFAULT | …",
    "ALTER COLUMN _ SET NOT NULL |",
    "ALTER COLUMN _ SET STATISTICS | …",
    "ALTER COLUMN _ SET STORAGE | _",
    "ALTER COLUMN _ SET COMPRESSION | _",
    "ALTER COLUMN _ SET | ( …",
    "ALTER COLUMN _ OPTIONS | ( …",
    "ALTER COLUMN _ ADD GENERATED | …",
    "CLUSTER ON | _",
    "REPLICA IDENTITY | …",
    "ENABLE ROW LEVEL SECURITY |",
    "FORCE ROW LEVEL SECURITY |",
    "ATTACH PARTITION _ | …",
    "ATTACH PARTITION _ |",
    "SET ACCESS METHOD | _",
    "ENABLE | TRIGGER _",
    "DISABLE | TRIGGER _",
    "ENABLE ALWAYS | TRIGGER _",
    "ENABLE REPLICA | TRIGGER _",
    "ENABLE | RULE _",
    "DISABLE | RULE _",
    "ENABLE ALWAYS | RULE _",
    "ENABLE REPLICA | RULE _",
    "OWNED BY | _",
    "SET | LOGGED",
    "SET | UNLOGGED",
    "DEPENDS ON EXTENSION _ |",
    "ON _ DEPENDS ON EXTENSION _ |",
    "ENABLE |",
    "DISABLE |",
    "ENABLE ALWAYS |",
    "ENABLE REPLICA |",
    "ADD MAPPING FOR _ | …",
    "USING _ ADD | …",
    "SET STATISTICS | _",
];

/// The same of publications, of which one statement adds one table or schema.
const PUBLICATION_ACTIONS: [&str; 2] = ["ADD TABLE | …", "ADD TABLES IN SCHEMA _ |"];

/// Where the parts of an `ALTER` are.
pub(super) struct Altered {
    /// The words that say what is altered, such as `FOREIGN TABLE`.
    pub(super) kind: Range<usize>,
    /// Its name, with a routine's arguments.
    pub(super) name: Range<usize>,
    /// Where the action starts.
    pub(super) action: usize,
}

/// The parts of the `ALTER` that `statement` is.
pub(super) fn altered(statement: Statement<'_>) -> Altered {
    let start = 1 + judge::kind_words(statement, 1);
    let mut name = start;
    name += if statement.has(name, &["IF", "EXISTS"]) { 2 } else { 0 };
    name += usize::from(statement.is(name, "ONLY") && !statement.is(name + 1, "."));
    let mut action = statement.name_end(name);
    if statement.is(action, "(") {
        action = statement.close(action);
    }
    Altered { kind: 1..start, name: name..action, action }
}

/// Whether `statement` says who owns an object.
pub(super) fn is_owner(statement: Statement<'_>) -> bool {
    let owner = statement.is(0, "ALTER") && statement.is(statement.tokens.len().wrapping_sub(3), "OWNER");
    owner.then(|| altered(statement)).is_some_and(|Altered { action, .. }| {
        ACTIONS.iter().take(2).any(|owner| matches(statement, action, owner).is_some())
    })
}

/// Where the part of an action that tells it from others of the object ends.
fn action(statement: Statement<'_>) -> Option<(Altered, usize)> {
    let altered = altered(statement);
    let one = !statement.has(1, &["TEXT", "SEARCH"]) && !statement.is(1, "OPERATOR");
    let publication = statement.is(1, "PUBLICATION") && statement.is(altered.action, "ADD");
    let actions = if publication { PUBLICATION_ACTIONS.as_slice() } else { ACTIONS.as_slice() };
    let key_end = actions.iter().find_map(|action| matches(statement, altered.action, action))?;
    // A second action would follow a comma.
    (!(one && has_comma(statement, altered.action))).then_some((altered, key_end))
}

/// Where the key part of `action` ends, where the tokens from `index` on are such an action.
fn matches(statement: Statement<'_>, mut index: usize, action: &str) -> Option<usize> {
    // The first words tell most of them apart.
    if !action
        .as_bytes()
        .first()
        .zip(statement.text(index).first())
        .is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
    {
        return None;
    }
    let mut key_end = index;
    for word in action.split(' ') {
        match word {
            "|" => key_end = index,
            "…" => return (index < statement.tokens.len()).then_some(key_end),
            "_" if statement.is_name(index) || statement.kind(index) == Some(Kind::Number) => {
                index = statement.name_end(index);
            }
            word if statement.is(index, word) => index += 1,
            _ => return None,
        }
    }
    (index == statement.tokens.len()).then_some(key_end)
}

/// Whether a comma stands outside of all parentheses and brackets.
fn has_comma(statement: Statement<'_>, from: usize) -> bool {
    let mut depth = 0_usize;
    (from..statement.tokens.len()).any(|index| {
        match statement.text(index) {
            b"(" | b"[" => depth += 1,
            b")" | b"]" => depth = depth.saturating_sub(1),
            b"," => return depth == 0,
            _ => {}
        }
        false
    })
}

/// Whether `statement` removes something, as `--clean` writes it before it creates anything.
pub(super) fn is_removal(statement: Statement<'_>) -> bool {
    if statement.is(0, "DROP") {
        return true;
    }
    // `DROP` stands before the last words, and hardly any statement has it.
    let drops = || (2..=5).any(|back| statement.is(statement.tokens.len().wrapping_sub(back), "DROP"));
    if !(statement.is(0, "ALTER") && drops()) {
        return false;
    }
    let Altered { action, .. } = altered(statement);
    let constraint = action + if statement.has(action + 2, &["IF", "EXISTS"]) { 4 } else { 2 };
    let ends_behind = |name: usize| name < statement.tokens.len() && statement.name_end(name) == statement.tokens.len();
    let relation = statement.is(1, "TABLE") || statement.has(1, &["FOREIGN", "TABLE"]);
    (relation || statement.is(1, "DOMAIN")) && statement.has(action, &["DROP", "CONSTRAINT"]) && ends_behind(constraint)
        || relation
            && statement.has(action, &["ALTER", "COLUMN"])
            && statement.has(action + 3, &["DROP", "DEFAULT"])
            && statement.tokens.len() == action + 5
}

/// What a dump has said of its objects so far.
#[derive(Default)]
pub(super) struct Said {
    /// By what is said, the whole statement; both as hashes, which bounds memory.
    once: HashMap<u64, u64, BuildHasherDefault<Hashed>>,
}

/// The hash of what is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

const TAKEN_BACK: &str = "takes back what an earlier statement says, which pg_dump never writes";

impl Said {
    /// Why the `ALTER` that `statement` is can't stand here.
    pub(super) fn alters(&mut self, statement: Statement<'_>) -> Option<&'static str> {
        let Some((altered, key_end)) = action(statement) else { return Some(judge::UNEXPECTED) };
        let key = action_key(statement, &altered, key_end);
        self.once(key, hash_one(statement, 0..statement.tokens.len()))
    }

    /// The same of a statement that says something of an object in another way.
    pub(super) fn says(&mut self, statement: Statement<'_>) -> Option<&'static str> {
        let all = statement.tokens.len();
        if let Some(word) = privileges_word(statement) {
            let key = privileges_key(statement, word)?;
            if statement.is(word, "REVOKE") {
                // Which revocation comes first means nothing, as long as no grant came before it.
                return self.once.contains_key(&key).then_some(TAKEN_BACK);
            }
            return self.once(key, 0);
        }
        let key_end = if statement.is(0, "COMMENT") {
            all.saturating_sub(2)
        } else if statement.is(0, "SECURITY") {
            statement.outer().find(|&at| statement.is(at, "IS"))?
        } else {
            return None;
        };
        self.once(hash_one(statement, 0..key_end), hash_one(statement, 0..all))
    }

    fn once(&mut self, key: u64, whole: u64) -> Option<&'static str> {
        (*self.once.entry(key).or_insert(whole) != whole).then_some(TAKEN_BACK)
    }
}

/// What an `ALTER` sets.
fn action_key(statement: Statement<'_>, altered: &Altered, key_end: usize) -> u64 {
    let Altered { kind, name, action } = altered;
    let relation = ["TABLE", "SEQUENCE", "VIEW", "INDEX"].iter().any(|word| statement.is(kind.end - 1, word));
    let kind = if relation { 0..0 } else { kind.clone() };
    let state = ["ENABLE", "DISABLE"].iter().any(|word| statement.is(*action, word));
    if state && !statement.has(action + 1, &["ROW", "LEVEL"]) {
        // How a trigger or rule fires is said once, whichever way.
        return hash(statement, [kind, name.clone(), key_end..statement.tokens.len()]);
    }
    let key_end = if statement.is(1, "PUBLICATION") { statement.tokens.len() } else { key_end };
    hash(statement, [kind, name.clone(), *action..key_end])
}

/// What privileges are of: the object, and columns.
fn privileges_key(statement: Statement<'_>, word: usize) -> Option<u64> {
    let on = statement.outer().find(|&at| at > word && statement.is(at, "ON"))?;
    let end = statement.outer().find(|&at| at > on && (statement.is(at, "TO") || statement.is(at, "FROM")))?;
    let columns = (word..on).find(|&at| statement.is(at, "(")).map_or(on..on, |open| open..statement.close(open));
    Some(hash(statement, [0..word, columns, on..end]))
}

/// Where `GRANT` or `REVOKE` stands.
fn privileges_word(statement: Statement<'_>) -> Option<usize> {
    let is = |index| statement.is(index, "GRANT") || statement.is(index, "REVOKE");
    if is(0) {
        return Some(0);
    }
    statement.starts(&["ALTER", "DEFAULT", "PRIVILEGES"]).then(|| statement.outer().find(|&index| is(index)))?
}

/// The same of one range of tokens.
pub(super) fn hash_one(statement: Statement<'_>, range: Range<usize>) -> u64 {
    hash(statement, [range, 0..0])
}

/// A hash of the tokens in `ranges`.
fn hash<const N: usize>(statement: Statement<'_>, ranges: [Range<usize>; N]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for range in ranges {
        for index in range {
            statement.text(index).hash(&mut hasher);
        }
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema_snapshot::object::with_statement;

    fn expected(text: &str) -> bool {
        with_statement(&format!("{text};"), |statement| action(statement).is_some()).unwrap()
    }

    #[test]
    fn what_pg_dump_alters_is_expected() {
        for text in [
            "ALTER TABLE public.t OWNER TO a",
            "ALTER FUNCTION public.f(a integer, b text) OWNER TO \"a b\"",
            "ALTER OPERATOR public.<~> (integer, integer) OWNER TO a",
            "ALTER OPERATOR CLASS public.c USING btree OWNER TO a",
            "ALTER OPERATOR FAMILY public.c USING btree ADD OPERATOR 1 public.<(a, b), FUNCTION 1 (a, b) f(a, b)",
            "ALTER TABLE ONLY public.t ADD CONSTRAINT c FOREIGN KEY (a, b) REFERENCES public.u(a, b)",
            "ALTER FOREIGN TABLE ONLY public.t ADD CONSTRAINT c CHECK ((a > 1)) NOT VALID",
            "ALTER DOMAIN public.d ADD CONSTRAINT c CHECK ((VALUE > 1)) NOT VALID",
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET DEFAULT ARRAY[1, 2]",
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET STATISTICS 100",
            "ALTER INDEX public.i ALTER COLUMN 2 SET STATISTICS 100",
            "ALTER TABLE ONLY public.t ALTER COLUMN a SET (n_distinct=5, n_distinct_inherited=6)",
            "ALTER FOREIGN TABLE ONLY public.t ALTER COLUMN a OPTIONS (x 'y', z 'y')",
            "ALTER TABLE public.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME public.s START WITH 1)",
            "ALTER TABLE public.t CLUSTER ON i",
            "ALTER TABLE ONLY public.t REPLICA IDENTITY USING INDEX i",
            "ALTER TABLE ONLY public.t ATTACH PARTITION public.p FOR VALUES FROM (1, 2) TO (3, 4)",
            "ALTER INDEX public.i ATTACH PARTITION public.j",
            "ALTER TABLE public.t ENABLE ALWAYS TRIGGER \"a b\"",
            "ALTER TABLE public.t DISABLE RULE r",
            "ALTER EVENT TRIGGER e ENABLE REPLICA",
            "ALTER SEQUENCE public.s OWNED BY public.t.a",
            "ALTER SEQUENCE public.s SET LOGGED",
            "ALTER TRIGGER g ON public.t DEPENDS ON EXTENSION e",
            "ALTER TEXT SEARCH CONFIGURATION public.c ADD MAPPING FOR word WITH a, b",
            "ALTER PUBLICATION p ADD TABLE ONLY public.t (a, b) WHERE ((a > 1))",
            "ALTER PUBLICATION p ADD TABLES IN SCHEMA s",
            "ALTER PUBLICATION p OWNER TO a",
            "ALTER STATISTICS public.s SET STATISTICS 0",
            "ALTER TABLE public.only OWNER TO a",
        ] {
            assert!(expected(text), "{text}");
        }
    }

    #[test]
    fn what_changes_or_drops_is_not() {
        for text in [
            "ALTER TABLE public.t DROP COLUMN a",
            "ALTER TABLE public.t ADD COLUMN a int",
            "ALTER TABLE public.t DROP COLUMN a, OWNER TO x",
            "ALTER TABLE public.t OWNER TO x, DROP COLUMN a",
            "ALTER TABLE public.t ALTER COLUMN a SET DEFAULT 1, DROP COLUMN b",
            "ALTER TABLE public.t ALTER COLUMN a DROP DEFAULT",
            "ALTER TABLE public.t ALTER COLUMN a DROP NOT NULL",
            "ALTER TABLE public.t ALTER COLUMN a TYPE bigint",
            "ALTER TABLE public.t ALTER a SET DEFAULT 1",
            "ALTER TABLE public.t RENAME TO u",
            "ALTER TABLE public.t SET SCHEMA s",
            "ALTER TABLE public.t DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE public.t NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE public.t DETACH PARTITION p",
            "ALTER TABLE public.t INHERIT u",
            "ALTER TABLE public.t SET WITHOUT CLUSTER",
            "ALTER FUNCTION public.f() SECURITY DEFINER",
            "ALTER VIEW public.v SET (security_barrier=true)",
            "ALTER PUBLICATION p DROP TABLE t",
            "ALTER PUBLICATION p SET (publish = 'insert')",
            "ALTER POLICY p ON t USING (true)",
            "ALTER SEQUENCE public.s RESTART WITH 100",
            "ALTER TYPE public.e ADD VALUE 'x'",
            "ALTER SUBSCRIPTION s ENABLE PUBLICATION p",
        ] {
            assert!(!expected(text), "{text}");
        }
    }

    #[test]
    fn removals_are_whole_statements() {
        let removal = |text: &str| with_statement(&format!("{text};"), is_removal).unwrap();
        for text in [
            "DROP TYPE public.t CASCADE",
            "ALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS c",
            "ALTER TABLE ONLY public.t DROP CONSTRAINT c",
            "ALTER DOMAIN public.d DROP CONSTRAINT c",
            "ALTER FOREIGN TABLE public.t ALTER COLUMN a DROP DEFAULT",
        ] {
            assert!(removal(text), "{text}");
        }
        for text in [
            "ALTER TABLE public.t DROP CONSTRAINT c, ADD COLUMN a int",
            "ALTER TABLE public.t DROP CONSTRAINT c CASCADE",
            "ALTER TABLE public.t ALTER COLUMN a DROP DEFAULT, DROP COLUMN b",
            "ALTER TABLE public.t DROP COLUMN a",
            "ALTER TABLE public.drop ADD CONSTRAINT c UNIQUE (a)",
        ] {
            assert!(!removal(text), "{text}");
        }
    }
}
