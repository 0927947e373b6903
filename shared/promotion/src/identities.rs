//! Whose a name is: `config/identities.json` in the records bucket, and the one way in which addresses, accounts of a
//! forge and sessions are told to be one person.
//!
//! Git names authors by what each of them configured: private addresses of GitHub, addresses with a `+`, of another domain, in
//! other letters. AWS names people by their session. A name that can't be placed is never taken for somebody else: who asks
//! for approvals refuses it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use gatekeeper_model::{
    finding::{Code, Finding, plain},
    identity::Person,
    manifest::Manifest,
    store_key::RecordKey,
    strict_json,
};
use gatekeeper_store::Body;
use serde::{Deserialize, Serialize};

/// The schema version that this gatekeeper knows.
pub const SCHEMA_VERSION: u32 = 1;

/// The largest document that is read, in bytes.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The longest name that is looked at, in bytes: an e-mail address has at most 320 (RFC 3696, section 3).
const MAX_NAME: usize = 320;

/// Who our own workflows commit as (GitHub documentation, `actions/checkout`, "Push a commit using the built-in token").
const OWN_BOT: &str = "github-actions[bot]";

/// As whom GitHub itself commits, when somebody merges or edits on its pages.
const FORGES: [&str; 2] = ["noreply@github.com", "web-flow"];

/// What GitHub's private addresses are of, `ID+login@users.noreply.github.com`, and those of GitHub Enterprise
/// (GitHub documentation, "Setting your commit email address").
const PRIVATE: &str = "users.noreply.";

/// Domains that a machine makes up for itself where nobody told git an address.
const OF_A_MACHINE: [&str; 7] =
    [".local", ".localdomain", ".localhost", ".invalid", ".(none)", ".compute.internal", ".ec2.internal"];

/// `config/identities.json`: who is who.
///
/// A name is compared in lower case, without what stands behind a `+` before the `@`, and a private address of GitHub as the
/// account that it is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Identities {
    /// The version of this document's schema: 1.
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: u32,
    /// The domains of people's e-mail addresses, such as `bank.example`: the session `jane` is `jane@` each of them. An
    /// address of another domain is nobody's unless it is an alias. Empty: whatever the domain, an address is a person's.
    #[serde(default)]
    pub mail_domains: BTreeSet<String>,
    /// Other names of one person, by the person's own, which is that of the session: e-mail addresses, and accounts on
    /// GitHub.
    #[serde(default)]
    pub aliases: BTreeMap<String, BTreeSet<String>>,
    /// Names of programs, such as `dependabot[bot]`: they are nobody, neither as authors nor as approvers.
    #[serde(default)]
    pub bots: BTreeSet<String>,
    /// Names as which a forge commits what somebody else wrote; GitHub's own are known.
    #[serde(default)]
    pub ignored_committers: BTreeSet<String>,
    /// Whether there is such a document.
    #[serde(skip)]
    is_given: bool,
}

/// Why a document is none of identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no document of identities: {}", plain(.0))]
pub struct InvalidIdentities(String);

/// Whose a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// A person's, by the name that all of the person's names come to.
    Person(Person),
    /// A program's, or a forge's own.
    Nobody,
    /// Nobody can tell, and why.
    Unknown(&'static str),
}

/// A name, read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// An e-mail address without what stands behind a `+`.
    Address { local: String, domain: String },
    /// An account on a forge.
    Login(String),
    /// Without an `@`: a session, or whatever a build calls its actor.
    Plain(String),
}

impl Name {
    /// Reads a name, also where it stands in `Jane <jane@bank.example>`; none where nothing is left of it.
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let bracketed = text.strip_suffix('>').and_then(|text| Some(text.rsplit_once('<')?.1));
        let text = bracketed.unwrap_or(text).trim().to_lowercase();
        let Some((local, domain)) = text.rsplit_once('@') else {
            return (!text.is_empty()).then_some(Self::Plain(text));
        };
        let (local, domain) = (local.trim_matches('"'), domain.trim_end_matches('.'));
        if domain.starts_with(PRIVATE) {
            let login = match local.split_once('+') {
                Some((id, login)) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => login,
                _ => local,
            };
            // What holds another `@` is no account, and would be read as an address where it stands alone.
            if login.contains('@') {
                return Some(Self::Address { local: local.to_owned(), domain: domain.to_owned() });
            }
            return (!login.is_empty()).then(|| Self::Login(login.to_owned()));
        }
        Some(Self::Address { local: without_plus(local).to_owned(), domain: domain.to_owned() })
    }

    /// How the document spells it.
    fn key(&self) -> String {
        match self {
            Self::Address { local, domain } => format!("{local}@{domain}"),
            Self::Login(name) | Self::Plain(name) => name.clone(),
        }
    }
}

