//! The cost of a run: writes from the audit log, memory and processor time from `/proc`.

use std::collections::BTreeMap;

use anyhow::Result;
use local_cluster::AuditEntry;
use serde::{Deserialize, Serialize};
use testkit::{Mark, Stack, TestEnv};

use crate::process::Usage;
use crate::times::{BareTimes, Times};

/// Programs of ours whose cost is printed.
pub(crate) const PROGRAMS: [&str; 2] = ["workspace-controller", "gpu-provisioner"];

/// Figures of one run, as the table of the documentation is made from them.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) workspaces: usize,
    /// Seconds until a node of the simulated cloud joins.
    pub(crate) join_seconds: f64,
    pub(crate) controllers: Times,
    pub(crate) bare_writer: BareTimes,
    /// Of the whole run, until all Workspaces were ready.
    pub(crate) cost: Cost,
    /// Of the time after that, in which nothing changed.
    pub(crate) idle: Vec<Idle>,
    /// Of new processes of our programs, with all objects there.
    pub(crate) restart: Vec<Restart>,
}

/// Cost of a run for each Workspace.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Cost {
    pub(crate) programs: Vec<ProgramCost>,
    /// Writes of all clients.
    pub(crate) writes: f64,
    /// Processor time of each program of the cluster, in milliseconds.
    pub(crate) cluster_cpu_ms: BTreeMap<String, f64>,
}

/// Cost of one of our programs for each Workspace.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ProgramCost {
    pub(crate) name: String,
    /// Without leases and events.
    pub(crate) writes: f64,
    pub(crate) events: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) peak_rss_mb: f64,
    /// Writes by verb, resource and the class of a refusal.
    pub(crate) by_kind: BTreeMap<String, f64>,
}

/// Cost of a program while nothing changes.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Idle {
    pub(crate) name: String,
    /// Thousandths of a processor.
    pub(crate) millicores: f64,
    /// Of the whole time, without leases.
    pub(crate) writes: usize,
    pub(crate) rss_mb: f64,
}

/// Cost of a new process of a program.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Restart {
    pub(crate) name: String,
    /// Seconds until every object was reconciled and none waits.
    pub(crate) steady: f64,
    /// Without leases.
    pub(crate) writes: usize,
    pub(crate) peak_rss_mb: f64,
}

/// Prints how long something took.
pub(crate) fn times(who: &str, times: Times, count: usize) {
    let rate = |seconds: f64| count as f64 / seconds;
    println!(
        "{who:<22} all claims written after {:6.1} s ({:5.1} /s), all ready after {:6.1} s ({:5.1} /s)",
        times.claims,
        rate(times.claims),
        times.ready,
        rate(times.ready)
    );
}

/// The books when a run began.
#[derive(Debug)]
pub(crate) struct Books {
    mark: Mark,
    cluster: Vec<(String, f64)>,
}

impl Books {
    pub(crate) fn open(env: &TestEnv) -> Result<Self> {
        Ok(Self {
            mark: env.audit().mark()?,
            cluster: cluster_seconds(env)?,
        })
    }

    /// The cost since then, for each of `count` Workspaces.
    pub(crate) fn close(self, env: &TestEnv, stack: &Stack, count: usize) -> Result<Cost> {
        let each = |what: f64| what / count as f64;
        let spent = cluster_seconds(env)?;
        let entries = env.audit().entries_since(self.mark)?;
        let pids = [stack.controller.pid(), stack.provisioner.pid()];
        let programs = PROGRAMS.into_iter().zip(pids).map(|(name, pid)| {
            let usage = Usage::of(pid)?;
            let mut by_kind = BTreeMap::new();
            for entry in own(&entries, name) {
                *by_kind.entry(kind_of(entry)).or_insert(0.0) += each(1.0);
            }
            let is_event = |entry: &&AuditEntry| entry.resource == "events";
            let events = own(&entries, name).filter(is_event).count();
            Ok(ProgramCost {
                name: name.to_owned(),
                writes: each((own(&entries, name).count() - events) as f64),
                events: each(events as f64),
                cpu_ms: each(usage.cpu_seconds * 1000.0),
                peak_rss_mb: usage.peak_rss_mb,
                by_kind,
            })
        });
        let cluster = self.cluster.into_iter().zip(spent);
        Ok(Cost {
            programs: programs.collect::<Result<_>>()?,
            writes: each(entries.len() as f64),
            cluster_cpu_ms: cluster
                .map(|((name, before), (_, after))| (name, each((after - before) * 1000.0)))
                .collect(),
        })
    }
}

impl Cost {
    pub(crate) fn print(&self) {
        for program in &self.programs {
            println!(
                "{:<24} {:5.2} writes and {:4.2} events a Workspace, CPU {:5.1} ms a Workspace, peak RSS {:.1} MB",
                program.name, program.writes, program.events, program.cpu_ms, program.peak_rss_mb
            );
            for (kind, count) in &program.by_kind {
                println!("    {count:5.2} {kind}");
            }
        }
        println!("{:<24} {:5.1} writes a Workspace", "everybody", self.writes);
        for (name, milliseconds) in &self.cluster_cpu_ms {
            println!("{name:<24} CPU {milliseconds:5.1} ms a Workspace");
        }
    }
}

impl Idle {
    pub(crate) fn print(&self) {
        println!(
            "{:<24} idle: {:.1} millicores, {} writes, RSS {:.1} MB",
            self.name, self.millicores, self.writes, self.rss_mb
        );
    }
}

impl Restart {
    pub(crate) fn print(&self) {
        println!(
            "{:<24} restart: steady after {:.1} s, {} writes, peak RSS {:.1} MB",
            self.name, self.steady, self.writes, self.peak_rss_mb
        );
    }
}

/// The writes of a program, without leases.
pub(crate) fn own<'a>(entries: &'a [AuditEntry], program: &str) -> impl Iterator<Item = &'a AuditEntry> {
    entries
        .iter()
        .filter(move |entry| entry.user_agent.starts_with(program) && entry.resource != "leases")
}

fn kind_of(entry: &AuditEntry) -> String {
    let resource = if entry.subresource.is_empty() {
        entry.resource.clone()
    } else {
        format!("{}/{}", entry.resource, entry.subresource)
    };
    match entry.code {
        200..300 => format!("{} {resource}", entry.verb),
        code => format!("{} {resource} (answer {code})", entry.verb),
    }
}

/// Processor seconds that each program of the cluster has used so far, in a fixed order.
fn cluster_seconds(env: &TestEnv) -> Result<Vec<(String, f64)>> {
    let all = env.cluster().programs();
    all.map(|(name, pid)| Ok((name.to_owned(), Usage::of(pid)?.cpu_seconds)))
        .collect()
}
