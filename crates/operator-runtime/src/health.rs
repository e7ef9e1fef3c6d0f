//! Liveness and currency of watches and workers, as checks of the probes.
//!
//! `/healthz` fails where only a restart helps: a watch that hears nothing at all, a reconcile without an end, a queue
//! that does not move. `/readyz` fails while a cache may be outdated. An API server that refuses is not our death: then
//! only `/readyz` fails. An idle cluster is no silence, because the server ends each watch in time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serve::{Checks, Readiness};
use tokio::time::Instant;

/// Longest time for which the server keeps one watch open, as kube's default.
const LONGEST_WATCH: Duration = Duration::from_secs(290);

/// Flags about stuck watches and workers, to flatten into a program's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Health")]
pub struct HealthArgs {
    /// Seconds without any answer to a watch after which `/healthz` and `/readyz` fail. Watches end after three quarters
    /// of it, and start again.
    #[arg(long, env = "WATCH_SILENCE_SECONDS", default_value_t = 360, value_parser = clap::value_parser!(u32).range(4..))]
    pub watch_silence_seconds: u32,
    /// Seconds that one reconcile may run, or a due object may wait for a queue that does not move, before `/healthz`
    /// fails.
    #[arg(long, env = "RECONCILE_LIMIT_SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..))]
    pub reconcile_limit_seconds: u32,
}

impl HealthArgs {
    /// Returns the checks of a program, which appear in these probes.
    #[must_use]
    pub fn health(&self, readiness: &Readiness, liveness: &Checks) -> Health {
        Health {
            readiness: readiness.checks().clone(),
            liveness: liveness.clone(),
            silence: Duration::from_secs(self.watch_silence_seconds.into()),
            reconcile_limit: Duration::from_secs(self.reconcile_limit_seconds.into()),
        }
    }
}

/// The checks of a program, and their limits.
#[derive(Clone, Debug)]
pub struct Health {
    readiness: Checks,
    pub(crate) liveness: Checks,
    silence: Duration,
    pub(crate) reconcile_limit: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            readiness: Checks::new(),
            liveness: Checks::new(),
            silence: Duration::from_secs(360),
            reconcile_limit: Duration::from_secs(900),
        }
    }
}

impl Health {
    /// Seconds after which the server ends a watch.
    pub(crate) fn watch_seconds(&self) -> u32 {
        let seconds = (self.silence * 3 / 4).min(LONGEST_WATCH).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
    }

    /// Adds the checks of a watch.
    pub(crate) fn add_watch(&self, kind: &str, pulse: &Pulse) {
        let name = format!("watch of {kind}");
        let (of_liveness, of_readiness, limit) = (pulse.clone(), pulse.clone(), self.silence);
        self.liveness
            .add(name.clone(), move || of_liveness.is_alive(limit));
        self.readiness.add(name, move || of_readiness.is_current(limit));
    }
}

/// Signs of life of one watch; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Arc<Mutex<Beat>>);

#[derive(Debug)]
struct Beat {
    /// Last answer of any kind.
    at: Instant,
    /// The last failure, if no success came after it.
    error: Option<String>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let beat = Beat {
            at: Instant::now(),
            error: None,
        };
        Self(Arc::new(Mutex::new(beat)))
    }

    fn lock(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a part of a good response.
    pub(crate) fn record_success(&self) {
        *self.lock() = Beat {
            at: Instant::now(),
            error: None,
        };
    }

    /// Records a failure that is being retried.
    pub(crate) fn record_failure(&self, error: String) {
        *self.lock() = Beat {
            at: Instant::now(),
            error: Some(error),
        };
    }

    fn is_alive(&self, limit: Duration) -> Result<(), String> {
        let silent = self.lock().at.elapsed();
        if silent <= limit {
            return Ok(());
        }
        Err(format!(
            "no answer from the API server for {} s",
            silent.as_secs()
        ))
    }

    fn is_current(&self, limit: Duration) -> Result<(), String> {
        if let Some(error) = &self.lock().error {
            return Err(error.clone());
        }
        self.is_alive(limit)
    }

    /// Returns a client whose successful responses, and each part of them, are signs of life.
    pub(crate) fn listen(&self, client: &Client) -> Client {
        let (sender, pulse) = (client.clone(), self.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (sender, pulse) = (sender.clone(), pulse.clone());
            async move {
                let response: Response<Body> = sender.send(request).await?;
                let is_success = response.status().is_success();
                if is_success {
                    pulse.record_success();
                }
                let body = move |body: Body| {
                    body.map_frame(move |frame| {
                        if is_success {
                            pulse.record_success();
                        }
                        frame
                    })
                };
                Ok::<_, kube::Error>(response.map(body))
            }
        });
        Client::new(service, client.default_namespace())
    }
}

#[cfg(test)]
mod tests;
