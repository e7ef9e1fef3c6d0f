//! Notes about launches that are stored on the claim as annotations. A restart then neither forgets a pause nor repeats
//! a request that the cloud has refused for good.

use cloudprovider::{Offering, ProviderError};
use jiff::Timestamp;
use kaito_api::Claim;
use kaito_api::labels::{LAUNCH_FAILURE, LAUNCH_OFFERING, LAUNCH_STARTED, LAUNCH_UNANSWERED, OPERATION_URL};
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};

/// The launch annotations of a claim.
pub(crate) struct LaunchRecord {
    /// Time of the last intent to create an instance.
    pub(crate) started: Option<Timestamp>,
    /// The offering that it asked for.
    pub(crate) offering: Option<Offering>,
    /// Time of the last create request that got no answer.
    pub(crate) unanswered: Option<Timestamp>,
    /// Address at which the last create request can be followed.
    pub(crate) operation_url: Option<String>,
    /// The last failure, unless the claim has changed since.
    pub(crate) failure: Option<LaunchFailure>,
    /// Time of the last failure, even if the claim has changed since.
    pub(crate) failed_at: Option<Timestamp>,
}

/// One failed launch.
///
/// Written only for what memory cannot hold: failures of accepted requests, and terminal refusals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaunchFailure {
    /// Time at which it was noticed; for a refusal, that of the answer.
    pub(crate) at: Timestamp,
    /// Number of failures in a row.
    pub(crate) count: u32,
    /// Generation of the claim that failed.
    pub(crate) generation: i64,
    /// The offering that was asked for, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offering: Option<Offering>,
    /// Error of the cloud, or ours.
    pub(crate) error: ProviderError,
}

/// Our code for an instance that was complete and whose Node did not join in time.
pub(crate) const DID_NOT_JOIN: &str = "NodeDidNotJoin";

impl LaunchFailure {
    /// Returns true if the Node of an instance did not join.
    pub(crate) fn has_not_joined(&self) -> bool {
        self.error.code == DID_NOT_JOIN
    }

    /// Returns true if only the offering failed: another one may well be there.
    pub(crate) fn is_of_offering(&self) -> bool {
        self.offering.is_some() && self.error.class.is_of_offering()
    }
}

impl LaunchRecord {
    /// Reads the annotations; unreadable ones count as absent.
    pub(crate) fn read(claim: &Claim) -> Self {
        let annotation = |key: &str| claim.annotations().get(key);
        let time = |key: &str| annotation(key)?.parse().ok();
        let failure =
            annotation(LAUNCH_FAILURE).and_then(|text| serde_json::from_str::<LaunchFailure>(text).ok());
        let generation = claim.metadata().generation.unwrap_or_default();
        Self {
            started: time(LAUNCH_STARTED),
            offering: annotation(LAUNCH_OFFERING).and_then(|text| serde_json::from_str(text).ok()),
            unanswered: time(LAUNCH_UNANSWERED),
            operation_url: annotation(OPERATION_URL).cloned(),
            failed_at: failure.as_ref().map(|failure| failure.at),
            failure: failure.filter(|failure| failure.generation == generation),
        }
    }
}
