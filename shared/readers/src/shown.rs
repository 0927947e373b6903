//! How messages quote what somebody else wrote.

/// How many characters of a text a message shows: names in an artefact are their writer's choice.
pub(crate) const SHOWN: usize = 120;

/// A text as a message may show it: cut, and without control characters or backticks.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() || c == '`' { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// What a JSON parser says of a document that it refuses, in which it may quote the document.
pub(crate) fn parse_error(error: &serde_json::Error) -> String {
    error.to_string().chars().take(500).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_shows_is_short_and_holds_no_control_character() {
        assert_eq!(shown("a`b\u{1b}[31m\n"), "a\u{fffd}b\u{fffd}[31m\u{fffd}");
        assert_eq!(shown(&"é".repeat(1000)).chars().count(), SHOWN + 1);
    }
}
