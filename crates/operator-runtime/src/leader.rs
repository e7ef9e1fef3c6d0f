//! Leader election over a Lease: of all replicas one works. A replica that cannot renew in time stops before
//! another may start; one that ends in good order hands the lease on at once.

use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgAction, Args};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::election::{self, Sighting, Verdict};
use crate::error::Chain;

/// How often a candidate looks, and how soon a failed renewal is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Flags about leader election, to flatten into a program's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Leader election")]
pub struct LeaderArgs {
    /// Whether replicas elect one that works.
    #[arg(long, env = "LEADER_ELECT", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: bool,
    /// Namespace of the Lease; without it the program's own.
    #[arg(long, env = "LEADER_ELECTION_NAMESPACE")]
    pub leader_election_namespace: Option<String>,
    /// How long a leader that has fallen silent is waited for, in seconds.
    #[arg(long, env = "LEASE_DURATION_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..))]
    pub lease_duration_seconds: u32,
}

/// The right to work.
#[derive(Debug)]
pub struct Leadership {
    /// Absent where no election is held.
    holding: Option<Holding>,
}

/// Waits until this replica leads; `None` when the token is cancelled first. The lease is named `lease`.
pub async fn acquire(
    args: &LeaderArgs,
    client: &Client,
    lease: &str,
    token: &CancellationToken,
) -> Option<Leadership> {
    if !args.leader_elect {
        return Some(Leadership { holding: None });
    }
    let namespace = args
        .leader_election_namespace
        .as_deref()
        .unwrap_or_else(|| client.default_namespace());
    let candidate = Candidate {
        api: Api::namespaced(client.clone(), namespace),
        lease: lease.to_owned(),
        me: identity(),
        duration: Duration::from_secs(args.lease_duration_seconds.into()),
    };
    tracing::info!(namespace, lease, me = candidate.me, "waiting to lead");
    let won = tokio::select! {
        won = candidate.win() => won,
        () = token.cancelled() => return None,
    };
    tracing::info!(namespace, lease, "leading");
    Some(Leadership {
        holding: Some(Holding {
            candidate,
            lease: won.0,
            renewed: won.1,
        }),
    })
}

impl Leadership {
    /// Runs `work` for as long as this replica leads, and hands the lease on when `work` has ended.
    ///
    /// # Errors
    /// When `work` fails, or the lease is lost: then `work` has been dropped, and the program should end.
    pub async fn hold<F>(self, work: F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        let Some(mut holding) = self.holding else {
            return work.await;
        };
        let result = tokio::select! {
            result = work => result,
            lost = holding.keep() => return Err(lost),
        };
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
}

#[derive(Debug)]
struct Holding {
    candidate: Candidate,
    /// As it was last written by us.
    lease: Lease,
    /// When that was asked for.
    renewed: Instant,
}

impl Candidate {
    async fn win(&self) -> (Lease, Instant) {
        let mut sighting = Sighting::default();
        loop {
            // Counted from before the request: the server may have noted it as early as that.
            let began = Instant::now();
            match tokio::time::timeout(self.patience(), self.attempt(&mut sighting)).await {
                Ok(Ok(Some(lease))) => return (lease, began),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "the lease cannot be had"),
                Err(_) => tracing::warn!("no answer about the lease in time"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn attempt(&self, sighting: &mut Sighting) -> Result<Option<Lease>, kube::Error> {
        let Some(lease) = self.api.get_opt(&self.lease).await? else {
            let lease = self.manifest(None);
            return lost_race(self.api.create(&PostParams::default(), &lease).await);
        };
        match sighting.judge(&lease, &self.me, Instant::now()) {
            Verdict::Wait => Ok(None),
            Verdict::Take => lost_race(self.take(&lease).await),
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

    // Keeps the version: a replacement of what was not seen must fail.
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

    /// How long one request about the lease may take.
    fn patience(&self) -> Duration {
        self.duration / 3
    }
}

// Somebody else was faster, or the object changed under us: look again.
fn lost_race(result: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match result {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

impl Holding {
    /// Renews for as long as that works; returns why it no longer does.
    async fn keep(&mut self) -> anyhow::Error {
        // Well before others may take it, so that nothing of ours is still under way then.
        let margin = self.candidate.duration * 2 / 3;
        let mut pause = self.candidate.duration / 3;
        loop {
            tokio::time::sleep(pause).await;
            let left = margin.saturating_sub(self.renewed.elapsed());
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(true)) => pause = self.candidate.duration / 3,
                Ok(Ok(false)) => return anyhow::anyhow!("the lease was taken by another replica"),
                Ok(Err(error)) => {
                    tracing::warn!(error = %Chain(&error), "the lease was not renewed");
                    pause = RETRY.min(self.candidate.duration / 6);
                }
                Err(_) => return anyhow::anyhow!("the lease could not be renewed in time"),
            }
        }
    }

    async fn renew(&mut self) -> Result<bool, kube::Error> {
        let began = Instant::now();
        match self.candidate.take(&self.lease).await {
            Ok(lease) => self.lease = lease,
            Err(kube::Error::Api(status)) if status.code == 409 => {
                // Changed by somebody, perhaps by a request of ours whose answer was lost.
                let lease = self.candidate.api.get(&self.candidate.lease).await?;
                if election::holder(&lease) != Some(&self.candidate.me) {
                    return Ok(false);
                }
                self.lease = self.candidate.take(&lease).await?;
            }
            Err(error) => return Err(error),
        }
        self.renewed = began;
        Ok(true)
    }

    async fn release(self) {
        match tokio::time::timeout(self.candidate.patience(), self.hand_on()).await {
            Ok(Ok(())) => tracing::info!("the lease is released"),
            Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "the lease was not released"),
            Err(_) => tracing::warn!("the lease was not released in time"),
        }
    }

    async fn hand_on(&self) -> Result<(), kube::Error> {
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

/// Unlike any other replica's, also after a restart on the same machine.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .context("no host name")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned());
    format!(
        "{host}_{}_{:x}",
        std::process::id(),
        Timestamp::now().as_microsecond()
    )
}

#[cfg(test)]
mod tests;
