//! Requests to a cloud that a planner may choose, and the outcome of the last one.

use jiff::Timestamp;

use crate::error::ProviderError;
use crate::launch::LaunchSpec;

/// One request to the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudCall {
    /// Read one instance now, past every cache.
    Read {
        /// Name of the instance.
        name: String,
    },
    /// Request an instance.
    Create(Box<LaunchSpec>),
    /// Request the deletion of an instance.
    Delete {
        /// Name of the instance.
        name: String,
        /// Version of the instance, if only that one is to be deleted.
        version: Option<String>,
    },
    /// Cancel the running operation on an instance.
    Abort {
        /// Name of the instance.
        name: String,
    },
    /// Read the reason of a failed operation.
    ReadOperation {
        /// Name of the instance.
        name: String,
        /// Opaque URL.
        url: String,
    },
}

impl CloudCall {
    /// Kind of the request.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Read { .. } => CallKind::Read,
            Self::Create(_) => CallKind::Create,
            Self::Delete { .. } => CallKind::Delete,
            Self::Abort { .. } => CallKind::Abort,
            Self::ReadOperation { .. } => CallKind::ReadOperation,
        }
    }

    /// Name of the instance.
    #[must_use]
    pub fn instance(&self) -> &str {
        match self {
            Self::Create(spec) => &spec.name,
            Self::Read { name }
            | Self::Delete { name, .. }
            | Self::Abort { name }
            | Self::ReadOperation { name, .. } => name,
        }
    }
}

/// Kind of a [`CloudCall`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the call it is named after")]
pub enum CallKind {
    Read,
    Create,
    Delete,
    Abort,
    ReadOperation,
}

impl CallKind {
    /// Stable word for metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Read => "get",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Abort => "abort",
            Self::ReadOperation => "operation",
        }
    }
}

/// A request that was not sent, because a limit of our own was reached. It is no failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// Time of the decision.
    pub at: Timestamp,
    /// Time from which the request may be sent.
    pub until: Timestamp,
    /// Kind of the request.
    pub kind: CallKind,
    /// The limit.
    pub error: ProviderError,
}

/// Outcome of the last request about a claim's instance. A restart loses it, which costs one more request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    /// Time of the response.
    pub at: Timestamp,
    /// Kind of the request.
    pub kind: CallKind,
    /// The error, if the request was refused or failed.
    pub error: Option<ProviderError>,
    /// Failures of this kind of request in a row; 0 after a success.
    pub failures: u32,
    /// Accepted requests of this kind before this one, without another kind between them.
    pub repeats: u32,
    /// URL of the operation that the request started.
    pub operation_url: Option<String>,
}
