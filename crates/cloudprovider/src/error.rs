//! What can go wrong at a cloud, by what it means for us.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// A cloud's refusal or failure. `Display` is one line for people, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{code}: {message}{}", request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default())]
pub struct ProviderError {
    /// What it means for us.
    pub class: ErrorClass,
    /// The cloud's own code, innermost first choice; `Transport` and the like where it gave none.
    pub code: String,
    /// The cloud's own text.
    pub message: String,
    /// How long the cloud asks us to wait.
    pub retry_after: Option<SignedDuration>,
    /// The cloud's id of the request, for its support.
    pub request_id: Option<String>,
}

impl ProviderError {
    /// An error without request id and waiting time.
    #[must_use]
    pub fn new(class: ErrorClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            code: code.into(),
            message: message.into(),
            retry_after: None,
            request_id: None,
        }
    }

    /// The same error, with the time that the cloud asks us to wait.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<SignedDuration>) -> Self {
        Self { retry_after, ..self }
    }
}

/// What an error means for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorClass {
    /// The thing asked for is not there, and the cluster is: never inferred from another error.
    NotFound,
    /// The instance type cannot be had in this place at all.
    SkuUnavailable,
    /// A quota is used up.
    Quota,
    /// No machine is free now.
    Capacity,
    /// Another operation holds the cluster or the pool.
    Busy,
    /// Too many requests, by the cloud's count or by ours.
    Throttled,
    /// Not sent: our own limit on concurrent writes holds it back. Says nothing about the cloud.
    LocallyLimited,
    /// Our identity is refused.
    Unauthorized,
    /// The cluster or its group is not there; says nothing about a pool.
    ClusterNotFound,
    /// The request is wrong and will stay wrong.
    Invalid,
    /// A precondition (`If-Match`, `If-None-Match`) did not hold: somebody else was faster.
    Precondition,
    /// Failed for no lasting reason: time-outs, 5xx, broken connections.
    Transient,
}

impl ErrorClass {
    /// Stable word for metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::SkuUnavailable => "sku_unavailable",
            Self::Quota => "quota",
            Self::Capacity => "capacity",
            Self::Busy => "busy",
            Self::Throttled => "throttled",
            Self::LocallyLimited => "locally_limited",
            Self::Unauthorized => "unauthorized",
            Self::ClusterNotFound => "cluster_not_found",
            Self::Invalid => "invalid",
            Self::Precondition => "precondition",
            Self::Transient => "transient",
        }
    }

    /// Whether trying the same request again can ever help.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::SkuUnavailable | Self::Invalid)
    }
}
