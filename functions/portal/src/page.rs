//! A page as HTTP takes it.

use askama::Template;
use lambda_http::{
    Body, Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};

use crate::Trouble;

/// On every answer. Nothing is loaded and nothing runs; styles are inline, because a page that is saved must stay whole. What
/// a page tells may be over a moment later and is nobody else's, so nothing keeps it.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Its status.
    pub(crate) status: StatusCode,
    text: String,
}

/// A page that only says something.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
}

impl Page {
    /// A page from its template.
    pub(crate) fn of(template: &impl Template) -> Result<Self, Trouble> {
        Ok(Self { status: StatusCode::OK, text: template.render()? })
    }

    /// That there is nothing at a path.
    pub(crate) fn not_found() -> Self {
        Self::message(
            StatusCode::NOT_FOUND,
            "There is no such page",
            "Follow the links above to find what you look for.",
        )
    }

    /// That pages are only read.
    pub(crate) fn method_not_allowed() -> Self {
        Self::message(
            StatusCode::METHOD_NOT_ALLOWED,
            "Pages are only read here",
            "Nothing can be changed by this portal.",
        )
    }

    /// That something in the request is malformed.
    pub(crate) fn malformed(why: &str) -> Self {
        Self::message(StatusCode::BAD_REQUEST, "That can’t be looked for", why)
    }

    /// That it could not be made; what went wrong is in the log, by the request's id.
    pub(crate) fn failed(request_id: &str) -> Self {
        let text =
            format!("Try again in a moment. If it stays so, tell the platform team this request id: {request_id}");
        Self::message(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made", &text)
    }

    fn message(status: StatusCode, title: &str, text: &str) -> Self {
        let page = Message { title, text }.render();
        // A template without conditions can't fail but by its writer, and that is a string.
        Self { status, text: page.unwrap_or_else(|_| title.to_owned()) }
    }

    /// The answer; without its text to whom asked for its head only.
    pub(crate) fn response(self, is_head: bool) -> Response<Body> {
        let body = if is_head { Body::Empty } else { Body::Text(self.text) };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        response
    }
}
