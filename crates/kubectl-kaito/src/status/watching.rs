//! Watches of Workspaces and their objects, as stores that are current.
//!
//! Nothing is polled.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::io::Write as _;
use std::time::Duration;

use anyhow::bail;
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, future};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kaito_api::{Claim, Machine, NodeClaim, Workspace, labels};
use kube::core::NamespaceResourceScope;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use super::facts::{self, WorkspaceFacts};
use crate::cluster::ClusterAccess;

/// Namespace and name.
type ObjectKey = (String, String);
/// A line of the log of a pod.
type LogLine = (ObjectKey, String);

/// News of one watch.
enum Seen {
    /// An object changed.
    Change,
    /// The first list is complete.
    Listed,
    /// The user may not watch the kind (403), or it is not served (404).
    Refused { kind: String, code: u16 },
    /// The watch failed and is repeated.
    Failed(String),
}

/// Objects that are watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchScope {
    /// One Workspace; `None` watches all.
    pub(crate) workspace: Option<String>,
    /// All namespaces, not only that of the connection.
    pub(crate) all_namespaces: bool,
    /// Pods, and the logs of those that download weights.
    pub(crate) pods: bool,
}

/// The watches of one command.
pub(crate) struct Watching {
    client: Client,
    workspaces: Store<Workspace>,
    machines: Store<Machine>,
    node_claims: Store<NodeClaim>,
    pods: Store<Pod>,
    news: SelectAll<BoxStream<'static, Seen>>,
    /// Watches without a first list.
    pending: usize,
    claims_refused: bool,
    notes: Vec<String>,
    /// Last failure of a watch.
    failure: Option<(Timestamp, String)>,
    /// Last line of each download.
    downloads: BTreeMap<ObjectKey, String>,
    followed: HashSet<ObjectKey>,
    line_sender: UnboundedSender<LogLine>,
    lines: UnboundedReceiver<LogLine>,
}

impl Watching {
    /// Starts the watches.
    pub(crate) fn start(access: &ClusterAccess, scope: &WatchScope) -> Self {
        let (client, namespace) = (&access.client, &access.namespace);
        let any = watcher::Config::default();
        let (of_workspaces, of_claims, of_pods) = match &scope.workspace {
            Some(name) => (
                any.clone().fields(&format!("metadata.name={name}")),
                any.clone().labels(&facts::claims_of(namespace, name)),
                any.labels(&facts::of_workspace(name)),
            ),
            None => {
                let ours = any.clone().labels(labels::WORKSPACE);
                (any, ours.clone(), ours)
            }
        };
        let mut news = SelectAll::new();
        let workspaces = follow(scope.api(access), of_workspaces, &mut news);
        let machines = follow(Api::all(client.clone()), of_claims.clone(), &mut news);
        let node_claims = follow(Api::all(client.clone()), of_claims, &mut news);
        let pods = match scope.pods {
            true => follow(scope.api(access), of_pods, &mut news),
            false => reflector::store().0,
        };
        let (line_sender, lines) = mpsc::unbounded_channel();
        Self {
            client: client.clone(),
            workspaces,
            machines,
            node_claims,
            pods,
            pending: news.len(),
            news,
            claims_refused: false,
            notes: Vec::new(),
            failure: None,
            downloads: BTreeMap::new(),
            followed: HashSet::new(),
            line_sender,
            lines,
        }
    }

    /// Waits until something has changed and all first lists are complete. Changes within `window` are one.
    ///
    /// # Errors
    /// Fails if Workspaces cannot be watched.
    pub(crate) async fn changed(&mut self, window: Duration) -> anyhow::Result<()> {
        self.one_change().await?;
        while self.pending > 0 {
            self.one_change().await?;
        }
        let end = Instant::now() + window;
        while let Ok(more) = tokio::time::timeout_at(end, self.one_change()).await {
            more?;
        }
        self.follow_downloads();
        Ok(())
    }

