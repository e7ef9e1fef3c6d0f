//! The record of all instances, as a function of the last listing and of the claims. It is published for people.
//!
//! Nothing in it depends on this process: a new leader writes the same record, so it does not write at all.

use std::collections::BTreeMap;

use cloudprovider::{Instance, InstanceTracker, Ownership};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::Claim;
use kaito_api::fleet::{FleetInstance, FleetOwner, FleetRecord};
use kaito_api::labels::{CREATION_TIMESTAMP, CREATION_TIMESTAMP_FORMAT};

use crate::garbage;
use crate::managed;
use crate::settings::Settings;

/// Most instances of a record. With some 250 bytes each, it stays far below the size of a ConfigMap.
const MAX_INSTANCES: usize = 1000;

/// Describes all instances. `held` is the reason for which nothing is launched, `now` the time of the tracker's clock.
#[must_use]
pub fn record(
    tracker: &InstanceTracker,
    claims: &[Claim],
    settings: &Settings,
    held: Option<&str>,
    now: Timestamp,
) -> FleetRecord {
    let managed = claims.iter().filter(|claim| managed::is_managed(claim));
    let by_name: BTreeMap<&str, &Claim> = managed.map(|claim| (claim.name(), claim)).collect();
    let mut instances: Vec<FleetInstance> = tracker
        .instances()
        .iter()
        .map(|instance| describe(instance, by_name.get(instance.name.as_str()).copied(), settings))
        .collect();
    // What a person should look at stays in a record that is too long.
    instances.sort_by(|a, b| (is_plain(a), &a.name).cmp(&(is_plain(b), &b.name)));
    let left_out = instances.len().saturating_sub(MAX_INSTANCES);
    instances.truncate(MAX_INSTANCES);
    instances.sort_by(|a, b| a.name.cmp(&b.name));
    FleetRecord {
        held: held.unwrap_or_default().to_owned(),
        silent: tracker
            .listed_at()
            .is_none_or(|at| now.duration_since(at) > settings.cloud_silence),
        instances,
        left_out,
    }
}

fn is_plain(instance: &FleetInstance) -> bool {
    matches!(instance.owner, FleetOwner::Claimed | FleetOwner::Foreign)
}

fn describe(instance: &Instance, claim: Option<&Claim>, settings: &Settings) -> FleetInstance {
    let owner = owner(instance, claim, settings);
    let claim = claim.filter(|_| owner == FleetOwner::Claimed);
    FleetInstance {
        name: instance.name.clone(),
        owner,
        claim: claim.map(|claim| claim.name().to_owned()).unwrap_or_default(),
        state: match instance.stopped {
            true => "Stopped".to_owned(),
            false => instance.state.as_str().to_owned(),
        },
        instance_type: instance.instance_type.clone().unwrap_or_default(),
        since: since(instance),
    }
}

fn owner(instance: &Instance, claim: Option<&Claim>, settings: &Settings) -> FleetOwner {
    match &instance.owner {
        Ownership::Foreign => FleetOwner::Foreign,
        Ownership::Ours { .. } if !garbage::is_of_cluster(instance, settings) => FleetOwner::OtherCluster,
        Ownership::Ours { claim_uid } => match claim {
            Some(claim) if claim.uid() == claim_uid => FleetOwner::Claimed,
            _ => FleetOwner::Orphaned,
        },
        Ownership::Upstream => match claim {
            Some(_) => FleetOwner::Claimed,
            None => FleetOwner::UnclaimedUpstream,
        },
    }
}

