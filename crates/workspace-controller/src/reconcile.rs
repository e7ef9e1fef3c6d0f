//! Workspaces: the runtime calls observe → plan → execute for each that is due.
//!
//! `observe` gathers from `observe.rs` and `presets.rs`; `plan` is `workspace_plan::plan`, the next file to read
//! (`workspace-plan/src/lib.rs`); `operator_runtime` executes the plan.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kaito_api::labels::{WORKSPACE, WORKSPACE_NAMESPACE};
use kaito_api::{Claim, ClaimKind, Machine, NodeClaim, Workspace};
use kube::Client;
use operator_runtime::{Error, Key, Reconciler, clock, live};
use plan::{Kind, NoCloud, Plan, RefusedWrite, Report};
use workspace_plan::{Observed, PresetLookup, Settings};

use crate::observe::CacheSource;
use crate::presets::Presets;

/// The reconciler of Workspaces.
#[derive(Debug)]
pub(crate) struct Workspaces {
    pub(crate) caches: CacheSource,
    pub(crate) presets: Presets,
    pub(crate) settings: Settings,
    pub(crate) live: LiveClaims,
}

impl Reconciler for Workspaces {
    const KIND: Kind = Kind::Workspace;
    type Object = Workspace;
    type Observed = Observed;
    type Cloud = NoCloud;

    async fn observe(&self, workspace: Arc<Workspace>) -> Result<Observed, Error> {
        let preset = match workspace_plan::preset_to_look_up(&workspace) {
            Some(name) => self.presets.lookup(name, &Key::of(workspace.as_ref())),
            None => PresetLookup::NotNeeded,
        };
        let mut observed =
            workspace_plan::observe(&self.caches, workspace, preset, clock::now(), &self.settings);
        if observed.needs_live_claims() {
            observed.claims = self.live.claims(&observed.workspace).await?;
        }
        Ok(observed)
    }

    fn plan(&self, now: Timestamp, observed: &Observed) -> Plan {
        workspace_plan::plan(now, observed, &self.settings)
    }

    fn report(&self, now: Timestamp, observed: &Observed, refusals: &[RefusedWrite]) -> Report {
        workspace_plan::report(now, observed, &self.settings, refusals)
    }

    async fn call(&self, _: &Workspace, call: NoCloud) -> Result<Option<Duration>, Error> {
        match call {}
    }

    fn on_deleted(&self, key: &Key) {
        let namespace = key.namespace.as_deref().unwrap_or_default();
        self.caches.ledger.withdraw(namespace, &key.name);
        self.caches.upgrades.withdraw(namespace, &key.name);
    }
}

/// Reads claims from the API server instead of a cache.
pub(crate) struct LiveClaims {
    pub(crate) client: Client,
    /// Kinds whose definitions are installed.
    pub(crate) kinds: Vec<ClaimKind>,
}

impl fmt::Debug for LiveClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveClaims")
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}

impl LiveClaims {
    /// Lists the claims whose labels name the Workspace.
    async fn claims(&self, workspace: &Workspace) -> Result<Vec<Claim>, Error> {
        let (namespace, name) = (workspace.namespace(), workspace.name());
        let labels = format!("{WORKSPACE}={name},{WORKSPACE_NAMESPACE}={namespace}");
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
