//! `status --watch`: the tree or the list again, at each change that a watch of the API server shows.
//!
//! Nothing is polled. On a terminal the clock is redrawn each second; elsewhere each change is one line.

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
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::facts::{self, WorkspaceFacts};
use super::listing;
use super::text;
use super::view::StatusView;
use crate::answer::Answer;
use crate::args::{Format, StatusArgs};
use crate::cluster::ClusterAccess;
use crate::screen::Screen;

/// Changes that come together are shown together.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Time between two drawings of the clock.
const TICK: Duration = Duration::from_secs(1);

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

/// Follows changes until the end of the program, or until the named Workspace is settled.
pub(super) async fn run(access: &ClusterAccess, args: &StatusArgs) -> anyhow::Result<Answer> {
    let mut watching = Watching::start(access, args);
    let screen = Screen::of_stdout();
    let mut drawn = Drawn::new(screen, args.read.output);
    let (lines, mut downloads) = mpsc::unbounded_channel();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            Some(seen) = watching.news.next() => watching.note(seen)?,
            Some((pod, line)) = downloads.recv() => { watching.downloads.insert(pod, line); }
            _ = tick.tick(), if screen.size.is_some() => {}
        }
        if watching.pending > 0 {
            continue;
        }
        while let Ok(Some(seen)) = tokio::time::timeout(DEBOUNCE, watching.news.next()).await {
            watching.note(seen)?;
        }
        watching.follow_downloads(access, &lines);
        let now = Timestamp::now();
        let Some(name) = &args.workspace else {
            drawn.list(&watching, args, &access.namespace, now)?;
            continue;
        };
        let Some(facts) = watching.facts(name) else {
            let missing = format!("Workspace {}/{name} does not exist.", access.namespace);
            if drawn.is_blank() {
                bail!(missing);
            }
            return Ok(Answer {
                text: format!("{missing}\n"),
                findings: true,
            });
        };
        let view = StatusView::of(&facts, now);
        drawn.tree(&view, now)?;
        if view.is_settled() {
            let findings = !view.is_settled_well();
            return Ok(Answer {
                text: String::new(),
                findings,
            });
        }
    }
}

/// The watches of one command.
struct Watching {
    workspaces: Store<Workspace>,
    machines: Store<Machine>,
    node_claims: Store<NodeClaim>,
    pods: Store<Pod>,
    news: SelectAll<BoxStream<'static, Seen>>,
    /// Watches without a first list.
    pending: usize,
    claims_refused: bool,
    notes: Vec<String>,
    downloads: BTreeMap<String, String>,
    followed: HashSet<String>,
}

impl Watching {
    fn start(access: &ClusterAccess, args: &StatusArgs) -> Self {
        let (client, namespace) = (&access.client, &access.namespace);
        let any = watcher::Config::default();
        let (of_workspaces, of_claims, of_pods) = match &args.workspace {
            Some(name) => (
                any.clone().fields(&format!("metadata.name={name}")),
                any.clone().labels(&facts::claims_of(namespace, name)),
                Some(any.labels(&facts::of_workspace(name))),
            ),
            None => (any.clone(), any.labels(labels::WORKSPACE), None),
        };
        let api = match args.all_namespaces {
            true => Api::all(client.clone()),
            false => Api::namespaced(client.clone(), namespace),
        };
        let mut news = SelectAll::new();
        let workspaces = follow(api, of_workspaces, &mut news);
        let machines = follow(Api::all(client.clone()), of_claims.clone(), &mut news);
        let node_claims = follow(Api::all(client.clone()), of_claims, &mut news);
        // A list of Workspaces shows no pods.
        let pods = match of_pods {
            Some(config) => follow(Api::namespaced(client.clone(), namespace), config, &mut news),
            None => reflector::store().0,
        };
        Self {
            workspaces,
            machines,
            node_claims,
            pods,
            pending: news.len(),
            news,
            claims_refused: false,
            notes: Vec::new(),
            downloads: BTreeMap::new(),
            followed: HashSet::new(),
        }
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
            }
        }
        Ok(())
    }

    fn claims(&self) -> Option<Vec<Claim>> {
        let machines = self.machines.state().into_iter().map(Claim::from);
        let node_claims = self.node_claims.state().into_iter().map(Claim::from);
        let mut claims: Vec<Claim> = machines.chain(node_claims).collect();
        claims.sort_by(|a, b| a.name().cmp(b.name()));
        (!self.claims_refused).then_some(claims)
    }

    fn facts(&self, name: &str) -> Option<WorkspaceFacts> {
        let mut workspaces = self.workspaces.state().into_iter();
        let workspace = workspaces.find(|workspace| workspace.name() == name)?;
        let mut pods: Vec<Pod> = self.pods.state().iter().map(|pod| pod.as_ref().clone()).collect();
        pods.sort_by_key(ResourceExt::name_any);
        let running: HashSet<String> = pods
            .iter()
            .filter(|pod| facts::downloads_weights(pod))
            .map(ResourceExt::name_any)
            .collect();
        let downloads = self.downloads.iter().filter(|(pod, _)| running.contains(*pod));
        Some(WorkspaceFacts {
            workspace: workspace.as_ref().clone(),
            claims: self.claims(),
            downloads: downloads.map(|(pod, line)| (pod.clone(), line.clone())).collect(),
            pods,
            notes: self.notes.clone(),
        })
    }

    /// Follows the log of each download once.
    fn follow_downloads(&mut self, access: &ClusterAccess, lines: &mpsc::UnboundedSender<(String, String)>) {
        for pod in self.pods.state() {
            if !facts::downloads_weights(&pod) || !self.followed.insert(pod.name_any()) {
                continue;
            }
            let api = Api::namespaced(access.client.clone(), &access.namespace);
            let lines = lines.clone();
            // It ends with the container, or with the program.
            tokio::spawn(facts::follow_download(api, pod.name_any(), move |pod, line| {
                let _ = lines.send((pod.to_owned(), line));
            }));
        }
    }
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

