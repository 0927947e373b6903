//! How two schemas differ, for a person to read and for a record to keep.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{
    NormalForm,
    object::{object, one_line, table},
    partitions,
};

/// How many objects each list names.
const MAX_LISTED: usize = 20;

/// How much of each side of a change is shown, in characters.
const MAX_SHOWN: usize = 160;

/// How much before the first difference is shown, in characters.
const BEFORE: usize = 40;

/// An object that both schemas have, unlike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Changed {
    /// Its kind and name, such as `COLUMN public.ledger.note`.
    pub object: String,
    /// What the tested schema says, on one line, cut to what is around the first difference.
    pub tested: String,
    /// What the live schema says, likewise.
    pub live: String,
}

/// How a live schema differs from the tested one. It fits a log line: at most 20 objects in each list, some 20 kB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Objects that only the tested schema has, such as `TABLE public.ledger`.
    pub only_tested: Vec<String>,
    /// Objects that only the live schema has.
    pub only_live: Vec<String>,
    /// Objects that both have, unlike.
    pub changed: Vec<Changed>,
    /// How many more objects differ than the lists name.
    #[serde(default)]
    pub left_out: usize,
    /// The servers' major versions, tested and live, where they are not the same: PostgreSQL's own spelling of some
    /// definitions changes with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<(u16, u16)>,
}

/// How `live` differs from `tested`; nothing where they are of the same schema.
#[must_use]
pub fn difference(tested: &NormalForm, live: &NormalForm) -> Option<Difference> {
    let objects = unlike(tested, live);
    if objects.is_empty() {
        return None;
    }
    let mut difference = Difference::default();
    for (object, (mut of_tested, mut of_live)) in objects {
        let named = match (of_tested.as_slice(), of_live.as_slice()) {
            (texts, []) => partitions::named(tested, texts),
            (_, texts) => partitions::named(live, texts),
        };
        // A partition unlike its siblings is shown beside one of the other side.
        match (of_tested.is_empty(), of_live.is_empty()) {
            (true, _) => of_tested.extend(partitions::form_of(tested, &object)),
            (_, true) => of_live.extend(partitions::form_of(live, &object)),
            _ => {}
        }
        difference.compare(object + &named, &of_tested, &of_live);
    }
    difference.servers = tested.server().zip(live.server()).filter(|(tested, live)| tested != live);
    difference.cut();
    Some(difference)
}

/// The statements that only one side has, by object.
pub(super) fn unlike<'a>(
    tested: &'a NormalForm,
    live: &'a NormalForm,
) -> BTreeMap<String, (Vec<&'a str>, Vec<&'a str>)> {
    let mut objects: BTreeMap<String, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    let (mut left, mut right) = (tested.statements().peekable(), live.statements().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return objects,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(tested), Some(live)) => tested.cmp(live),
        };
        let only_tested = if order.is_le() { left.next() } else { None };
        let only_live = if order.is_ge() { right.next() } else { None };
        match (only_tested, only_live) {
            (Some(text), None) => objects.entry(object(text)).or_default().0.push(text),
            (None, Some(text)) => objects.entry(object(text)).or_default().1.push(text),
            _ => {}
        }
    }
}

impl Difference {
    fn compare(&mut self, object: String, tested: &[&str], live: &[&str]) {
        match (tested, live) {
            (_, []) => self.only_tested.push(object),
            ([], _) => self.only_live.push(object),
            ([one], [other]) => match (table(one), table(other)) {
                (Some(one), Some(other)) => {
                    self.change(&object, &one.around, &other.around);
                    self.compare_parts(&object, &one.parts, &other.parts);
                }
                _ => self.change(&object, one, other),
            },
            _ => self.change(&object, &tested.join(" "), &live.join(" ")),
        }
    }

    /// Compares the columns and constraints of the table `object`.
    fn compare_parts(&mut self, object: &str, tested: &[(String, String)], live: &[(String, String)]) {
        let by_name =
            |parts| -> BTreeMap<_, _> { <[(String, String)]>::iter(parts).map(|(name, text)| (name, text)).collect() };
        let (left, right) = (by_name(tested), by_name(live));
        let names: BTreeSet<_> = left.keys().chain(right.keys()).copied().collect();
        for name in names {
            match (left.get(name), right.get(name)) {
                (Some(tested), Some(live)) => self.change(name, tested, live),
                (Some(_), None) => self.only_tested.push(name.clone()),
                (None, _) => self.only_live.push(name.clone()),
            }
        }
        let order = |parts, others: &BTreeMap<&String, &String>| {
            let common = <[(String, String)]>::iter(parts).filter(|(name, _)| others.contains_key(name));
            // Where constraints stand among them means nothing, but pg_dump sorts those.
            let names =
                common.filter_map(|(name, text)| name.starts_with("COLUMN ").then(|| text.split(' ').next()).flatten());
            format!("order of columns: {}", names.collect::<Vec<_>>().join(", "))
        };
        self.change(object, &order(tested, &right), &order(live, &left));
    }

    /// Notes a change where there is one.
    fn change(&mut self, object: &str, tested: &str, live: &str) {
        if tested != live {
            let same = tested.chars().zip(live.chars()).take_while(|(one, other)| one == other).count();
            let shown = |text: &str| {
                let skipped = if text.chars().count() <= MAX_SHOWN { 0 } else { same.saturating_sub(BEFORE) };
                let rest: String = text.chars().skip(skipped).collect();
                format!("{}{}", if skipped > 0 { "…" } else { "" }, one_line(&rest, MAX_SHOWN))
            };
            self.changed.push(Changed { object: object.to_owned(), tested: shown(tested), live: shown(live) });
        }
    }

    fn cut(&mut self) {
        let lengths = [self.only_tested.len(), self.only_live.len(), self.changed.len()];
        self.left_out = lengths.iter().map(|length| length.saturating_sub(MAX_LISTED)).sum();
        self.only_tested.truncate(MAX_LISTED);
        self.only_live.truncate(MAX_LISTED);
        self.changed.truncate(MAX_LISTED);
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the schemas differ:")?;
        for object in &self.only_tested {
            write!(f, "\n  only in the tested schema: {object}")?;
        }
        for object in &self.only_live {
            write!(f, "\n  only in the live schema: {object}")?;
        }
        for Changed { object, tested, live } in &self.changed {
            write!(f, "\n  changed: {object}\n    tested: {tested}\n    live:   {live}")?;
        }
        if self.left_out > 0 {
            write!(f, "\n  and {} more", self.left_out)?;
        }
        if let Some((tested, live)) = self.servers {
            write!(
                f,
                "\n  tested on PostgreSQL {tested}, live on PostgreSQL {live}, which may spell the same differently"
            )?;
        }
        Ok(())
    }
}
