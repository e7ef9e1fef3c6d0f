//! Failures of the hub, and the gRPC status with a remedy for each.

use std::time::Duration;

use egress::Refusal;
use hub_metadata::MetadataError;
use preset_registry_api::{HubRefusal, hub_refusal, not_found_on_hub};
use tonic::{Code, Status};

/// A failed lookup of a preset. It is kept and returned to several clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HubProblem {
    /// The hub has no such model.
    #[error("not found")]
    NotFound,
    /// 401 or 403.
    #[error("access denied ({code})")]
    Denied { code: u16, with_token: bool },
    /// 429.
    #[error("too many requests")]
    Limited { retry_after: Option<Duration> },
    /// It cannot be reached, is too slow, or answers with an error.
    #[error(transparent)]
    Unavailable(#[from] HubFailure),
    /// A file or response is larger than it may be.
    #[error("{file} is larger than {limit} bytes")]
    TooLarge { file: String, limit: u64 },
    /// It redirects to an address that must not be reached.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It has the model, but no preset can be made of it.
    #[error(transparent)]
    Unsupported(#[from] MetadataError),
    /// The token cannot be read.
    #[error("failed to read the token of the hub: {problem}")]
    Token { problem: String },
    /// Too many other models are being read.
    #[error("too many models are being read")]
    Busy,
}

/// A failure of the hub or of the way to it. It may pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HubFailure {
    #[error("no response in time")]
    TimedOut,
    #[error("no connection ({reason})")]
    Connect { reason: String },
    #[error("{path} was answered with {status}")]
    Status { path: String, status: String },
    #[error("too many redirects")]
    TooManyRedirects,
    #[error("the size of {path} is not stated")]
    NoSize { path: String },
    #[error("the reading task failed: {reason}")]
    Task { reason: String },
    #[error("{reason}")]
    Other { reason: String },
}

/// Pause before a client may ask again after a transient failure.
const RETRY: Duration = Duration::from_secs(5);

impl HubProblem {
    /// Reports whether the failure may pass, so that earlier presets stay valid.
    pub(crate) const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Limited { .. } | Self::Unavailable(_) | Self::Token { .. } | Self::Busy
        )
    }

    /// A stable word for metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Denied { .. } => "denied",
            Self::Limited { .. } => "limited",
            Self::Unavailable(_) => "unavailable",
            Self::TooLarge { .. } => "too_large",
            Self::Refused(_) => "refused",
            Self::Unsupported(_) => "unsupported",
            Self::Token { .. } => "token",
            Self::Busy => "busy",
        }
    }

    /// The gRPC status for a client that asked for `name`. `near` are similar names of the catalog.
    pub(crate) fn status(&self, endpoint: &str, name: &str, near: &[&str]) -> Status {
        let refusal = |code, reason, sentence: String, retry| {
            hub_refusal(&HubRefusal {
                code,
                reason,
                name,
                sentence: &sentence,
                retry,
            })
        };
        match self {
            Self::NotFound | Self::Unsupported(MetadataError::BadId(_)) => {
                not_found_on_hub(name, near, endpoint)
            }
            Self::Denied { code, with_token } => refusal(
                Code::FailedPrecondition,
                HubRefusal::ACCESS_DENIED,
                denied(endpoint, name, *code, *with_token),
                None,
            ),
            Self::Limited { retry_after } => refusal(
                Code::Unavailable,
                HubRefusal::LIMITED,
                format!(
                    "the hub at {endpoint} allows no more requests for now; it is asked again for `{name}` later. A token \
                     (--hub-token-file) allows more"
                ),
                Some(retry_after.unwrap_or(RETRY)),
            ),
            Self::Unavailable(_) | Self::Token { .. } => refusal(
                Code::Unavailable,
                HubRefusal::UNAVAILABLE,
                format!("the hub at {endpoint} cannot be asked for `{name}`: {self}"),
                Some(RETRY),
            ),
            Self::Busy => refusal(
                Code::ResourceExhausted,
                HubRefusal::LIMITED,
                format!("{self}, ask again for `{name}` in a moment"),
                Some(RETRY),
            ),
            Self::TooLarge { .. } | Self::Refused(_) | Self::Unsupported(_) => refusal(
                Code::FailedPrecondition,
                HubRefusal::UNSUPPORTED,
                format!(
                    "no preset can be made of `{name}` at {endpoint}: {self}; write one in a preset file"
                ),
                None,
            ),
        }
    }
}

fn denied(endpoint: &str, name: &str, code: u16, with_token: bool) -> String {
    let help = if with_token {
        "the registry's token may not read it: accept the model's license with the account of the token, or use the token \
         of an account that has access"
    } else {
        "it is gated or private, or does not exist: give the registry a token that may read it (--hub-token-file; in the \
         chart presetRegistry.hub.tokenSecret), and accept the model's license with the account of the token"
    };
    format!("the hub at {endpoint} refuses `{name}` ({code}): {help}")
}
