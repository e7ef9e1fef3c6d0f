//! State that all handlers share: the simulated cloud behind a lock, and the clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::ArmServerConfig;
use crate::faults::Faults;
use crate::recorder::Recorder;
use crate::tokens::Tokens;
use crate::world::World;

/// State that all handlers share.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: ArmServerConfig,
    started: Instant,
    inner: Mutex<AppInner>,
    /// Wakes the driver after a change.
    changed: Notify,
    stop: CancellationToken,
}

/// State behind the lock.
#[derive(Debug)]
pub(crate) struct AppInner {
    pub(crate) world: World,
    pub(crate) faults: Faults,
    pub(crate) recorder: Recorder,
    pub(crate) tokens: Tokens,
}

impl App {
    pub(crate) fn new(config: ArmServerConfig) -> Self {
        let world = World::new(&config, Timestamp::now());
        let tokens = Tokens::new(&config);
        let inner = AppInner {
            world,
            faults: Faults::default(),
            recorder: Recorder::default(),
            tokens,
        };
        Self(Arc::new(Shared {
            config,
            started: Instant::now(),
            inner: Mutex::new(inner),
            changed: Notify::new(),
            stop: CancellationToken::new(),
        }))
    }

    pub(crate) fn config(&self) -> &ArmServerConfig {
        &self.0.config
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.0.started.elapsed()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, AppInner> {
        // A panic in one request must not end the server.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes the simulated cloud as it is now.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut AppInner, Duration) -> T) -> T {
        let mut inner = self.lock();
        let now = self.now();
        inner.world.advance(now);
        let result = change(&mut inner, now);
        drop(inner);
        self.0.changed.notify_one();
        result
    }

    pub(crate) fn changed(&self) -> &Notify {
        &self.0.changed
    }

    /// Ends the server.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }
}
