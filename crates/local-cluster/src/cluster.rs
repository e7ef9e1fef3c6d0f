//! Starts and stops a cluster: etcd, an API server, and in higher tiers controllers, a scheduler and nodes.
//! Puts nothing into it, except for the name of DNS.

mod control_plane;
mod controllers;
mod credentials;
mod detached;
mod home;
mod options;
mod probe;
mod services;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::assets::Assets;
use crate::audit::AuditLog;
use crate::kubeconfig::{self, Kubeconfig};
use crate::nodes::{self, CLEAN_SCRIPT, HostConfig, Machine, Programs};
use crate::process::{Attachment, Guard, Process, ProcessSpec, Roll, tail};
use crate::progress::Progress;
use credentials::ClusterCredentials;
use home::Home;
use probe::Probe;

pub use detached::Detached;
pub use options::{ClusterOptions, Lifetime, Tier};

/// Attempts with other ports, if a program with a fixed port has one of them.
const ATTEMPTS: usize = 3;

/// Lines of the log of a crashed program that are shown.
const CRASH_LINES: usize = 40;

/// The parts of a cluster come up within seconds; a loaded machine gets more.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// A running cluster. Dropping it stops it, unless it was started detached.
#[derive(Debug)]
pub struct Cluster {
    tier: Tier,
    server: String,
    parts: Vec<Process>,
    home: Home,
    credentials: ClusterCredentials,
    roll: Roll,
    guard: Option<Guard>,
    /// The claim on the machine, for real nodes.
    machine: Option<Machine>,
    assets: Assets,
    keep: bool,
}

impl Cluster {
    /// Starts a cluster and waits until it is ready. Obtains the programs first, which may take minutes
    /// the first time.
    ///
    /// # Errors
    /// When a program cannot be obtained or a part does not come up; the error holds the end of its log.
    pub fn start(options: &ClusterOptions, progress: &dyn Progress) -> Result<Self> {
        if options.tier == Tier::RealNodes {
            nodes::ensure_root()?;
            nodes::ensure_programs(progress)?;
        }
        let assets = Assets::obtain(options.tier.tools(), progress)?;
        let home = Home::create(options.dir.as_deref())?;
        let roll = Roll::open(home.roll())?;
        let guard = match options.lifetime {
            Lifetime::Owner => Some(Guard::start(&roll, home.dir()).context("failed to start the guard")?),
            Lifetime::Detached => None,
        };
        let credentials = ClusterCredentials::create(&home.pki()).context("failed to create credentials")?;
        let mut cluster = Self {
            tier: options.tier,
            server: String::new(),
            parts: Vec::new(),
            keep: options.keep,
            home,
            credentials,
            roll,
            guard,
            machine: None,
            assets,
        };
        if let (Some(guard), true) = (&mut cluster.guard, options.keep) {
            guard.keep_files();
        }
        let started = cluster
            .claim_machine(progress)
            .and_then(|()| cluster.start_parts(options));
        match started {
            Ok(()) => Ok(cluster),
            Err(error) => {
                cluster.shut_down();
                Err(error)
            }
        }
    }

    /// Makes the network of real nodes.
    fn claim_machine(&mut self, progress: &dyn Progress) -> Result<()> {
        if self.tier == Tier::RealNodes {
            fs::write(self.home.clean_script(), CLEAN_SCRIPT)
                .context("failed to write the script of the guard")?;
            self.machine = Some(Machine::claim(self.home.dir(), self.roll.dir(), progress)?);
        }
        Ok(())
    }

    fn start_parts(&mut self, options: &ClusterOptions) -> Result<()> {
        for _ in 1..ATTEMPTS {
            let result = self.start_control_plane(options);
            if result.is_ok() || !self.lost_a_port() {
                return result.and_then(|()| self.start_nodes(options));
            }
            self.stop_parts();
            self.home.forget_attempt()?;
        }
        self.start_control_plane(options)
            .and_then(|()| self.start_nodes(options))
    }

    fn start_control_plane(&mut self, options: &ClusterOptions) -> Result<()> {
        let ports = control_plane::Ports::pick(self.tier)?;
        self.server = ports.server();
        self.start_part(&control_plane::etcd(
            self.assets.path(crate::Tool::Etcd)?,
            &self.home,
            &ports,
        ))?;
        let probe = Probe::new(&self.credentials)?;
        self.wait_for(|| probe.ok(&ports.etcd_health(), None))?;

        AuditLog::write_policy(&self.home.audit_policy())?;
        let program = self.assets.path(crate::Tool::KubeApiserver)?;
        self.start_part(&control_plane::apiserver(program, &self.home, &ports, options))?;
        let ready = format!("{}/readyz", self.server);
        self.wait_for(|| probe.ok(&ready, None))?;
        // A health response may come from another cluster's etcd, on a port that ours did not get.
        self.ensure_running()?;
        self.write_kubeconfigs()?;
        self.home.write_state(self.tier, &self.server)
    }

    fn write_kubeconfigs(&self) -> Result<()> {
        for user in &self.credentials.users {
            self.kubeconfig_for(user.name, &user.token)?;
        }
        let admin = self.kubeconfig_text(&self.credentials.admin().token);
        kubeconfig::write(&self.kubeconfig(), &admin)
    }

