//! Workspaces, as the runtime drives them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kaito_api::Workspace;
use operator_runtime::{Error, Reconciler};
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
        Ok(self.stores.observe(workspace, preset, self.settings.mode))
    }

    fn plan(&self, now: Timestamp, observed: &Observed) -> Plan {
        workspace_plan::plan(now, observed, &self.settings)
    }

    async fn call(&self, _: &Workspace, call: NoCloud) -> Result<Option<Duration>, Error> {
        match call {}
    }
}

// A Workspace that is being deleted needs no preset, so a registry that is down can't hold it.
fn preset_name(workspace: &Workspace) -> Option<&str> {
    if workspace.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let inference = workspace.spec.inference.as_ref().and_then(|i| i.preset.as_ref());
    let tuning = workspace.spec.tuning.as_ref().and_then(|t| t.preset.as_ref());
    inference.or(tuning).map(|preset| preset.name.as_str())
}
