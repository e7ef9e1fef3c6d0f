//! Pure decisions about a lease, from its content and the time for which it has not changed.
//!
//! Clocks of different machines are never compared. A lease has expired when *this* replica has seen it unchanged for
//! its whole duration.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::cache_writer::resource_version;

/// Longest lease of another holder that is believed, in durations of our own. During an
/// upgrade, a replica with other settings stays below it. A lease of years stops no replica.
const LONGEST: u32 = 4;

/// The last observed version of a lease, and the time since it is unchanged.
#[derive(Debug, Default)]
pub(crate) struct Sighting {
    version: Option<String>,
    since: Option<Instant>,
    newest: u64,
    went_back: bool,
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
    /// Records the observed lease and decides. `own` is the duration of our own leases, in which others are bounded.
    pub(crate) fn decide(&mut self, lease: &Lease, me: &str, own: Duration, now: Instant) -> Decision {
        self.record(lease, now);
        let unchanged = self
            .since
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        match holder(lease) {
            Some(holder) if holder != me && unchanged < duration(lease).min(own * LONGEST) => Decision::Wait,
            _ => Decision::Take,
        }
    }

    /// Records the observed lease.
    pub(crate) fn record(&mut self, lease: &Lease, now: Instant) {
        if self.since.is_none() || self.version != lease.metadata.resource_version {
            self.version.clone_from(&lease.metadata.resource_version);
            self.since = Some(now);
        }
        let version = resource_version(&lease.metadata);
        self.went_back |= version < self.newest;
        self.newest = self.newest.max(version);
    }

    /// Returns true if a lease was older than one before it. A lease that is created again has a later version, unless
    /// etcd was restored.
    pub(crate) fn went_back(&self) -> bool {
        self.went_back
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

/// Returns the token that writes under this lease carry: the number of changes of the holder, and the last renewal.
///
/// The admission policy of the chart compares it with the current lease, and refuses a write that arrives late.
pub(crate) fn token(lease: &Lease) -> Option<String> {
    let spec = lease.spec.as_ref()?;
    let renewed = spec.renew_time.as_ref()?;
    Some(format!("{}/{}", spec.lease_transitions.unwrap_or(0), renewed.0))
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
