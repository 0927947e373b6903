//! Words of suites and formats that are almost ones that the gate counts.
//!
//! A report of another suite or format is kept as evidence and not counted. A word that is only misspelt would be kept so
//! too, and the manifest's own figures be believed in its place: so it is refused.

use gatekeeper_model::suite::Suite;

use super::Format;

/// The suite of a report that is kept as evidence and never counted, whatever its format.
pub const OTHER: &str = "other";

/// The words of the suites that are counted.
const SUITES: [&str; 4] = ["unit", "contract", "policy", "integration"];

/// What tools and people call the formats that are counted.
const FORMATS: [(&str, Format); 16] = [
    ("junit", Format::Junit),
    ("junit-xml", Format::Junit),
    ("vitest-json", Format::Json(super::Runner::Vitest)),
    ("vitest", Format::Json(super::Runner::Vitest)),
    ("jest-json", Format::Json(super::Runner::Jest)),
    ("jest", Format::Json(super::Runner::Jest)),
    ("istanbul-summary", Format::IstanbulSummary),
    ("json-summary", Format::IstanbulSummary),
    ("istanbul-json-summary", Format::IstanbulSummary),
    ("coverage-summary", Format::IstanbulSummary),
    ("istanbul", Format::Istanbul),
    ("istanbul-json", Format::Istanbul),
    ("coverage-final", Format::Istanbul),
    ("lcov", Format::Lcov),
    ("lcovonly", Format::Lcov),
    ("lcov-info", Format::Lcov),
];

/// How alike two words are at the least that are one and a misspelling of it, by Jaro and Winkler's measure: `lint` and
/// `unit` come to 0.72, `integration` and `intergration` to 0.98.
const ALIKE: f64 = 0.87;

/// The suite that is meant by a word that the gate doesn't know; `None` where it is another one.
#[must_use]
pub fn misspelt_suite(word: &str) -> Option<&'static str> {
    if Suite::of(word).is_some() || word == OTHER {
        return None;
    }
    nearest(word, SUITES.iter().map(|suite| (*suite, *suite)))
}

/// The format that is meant by a word that the gate doesn't know; `None` where it is another one.
#[must_use]
pub fn misspelt_format(word: &str) -> Option<Format> {
    if Format::of(word).is_some() {
        return None;
    }
    nearest(word, FORMATS.iter().copied())
}

/// What the known word stands for that `word` is almost.
fn nearest<T>(word: &str, known: impl Iterator<Item = (&'static str, T)>) -> Option<T> {
    let (plain, parts) = (plain(word), parts(word));
    let likeness = known.filter_map(|(known, meant)| {
        let other = self::plain(known);
        let is_part = !known.contains('-') && parts.iter().any(|part| *part == known);
        let alike = if plain == other {
            1.0
        } else if is_part {
            ALIKE
        } else {
            strsim::jaro_winkler(&plain, &other)
        };
        (alike >= ALIKE).then_some((alike, meant))
    });
    // Of equals the first.
    likeness.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, meant)| meant)
}

/// The word without what people write differently.
fn plain(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn parts(word: &str) -> Vec<String> {
    word.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_suite_is_told_from_another_one() {
        for (word, meant) in [
            ("Unit", "unit"),
            ("units", "unit"),
            ("unit-tests", "unit"),
            ("unti", "unit"),
            ("intergration", "integration"),
            ("integration_tests", "integration"),
            ("integrations", "integration"),
            ("Integration", "integration"),
            ("integ", "integration"),
            ("policies", "policy"),
            ("polcy", "policy"),
            ("contracts", "contract"),
        ] {
            assert_eq!(misspelt_suite(word), Some(meant), "{word}");
        }
        let others = [
            "other",
            "lint",
            "e2e",
            "smoke",
            "security",
            "performance",
            "load",
            "mutation",
            "typecheck",
            "acceptance",
            "system",
            "component",
            "a11y",
            "sast",
            "sbom",
            "regression",
            "audit",
            "",
            "api",
            "migration",
            "coverage",
        ];
        for word in others.into_iter().chain(SUITES) {
            assert_eq!(misspelt_suite(word), None, "{word}");
        }
    }

    #[test]
    fn a_misspelt_format_is_told_from_another_one() {
        for (word, meant) in [
            ("istanbul-json-summary", "istanbul-summary"),
            ("istanbul_summary", "istanbul-summary"),
            ("Istanbul-Summary", "istanbul-summary"),
            ("json-summary", "istanbul-summary"),
            ("coverage-summary", "istanbul-summary"),
            ("istanbul-json", "istanbul"),
            ("instanbul", "istanbul"),
            ("JUnit", "junit"),
            ("junit-xml", "junit"),
            ("junit4", "junit"),
            ("jnuit", "junit"),
            ("vitest", "vitest-json"),
            ("vitestjson", "vitest-json"),
            ("jest", "jest-json"),
            ("LCOV", "lcov"),
            ("lcov.info", "lcov"),
            ("lcovonly", "lcov"),
        ] {
            assert_eq!(misspelt_format(word).map(Format::as_str), Some(meant), "{word}");
        }
        let others =
            ["trx", "cobertura", "clover", "tap", "html", "text", "sarif", "jacoco", "", "go-test-json", "log", "pdf"];
        let known = ["junit", "vitest-json", "jest-json", "istanbul-summary", "istanbul", "lcov"];
        for word in others.into_iter().chain(known) {
            assert_eq!(misspelt_format(word), None, "{word}");
        }
    }
}
