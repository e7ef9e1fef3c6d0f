//! `cargo xtask cluster up|down|status`: a cluster that outlives the command.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use local_cluster::cluster::Detached;
use local_cluster::nodes::{REGISTRY_ADDRESS, REGISTRY_NAME};
use local_cluster::{
    Assets, Cluster, ClusterOptions, Lifetime, NodeHost, NodeOptions, Progress as _, Stderr, Tier, Tool,
};

use crate::repository;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Start a cluster and leave it running
    Up {
        #[command(flatten)]
        place: Place,
        /// Nodes: none and no controllers; those that KWOK simulates; or real ones of namespaces, which need root
        #[arg(long, value_enum, default_value_t = Nodes::Simulated)]
        nodes: Nodes,
        /// Real nodes to boot, named node-1 and so on
        #[arg(long, default_value_t = 1)]
        count: u8,
    },
    /// Stop the cluster and remove its directory
    Down {
        #[command(flatten)]
        place: Place,
    },
    /// Show what runs
    Status {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum Nodes {
    None,
    Simulated,
    Real,
}

impl Nodes {
    const fn tier(self) -> Tier {
        match self {
            Self::None => Tier::ControlPlaneOnly,
            Self::Simulated => Tier::WithNodes,
            Self::Real => Tier::RealNodes,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The directory of the cluster [default: .cluster in the repository]
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Place {
    fn dir(&self) -> PathBuf {
        self.dir
            .clone()
            .unwrap_or_else(|| repository::root().join(".cluster"))
    }
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Up { place, nodes, count } => up(&place.dir(), nodes.tier(), *count),
        Command::Down { place } => down(&place.dir()),
        Command::Status { place } => status(&place.dir()),
    }
}

fn up(dir: &Path, tier: Tier, count: u8) -> Result<()> {
    if let Some(running) = Detached::find(dir) {
        return already_there(dir, tier, &running);
    }
    let began = std::time::Instant::now();
    let kubectl = Assets::obtain(&[Tool::Kubectl], &Stderr)?;
    let options = ClusterOptions {
        dir: Some(dir.to_owned()),
        lifetime: Lifetime::Detached,
        ..ClusterOptions::new(tier)
    };
    let cluster = Cluster::start(&options, &Stderr)?;
    if tier == Tier::RealNodes {
        boot(cluster.dir(), count)?;
    }
    Stderr.say(&format!("ready after {:.1} s", began.elapsed().as_secs_f32()));
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    println!(
        "# kubectl of the same version: {}",
        kubectl.path(Tool::Kubectl)?.display()
    );
    println!(
        "# stop it with: cargo xtask cluster down --dir {}",
        cluster.dir().display()
    );
    Ok(())
}

/// Boots real nodes; they register themselves within seconds.
fn boot(dir: &Path, count: u8) -> Result<()> {
    let host = NodeHost::open(dir)?;
    for number in 1..=count {
        let options = NodeOptions {
            name: format!("node-{number}"),
            ..NodeOptions::default()
        };
        host.boot(&options)?;
    }
    println!("# push images to {REGISTRY_ADDRESS} (without TLS); pods name them {REGISTRY_NAME}/NAME:TAG");
    Ok(())
}

/// A second `up` is no error as long as it finds what it was asked for.
fn already_there(dir: &Path, tier: Tier, running: &Detached) -> Result<()> {
    let advice = format!("`cargo xtask cluster down --dir {}` removes it", dir.display());
    running
        .ready()
        .with_context(|| format!("{} holds a cluster that is not well; {advice}", dir.display()))?;
    if running.tier() != Some(tier) {
        bail!("{} holds a cluster of another tier; {advice}", dir.display());
    }
    println!("already running at {}", running.server().unwrap_or_default());
    Ok(())
}

fn down(dir: &Path) -> Result<()> {
    let Some(cluster) = Detached::find(dir) else {
        println!("no cluster in {}", dir.display());
        return Ok(());
    };
    cluster.stop()?;
    println!("stopped, {} removed", dir.display());
    Ok(())
}

fn status(dir: &Path) -> Result<()> {
    let Some(cluster) = Detached::find(dir) else {
        println!("no cluster in {}", dir.display());
        return Ok(());
    };
    for member in cluster.members()?.iter().rev() {
        let state = if member.alive() { "running" } else { "ended" };
        println!("{:<26} pid {:<8} {state}", member.name, member.pid);
    }
    cluster.ready().context("the API server is not ready")?;
    println!("ready: {}", cluster.server().unwrap_or_default());
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    Ok(())
}
