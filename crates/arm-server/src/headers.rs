//! Headers of ARM's responses: ids, remaining budgets, and URLs of operations.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::envelope::RetryAfter;
use crate::faults::Verb;

/// Version of the operations' own API.
const OPERATIONS_VERSION: &str = "2025-03-01";

/// Address of the server, as the client wrote it.
pub(crate) fn base_url(headers: &HeaderMap) -> String {
    let host = headers
        .get("host")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("localhost");
    format!("http://{host}")
}

/// Sets a header whose value is valid by construction.
pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Headers of an error of the gateway: it names itself and counts nothing.
pub(crate) fn of_gateway(headers: &mut HeaderMap, request_id: &str) {
    ids(headers, request_id);
    set(headers, "x-ms-failure-cause", "gateway");
}

fn ids(headers: &mut HeaderMap, request_id: &str) {
    set(headers, "x-ms-request-id", request_id);
    set(headers, "x-ms-correlation-request-id", request_id);
    set(
        headers,
        "x-ms-routing-request-id",
        &format!("EASTUS:20260101T000000Z:{request_id}"),
    );
    set(headers, "cache-control", "no-cache");
}

/// Headers of every response of the service, with the requests that are left.
pub(crate) fn common(headers: &mut HeaderMap, verb: Option<Verb>, request_id: &str, left: Option<u32>) {
    ids(headers, request_id);
    let count = left.unwrap_or(799).to_string();
    let left: &[(&'static str, &str)] = match verb {
        Some(Verb::Put | Verb::Abort) => &[
            ("x-ms-ratelimit-remaining-subscription-writes", count.as_str()),
            ("x-ms-ratelimit-remaining-subscription-global-writes", "11999"),
        ],
        Some(Verb::Delete) => &[
            ("x-ms-ratelimit-remaining-subscription-deletes", count.as_str()),
            ("x-ms-ratelimit-remaining-subscription-global-deletes", "11999"),
        ],
        _ => &[("x-ms-ratelimit-remaining-subscription-global-reads", "16499")],
    };
    for (name, value) in left {
        set(headers, name, value);
    }
}

/// URL of an operation's status (`operations`) or result (`operationresults`).
pub(crate) fn operation_url(
    base: &str,
    (subscription, location): (&str, &str),
    kind: &str,
    (id, seal): (&str, &str),
) -> String {
    format!(
        "{base}/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}/{kind}/{id}\
         ?api-version={OPERATIONS_VERSION}&{seal}"
    )
}

/// `Retry-After`, and the server's date, which a date in it refers to.
pub(crate) fn retry_after(headers: &mut HeaderMap, retry_after: RetryAfter) {
    match retry_after {
        RetryAfter::Seconds(seconds) => set(headers, "retry-after", &seconds.to_string()),
        RetryAfter::DateIn(seconds) => {
            let now = Timestamp::now();
            set(headers, "date", &http_date(now));
            set(
                headers,
                "retry-after",
                &http_date(now + Duration::from_secs(seconds)),
            );
        }
    }
}

fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_spelled_as_http_does() {
        assert_eq!(http_date(Timestamp::UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn operation_urls_carry_the_seal() {
        let url = operation_url("http://h:1", ("s", "eastus"), "operations", ("id", "t=1&s=2"));
        assert!(
            url.ends_with("/locations/eastus/operations/id?api-version=2025-03-01&t=1&s=2"),
            "{url}"
        );
    }
}
