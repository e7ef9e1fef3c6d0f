//! Errors of a cloud, classified by what the planner does about them.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// An error that a cloud returned. `Display` is one line for people, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{code}: {message}{}", request_id.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default())]
pub struct ProviderError {
    /// Class, which decides about retries and conditions.
    pub class: ErrorClass,
    /// The cloud's own code, the innermost if there are several; ours, such as `Transport`, if it gave none.
    pub code: String,
    /// The cloud's own text.
    pub message: String,
    /// Wait that the cloud asks for.
    pub retry_after: Option<SignedDuration>,
    /// The cloud's id of the request, for its support.
    pub request_id: Option<String>,
}

impl ProviderError {
    /// An error without request id and wait.
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

    /// The same error with the wait that the cloud asks for.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<SignedDuration>) -> Self {
        Self { retry_after, ..self }
    }

    /// The same error with the cloud's id of the request.
    #[must_use]
    pub fn with_request_id(self, request_id: Option<String>) -> Self {
        Self { request_id, ..self }
    }
}

/// Class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorClass {
    /// The instance does not exist, and the cluster does. Never inferred from another error.
    NotFound,
    /// The instance type is not offered here at all.
    SkuUnavailable,
    /// A quota is used up.
    Quota,
    /// The cloud has no free machine now.
    Capacity,
    /// The cloud has machines, but their Nodes do not join the cluster.
    NeverJoined,
    /// The network of the cluster has no free address for another node.
    NoAddresses,
    /// The cluster has as many instances as it may have.
    ClusterFull,
    /// The cluster is stopped.
    ClusterStopped,
    /// A policy of the cloud's administrator denies the request.
    Policy,
    /// An administrator has to change something first, such as a lock or a disabled subscription.
    Blocked,
    /// Another operation holds the cluster or the instance.
    Busy,
    /// Too many requests by the cloud's count.
    Throttled,
    /// Not sent: a limit of our own was reached. Proves nothing about the cloud, and is no failure.
    LocallyLimited,
    /// The cloud refuses our identity.
    Unauthorized,
    /// The cluster or its group does not exist. Proves nothing about an instance.
    ClusterNotFound,
    /// The request is invalid and stays so.
    Invalid,
    /// A precondition of the request did not hold: the instance exists, or has changed.
    Precondition,
    /// Failed for no lasting reason: timeouts, 5xx, broken connections.
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
            Self::NeverJoined => "never_joined",
            Self::NoAddresses => "no_addresses",
            Self::ClusterFull => "cluster_full",
            Self::ClusterStopped => "cluster_stopped",
            Self::Policy => "policy",
            Self::Blocked => "blocked",
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

    /// Returns true if the same request cannot succeed later.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::SkuUnavailable | Self::Invalid)
    }
}
