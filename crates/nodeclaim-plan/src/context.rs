//! The observed world in a fixed order, with the questions that several steps ask of it. Decides nothing.

use std::collections::BTreeMap;

use cloudprovider::{CallKind, CallOutcome, ProviderError};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kaito_api::Claim;
use kube::ResourceExt as _;

use crate::observed::Observed;
use crate::ownership::{self, View};
use crate::settings::Settings;

/// What every step looks at.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Timestamp,
    pub(crate) settings: &'a Settings,
    pub(crate) claim: &'a Claim,
    /// Each once, by name.
    pub(crate) nodes: Vec<&'a Node>,
    /// Each once, by namespace and name.
    pub(crate) pods: Vec<&'a Pod>,
    /// Each once, by name.
    pub(crate) attachments: Vec<&'a VolumeAttachment>,
    pub(crate) pool: View<'a>,
    pub(crate) last_call: Option<&'a CallOutcome>,
    pub(crate) failure: Option<&'a ProviderError>,
    /// A claim of the other kind has the name, and was there first.
    pub(crate) yields: bool,
}

impl<'a> Ctx<'a> {
    pub(crate) fn new(now: Timestamp, observed: &'a Observed, settings: &'a Settings) -> Self {
        let claim = &observed.claim;
        Self {
            now,
            settings,
            claim,
            nodes: by_key(observed.nodes.iter().map(|n| &**n), |n| n.name_any()),
            pods: by_key(observed.pods.iter().map(|p| &**p), |p| {
                (p.namespace(), p.name_any())
            }),
            attachments: by_key(observed.attachments.iter().map(|a| &**a), |a| a.name_any()),
            pool: ownership::view(&observed.pool, claim, settings),
            last_call: observed.last_call.as_ref(),
            failure: observed.failure.as_ref(),
            yields: observed.yields,
        }
    }

    /// Name of the claim and of its agent pool.
    pub(crate) fn name(&self) -> String {
        self.claim.name_any()
    }

    pub(crate) fn uid(&self) -> &'a str {
        self.claim.uid()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.claim.metadata().generation.unwrap_or_default()
    }

    /// What the claim is called, for people.
    pub(crate) fn kind(&self) -> &'static str {
        self.claim.claim_kind().as_str()
    }

    /// The last request, when it was of this kind.
    pub(crate) fn last(&self, kind: CallKind) -> Option<&'a CallOutcome> {
        self.last_call.filter(|call| call.kind == kind)
    }

    /// Nodes that were joined to this very claim.
    pub(crate) fn own_nodes(&self) -> impl Iterator<Item = &'a Node> + '_ {
        self.nodes
            .iter()
            .copied()
            .filter(|node| ownership::is_own_node(node, self.claim))
    }
}

fn by_key<'a, T, K: Ord>(items: impl Iterator<Item = &'a T>, key: impl Fn(&T) -> K) -> Vec<&'a T> {
    items
        .map(|item| (key(item), item))
        .collect::<BTreeMap<_, _>>()
        .into_values()
        .collect()
}
