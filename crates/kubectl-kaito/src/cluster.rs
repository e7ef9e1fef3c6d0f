//! The cluster of the user's kubeconfig: the connection, and lists that the user may not read whole.

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use kaito_api::{Claim, Machine, NodeClaim, Workspace, labels};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use crate::args::ClusterArgs;

const TIMEOUT: Duration = Duration::from_secs(15);

/// A connection, and the namespace that commands without one mean.
#[derive(Clone)]
pub(crate) struct ClusterAccess {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl ClusterAccess {
    /// Reads one Workspace of the namespace.
    ///
    /// # Errors
    /// Fails if it does not exist or cannot be read.
    pub(crate) async fn workspace(&self, name: &str) -> anyhow::Result<Workspace> {
        let api: Api<Workspace> = Api::namespaced(self.client.clone(), &self.namespace);
        in_time(api.get(name))
            .await
            .with_context(|| format!("failed to read Workspace {}/{name}", self.namespace))
    }

    /// Lists the Workspaces of the namespace, or of all, with the claims of all Workspaces. These are `None` if the user may
    /// not list them, which a note says.
    ///
    /// # Errors
    /// Fails if Workspaces cannot be listed, or the server does not respond.
    pub(crate) async fn workspaces(
        &self,
        all_namespaces: bool,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<(Vec<Workspace>, Option<Vec<Claim>>)> {
        let api: Api<Workspace> = match all_namespaces {
            true => Api::all(self.client.clone()),
            false => Api::namespaced(self.client.clone(), &self.namespace),
        };
        let workspaces = in_time(api.list(&ListParams::default()))
            .await
            .context("failed to list Workspaces")?
            .items;
        let params = ListParams::default().labels(labels::WORKSPACE);
        Ok((workspaces, claims(&self.client, &params, notes).await?))
    }
}

impl ClusterArgs {
    /// Connects as kubectl does: flag, `$KUBECONFIG`, `~/.kube/config`, service account.
    ///
    /// # Errors
    /// Fails if there is no kubeconfig, or it is invalid.
    pub(crate) async fn connect(&self) -> anyhow::Result<ClusterAccess> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = match &self.kubeconfig {
            Some(path) => of_file(path, &options).await?,
            None if self.context.is_some() => Config::from_kubeconfig(&options)
                .await
                .context("failed to use the kubeconfig")?,
            None => Config::infer()
                .await
                .context("no kubeconfig found: set $KUBECONFIG or --kubeconfig")?,
        };
        config.connect_timeout = Some(Duration::from_secs(5));
        let named = self.namespace.clone();
        Ok(ClusterAccess {
            namespace: named.unwrap_or_else(|| config.default_namespace.clone()),
            client: Client::try_from(config).context("failed to use the kubeconfig")?,
        })
    }
}

async fn of_file(path: &Path, options: &KubeConfigOptions) -> anyhow::Result<Config> {
    let read = Kubeconfig::read_from(path);
    let kubeconfig = read.with_context(|| format!("failed to read {}", path.display()))?;
    Config::from_custom_kubeconfig(kubeconfig, options)
        .await
        .context("failed to use the kubeconfig")
}

/// Waits for an answer of the API server.
///
/// # Errors
/// Fails if the server refuses the request or does not respond in time.
pub(crate) async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> anyhow::Result<T> {
    let answer = tokio::time::timeout(TIMEOUT, request).await;
    answer
        .with_context(|| format!("the API server did not respond within {} s", TIMEOUT.as_secs()))?
        .map_err(Into::into)
}

/// Status code of the API server's refusal.
pub(crate) fn refusal(error: &anyhow::Error) -> Option<u16> {
    match error.downcast_ref::<kube::Error>()? {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Lists objects. `None` if the user may not, which a note says; empty if the kind is not served.
///
/// # Errors
/// Fails if the server does not respond, or refuses for another reason.
pub(crate) async fn list<K>(
    api: &Api<K>,
    params: &ListParams,
    notes: &mut Vec<String>,
) -> anyhow::Result<Option<Vec<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    match in_time(api.list(params)).await {
        Ok(list) => Ok(Some(list.items)),
        Err(error) => match refusal(&error) {
            Some(403) => {
                notes.push(format!(
                    "You may not list {}, so they are left out.",
                    K::plural(&())
                ));
                Ok(None)
            }
            Some(404) => Ok(Some(Vec::new())),
            _ => Err(error.context(format!("failed to list {}", K::plural(&())))),
        },
    }
}

/// Lists the claims of both kinds with these labels; `None` if the user may not list them.
///
/// # Errors
/// As for [`list`].
pub(crate) async fn claims(
    client: &Client,
    params: &ListParams,
    notes: &mut Vec<String>,
) -> anyhow::Result<Option<Vec<Claim>>> {
    let machines = list::<Machine>(&Api::all(client.clone()), params, notes).await?;
    let node_claims = list::<NodeClaim>(&Api::all(client.clone()), params, notes).await?;
    let (Some(machines), Some(node_claims)) = (machines, node_claims) else {
        return Ok(None);
    };
    let machines = machines.into_iter().map(Claim::from);
    Ok(Some(
        machines.chain(node_claims.into_iter().map(Claim::from)).collect(),
    ))
}