/// Time of the label that every instance of ours and of upstream carries.
fn since(instance: &Instance) -> Option<Time> {
    let text = instance.labels.get(CREATION_TIMESTAMP)?;
    let time = DateTime::strptime(CREATION_TIMESTAMP_FORMAT, text).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some(Time(time.timestamp()))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use kaito_api::Machine;

    use super::*;

    fn claim(name: &str, uid: &str) -> Claim {
        let mut machine = Machine::new(name, Default::default());
        machine.metadata.uid = Some(uid.to_owned());
        machine.metadata.labels = Some([("kaito.sh/workspace".to_owned(), "w".to_owned())].into());
        machine.into()
    }

    fn instance(name: &str, owner: Ownership, cluster: Option<&str>) -> Instance {
        Instance {
            name: name.to_owned(),
            owner,
            cluster_id: cluster.map(str::to_owned),
            instance_type: Some("Standard_NC24ads_A100_v4".to_owned()),
            labels: [(CREATION_TIMESTAMP.to_owned(), "2026-01-02T03-04-05Z".to_owned())].into(),
            ..Instance::default()
        }
    }

    fn ours(uid: &str) -> Ownership {
        Ownership::Ours {
            claim_uid: uid.to_owned(),
        }
    }

    fn of(instances: Vec<Instance>, claims: &[Claim]) -> FleetRecord {
        let mut tracker = InstanceTracker::default();
        tracker.on_list(Timestamp::UNIX_EPOCH, instances);
        record(
            &tracker,
            claims,
            &Settings {
                cluster_id: "c".to_owned(),
                ..Settings::default()
            },
            None,
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_record_of_a_silent_cloud_says_so() {
        let mut tracker = InstanceTracker::default();
        let silent = |tracker: &InstanceTracker, seconds| {
            let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
            record(tracker, &[], &Settings::default(), None, now).silent
        };
        assert!(silent(&tracker, 0));
        tracker.on_list(Timestamp::UNIX_EPOCH, Vec::new());
        assert!(!silent(&tracker, 300));
        assert!(silent(&tracker, 301));
    }

    #[test]
    fn each_instance_has_one_relation() {
        let mut stopped = instance("ws2", ours("u9"), Some("c"));
        stopped.stopped = true;
        let instances = vec![
            instance("ws1", ours("u1"), Some("c")),
            stopped,
            instance("ws3", ours("u3"), Some("other")),
            instance("ws4", Ownership::Upstream, None),
            instance("ws5", Ownership::Upstream, None),
            instance("system", Ownership::Foreign, None),
            // A claim of the name does not make it ours.
            instance("ws6", Ownership::Foreign, None),
        ];
        let claims = [
            claim("ws1", "u1"),
            claim("ws2", "u2"),
            claim("ws4", "u4"),
            claim("ws6", "u6"),
        ];
        let found = of(instances, &claims);
        let owners: Vec<(&str, FleetOwner, &str)> = found
            .instances
            .iter()
            .map(|instance| (instance.name.as_str(), instance.owner, instance.claim.as_str()))
            .collect();
        assert_eq!(
            owners,
            [
                ("system", FleetOwner::Foreign, ""),
                ("ws1", FleetOwner::Claimed, "ws1"),
                ("ws2", FleetOwner::Orphaned, ""),
                ("ws3", FleetOwner::OtherCluster, ""),
                ("ws4", FleetOwner::Claimed, "ws4"),
                ("ws5", FleetOwner::UnclaimedUpstream, ""),
                ("ws6", FleetOwner::Foreign, ""),
            ]
        );
        assert_eq!(found.instances[2].state, "Stopped");
        let since = found.instances[1].since.as_ref().map(|time| time.0.to_string());
        assert_eq!(since.as_deref(), Some("2026-01-02T03:04:05Z"));
    }

    #[test]
    fn a_long_record_keeps_what_matters() {
        let mut instances: Vec<Instance> = (0..MAX_INSTANCES + 5)
            .map(|index| instance(&format!("a{index}"), Ownership::Foreign, None))
            .collect();
        instances.push(instance("z", ours("gone"), Some("c")));
        let found = of(instances, &[]);
        assert_eq!((found.instances.len(), found.left_out), (MAX_INSTANCES, 6));
        assert_eq!(
            found.instances.last().map(|last| last.owner),
            Some(FleetOwner::Orphaned)
        );
    }
}
