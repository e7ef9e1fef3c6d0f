//! Leader election over a Lease: one of all replicas works.
//!
//! A replica that cannot renew in time stops before another may start. One that ends normally releases the lease, so
//! another starts at once.
//!
//! The lease also shows a restored etcd: its resource version then goes back. Watches would wait for ever for versions
//! that no longer come, so the program ends and lists everything again. Without an election, `state_revision.rs` looks for it.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Args};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use serve::Gate;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cache_writer::resource_version;
use crate::election::{self, Decision, Sighting};
use crate::error::Chain;
use crate::fence::{Fence, Moment};
use crate::release;
use crate::runtime::Runtime;
use crate::state_revision::{self, went_back};

/// Pause between a candidate's attempts, and after a failed renewal.
const RETRY: Duration = Duration::from_secs(2);

/// Flags about leader election, to flatten into a program's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Leader election")]
pub struct LeaderArgs {
    /// Elect one replica that works; the others wait.
    #[arg(long, env = "LEADER_ELECT", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,
    /// Namespace of the Lease; without it the program's own.
    #[arg(long, env = "LEADER_ELECTION_NAMESPACE")]
    pub leader_election_namespace: Option<String>,
    /// Seconds after which another replica takes over from a leader that stopped renewing.
    #[arg(long, env = "LEASE_DURATION_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..))]
    pub lease_duration_seconds: u32,
}

/// The right to work.
#[derive(Debug)]
pub struct Leadership {
    installation: Installation,
    /// `None` without an election.
    holding: Option<Holding>,
}

/// The cluster, and the namespace of our release.
struct Installation {
    client: Client,
    namespace: String,
}

impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Installation").field(&self.namespace).finish()
    }
}

/// Waits until this replica holds the lease with the program's name; `None` if the token is canceled first. From then on,
/// the runtime writes. The gate is closed while another release owns the cluster.
///
/// # Errors
/// If the API server shows an older state than before. The program should end, and list everything again.
pub async fn acquire(
    args: &LeaderArgs,
    runtime: &Runtime,
    gate: &Gate,
    token: &CancellationToken,
) -> anyhow::Result<Option<Leadership>> {
    let (client, lease, fence) = (&runtime.client, runtime.program, runtime.fence.clone());
    let namespace = args
        .leader_election_namespace
        .as_deref()
        .unwrap_or_else(|| client.default_namespace());
    release::wait(client, namespace, gate, token).await;
    let installation = Installation {
        client: client.clone(),
        namespace: namespace.to_owned(),
    };
    if !args.leader_elect {
        fence.open();
        return Ok(Some(Leadership {
            installation,
            holding: None,
        }));
    }
    let candidate = Candidate {
        api: Api::namespaced(client.clone(), namespace),
        lease: lease.to_owned(),
        me: identity(),
        duration: Duration::from_secs(args.lease_duration_seconds.into()),
        fence,
    };
    tracing::info!(namespace, lease, me = candidate.me, "waiting for lease");
    let (lease_won, renewed) = tokio::select! {
        won = candidate.win() => won?,
        () = token.cancelled() => return Ok(None),
    };
    tracing::info!(namespace, lease, "acquired lease");
    candidate.record(&lease_won, renewed);
    Ok(Some(Leadership {
        installation,
        holding: Some(Holding {
            candidate,
            lease: lease_won,
            renewed,
        }),
    }))
}

impl Leadership {
    /// Runs `work` while this replica leads, and releases the lease when `work` has ended.
    ///
    /// # Errors
    /// If `work` fails, the lease is lost, or another release was installed. In the later cases `work` was dropped, and the
    /// program should end.
    pub async fn hold<F>(self, work: F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let superseded = release::superseded(&self.installation.client, &self.installation.namespace);
        let Some(mut holding) = self.holding else {
            return tokio::select! {
                result = work => result,
                error = superseded => Err(error),
                error = state_revision::goes_back(&self.installation.client) => Err(error),
            };
        };
        let result = tokio::select! {
            result = work => result,
            error = superseded => Err(error),
            lost = holding.keep() => {
                holding.candidate.fence.close();
                return Err(lost);
            }
        };
        holding.candidate.fence.close();
        holding.release().await;
        result
    }
}

#[derive(Debug)]
struct Candidate {
    api: Api<Lease>,
    lease: String,
    me: String,
    duration: Duration,
    fence: Fence,
}

#[derive(Debug)]
struct Holding {
    candidate: Candidate,
    /// As it was last written by us.
    lease: Lease,
    /// Time at which the renewal was sent.
    renewed: Moment,
}

/// Result of a renewal.
enum Renewal {
    Renewed,
    /// Another replica holds the lease.
    Lost,
    /// The lease is older than ours.
    WentBack,
}

