//! The planned Workspace and its surroundings, sorted, so that the order of what was observed cannot matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kaito_api::{Claim, ClaimKind, Workspace, WorkspaceStatus};
use render::Platform;

use crate::observed::{Observed, PresetLookup};
use crate::settings::Settings;

/// Pause between two questions to a registry that does not answer.
const REGISTRY_DOWN: Duration = Duration::from_secs(10);
/// Pause between two questions after a preset that is not known: a catalog may grow.
const PRESET_UNKNOWN: Duration = Duration::from_secs(60);

/// One Workspace, everything around it, and the time.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) now: Timestamp,
    pub(crate) observed: &'a Observed,
    pub(crate) settings: &'a Settings,
    pub(crate) platform: Platform,
    /// By name and kind.
    pub(crate) claims: BTreeMap<(&'a str, ClaimKind), &'a Claim>,
    /// By name.
    pub(crate) nodes: BTreeMap<&'a str, &'a Node>,
    /// By name; without those that are being deleted.
    pub(crate) pods: BTreeMap<&'a str, &'a Pod>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(now: Timestamp, observed: &'a Observed, settings: &'a Settings) -> Self {
        Self {
            now,
            observed,
            settings,
            platform: Platform {
                images: settings.images.clone(),
                downloads: settings.downloads.clone(),
                claimed: settings.mode.claim_kind().is_some(),
                aks: settings.cloud == instance_types::Cloud::Azure,
            },
            claims: observed
                .claims
                .iter()
                .map(|claim| ((claim.name(), claim.claim_kind()), claim))
                .collect(),
            nodes: by_name(&observed.nodes, |node| &node.metadata).collect(),
            pods: by_name(&observed.pods, |pod| &pod.metadata)
                .filter(|(_, pod)| is_live(&pod.metadata))
                .collect(),
        }
    }

    pub(crate) fn workspace(&self) -> &'a Workspace {
        &self.observed.workspace
    }

    pub(crate) fn metadata(&self) -> &'a ObjectMeta {
        &self.workspace().metadata
    }

    pub(crate) fn name(&self) -> &'a str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &'a str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &'a str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.metadata().generation.unwrap_or_default()
    }

    /// An annotation of the Workspace, unless it is blank.
    pub(crate) fn annotation(&self, key: &str) -> Option<&'a str> {
        let value = self.metadata().annotations.as_ref()?.get(key)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Whether the Workspace carries the annotation, with whatever value.
    pub(crate) fn is_annotated(&self, key: &str) -> bool {
        self.metadata()
            .annotations
            .as_ref()
            .is_some_and(|all| all.contains_key(key))
    }

    pub(crate) fn status(&self) -> Option<&'a WorkspaceStatus> {
        self.workspace().status.as_ref()
    }

    pub(crate) fn conditions(&self) -> &'a [Condition] {
        self.status()
            .map(|status| status.conditions.as_slice())
            .unwrap_or_default()
    }

    /// Nodes are made for this Workspace, not brought along.
    pub(crate) fn makes_nodes(&self) -> bool {
        self.settings.mode.claim_kind().is_some()
    }

    /// When to look again though nothing changes: the registry is asked, it does not tell, and the pause
    /// after a lost claim ends by itself.
    pub(crate) fn look_again(&self) -> Option<Duration> {
        let registry = match &self.observed.preset {
            PresetLookup::Unavailable { .. } => Some(REGISTRY_DOWN),
            PresetLookup::Unknown { .. } => Some(PRESET_UNKNOWN),
            PresetLookup::Found(_) | PresetLookup::NotNeeded => None,
        };
        let backoffs = self.observed.launch_backoffs.values();
        let backoff = backoffs.filter_map(|backoff| backoff.remaining(self.now)).min();
        registry.into_iter().chain(backoff).min()
    }

    /// The object is this Workspace's: made for it, not merely named like it.
    pub(crate) fn owns(&self, metadata: &ObjectMeta) -> bool {
        let owners = metadata.owner_references.iter().flatten();
        owners
            .filter(|owner| owner.controller == Some(true))
            .any(|owner| owner.uid == self.uid())
    }
}

/// The object is not being deleted.
pub(crate) fn is_live(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_none()
}

/// A label of an object.
pub(crate) fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn by_name<'a, K>(
    objects: &'a [Arc<K>],
    metadata: impl Fn(&'a K) -> &'a ObjectMeta,
) -> impl Iterator<Item = (&'a str, &'a K)> {
    objects.iter().map(move |object| {
        (
            metadata(object).name.as_deref().unwrap_or_default(),
            object.as_ref(),
        )
    })
}
