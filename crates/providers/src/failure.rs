//! What goes wrong on a wire, in the words of the protocol.

use std::time::{Duration, SystemTime};

use protocol::{ModelFailure, ModelFailureKind};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::limits::MAX_ERROR_CHARS;

/// Returns a failure of `kind` without a time to wait.
pub(crate) fn failure(kind: ModelFailureKind, message: impl Into<String>) -> ModelFailure {
    ModelFailure { kind, message: message.into(), retry_after_ms: None, begun: false }
}

/// Returns the failure that an answer with an error status means.
pub(crate) fn of_status(status: StatusCode, headers: &HeaderMap, body: &str) -> ModelFailure {
    let name = status.canonical_reason().unwrap_or("unknown status");
    let message = match said(body) {
        words if words.is_empty() => format!("{} {name}", status.as_u16()),
        words => format!("{} {name}: {words}", status.as_u16()),
    };
    let (kind, retry_after_ms) = (kind_of_status(status.as_u16()), retry_after_ms(headers));
    ModelFailure { kind, message, retry_after_ms, begun: false }
}

fn kind_of_status(status: u16) -> ModelFailureKind {
    match status {
        401 | 403 => ModelFailureKind::Authentication,
        429 => ModelFailureKind::RateLimited,
        400..=499 => ModelFailureKind::InvalidRequest,
        500.. => ModelFailureKind::Unavailable,
        _ => ModelFailureKind::Protocol,
    }
}

/// An error as the three wires write it in a body or a stream.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct WireError {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// OpenAI names its codes, OpenRouter sends the HTTP status. As it is written, so that it costs no more than that.
    code: Option<Box<RawValue>>,
    #[serde(default)]
    message: Option<String>,
}

impl WireError {
    /// Returns the failure that an error in the middle of a stream means.
    pub(crate) fn failure(self) -> ModelFailure {
        let code = self.code.as_ref().map_or("", |code| code.get());
        let name = code.trim_matches('"');
        let kind = match code.parse() {
            Ok(status) => kind_of_status(status),
            Err(_) => kind_of_name(name, self.kind.as_deref()),
        };
        let name = Some(name.to_owned()).filter(|name| !name.is_empty() && name != "null").or(self.kind);
        let words = [name, self.message].into_iter().flatten().collect::<Vec<_>>().join(": ");
        failure(kind, format!("the provider reported an error: {words}"))
    }
}

fn kind_of_name(code: &str, kind: Option<&str>) -> ModelFailureKind {
    match kind.filter(|kind| *kind != "error").unwrap_or(code) {
        "rate_limit_error" | "rate_limit_exceeded" | "insufficient_quota" => ModelFailureKind::RateLimited,
        "authentication_error" | "permission_error" | "invalid_api_key" => ModelFailureKind::Authentication,
        "invalid_request_error" | "not_found_error" | "request_too_large" | "invalid_prompt" => {
            ModelFailureKind::InvalidRequest
        }
        _ => ModelFailureKind::Unavailable,
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorField,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorField {
    Structured { message: String },
    Text(String),
}

/// Returns what an error body says: its message, or whatever it is.
fn said(body: &str) -> String {
    match serde_json::from_str::<ErrorBody>(body) {
        Ok(ErrorBody { error: ErrorField::Structured { message } | ErrorField::Text(message) }) => message,
        Err(_) => body.to_owned(),
    }
}

/// Returns the beginning of `text` on one line and without control characters.
pub(crate) fn excerpt(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_ERROR_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Returns how long the provider asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110
/// § 10.2.3). A date is read against the answer's own `date`, so no clock of ours is asked.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(wait_ms) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(wait_ms);
    }
    let wait = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = wait.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let until: SystemTime = date(wait)?;
    let wait = until.duration_since(text(DATE.as_str()).and_then(date)?).unwrap_or(Duration::ZERO);
    u64::try_from(wait.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn waiting_times_are_read_in_each_form() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let until = |text| ("retry-after", text);
        assert_eq!(retry_after_ms(&headers(&[until("7")])), Some(7_000));
        assert_eq!(retry_after_ms(&headers(&[until("7"), ("retry-after-ms", "1250")])), Some(1_250));
        assert_eq!(retry_after_ms(&headers(&[date, until("Sun, 06 Nov 1994 08:50:07 GMT")])), Some(30_000));
        assert_eq!(retry_after_ms(&headers(&[date, until("Sun, 06 Nov 1994 08:00:00 GMT")])), Some(0));
        assert_eq!(retry_after_ms(&headers(&[until("Sun, 06 Nov 1994 08:50:07 GMT")])), None);
        assert_eq!(retry_after_ms(&headers(&[until("18446744073709551615")])), Some(u64::MAX));
        assert_eq!(retry_after_ms(&headers(&[until("soon")])), None);
        assert_eq!(retry_after_ms(&headers(&[])), None);
    }

    #[test]
    fn an_excerpt_is_one_short_line_without_escapes() {
        assert_eq!(excerpt("a\n\n b\u{1b}[31m\tc"), "a b [31m c");
        assert_eq!(excerpt(&"é".repeat(1000)).chars().count(), MAX_ERROR_CHARS + 1);
    }
}
