//! The answer to the request to replace an unhealthy Node.

use jiff::{SignedDuration, Timestamp};

/// Time for which many unhealthy Nodes are kept, because the network or the control plane may be the cause. It begins again
/// with every other Node that fails, and whenever the cloud or the API server does not answer.
pub(crate) const MASS_FAILURE_HOLD: SignedDuration = SignedDuration::from_mins(30);

/// Answer to the request to replace an unhealthy Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RepairAnswer {
    /// The repair is not due.
    #[default]
    NotAsked,
    /// The Node may be replaced.
    Granted,
    /// The Node stays for now.
    Held(RepairHold),
}

/// Reason for which an unhealthy Node stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairHold {
    /// The share of this time is used up, until then.
    Brake(Timestamp),
    /// Too many Nodes are unhealthy at once.
    Many,
    /// Other Nodes are unhealthy, or others of the same Workspace are not ready: an outdated node has time.
    Others,
    /// The cloud does not answer.
    CloudSilent,
    /// The API server does not answer.
    NodeUnread,
}
