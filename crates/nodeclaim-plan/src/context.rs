//! Everything a planner knows in one reconcile, sorted, so that the order of what was observed cannot matter. Decides
//! nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudprovider::{
    CallKind, CallOutcome, Deferral, FullCluster, Instance, ProviderError, RefusedOfferings,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::{Claim, KaitoNodeClass};
use kube::ResourceExt as _;

use crate::cluster;
use crate::instance::InstanceView;
use crate::launch_record::LaunchRecord;
use crate::node::ownership;
use crate::observed::Observed;
use crate::repair::answer::RepairAnswer;
use crate::settings::Settings;
use crate::time;

/// One claim, everything around it, and the time.
pub(crate) struct PlanContext<'a> {
    pub(crate) now: Timestamp,
    pub(crate) settings: &'a Settings,
    pub(crate) claim: &'a Claim,
    /// Name of the claim and of its instance.
    pub(crate) name: &'a str,
    /// A claim of the other kind has the name and came first.
    pub(crate) has_name_conflict: bool,
    pub(crate) instance: InstanceView<'a>,
    /// Conflict of the claim with the settings: its instance is of another cluster.
    pub(crate) cluster_conflict: Option<String>,
    /// No instance is launched while another claim has such a conflict.
    pub(crate) launches_held: bool,
    /// Nodes of the instance, each once, by name.
    pub(crate) nodes: Vec<&'a Node>,
    /// Those of `nodes` that were registered for this very claim.
    pub(crate) own_nodes: Vec<&'a Node>,
    /// Each once, by namespace and name.
    pub(crate) pods: Vec<&'a Pod>,
    /// Each once, by name.
    pub(crate) attachments: Vec<&'a VolumeAttachment>,
    /// The cluster is full, as the request of another claim showed.
    pub(crate) full: Option<&'a FullCluster>,
    /// The claim's node class, if that has an object.
    pub(crate) class: Option<&'a KaitoNodeClass>,
    /// Classes of a similar name, if it has none.
    pub(crate) near_classes: &'a [String],
    /// Offerings that the cloud refused, whichever claim asked.
    pub(crate) refused: &'a RefusedOfferings,
    /// Time until which the claim is not deleted although its Node was.
    pub(crate) deletion_held_until: Option<Timestamp>,
    /// Answer to the replacement of an unhealthy Node.
    pub(crate) repair: RepairAnswer,
    /// The last request for a change of the instance.
    pub(crate) last_call: Option<&'a CallOutcome>,
    /// `last_call`, if it was a Create.
    pub(crate) last_create: Option<&'a CallOutcome>,
    /// `last_call`, if it was a Create that the cloud accepted.
    pub(crate) accepted_create: Option<&'a CallOutcome>,
    /// The last request, if a limit of our own kept it back.
    pub(crate) deferral: Option<&'a Deferral>,
    /// Start of the newest read that showed the instance.
    pub(crate) read_at: Option<Timestamp>,
    /// Start of the first read of this process that showed the instance in its present state.
    pub(crate) state_since: Option<Timestamp>,
    /// Error of the instance, if the failed operation was read.
    pub(crate) failure: Option<&'a ProviderError>,
    /// Notes about launches that the claim itself carries.
    pub(crate) record: LaunchRecord,
    /// Time until an instance is looked at again, because the cloud has no watch.
    pub(crate) poll: Duration,
}

impl<'a> PlanContext<'a> {
    pub(crate) fn new(now: Timestamp, observed: &'a Observed, settings: &'a Settings) -> Self {
        let claim = &observed.claim;
        let nodes = by_key(observed.nodes.iter().map(|n| &**n), |n| n.name_any());
        let last_call = observed.last_call.as_ref();
        let last_create = last_call.filter(|call| call.kind == CallKind::Create);
        Self {
            now,
            settings,
            claim,
            name: claim.name(),
            has_name_conflict: observed.has_name_conflict,
            instance: InstanceView::new(&observed.instance, claim, settings),
            cluster_conflict: cluster::conflict(claim, &observed.instance, settings),
            launches_held: observed.launches_held,
            own_nodes: ownership::own_nodes(&nodes, claim),
            nodes,
            pods: by_key(observed.pods.iter().map(|p| &**p), |p| {
                (p.namespace(), p.name_any())
            }),
            attachments: by_key(observed.attachments.iter().map(|a| &**a), |a| a.name_any()),
            full: observed.full.as_ref(),
            class: observed.class.as_deref(),
            near_classes: &observed.near_classes,
            refused: &observed.refused,
            deletion_held_until: observed.deletion_held_until,
            repair: observed.repair.clone(),
            last_call,
            last_create,
            accepted_create: last_create.filter(|call| call.error.is_none()),
            deferral: observed.deferral.as_ref(),
            read_at: observed.read_at,
            state_since: observed.state_since,
            failure: observed.failure.as_ref(),
            record: LaunchRecord::read(claim),
            poll: time::to_std(settings.poll),
        }
    }

    /// Returns the instance, if it is the claim's own.
    pub(crate) fn owned(&self) -> Option<&'a Instance> {
        match self.instance {
            InstanceView::Owned(instance) => Some(instance),
            _ => None,
        }
    }

    /// Returns the last request, if the cloud refused the offering that the claim records.
    pub(crate) fn refused_offering(&self) -> Option<&'a CallOutcome> {
        let of_offering = |call: &&CallOutcome| {
            call.error
                .as_ref()
                .is_some_and(|error| error.class.is_of_offering())
        };
        let call = self.last_create.filter(of_offering)?;
        // Once the next request was noted, the record is about that one.
        (self.record.offering.is_some() && !self.is_intent_unsent()).then_some(call)
    }

    /// Returns the time left until a request of this kind may be sent that a limit of our own kept back.
    pub(crate) fn deferred(&self, kind: CallKind) -> Option<Duration> {
        let deferral = self.deferral.filter(|deferral| deferral.kind == kind)?;
        time::remaining(deferral.until, self.now)
    }

    /// Returns true if the last intent to create was stored, but its request was not sent.
    pub(crate) fn is_intent_unsent(&self) -> bool {
        self.deferral.is_some_and(|deferral| {
            deferral.kind == CallKind::Create
                && self.record.started.is_some_and(|started| started <= deferral.at)
        })
    }
}

fn by_key<'a, T, K: Ord>(items: impl Iterator<Item = &'a T>, key: impl Fn(&T) -> K) -> Vec<&'a T> {
    items
        .map(|item| (key(item), item))
        .collect::<BTreeMap<_, _>>()
        .into_values()
        .collect()
}
