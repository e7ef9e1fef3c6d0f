//! The observed world in a fixed order, with the questions that several steps ask of it. Decides nothing.

use std::collections::BTreeMap;

use cloudprovider::{CallKind, CallOutcome, ProviderError};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::Machine;
use kaito_api::machine_status::{MachineCondition, MachineStatus};
use kube::ResourceExt as _;

use crate::ownership::{self, View};
use crate::{Observed, Settings};

/// What every step looks at.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Timestamp,
    pub(crate) settings: &'a Settings,
    pub(crate) machine: &'a Machine,
    /// Each once, by name.
    pub(crate) nodes: Vec<&'a Node>,
    /// Each once, by namespace and name.
    pub(crate) pods: Vec<&'a Pod>,
    /// Each once, by name.
    pub(crate) attachments: Vec<&'a VolumeAttachment>,
    pub(crate) pool: View<'a>,
    pub(crate) last_call: Option<&'a CallOutcome>,
    pub(crate) failure: Option<&'a ProviderError>,
}

impl<'a> Ctx<'a> {
    pub(crate) fn new(now: Timestamp, observed: &'a Observed, settings: &'a Settings) -> Self {
        let machine = &*observed.machine;
        Self {
            now,
            settings,
            machine,
            nodes: by_key(observed.nodes.iter().map(|n| &**n), |n| n.name_any()),
            pods: by_key(observed.pods.iter().map(|p| &**p), |p| {
                (p.namespace(), p.name_any())
            }),
            attachments: by_key(observed.attachments.iter().map(|a| &**a), |a| a.name_any()),
            pool: ownership::view(&observed.pool, machine, settings),
            last_call: observed.last_call.as_ref(),
            failure: observed.failure.as_ref(),
        }
    }

    /// Name of the Machine and of its agent pool.
    pub(crate) fn name(&self) -> String {
        self.machine.name_any()
    }

    pub(crate) fn uid(&self) -> &'a str {
        self.machine.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.machine.metadata.generation.unwrap_or_default()
    }

    /// Status as it is stored.
    pub(crate) fn status(&self) -> Option<&'a MachineStatus> {
        self.machine.status.as_ref()
    }

    /// Conditions as they are stored.
    pub(crate) fn conditions(&self) -> &'a [MachineCondition] {
        self.status().map_or(&[], |status| &status.conditions)
    }

    /// The last request, when it was of this kind.
    pub(crate) fn last(&self, kind: CallKind) -> Option<&'a CallOutcome> {
        self.last_call.filter(|call| call.kind == kind)
    }

    /// Nodes that were joined to this very Machine.
    pub(crate) fn own_nodes(&self) -> impl Iterator<Item = &'a Node> + '_ {
        self.nodes
            .iter()
            .copied()
            .filter(|node| ownership::is_own_node(node, self.machine))
    }
}

fn by_key<'a, T, K: Ord>(items: impl Iterator<Item = &'a T>, key: impl Fn(&T) -> K) -> Vec<&'a T> {
    items
        .map(|item| (key(item), item))
        .collect::<BTreeMap<_, _>>()
        .into_values()
        .collect()
}
