//! Pure decisions about a lease, from its content and the time for which it has not changed.
//!
//! Clocks of different machines are never compared. A lease has expired when *this* replica has seen it unchanged for
//! its whole duration.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// The last observed version of a lease, and the time since it is unchanged.
#[derive(Debug, Default)]
pub(crate) struct Sighting {
    version: Option<String>,
    since: Option<Instant>,
}

/// Decision of a candidate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The lease is free, expired or ours.
    Take,
    /// Another replica holds it.
    Wait,
}

impl Sighting {
    /// Records the observed lease and decides.
    pub(crate) fn decide(&mut self, lease: &Lease, me: &str, now: Instant) -> Decision {
        if self.since.is_none() || self.version != lease.metadata.resource_version {
            self.version.clone_from(&lease.metadata.resource_version);
            self.since = Some(now);
        }
        let unchanged = self
            .since
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        match holder(lease) {
            Some(holder) if holder != me && unchanged < duration(lease) => Decision::Wait,
            _ => Decision::Take,
        }
    }
}

/// Identity of the holder; `None` if the lease is free.
pub(crate) fn holder(lease: &Lease) -> Option<&str> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}

fn duration(lease: &Lease) -> Duration {
    let seconds = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_duration_seconds)
        .unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Returns the spec with us as the holder from now on.
pub(crate) fn taken(lease: Option<&Lease>, me: &str, duration: Duration, now: Timestamp) -> LeaseSpec {
    let before = lease.and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let ours = lease.and_then(holder) == Some(me);
    let transitions = before.lease_transitions.unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
        acquire_time: if ours {
            before.acquire_time
        } else {
            Some(MicroTime(now))
        },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if ours {
            transitions
        } else {
            transitions.saturating_add(1)
        }),
        ..LeaseSpec::default()
    }
}

/// Returns the spec without a holder, so that a successor starts at once.
pub(crate) fn released(lease: &Lease, now: Timestamp) -> LeaseSpec {
    let before = lease.spec.clone().unwrap_or_default();
    LeaseSpec {
        holder_identity: None,
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(now)),
        lease_transitions: before.lease_transitions,
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests;
