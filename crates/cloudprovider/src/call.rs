//! What a planner may ask of the cloud, and what became of the last request.

use jiff::Timestamp;

use crate::error::ProviderError;
use crate::pool::AgentPoolSpec;

/// One request to the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudCall {
    /// Read one pool now, past every cache.
    Read {
        /// The pool.
        name: String,
    },
    /// Ask for a pool.
    Create(Box<AgentPoolSpec>),
    /// Ask for a pool to be deleted.
    Delete {
        /// The pool.
        name: String,
        /// Its version, when it is to be deleted only unchanged.
        etag: Option<String>,
    },
    /// Cancel what runs on a pool.
    Abort {
        /// The pool.
        name: String,
    },
    /// Read why an operation failed.
    ReadOperation {
        /// The pool it is about.
        name: String,
        /// Opaque URL.
        url: String,
    },
}

impl CloudCall {
    /// Which kind of request it is.
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

    /// The pool it is about.
    #[must_use]
    pub fn pool(&self) -> &str {
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

/// What became of the last request about a claim's pool. Lost at a restart, which costs one more request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    /// When the answer came.
    pub at: Timestamp,
    /// What was asked.
    pub kind: CallKind,
    /// The error, when it was refused or failed.
    pub error: Option<ProviderError>,
    /// How many times in a row this kind of request has failed; 0 after a success.
    pub failures: u32,
    /// Where the operation that it started can be followed.
    pub operation_url: Option<String>,
}
