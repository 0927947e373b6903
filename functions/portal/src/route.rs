//! What a request asks for.

use gatekeeper_model::ids::{Repo, Sha256, StageName};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use lambda_http::http::Method;

use crate::history::Cursor;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// What every stage runs.
    Overview,
    /// What happened to a repository, from the places of its chains where the page before ended.
    History(Repo, Cursor),
    /// The evidence on what a stage runs of a repository, now or at a time.
    Evidence(StageName, Repo, Option<Timestamp>),
    /// Whose bytes have a digest; none before somebody asked.
    Search(Option<Sha256>),
}

/// Why there is no page for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoPage {
    /// There is none at that path.
    NotFound,
    /// It asks for more than to read.
    MethodNotAllowed,
    /// Something in it is malformed: what, and what it should be.
    Malformed(String),
}

impl Route {
    /// Reads a request; `parameters` are those behind the question mark, decoded.
    pub(crate) fn parse(method: &Method, path: &str, parameters: &[(&str, &str)]) -> Result<Self, NoPage> {
        // A form that was left empty sends its names all the same.
        let given = |name: &str| parameters.iter().find(|(key, value)| *key == name && !value.trim().is_empty());
        let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let route = match parts.as_slice() {
            [""] => Self::Overview,
            ["repos", repo] => Self::History(part(repo)?, Cursor::parse(parameters).map_err(NoPage::Malformed)?),
            ["evidence", stage, repo] => {
                let at = given("at").map(|(_, at)| time(at)).transpose()?;
                Self::Evidence(part(stage)?, part(repo)?, at)
            }
            ["search"] => Self::Search(given("digest").map(|(_, text)| digest(text)).transpose()?),
            _ => return Err(NoPage::NotFound),
        };
        if *method == Method::GET || *method == Method::HEAD { Ok(route) } else { Err(NoPage::MethodNotAllowed) }
    }
}

/// A name in a path: what can't be one is nowhere.
fn part<T: std::str::FromStr>(text: &str) -> Result<T, NoPage> {
    text.parse().map_err(|_| NoPage::NotFound)
}

/// A moment as people and programs write it: with its zone, or without one, which is UTC.
fn time(text: &str) -> Result<Timestamp, NoPage> {
    let text = text.trim();
    let utc = |at: DateTime| at.to_zoned_datetime(TimeZone::UTC).map(|at| at.timestamp());
    text.parse().or_else(|_| text.parse().and_then(utc)).map_err(|_| {
        NoPage::Malformed(format!("`at` is `{text}`, not a time such as `2026-05-02T03:04:05Z` or `2026-05-02T03:04`"))
    })
}

/// A SHA-256 as this page shows it, or as Lambda shows `CodeSha256`.
fn digest(text: &str) -> Result<Sha256, NoPage> {
    let text = text.trim();
    let hex = text.to_ascii_lowercase();
    hex.parse().ok().or_else(|| Sha256::from_base64(text)).ok_or_else(|| {
        NoPage::Malformed(format!("`digest` is `{text}`, not a SHA-256 of 64 hexadecimal digits or in base64"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_its_path() {
        let (stage, repo): (StageName, Repo) = ("uat".parse().unwrap(), "bank-payments".parse().unwrap());
        let evidence =
            |at: Option<&str>| Route::Evidence(stage.clone(), repo.clone(), at.map(|it| it.parse().unwrap()));
        let sha256 = Sha256::of(b"a bundle");
        for (path, parameters, route) in [
            ("/", [].as_slice(), Route::Overview),
            ("", &[], Route::Overview),
            ("/repos/bank-payments", &[], Route::History(repo.clone(), Cursor::default())),
            ("/evidence/uat/bank-payments", &[], evidence(None)),
            ("/evidence/uat/bank-payments", &[("at", "")], evidence(None)),
            (
                "/evidence/uat/bank-payments",
                &[("at", "2026-05-02T05:04:05+02:00")],
                evidence(Some("2026-05-02T03:04:05Z")),
            ),
            ("/evidence/uat/bank-payments", &[("at", "2026-05-02T03:04")], evidence(Some("2026-05-02T03:04:00Z"))),
            ("/search", &[], Route::Search(None)),
            ("/search", &[("digest", " ")], Route::Search(None)),
            (
                "/search",
                &[("digest", &format!(" {} ", sha256.to_string().to_uppercase()))],
                Route::Search(Some(sha256)),
            ),
            ("/search", &[("digest", &sha256.to_base64())], Route::Search(Some(sha256))),
        ] {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(Route::parse(&method, path, parameters).as_ref(), Ok(&route), "{path} {parameters:?}");
            }
        }
    }

    #[test]
    fn there_is_no_page_anywhere_else() {
        for path in [
            "/x",
            "/repos",
            "/repos/",
            "/repos/Bank",
            "/repos/..",
            "/repos/a/b",
            "/evidence/uat",
            "/evidence/UAT/bank",
            "//",
        ] {
            assert_eq!(Route::parse(&Method::GET, path, &[]), Err(NoPage::NotFound), "{path}");
        }
    }

    #[test]
    fn pages_are_only_read() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            assert_eq!(Route::parse(&method, "/", &[]), Err(NoPage::MethodNotAllowed), "{method}");
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        let evidence = "/evidence/uat/bank-payments";
        for (path, name, value) in
            [("/search", "digest", "abc"), (evidence, "at", "yesterday"), (evidence, "at", "03:04")]
        {
            let Err(NoPage::Malformed(why)) = Route::parse(&Method::GET, path, &[(name, value)]) else {
                panic!("{value}")
            };
            assert!(why.starts_with(&format!("`{name}` is `{value}`, not a ")), "{why}");
        }
    }
}
