//! The time at which the last of N objects reached its goal.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kaito_api::{Machine, Workspace};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};

/// Seconds from `started` until `count` Machines exist.
pub(crate) async fn machines(
    client: &Client,
    count: usize,
    started: Instant,
    limit: Duration,
) -> Result<f64> {
    until(Api::<Machine>::all(client.clone()), count, started, limit, |_| {
        true
    })
    .await
}

/// Seconds from `started` until `count` Workspaces are ready.
pub(crate) async fn ready(client: &Client, count: usize, started: Instant, limit: Duration) -> Result<f64> {
    let is_ready = |workspace: &Workspace| {
        let conditions = workspace.status.iter().flat_map(|s| &s.conditions);
        conditions
            .into_iter()
            .any(|c| c.type_ == "WorkspaceReady" && c.status == "True")
    };
    until(
        Api::<Workspace>::all(client.clone()),
        count,
        started,
        limit,
        is_ready,
    )
    .await
}

/// Seconds from `started` until `count` Deployments are available.
pub(crate) async fn available(
    api: &Api<Deployment>,
    count: usize,
    started: Instant,
    limit: Duration,
) -> Result<f64> {
    let is_available = |deployment: &Deployment| {
        let status = deployment.status.as_ref();
        status.and_then(|status| status.available_replicas).unwrap_or(0) > 0
    };
    until(api.clone(), count, started, limit, is_available).await
}

async fn until<K>(
    api: Api<K>,
    count: usize,
    started: Instant,
    limit: Duration,
    good: impl Fn(&K) -> bool,
) -> Result<f64>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    let mut stream = std::pin::pin!(stream);
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let left = limit.checked_sub(started.elapsed()).unwrap_or_default();
        match tokio::time::timeout(left, stream.next()).await {
            Ok(Some(Ok(object))) if good(&object) => {
                seen.insert(object.name_any());
            }
            Ok(Some(_)) => {}
            Ok(None) => bail!("the watch ended"),
            Err(_) => {
                return Err(anyhow::anyhow!(
                    "{} of {count} after {} s",
                    seen.len(),
                    limit.as_secs()
                ))
                .context("too slow");
            }
        }
    }
    Ok(started.elapsed().as_secs_f64())
}
