//! The wait that Azure asks for: from the header as seconds or as a date, or from the text of the error.

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};

/// Longest wait; a longer one is taken for a mistake.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// Reads `Retry-After`. A date is counted from `now`, which should be the response's own `Date`.
pub(super) fn from_header(value: &str, now: Timestamp) -> Option<SignedDuration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)).min(LONGEST));
    }
    let at = date(value)?;
    Some(at.duration_since(now).clamp(SignedDuration::ZERO, LONGEST))
}

/// Parses a date of HTTP.
pub(super) fn date(value: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(value.trim()).ok()
}

/// Reads `retry again in N seconds`, `retry after N seconds` and `try again after 'N' minutes`.
pub(super) fn from_text(text: &str) -> Option<SignedDuration> {
    let lower = text.to_ascii_lowercase();
    let start = [
        "retry again in ",
        "try again after ",
        "try again in ",
        "retry after ",
        "retry in ",
    ]
    .iter()
    .find_map(|m| lower.find(m).map(|at| at + m.len()))?;
    let mut words = lower[start..].split_whitespace();
    let number: i64 = words.next()?.trim_matches('\'').parse().ok()?;
    let unit = words.next()?;
    let seconds = if unit.starts_with("minute") {
        number.checked_mul(60)?
    } else {
        number
    };
    (unit.starts_with("minute") || unit.starts_with("second"))
        .then(|| SignedDuration::from_secs(seconds).clamp(SignedDuration::ZERO, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> Option<SignedDuration> {
        Some(SignedDuration::from_secs(seconds))
    }

    #[test]
    fn headers_hold_seconds_or_a_date() {
        let now = date("Tue, 06 Jan 2026 10:00:00 GMT").unwrap();
        assert_eq!(from_header(" 36 ", now), seconds(36));
        assert_eq!(from_header("Tue, 06 Jan 2026 10:01:30 GMT", now), seconds(90));
        assert_eq!(from_header("Tue, 06 Jan 2026 09:00:00 GMT", now), seconds(0));
        assert_eq!(from_header("4000000000", now), Some(LONGEST));
        assert_eq!(from_header("soon", now), None);
        assert_eq!(from_header("-5", now), None);
    }

    #[test]
    fn texts_hold_it_too() {
        assert_eq!(
            from_text("exceeded for SubID='s', please retry again in 36 seconds. For more"),
            seconds(36)
        );
        assert_eq!(
            from_text("exceeded the limit … please try again after '5' minutes."),
            seconds(300)
        );
        assert_eq!(from_text("Too many requests. Retry after 2 seconds."), seconds(2));
        assert_eq!(from_text("please try again later"), None);
        assert_eq!(from_text("retry again in many seconds"), None);
    }
}