    async fn one_change(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            Some(seen) = self.news.next() => self.note(seen),
            Some((pod, line)) = self.lines.recv() => {
                self.downloads.insert(pod, line);
                Ok(())
            }
        }
    }

    /// Reasons for which objects are left out.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Time and words of the last failure of a watch, which was repeated.
    pub(crate) fn failure(&self) -> Option<&(Timestamp, String)> {
        self.failure.as_ref()
    }

    /// The Workspaces as they are now.
    pub(crate) fn workspaces(&self) -> Vec<Workspace> {
        let workspaces = self.workspaces.state();
        workspaces.iter().map(|found| found.as_ref().clone()).collect()
    }

    fn note(&mut self, seen: Seen) -> anyhow::Result<()> {
        match seen {
            Seen::Change => {}
            Seen::Listed => self.pending = self.pending.saturating_sub(1),
            Seen::Refused { kind, code } => {
                self.pending = self.pending.saturating_sub(1);
                if kind == "workspaces" {
                    bail!("failed to watch workspaces: the API server answers {code}");
                }
                if code == 403 {
                    self.claims_refused |= kind != "pods";
                    self.notes
                        .push(format!("You may not watch {kind}, so they are left out."));
                }
            }
            Seen::Failed(error) => {
                let _ = writeln!(std::io::stderr().lock(), "the watch is repeated: {error}");
                self.failure = Some((Timestamp::now(), error));
            }
        }
        Ok(())
    }

    /// The claims as they are now; `None` if the user may not watch them.
    pub(crate) fn claims(&self) -> Option<Vec<Claim>> {
        let machines = self.machines.state().into_iter().map(Claim::from);
        let node_claims = self.node_claims.state().into_iter().map(Claim::from);
        let mut claims: Vec<Claim> = machines.chain(node_claims).collect();
        claims.sort_by(|a, b| a.name().cmp(b.name()));
        (!self.claims_refused).then_some(claims)
    }

    /// All Workspaces with their objects, by namespace and name.
    pub(crate) fn facts(&self) -> Vec<WorkspaceFacts> {
        let mut claims: BTreeMap<ObjectKey, Vec<Claim>> = BTreeMap::new();
        let are_known = self.claims().map(|all| {
            for claim in all {
                let labels = claim.metadata().labels.as_ref();
                let label = |name: &str| labels.and_then(|labels| labels.get(name)).cloned();
                let key = label(labels::WORKSPACE_NAMESPACE).zip(label(labels::WORKSPACE));
                claims.entry(key.unwrap_or_default()).or_default().push(claim);
            }
        });
        let mut pods: BTreeMap<ObjectKey, Vec<Pod>> = BTreeMap::new();
        for pod in self.pods.state() {
            let name = pod.labels().get(labels::WORKSPACE).cloned();
            let key = (pod.namespace().unwrap_or_default(), name.unwrap_or_default());
            pods.entry(key).or_default().push(pod.as_ref().clone());
        }
        let mut workspaces = self.workspaces();
        workspaces.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        let facts = workspaces.into_iter().map(|workspace| {
            let key = (workspace.namespace().to_owned(), workspace.name().to_owned());
            let mut pods = pods.remove(&key).unwrap_or_default();
            pods.sort_by_key(ResourceExt::name_any);
            WorkspaceFacts {
                claims: are_known.map(|()| claims.remove(&key).unwrap_or_default()),
                downloads: self.downloads_of(&pods),
                workspace,
                pods,
                notes: self.notes.clone(),
            }
        });
        facts.collect()
    }

    fn downloads_of(&self, pods: &[Pod]) -> BTreeMap<String, String> {
        let running = pods.iter().filter(|pod| facts::downloads_weights(pod));
        let lines = running.filter_map(|pod| {
            let line = self.downloads.get(&key_of(pod))?;
            Some((pod.name_any(), line.clone()))
        });
        lines.collect()
    }

    /// Follows the log of each download once.
    fn follow_downloads(&mut self) {
        for pod in self.pods.state() {
            let key = key_of(&pod);
            if !facts::downloads_weights(&pod) || !self.followed.insert(key.clone()) {
                continue;
            }
            let api = Api::namespaced(self.client.clone(), &key.0);
            let lines = self.line_sender.clone();
            // It ends with the container, or with the program.
            tokio::spawn(facts::follow_download(api, pod.name_any(), move |_, line| {
                let _ = lines.send((key.clone(), line));
            }));
        }
    }
}

impl WatchScope {
    fn api<K>(&self, access: &ClusterAccess) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self.all_namespaces {
            true => Api::all(access.client.clone()),
            false => Api::namespaced(access.client.clone(), &access.namespace),
        }
    }
}

fn key_of(pod: &Pod) -> ObjectKey {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Watches a kind into a store.
fn follow<K>(api: Api<K>, config: watcher::Config, news: &mut SelectAll<BoxStream<'static, Seen>>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Hash + Eq + Clone + Default,
{
    let (store, writer) = reflector::store();
    let mut is_listed = false;
    let stream = watcher(api, config)
        .default_backoff()
        .reflect(writer)
        .filter_map(move |event| {
            let seen = match event {
                Ok(Event::InitDone) if !is_listed => {
                    is_listed = true;
                    Some(Seen::Listed)
                }
                Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => Some(Seen::Change),
                Ok(Event::Init | Event::InitApply(_)) => None,
                Err(error) => Some(failed::<K>(&error)),
            };
            future::ready(seen)
        })
        .scan(false, |is_over, seen| {
            let was_over = std::mem::replace(is_over, matches!(seen, Seen::Refused { .. }));
            future::ready((!was_over).then_some(seen))
        });
    news.push(stream.boxed());
    store
}

fn failed<K: Resource<DynamicType = ()>>(error: &watcher::Error) -> Seen {
    let refused = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    };
    match refused {
        Some(code @ (403 | 404)) => Seen::Refused {
            kind: K::plural(&()).into_owned(),
            code,
        },
        _ => Seen::Failed(error.to_string()),
    }
}
