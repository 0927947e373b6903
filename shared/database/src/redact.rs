//! What a tool prints goes into errors, logs and records, so the password is taken out of it first.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands where a password stood.
const INSTEAD: &str = "********";

/// Takes one password out of texts, in every spelling that the tools were given it in.
#[derive(Clone)]
pub struct Redactor {
    /// Longest first: a spelling may hold another one.
    spellings: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// A redactor of `password`.
    #[must_use]
    pub fn of(password: &str) -> Self {
        let percent = utf8_percent_encode(password, NON_ALPHANUMERIC).to_string();
        let json = serde_json::Value::from(password).to_string();
        let mut spellings = vec![
            password.to_owned(),
            percent.to_lowercase(),
            percent.replace("%20", "+"),
            percent,
            escaped_for_passfile(password),
            json.trim_matches('"').to_owned(),
        ];
        spellings.retain(|it| !it.is_empty());
        spellings.sort_by_key(|it| std::cmp::Reverse(it.len()));
        spellings.dedup();
        Self { spellings }
    }

    /// `text` without the password.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.spellings.iter().fold(text.to_owned(), |text, spelling| text.replace(spelling, INSTEAD))
    }
}

/// A field of a passfile: `:` and `\` are escaped (PostgreSQL documentation, "The Password File").
pub(super) fn escaped_for_passfile(text: &str) -> String {
    text.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_password_is_taken_out_in_every_spelling() {
        let redactor = Redactor::of("geheim/p@ss w:r\"t\\1");
        let text = "geheim/p@ss w:r\"t\\1 geheim%2Fp%40ss%20w%3Ar%22t%5C1 geheim%2fp%40ss%20w%3ar%22t%5c1 \
                    geheim%2Fp%40ss+w%3Ar%22t%5C1 geheim/p@ss w\\:r\"t\\\\1 geheim/p@ss w:r\\\"t\\\\1 FATAL";
        insta::assert_snapshot!(redactor.redact(text), @"******** ******** ******** ******** ******** ******** FATAL");
        assert_eq!(format!("{redactor:?}"), "Redactor");
    }

    proptest! {
        #[test]
        fn no_text_keeps_it(before in ".*", password in "[^*]{1,20}", after in ".*") {
            let redacted = Redactor::of(&password).redact(&format!("{before}{password}{after}"));
            // What is put in its place could make it anew only of its own characters.
            prop_assert!(!redacted.contains(&password), "{redacted}");
        }
    }
}
