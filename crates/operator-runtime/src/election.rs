//! Who may hold a lease: pure decisions over what a lease says and how long it has said so.
//!
//! Clocks of different machines are never compared: a lease has lapsed when *we* have watched it unchanged for
//! its whole duration.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// A lease as we have watched it.
#[derive(Debug, Default)]
pub(crate) struct Sighting {
    version: Option<String>,
    since: Option<Instant>,
}

/// What a candidate is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The lease is free, lapsed or ours.
    Take,
    /// It is another's.
    Wait,
}

impl Sighting {
    /// Takes a look at the lease.
    pub(crate) fn judge(&mut self, lease: &Lease, me: &str, now: Instant) -> Verdict {
        if self.since.is_none() || self.version != lease.metadata.resource_version {
            self.version.clone_from(&lease.metadata.resource_version);
            self.since = Some(now);
        }
        let watched = self
            .since
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        match holder(lease) {
            Some(holder) if holder != me && watched < duration(lease) => Verdict::Wait,
            _ => Verdict::Take,
        }
    }
}

/// Who holds the lease.
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

/// The lease with us as its holder from now on.
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

/// The lease with no holder, so that a successor starts at once.
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
