//! Conversion of Azure's error responses, and of missing responses, to the port's [`ProviderError`].
//!
//! No module above this one sees an Azure code, status or envelope.

mod layers;
mod retry_after;
mod row;
mod table;

use azure_core::error::ErrorKind;
use azure_core::http::StatusCode;
use cloudprovider::{ErrorClass, ProviderError};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use layers::ErrorLayer;

/// Longest text of an error: it is shown in conditions and events.
const TEXT_LIMIT: usize = 1024;
/// Pause while the quota is zero: a person has to request more first.
const NO_QUOTA_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// The parts of a response that an error is read from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusal<'a> {
    /// HTTP status; 0 for the error of an operation.
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    pub(crate) retry_after: Option<&'a str>,
    /// Time of the response, by the server's clock.
    pub(crate) date: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
}

/// Reads the error of a response that is not a success.
pub(crate) fn from_refusal(refusal: Refusal<'_>) -> ProviderError {
    let layers = layers::of_body(refusal.body);
    let mut error = from_layers(refusal.status, &layers);
    if layers.is_empty() {
        error.message = describe(refusal.status, refusal.body);
    }
    let now = refusal
        .date
        .and_then(retry_after::date)
        .unwrap_or_else(Timestamp::now);
    error.retry_after = refusal
        .retry_after
        .and_then(|v| retry_after::from_header(v, now))
        .or(error.retry_after);
    error.request_id = refusal.request_id.map(str::to_owned);
    error
}

/// Reads the error of a failed or canceled operation.
pub(crate) fn from_operation(status: &str, error: Option<&Value>) -> ProviderError {
    let layers = error.map(layers::of_value).unwrap_or_default();
    let mut error = from_layers(0, &layers);
    if layers.is_empty() {
        error.code = status.to_owned();
        error.message = format!("the operation ended as {status} without a reason");
    }
    error
}

/// Reads an error that stands beside a state, such as that of a failed pool; `None` if it says nothing.
pub(crate) fn from_instance(error: &Value) -> Option<ProviderError> {
    let layers = layers::of_value(error);
    (!layers.is_empty()).then(|| from_layers(0, &layers))
}

fn from_layers(status: u16, layers: &[ErrorLayer]) -> ProviderError {
    let (row, decisive) = table::decide(status, layers);
    tracing::debug!(
        status,
        row = row.name,
        class = row.class.label(),
        "request refused by Azure"
    );
    // Wrappers explain little, and `Unspecified` nothing. Show the innermost layer of the same class.
    let named = |layer: &&ErrorLayer| !layer.code.is_empty() && layer.code != "Unspecified";
    let informative = |layer: &&ErrorLayer| {
        let alone = table::decide(status, std::slice::from_ref(*layer)).0;
        named(layer) && !layer.message.is_empty() && alone.class == row.class
    };
    let shown = layers
        .iter()
        .rev()
        .find(informative)
        .or(decisive.filter(|l| named(l)))
        .or(layers.first());
    let code = shown
        .map(|layer| layer.code.clone())
        .filter(|code| !code.is_empty());
    let message = [shown, decisive, layers.first()]
        .into_iter()
        .flatten()
        .map(|layer| one_line(&layer.message))
        .find(|message| !message.is_empty());
    ProviderError::new(
        row.class,
        code.unwrap_or_else(|| format!("Http{status}")),
        message.unwrap_or_else(|| "no reason given".to_owned()),
    )
    .with_retry_after(wait(row.class, layers))
}

fn wait(class: ErrorClass, layers: &[ErrorLayer]) -> Option<SignedDuration> {
    match class {
        ErrorClass::Throttled => layers
            .iter()
            .find_map(|layer| retry_after::from_text(&layer.message)),
        ErrorClass::Quota => layers
            .iter()
            .any(|layer| is_without_quota(&layer.message))
            .then_some(NO_QUOTA_PAUSE),
        _ => None,
    }
}

/// Returns true if a text says that the whole quota is zero, or that nothing of it is left.
fn is_without_quota(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "current limit: 0,",
        "remaining 0 ",
        "remaining 0.",
        "left regional vcpu quota 0,",
        "left regional vcpu quota 0.",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// Returns true if a throttled request was counted for the whole subscription, not for one pool.
pub(crate) fn is_subscription_wide(error: &ProviderError) -> bool {
    let text = error.message.to_ascii_lowercase();
    let codes = ["SubscriptionRequestsThrottled", "OperationNotAllowed"];
    error.class == ErrorClass::Throttled
        && (codes.contains(&error.code.as_str())
            || text.contains("subid=")
            || text.contains("for this subscription"))
}

/// Classifies a request without a response.
pub(crate) fn from_transport(error: &azure_core::Error) -> ProviderError {
    let text = one_line(&error.to_string());
    if let Some((status, code)) = token_refusal(error) {
        let class = if (400..500).contains(&status) && !matches!(status, 408 | 429) {
            ErrorClass::Unauthorized
        } else {
            ErrorClass::Transient
        };
        return ProviderError::new(class, code, text);
    }
    let code = if matches!(error.kind(), ErrorKind::Credential) {
        "Credential"
    } else {
        "Transport"
    };
    ProviderError::new(ErrorClass::Transient, code, text)
}

/// Status and code of the token service, if it refused the request.
fn token_refusal(error: &azure_core::Error) -> Option<(u16, String)> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        let kind = error
            .downcast_ref::<azure_core::Error>()
            .map(azure_core::Error::kind);
        if let Some(ErrorKind::HttpResponse {
            status, error_code, ..
        }) = kind
        {
            let code = error_code
                .as_ref()
                .map_or_else(|| "Credential".to_owned(), |code| format!("AADSTS{code}"));
            return Some((u16::from(*status), code));
        }
        source = error.source();
    }
    None
}

/// Returns true if the status is a success.
pub(crate) fn is_success(status: u16) -> bool {
    StatusCode::from(status).is_success()
}

/// Describes a response without an error body, which is most often a gateway's page.
fn describe(status: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let title = text
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map(|(t, _)| one_line(t));
    match title {
        Some(title) if !title.is_empty() => format!("HTTP status {status}: {title}"),
        _ => format!("HTTP status {status} without a reason"),
    }
}

/// Puts a text on one line and cuts it.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if line.len() + word.len() >= TEXT_LIMIT {
            line.push('…');
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests;