impl Identities {
    /// The JSON Schema of the document, draft 2020-12.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Reads the document.
    ///
    /// # Errors
    /// Where it isn't one, or says two things of one name. An unknown field is refused: a misspelt one would bind nobody.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidIdentities> {
        let read: Self = strict_json::from_slice(bytes).map_err(|error| InvalidIdentities(error.to_string()))?;
        if read.schema_version != SCHEMA_VERSION {
            let found = read.schema_version;
            return Err(InvalidIdentities(format!(
                "`schema_version` is {found}, this gatekeeper knows {SCHEMA_VERSION}"
            )));
        }
        let key = |text: &str| {
            let name = Name::read(text).map(|name| name.key());
            name.ok_or_else(|| InvalidIdentities(format!("`{text}` is no name")))
        };
        let keys = |names: &BTreeSet<String>| names.iter().map(|name| key(name)).collect::<Result<BTreeSet<_>, _>>();
        let mut mail_domains = BTreeSet::new();
        for domain in &read.mail_domains {
            let plain = domain.trim_end_matches('.').to_lowercase();
            let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
            if plain.is_empty() || plain.starts_with(PRIVATE) || !plain.bytes().all(is_domain) {
                return Err(InvalidIdentities(format!(
                    "`{domain}` of `mail_domains` is no domain of people's addresses"
                )));
            }
            mail_domains.insert(plain);
        }
        let (bots, ignored_committers) = (keys(&read.bots)?, keys(&read.ignored_committers)?);
        let mut whose: BTreeMap<String, String> = BTreeMap::new();
        let mut aliases = BTreeMap::new();
        for (person, names) in &read.aliases {
            let (person, mut names) = (key(person)?, keys(names)?);
            names.insert(person.clone());
            for name in &names {
                if bots.contains(name) || ignored_committers.contains(name) {
                    return Err(InvalidIdentities(format!("`{name}` is both `{person}` and nobody")));
                }
                if let Some(other) = whose.insert(name.clone(), person.clone()) {
                    return Err(InvalidIdentities(format!("`{name}` is both `{other}` and `{person}`")));
                }
            }
            aliases.insert(person, names);
        }
        Ok(Self { schema_version: SCHEMA_VERSION, mail_domains, aliases, bots, ignored_committers, is_given: true })
    }

    /// What is stored as `config/identities.json`; where nothing is, names are compared by their spelling.
    ///
    /// # Errors
    /// The finding on a document that is none.
    pub fn of(stored: Option<&Body>) -> Result<Self, Finding> {
        let Some(body) = stored else { return Ok(Self::default()) };
        Self::parse(&body.bytes).map_err(|error| {
            Finding::new(Code::IdentitiesConfigInvalid, RecordKey::IdentitiesConfig.to_string(), error.to_string())
        })
    }

    /// Whose a name is: an author's address, a session's name, an account on a forge.
    #[must_use]
    pub fn place(&self, text: &str) -> Placed {
        if text.len() > MAX_NAME {
            return Placed::Unknown("it is longer than a name can be");
        }
        let Some(name) = Name::read(text) else { return Placed::Unknown("it is empty") };
        let key = name.key();
        let is_own = |name: &str| name == OWN_BOT || FORGES.contains(&name);
        if self.bots.contains(&key) || self.ignored_committers.contains(&key) || is_own(&key) {
            return Placed::Nobody;
        }
        let whose = self.aliases.iter().find(|(_, names)| names.contains(&key));
        if let Some((person, _)) = whose {
            return Placed::Person(self.person(person));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Placed::Unknown("it has characters that no session's name has");
        }
        match &name {
            Name::Login(_) => Placed::Unknown("an account on GitHub, which nothing says whose it is"),
            Name::Address { local, .. } if local.is_empty() || local.contains('@') => {
                Placed::Unknown("no address of a person")
            }
            Name::Address { domain, .. } if self.mail_domains.contains(domain) => Placed::Person(self.person(&key)),
            Name::Address { .. } if !self.mail_domains.is_empty() => Placed::Unknown("not of the mail domains"),
            Name::Address { domain, .. } if is_made_up(domain) => Placed::Unknown("no address of a person"),
            Name::Address { .. } | Name::Plain(_) => Placed::Person(self.person(&key)),
        }
    }

    /// The name that all names of one person in the mail domains come to.
    fn person(&self, key: &str) -> Person {
        let Some(first) = self.mail_domains.first() else { return Person::named(key) };
        match key.rsplit_once('@') {
            None => Person::named(&format!("{}@{first}", without_plus(key))),
            Some((local, domain)) if self.mail_domains.contains(domain) => Person::named(&format!("{local}@{first}")),
            Some(_) => Person::named(key),
        }
    }

    /// Whether both may be one person: by what the document says, and by the spelling as well.
    #[must_use]
    pub fn same(&self, one: &Person, other: &Person) -> bool {
        let placed = |person: &Person| match self.place(person.as_str()) {
            Placed::Person(placed) => placed,
            Placed::Nobody | Placed::Unknown(_) => person.clone(),
        };
        one.may_be(other) || placed(one).may_be(&placed(other))
    }
}

