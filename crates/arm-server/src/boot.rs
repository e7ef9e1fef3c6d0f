//! Boots nodes and deletes their Node objects as the cloud controller does.
//!
//! A simulated node is a Node object as AKS and its kubelets create it. It runs no pods; KWOK simulates the kubelet if
//! it runs. A real node (`real`) registers itself. No finalizer is removed here: a Node with one stays until its owner
//! removes it.

mod node;
mod real;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::Semaphore;

use self::real::RealNodes;
use crate::app::App;
use crate::config::{ArmServerConfig, BootMode};
use crate::world::{NodePlan, NodeTask};

/// Pause after a failed request to the API server.
const RETRY: Duration = Duration::from_millis(500);
/// Interval of renewing node conditions without KWOK: a quarter of Kubernetes' grace period.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Concurrent requests to the API server.
const AT_ONCE: usize = 16;

/// Creates and deletes Nodes.
#[derive(Clone)]
pub(crate) struct Booter {
    nodes: Api<Node>,
    ready_at_once: bool,
    /// The place of real nodes; without it nodes are simulated.
    real: Option<RealNodes>,
    /// Nodes whose condition this program renews.
    alive: Arc<Mutex<BTreeSet<String>>>,
    slots: Arc<Semaphore>,
}

impl Booter {
    /// Connects to the cluster of a kubeconfig.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read, or the cluster of real nodes.
    pub(crate) async fn connect(kubeconfig: &Path, config: &ArmServerConfig) -> Result<Self> {
        let text = Kubeconfig::read_from(kubeconfig)
            .with_context(|| format!("failed to read the kubeconfig {}", kubeconfig.display()))?;
        let client = Config::from_custom_kubeconfig(text, &KubeConfigOptions::default()).await?;
        Ok(Self {
            nodes: Api::all(Client::try_from(client)?),
            ready_at_once: config.nodes_ready_at_once,
            real: config.real_nodes.as_deref().map(RealNodes::open).transpose()?,
            alive: Arc::default(),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Carries out a task in the background. Retries until it is done or obsolete.
    pub(crate) fn start(&self, task: NodeTask, app: &App) {
        let (booter, app) = (self.clone(), app.clone());
        tokio::spawn(async move {
            while !app.stop().is_cancelled() {
                let result = match &task {
                    NodeTask::Make(plan) if !app.lock().world.wants_node(&plan.name) => return,
                    NodeTask::Make(plan) => booter.make(plan).await,
                    NodeTask::Announce(name) if !app.lock().world.wants_node(name) => return,
                    NodeTask::Announce(name) => {
                        let notice = node::evicted(Timestamp::now());
                        booter.patch_status(name, &notice).await
                    }
                    NodeTask::Remove(name) => booter.remove(name).await,
                };
                match result {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, ?task, "failed to write a Node"),
                }
                tokio::time::sleep(RETRY).await;
            }
        });
    }

    async fn make(&self, plan: &NodePlan) -> Result<()> {
        let _slot = self.slots.acquire().await?;
        if let Some(real) = &self.real {
            real.boot(plan).await?;
            tracing::info!(node = plan.name, pool = plan.pool, "booted real node");
            return Ok(());
        }
        let conditions = self.ready_at_once || plan.mode == BootMode::NotReady;
        let mut status = node::status(plan, conditions.then_some(Timestamp::now()));
        let node = Node {
            // Kubelets register their nodes with a status.
            status: serde_json::from_value(status["status"].take())?,
            ..node::object(plan)
        };
        match self.nodes.create(&PostParams::default(), &node).await {
            Ok(_) => {}
            // An earlier attempt created it.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
        if self.ready_at_once && plan.mode != BootMode::NotReady {
            self.alive
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(plan.name.clone());
        }
        tracing::info!(node = plan.name, pool = plan.pool, "booted node");
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<()> {
        let _slot = self.slots.acquire().await?;
        self.alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        if let Some(real) = &self.real {
            real.remove(name).await?;
        }
        // The machine is gone before the cloud controller notices, and with it the kubelet.
        if let Err(error) = self.patch_status(name, &node::lost(Timestamp::now())).await {
            tracing::debug!(%error, node = name, "failed to mark a Node as lost");
        }
        match self.nodes.delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
        tracing::info!(node = name, "deleted node");
        Ok(())
    }

    async fn patch_status(&self, name: &str, status: &serde_json::Value) -> Result<()> {
        self.nodes
            .patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
            .await?;
        Ok(())
    }

    /// Keeps nodes Ready in clusters without KWOK, until the server stops.
    pub(crate) async fn heartbeats(self, app: App) {
        if !self.ready_at_once {
            return;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = app.stop().cancelled() => return,
            }
            let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for name in alive {
                let status = node::heartbeat(Timestamp::now());
                if let Err(error) = self.patch_status(&name, &status).await {
                    // Most likely a user deleted the Node, so its heartbeat ends.
                    tracing::debug!(%error, node = name, "failed to renew a node's condition");
                    self.alive
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&name);
                }
            }
        }
    }
}