    fn start_nodes(&mut self, options: &ClusterOptions) -> Result<()> {
        if self.tier == Tier::ControlPlaneOnly {
            return Ok(());
        }
        for part in controllers::parts(&self.assets, &self.home, options)? {
            self.start_part(&part)?;
        }
        // The first visible result of the controllers; no pod is admitted before it.
        let account = format!(
            "{}/api/v1/namespaces/default/serviceaccounts/default",
            self.server
        );
        let probe = Probe::new(&self.credentials)?;
        let token = self.credentials.admin().token.clone();
        self.wait_for(|| probe.ok(&account, Some(&token)))?;
        if self.tier == Tier::RealNodes {
            self.prepare_for_nodes(&probe, &token)?;
        }
        Ok(())
    }

    fn prepare_for_nodes(&mut self, probe: &Probe, token: &str) -> Result<()> {
        for (path, object) in services::dns_objects() {
            probe.create(&format!("{}{path}", self.server), token, &object.to_string())?;
        }
        let registry = format!("http://{}/v2/", nodes::REGISTRY_ADDRESS);
        self.wait_for(|| probe.ok(&registry, None))?;
        let config = HostConfig {
            server: self.server.clone(),
            programs: Programs::of(&self.assets)?,
        };
        config.write(self.home.dir())
    }

    fn start_part(&mut self, spec: &ProcessSpec) -> Result<()> {
        let attachment = if self.guard.is_some() {
            Attachment::Guarded
        } else {
            Attachment::Detached
        };
        self.parts
            .push(spec.start_on(&self.roll, &self.home.logs(), attachment)?);
        Ok(())
    }

    /// Waits until `ready` says so, and fails as soon as one of the parts has ended.
    fn wait_for(&mut self, ready: impl Fn() -> Result<(), String>) -> Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            self.ensure_running()?;
            let Err(reason) = ready() else { return Ok(()) };
            if Instant::now() > deadline {
                let last = self
                    .parts
                    .last()
                    .map(|part| part.log_tail(15))
                    .unwrap_or_default();
                bail!("not ready after {READY_LIMIT:?}: {reason}\n{last}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ensure_running(&mut self) -> Result<()> {
        for part in &mut self.parts {
            if let Some(status) = part.exited()? {
                bail!("{} ended ({status}):\n{}", part.name(), part.log_tail(15));
            }
        }
        Ok(())
    }

    fn lost_a_port(&self) -> bool {
        self.parts
            .iter()
            .any(|part| part.log_tail(200).contains("address already in use"))
    }

    /// The directory with everything the cluster wrote.
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// The tier, which says which parts run.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The address of the API server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The certificate authority that signed the API server's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.home.pki().join("ca.crt")
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.admin_kubeconfig()
    }

    /// The programs the cluster was started from.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// The log of every write.
    pub fn audit(&self) -> AuditLog {
        AuditLog::at(self.home.audit_log())
    }

    /// The directory of the log files, one a program.
    pub fn logs(&self) -> PathBuf {
        self.home.logs()
    }

    /// The programs of the cluster: name and process id.
    pub fn programs(&self) -> impl Iterator<Item = (&str, u32)> {
        self.parts.iter().map(|part| (part.name(), part.pid()))
    }

    /// Writes a kubeconfig with `token`, for example a ServiceAccount's, and returns its path.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn kubeconfig_for(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.home.kubeconfig_of(name);
        kubeconfig::write(&path, &self.kubeconfig_text(token))?;
        Ok(path)
    }

    fn kubeconfig_text(&self, token: &str) -> String {
        Kubeconfig {
            server: &self.server,
            ca_file: &self.ca_file(),
            token,
        }
        .to_yaml()
    }

    /// Starts another program that dies with the cluster, its output in [`Cluster::logs`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, spec: &ProcessSpec) -> Result<Process> {
        let attachment = if self.guard.is_some() {
            Attachment::Guarded
        } else {
            Attachment::Detached
        };
        spec.start_on(&self.roll, &self.home.logs(), attachment)
    }

    /// The programs that ended without being stopped, with the ends of their logs.
    ///
    /// # Errors
    /// When the roll cannot be read.
    pub fn crashed(&self) -> io::Result<Vec<String>> {
        let members = Roll::members(self.roll.dir())?.into_iter();
        let crashed = members.filter(|member| !member.alive());
        Ok(crashed
            .map(|member| {
                let log = self.logs().join(format!("{}.log", member.name));
                format!("{} ended unexpectedly:\n{}", member.name, tail(&log, CRASH_LINES))
            })
            .collect())
    }

    /// Stops the cluster, detached or not, and removes its directory unless it is to be kept.
    pub fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        self.stop_parts();
        // Whatever others started on the roll and still hold a handle of.
        let _ = Roll::kill_all(self.roll.dir());
        drop(self.machine.take());
        if let Some(guard) = self.guard.take() {
            guard.disarm();
        }
        if !self.keep {
            self.home.remove();
        }
    }

    /// The last started first: nothing then complains about a server that is gone.
    fn stop_parts(&mut self) {
        while let Some(mut part) = self.parts.pop() {
            let _ = part.kill9();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A detached cluster has no guard and lives on.
        if self.guard.is_some() {
            self.shut_down();
        } else if let Some(machine) = self.machine.take() {
            machine.keep();
        }
    }
}
