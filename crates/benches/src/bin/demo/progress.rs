//! One line a Workspace whenever something about it changes, until all are ready.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kaito_api::Workspace;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use testkit::TestEnv;

/// Watches the Workspaces of the default namespace.
#[derive(Debug)]
pub(crate) struct Progress {
    api: Api<Workspace>,
    started: Instant,
    shown: BTreeMap<String, String>,
}

impl Progress {
    pub(crate) async fn new(env: &TestEnv, started: Instant) -> Result<Self> {
        Ok(Self {
            api: Api::namespaced(env.client().await?, "default"),
            started,
            shown: BTreeMap::new(),
        })
    }

    /// Prints changes until `count` Workspaces are ready. Fails as soon as `check` does.
    pub(crate) async fn until_ready(
        &mut self,
        count: usize,
        patience: Duration,
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            check()?;
            let workspaces = self.api.list(&ListParams::default()).await?.items;
            workspaces.iter().for_each(|workspace| self.show(workspace));
            let ready = workspaces.iter().filter(|w| is_true(w, "WorkspaceReady")).count();
            if ready == count {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "only {ready} of {count} Workspaces are ready after {} s",
                    patience.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn show(&mut self, workspace: &Workspace) {
        let line = describe(workspace);
        let name = workspace.name_any();
        if self.shown.get(&name) != Some(&line) {
            println!(
                "[{:>5.1}s] {name:<30} {line}",
                self.started.elapsed().as_secs_f64()
            );
            self.shown.insert(name, line);
        }
    }
}

fn conditions(workspace: &Workspace) -> &[Condition] {
    workspace.status.as_ref().map_or(&[], |status| &status.conditions)
}

fn is_true(workspace: &Workspace, kind: &str) -> bool {
    conditions(workspace)
        .iter()
        .any(|c| c.type_ == kind && c.status == "True")
}

// The first condition that is not true yet shows the state of the Workspace.
fn describe(workspace: &Workspace) -> String {
    let order = ["ResourceReady", "InferenceReady", "JobStarted", "WorkspaceReady"];
    let state = workspace
        .status
        .as_ref()
        .and_then(|s| s.state)
        .map_or_else(|| "New".to_owned(), |s| format!("{s:?}"));
    let waiting = order.iter().find_map(|kind| {
        conditions(workspace)
            .iter()
            .find(|c| c.type_ == *kind && c.status != "True")
    });
    match waiting {
        Some(condition) => format!("{state:<9} {}: {}", condition.reason, condition.message),
        None => state,
    }
}
