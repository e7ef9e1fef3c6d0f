//! Workspaces, as the runtime drives them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kaito_api::labels::{WORKSPACE, WORKSPACE_NAMESPACE};
use kaito_api::{Claim, ClaimKind, Machine, NodeClaim, Workspace};
use kube::Client;
use operator_runtime::{Error, Reconciler, live};
use plan::{Kind, NoCloud, Plan};
use workspace_plan::{Observed, PresetLookup, Settings};

use crate::observe::Stores;
use crate::presets::Presets;

/// Workspaces.
#[derive(Debug)]
pub struct Workspaces {
    /// What is observed.
    pub stores: Stores,
    /// The preset registry.
    pub presets: Presets,
    /// The planner's settings.
    pub settings: Settings,
    /// What is read past the stores.
    pub live: LiveClaims,
}

/// Claims as the API server has them now. A Workspace is released once it has none, and then nobody gives a claim back that
/// a store has not shown yet.
pub struct LiveClaims {
    /// The way to the API server.
    pub client: Client,
    /// Kinds whose definitions are installed.
    pub kinds: Vec<ClaimKind>,
}

impl fmt::Debug for LiveClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveClaims")
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}

impl LiveClaims {
    /// The claims whose labels name the Workspace of this metadata.
    async fn claims(&self, workspace: &ObjectMeta) -> Result<Vec<Claim>, Error> {
        let labels = format!(
            "{WORKSPACE}={},{WORKSPACE_NAMESPACE}={}",
            workspace.name.as_deref().unwrap_or_default(),
            workspace.namespace.as_deref().unwrap_or_default()
        );
        let mut found = Vec::new();
        for kind in &self.kinds {
            match kind {
                ClaimKind::Machine => {
                    let all = live::list::<Machine>(&self.client, &labels).await?;
                    found.extend(all.into_iter().map(Claim::from));
                }
                ClaimKind::NodeClaim => {
                    let all = live::list::<NodeClaim>(&self.client, &labels).await?;
                    found.extend(all.into_iter().map(Claim::from));
                }
            }
        }
        Ok(found)
    }
}

impl Reconciler for Workspaces {
    const KIND: Kind = Kind::Workspace;
    type Object = Workspace;
    type Observed = Observed;
    type Cloud = NoCloud;

    async fn observe(&self, workspace: Arc<Workspace>) -> Result<Observed, Error> {
        let preset = match preset_name(&workspace) {
            Some(name) => self.presets.lookup(name).await,
            None => PresetLookup::NotNeeded,
        };
        let mut observed = self.stores.observe(workspace, preset, self.settings.mode);
        let metadata = &observed.workspace.metadata;
        if metadata.deletion_timestamp.is_some() && observed.claims.is_empty() {
            observed.claims = self.live.claims(metadata).await?;
        }
        Ok(observed)
    }

    fn plan(&self, now: Timestamp, observed: &Observed) -> Plan {
        workspace_plan::plan(now, observed, &self.settings)
    }

    async fn call(&self, _: &Workspace, call: NoCloud) -> Result<Option<Duration>, Error> {
        match call {}
    }
}

// A Workspace that is being deleted needs no preset, so a registry that is down cannot hold it.
fn preset_name(workspace: &Workspace) -> Option<&str> {
    if workspace.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let inference = workspace.spec.inference.as_ref().and_then(|i| i.preset.as_ref());
    let tuning = workspace.spec.tuning.as_ref().and_then(|t| t.preset.as_ref());
    inference.or(tuning).map(|preset| preset.name.as_str())
}
