//! The strict reader of a script's own configuration, `V2__x.sql.conf` (Flyway documentation, "Script Config Files"): the
//! lines of a Java properties file.

use gatekeeper_model::finding::{Code, Finding};

use super::read::is_utf8;

/// The largest of them that is read, in bytes.
pub const SCRIPT_MAX_BYTES: u64 = 16 * 1024;

/// Everything in a script's configuration that is not used alike wherever it is read; nothing where it is fine.
///
/// Flyway 11.8.2 takes `executeInTransaction`, `encoding` and `placeholderReplacement`, and fails on every other name.
#[must_use]
pub fn read_script(bytes: &[u8], subject: &str) -> Vec<Finding> {
    let finding = |reason: String| Finding::new(Code::FlywaySettingUnsupported, subject, reason);
    if bytes.len() as u64 > SCRIPT_MAX_BYTES {
        return vec![finding(format!("{} bytes are more than the {SCRIPT_MAX_BYTES} allowed", bytes.len()))];
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return vec![finding("it is not UTF-8".to_owned())] };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let (mut reasons, mut seen) = (Vec::new(), Vec::new());
    for line in lines(text) {
        if line.contains('\\') || line.contains("${") || line.chars().any(char::is_control) {
            reasons.push(
                "a line with `\\`, `${` or a control character is not read alike everywhere: write it out".to_owned(),
            );
            continue;
        }
        let (name, value) = entry(line);
        if seen.contains(&name) {
            reasons.push(format!("`{name}`: it stands there twice"));
        }
        seen.push(name);
        reasons.extend(wrong(name, value).map(|why| format!("`{name}`: {why}")));
    }
    reasons.into_iter().map(finding).collect()
}

/// Whether a script's configuration, about which [`read_script`] found nothing wrong, says that it runs in a transaction;
/// `None` where it leaves that to the database's.
#[must_use]
pub fn script_in_transaction(bytes: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let (_, value) = lines(text).map(entry).find(|(name, _)| *name == "executeInTransaction")?;
    Some(value.eq_ignore_ascii_case("true"))
}

/// The lines that say something.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r']).map(str::trim).filter(|it| !it.is_empty() && !it.starts_with(['#', '!']))
}

/// The name and the value of a line.
fn entry(line: &str) -> (&str, &str) {
    let end = line.find(|c: char| matches!(c, '=' | ':') || c.is_whitespace()).unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(end).unwrap_or((line, ""));
    let rest = rest.trim_start();
    (name, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim())
}

fn wrong(name: &str, value: &str) -> Option<&'static str> {
    match name {
        "executeInTransaction" | "placeholderReplacement" => {
            let known = value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
            (!known).then_some("it is neither `true` nor `false`")
        }
        "encoding" => (!is_utf8(value)).then_some(
            "only `UTF-8` is taken, because the gate reads files as that: save the script so, and take the setting out",
        ),
        "shouldExecute" => Some("Flyway Community, which is what the gatekeeper runs, fails on it: take it out"),
        _ => Some(
            "Flyway takes `executeInTransaction`, `placeholderReplacement` and `encoding` here (case counts), and fails on \
             others: take it out",
        ),
    }
}
