//! Workspaces: what belongs to one, and waiting for its conditions.

use anyhow::{Context as _, Result, ensure};
use arm_server::control::ControlClient;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kaito_api::{Machine, Workspace};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};

use crate::{Installation, LIMIT};

impl Installation {
    /// Names of the agent pools of one Workspace.
    ///
    /// # Errors
    /// When the cloud does not answer.
    pub async fn pools(&self, namespace: &str, name: &str) -> Result<Vec<String>> {
        let pools = ControlClient::new(&self.arm_url)?.pools().await?.into_iter();
        let theirs = pools.filter(|pool| {
            let labels = &pool.body["properties"]["nodeLabels"];
            labels["kaito.sh/workspace"] == name && labels["kaito.sh/workspacenamespace"] == namespace
        });
        Ok(theirs.map(|pool| pool.name).collect())
    }

    /// Names of the Nodes of one Workspace.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn nodes(&self, namespace: &str, name: &str) -> Result<Vec<String>> {
        let nodes: Api<Node> = Api::all(self.client().await?);
        let nodes = nodes.list(&labeled(namespace, name)).await?;
        Ok(nodes.iter().map(kube::ResourceExt::name_any).collect())
    }

    /// The cluster IP of the Service of a Workspace.
    ///
    /// # Errors
    /// When there is no Service.
    pub async fn address(&self, namespace: &str, name: &str) -> Result<String> {
        let services: Api<Service> = Api::namespaced(self.client().await?, namespace);
        let spec = services.get(name).await?.spec;
        spec.and_then(|spec| spec.cluster_ip)
            .context("the Service has no cluster IP")
    }

    /// The containers and the claims of one Workspace: UIDs, and restarts.
    ///
    /// # Errors
    /// Unless there are one pod and one Machine.
    pub async fn running(&self, namespace: &str, name: &str) -> Result<Vec<(String, i32)>> {
        let client = self.client().await?;
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let machines: Api<Machine> = Api::all(client);
        let uid = |uid: Option<String>| uid.unwrap_or_default();
        let mut all = Vec::new();
        let of_workspace = ListParams::default().labels(&format!("kaito.sh/workspace={name}"));
        for pod in pods.list(&of_workspace).await? {
            let statuses = pod
                .status
                .iter()
                .flat_map(|status| status.container_statuses.iter().flatten());
            all.push((uid(pod.uid()), statuses.map(|status| status.restart_count).sum()));
        }
        for machine in machines.list(&labeled(namespace, name)).await? {
            all.push((uid(machine.uid()), 0));
        }
        ensure!(all.len() == 2, "expected one pod and one Machine: {all:?}");
        all.sort();
        Ok(all)
    }

    /// Waits until a condition of a Workspace has this status.
    ///
    /// # Errors
    /// When it takes too long; the error describes the pods.
    pub async fn condition(&self, namespace: &str, name: &str, kind: &str, status: &str) -> Result<()> {
        self.until(namespace, name, &format!("{kind}={status} "))
            .await
            .map(drop)
    }

    /// Waits until a condition of a Workspace is false for this reason, and returns its message.
    ///
    /// # Errors
    /// When it takes too long; the error describes the pods.
    pub async fn reason(&self, namespace: &str, name: &str, kind: &str, reason: &str) -> Result<String> {
        self.until(namespace, name, &format!("{kind}=False {reason}: "))
            .await
    }

    /// Waits until a condition of a Workspace, written as `TYPE=STATUS REASON: MESSAGE`, begins like this.
    async fn until(&self, namespace: &str, name: &str, beginning: &str) -> Result<String> {
        let workspaces: Api<Workspace> = Api::namespaced(self.client().await?, namespace);
        let waited = self
            .env
            .eventually(&format!("{beginning} of {name}"), LIMIT, async || {
                let conditions = workspaces.get(name).await?.status.unwrap_or_default().conditions;
                let mut all = conditions
                    .iter()
                    .map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message));
                let found = all.find(|condition| condition.starts_with(beginning));
                found.with_context(|| format!("{conditions:?}"))
            })
            .await;
        match waited {
            Ok(found) => Ok(found),
            Err(error) => Err(error.context(self.describe(namespace).await)),
        }
    }

    /// Deletes a Workspace and waits until no pool, Node or machine is left.
    ///
    /// # Errors
    /// When something is left.
    pub async fn delete(&self, namespace: &str, name: &str) -> Result<()> {
        let workspaces: Api<Workspace> = Api::namespaced(self.client().await?, namespace);
        workspaces.delete(name, &DeleteParams::default()).await?;
        self.env
            .eventually("everything to be gone", LIMIT, async || {
                ensure!(
                    workspaces.get_opt(name).await?.is_none(),
                    "the Workspace is there"
                );
                ensure!(self.pools(namespace, name).await?.is_empty(), "a pool is there");
                ensure!(self.nodes(namespace, name).await?.is_empty(), "a Node is there");
                Ok(())
            })
            .await
    }
}

fn labeled(namespace: &str, name: &str) -> ListParams {
    ListParams::default().labels(&format!(
        "kaito.sh/workspace={name},kaito.sh/workspacenamespace={namespace}"
    ))
}