impl Candidate {
    async fn win(&self) -> anyhow::Result<(Lease, Moment)> {
        let mut sighting = Sighting::default();
        loop {
            // Taken before the request: the server may record the renewal as early as that.
            let began = Moment::now();
            match tokio::time::timeout(self.request_timeout(), self.attempt(&mut sighting)).await {
                _ if sighting.went_back() => return Err(went_back()),
                Ok(Ok(Some(lease))) => return Ok((lease, began)),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "failed to acquire lease"),
                Err(_) => tracing::warn!("failed to acquire lease: no response in time"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn attempt(&self, sighting: &mut Sighting) -> Result<Option<Lease>, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.lease).await? else {
            let lease = self.manifest(None);
            let created = lost_race(self.api.create(&PostParams::default(), &lease).await)?;
            if let Some(lease) = &created {
                sighting.record(lease, Instant::now());
            }
            return Ok(created);
        };
        match sighting.decide(&lease, &self.me, self.duration, Instant::now()) {
            Decision::Wait => Ok(None),
            Decision::Take => lost_race(self.take(&lease).await),
        }
    }

    async fn take(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        self.api
            .replace(&self.lease, &PostParams::default(), &self.manifest(Some(lease)))
            .await
    }

    fn manifest(&self, lease: Option<&Lease>) -> Lease {
        self.with_spec(
            lease,
            election::taken(lease, &self.me, self.duration, Timestamp::now()),
        )
    }

    // Keeps the version: replacing a version that was not observed must fail.
    fn with_spec(&self, lease: Option<&Lease>, spec: LeaseSpec) -> Lease {
        let metadata = lease.map_or_else(
            || ObjectMeta {
                name: Some(self.lease.clone()),
                ..ObjectMeta::default()
            },
            |lease| ObjectMeta {
                managed_fields: None,
                ..lease.metadata.clone()
            },
        );
        Lease {
            metadata,
            spec: Some(spec),
        }
    }

    /// Time after a renewal in which this replica leads. It ends well before others may take the lease, so that no request
    /// of ours is still running then.
    fn margin(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Allows writes under this renewal.
    fn record(&self, lease: &Lease, renewed: Moment) {
        self.fence.renewed(renewed, self.margin(), election::token(lease));
    }

    /// Time limit of one request about the lease.
    fn request_timeout(&self) -> Duration {
        self.duration / 3
    }
}

// Another replica was faster, or the object has changed: read it again.
fn lost_race(result: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match result {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

impl Holding {
    /// Renews until that fails, and returns the reason.
    async fn keep(&mut self) -> anyhow::Error {
        let margin = self.candidate.margin();
        let mut pause = self.candidate.duration / 3;
        loop {
            tokio::time::sleep(pause).await;
            let left = margin.saturating_sub(self.renewed.elapsed());
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(Renewal::Renewed)) => pause = self.candidate.duration / 3,
                Ok(Ok(Renewal::Lost)) => return anyhow::anyhow!("another replica took the lease"),
                Ok(Ok(Renewal::WentBack)) => return went_back(),
                Ok(Err(error)) => {
                    tracing::warn!(error = %Chain(&error), "failed to renew lease");
                    pause = RETRY.min(self.candidate.duration / 6);
                }
                Err(_) => return anyhow::anyhow!("the lease was not renewed in time"),
            }
        }
    }

    async fn renew(&mut self) -> Result<Renewal, kube::Error> {
        let began = Moment::now();
        match self.candidate.take(&self.lease).await {
            Ok(lease) => self.lease = lease,
            Err(kube::Error::Api(status)) if status.code == 409 => {
                // The lease has changed, perhaps by a request of ours whose response was lost.
                let lease = self.candidate.api.get(&self.candidate.lease).await?;
                if resource_version(&lease.metadata) < resource_version(&self.lease.metadata) {
                    return Ok(Renewal::WentBack);
                }
                if election::holder(&lease) != Some(&self.candidate.me) {
                    return Ok(Renewal::Lost);
                }
                self.lease = self.candidate.take(&lease).await?;
            }
            Err(error) => return Err(error),
        }
        self.renewed = began;
        self.candidate.record(&self.lease, began);
        Ok(Renewal::Renewed)
    }

    async fn release(self) {
        match tokio::time::timeout(self.candidate.request_timeout(), self.give_up()).await {
            Ok(Ok(())) => tracing::info!("released lease"),
            Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "failed to release lease"),
            Err(_) => tracing::warn!("failed to release lease: no response in time"),
        }
    }

    async fn give_up(&self) -> Result<(), kube::Error> {
        let Candidate {
            api, lease: name, me, ..
        } = &self.candidate;
        // Read again: a renewal that was cut short may have changed it.
        let lease = api.get(name).await?;
        if election::holder(&lease) == Some(me) {
            let free = self
                .candidate
                .with_spec(Some(&lease), election::released(&lease, Timestamp::now()));
            api.replace(name, &PostParams::default(), &free).await?;
        }
        Ok(())
    }
}

/// Returns an identity that differs from any other replica's, also after a restart on the same machine.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .context("failed to read the host name")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned());
    format!(
        "{host}_{}_{:x}",
        std::process::id(),
        Timestamp::now().as_microsecond()
    )
}

#[cfg(test)]
mod tests;