/// The last drawing.
struct Drawn {
    screen: Screen,
    format: Format,
    rows: usize,
    lines: BTreeMap<String, String>,
}

impl Drawn {
    fn new(screen: Screen, format: Format) -> Self {
        Self {
            screen,
            format,
            rows: 0,
            lines: BTreeMap::new(),
        }
    }

    fn is_blank(&self) -> bool {
        self.rows == 0 && self.lines.is_empty()
    }

    fn tree(&mut self, view: &StatusView, now: Timestamp) -> anyhow::Result<()> {
        if self.draws() {
            return self.redraw(&text::tree(view, self.screen));
        }
        let line = match self.format {
            Format::Table => text::line(view),
            Format::Json | Format::Yaml => text::change(view)?,
        };
        self.say(&view.name, line, now)
    }

    fn list(
        &mut self,
        watching: &Watching,
        args: &StatusArgs,
        namespace: &str,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let workspaces = watching.workspaces.state();
        let workspaces: Vec<Workspace> = workspaces.iter().map(|found| found.as_ref().clone()).collect();
        let rows = listing::rows(&workspaces, watching.claims().as_deref(), now);
        if self.draws() {
            let table = listing::table(&rows, args.all_namespaces, namespace, &watching.notes);
            return self.redraw(&table);
        }
        let mut names = HashSet::new();
        for row in &rows {
            let name = format!("{}/{}", row.namespace, row.name);
            let line = match self.format {
                Format::Table => listing::line(row),
                Format::Json | Format::Yaml => listing::change(row)?,
            };
            self.say(&name, line, now)?;
            names.insert(name);
        }
        let gone: Vec<String> = self
            .lines
            .keys()
            .filter(|name| !names.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            if self.format == Format::Table {
                self.say(&name, format!("{name} deleted"), now)?;
            }
            self.lines.remove(&name);
        }
        Ok(())
    }

    fn draws(&self) -> bool {
        self.screen.size.is_some() && self.format == Format::Table
    }

    /// Draws over what was drawn last.
    fn redraw(&mut self, text: &str) -> anyhow::Result<()> {
        let height = self
            .screen
            .size
            .map_or(usize::MAX, |(_, rows)| usize::from(rows.max(2)) - 1);
        let lines: Vec<&str> = text.lines().take(height).collect();
        let up = match self.rows {
            0 => String::new(),
            rows => format!("\u{1b}[{rows}A\u{1b}[J"),
        };
        self.rows = lines.len();
        print(&format!("{up}{}\n", lines.join("\n")))
    }

    /// Prints a line if it differs from the last one about the same Workspace.
    fn say(&mut self, name: &str, line: String, now: Timestamp) -> anyhow::Result<()> {
        if self.lines.get(name) == Some(&line) {
            return Ok(());
        }
        let shown = match self.format {
            Format::Table => format!("{} {line}\n", now.strftime("%H:%M:%SZ")),
            Format::Json | Format::Yaml => format!("{line}\n"),
        };
        self.lines.insert(name.to_owned(), line);
        print(&shown)
    }
}

/// Writes to standard output at once. A closed pipe ends the watch.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