/// A name without what stands behind a `+`, where something is left of it.
fn without_plus(name: &str) -> &str {
    match name.split_once('+') {
        Some((name, _)) if !name.is_empty() => name,
        _ => name,
    }
}

fn is_made_up(domain: &str) -> bool {
    !domain.contains('.') || OF_A_MACHINE.iter().any(|end| domain.ends_with(end))
}

/// Whoever may have written a commit, as its manifest says: `authors`, `author`, and who started the build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authors {
    /// Those who are known, each with the name in the manifest.
    pub people: Vec<Author>,
    /// Those who can't be told, each once.
    pub unknown: Vec<UnknownAuthor>,
    /// Whether the manifest names anybody at all, be it a program.
    pub is_named: bool,
}

/// One who wrote a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Author {
    /// The person.
    pub person: Person,
    /// The name in the manifest.
    pub named: String,
}

/// A name of a manifest that nobody can place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownAuthor {
    /// The address or account, and where git knows one the name beside it.
    pub named: String,
    /// Why nobody can place it.
    pub why: &'static str,
}

impl fmt::Display for UnknownAuthor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.named, self.why)
    }
}

impl Authors {
    /// Everybody whom a manifest names, placed.
    #[must_use]
    pub fn of(manifest: &Manifest, identities: &Identities) -> Self {
        let mut authors = Self::default();
        for author in &manifest.authors {
            // Co-authors need not have an address; then there is only the name.
            let (named, beside) = match author.email.trim() {
                "" => (author.name.as_str(), ""),
                email => (email, author.name.trim()),
            };
            authors.add(named, beside, identities.place(named));
        }
        if let Some(author) = &manifest.author {
            authors.add(author, "", identities.place(author));
        }
        if let Some(build) = &manifest.build {
            let placed = match identities.place(&build.actor) {
                // GitHub's accounts have names of their own: that one is spelled like a session makes it nobody's.
                Placed::Person(_)
                    if identities.is_given
                        && build.run_url.contains("/actions/runs/")
                        && !identities.has_alias(&build.actor) =>
                {
                    Placed::Unknown("the build's actor, an account on GitHub, which nothing says whose it is")
                }
                placed => placed,
            };
            authors.add(&build.actor, "", placed);
        }
        authors.people.sort();
        authors.people.dedup();
        authors.unknown.sort();
        authors.unknown.dedup();
        authors
    }

    fn add(&mut self, named: &str, beside: &str, placed: Placed) {
        let named: String = named.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        if named.trim().is_empty() {
            return;
        }
        self.is_named = true;
        match placed {
            Placed::Person(person) => self.people.push(Author { person, named }),
            Placed::Nobody => {}
            Placed::Unknown(why) => {
                let beside: String = beside.chars().filter(|c| !c.is_control() && *c != '`').take(100).collect();
                let beside = if beside.is_empty() || beside == named { String::new() } else { format!(" ({beside})") };
                self.unknown.push(UnknownAuthor { named: format!("`{named}`{beside}"), why });
            }
        }
    }

    /// The name in the manifest under which a person wrote of the commit; none where the person didn't.
    #[must_use]
    pub fn name_of(&self, person: &Person, identities: &Identities) -> Option<&str> {
        let same = self.people.iter().filter(|author| identities.same(&author.person, person));
        // Of several names the one that needs no explaining.
        same.map(|author| author.named.as_str()).max_by_key(|named| Person::named(named).may_be(person))
    }
}

impl Identities {
    fn has_alias(&self, text: &str) -> bool {
        let key = Name::read(text).map(|name| name.key());
        key.is_some_and(|key| self.aliases.values().any(|names| names.contains(&key)))
    }
}

#[cfg(test)]
#[path = "identities_tests.rs"]
mod tests;
