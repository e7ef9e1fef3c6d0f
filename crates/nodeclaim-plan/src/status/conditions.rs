//! One step's verdict, from which a condition is made. Knows nothing of claims.

use kaito_api::conditions::{ClaimReason, Status};

/// How far one step is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) status: Status,
    pub(crate) reason: Option<ClaimReason>,
    pub(crate) message: String,
}

impl Step {
    /// Done: knative says nothing more.
    pub(crate) fn done() -> Self {
        Self {
            status: Status::True,
            reason: None,
            message: String::new(),
        }
    }

    /// Not done yet, and nothing is known to be wrong for good.
    pub(crate) fn waiting(reason: ClaimReason, cause: &str) -> Self {
        Self {
            status: Status::Unknown,
            reason: Some(reason),
            message: tell(cause, reason.remedy()),
        }
    }

    /// Failed as things are; looked at again on every pass.
    pub(crate) fn failed(reason: ClaimReason, cause: &str) -> Self {
        Self {
            status: Status::False,
            ..Self::waiting(reason, cause)
        }
    }
}

/// Cause first, because readers cut messages short; then what helps.
pub(crate) fn tell(cause: &str, remedy: &str) -> String {
    let cause = cause.trim_end();
    let dot = if cause.ends_with(['.', '!', '?']) || cause.is_empty() {
        ""
    } else {
        "."
    };
    let mut text = format!("{cause}{dot}");
    // Condition messages begin like sentences, whoever wrote the cause.
    if let Some(first) = text.get(..1).map(str::to_ascii_uppercase) {
        text.replace_range(..1, &first);
    }
    if remedy.is_empty() {
        text
    } else {
        format!("{text} {remedy}")
    }
}
