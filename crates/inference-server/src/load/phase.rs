//! What the server is doing, as `/health` tells it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::load::Served;

/// Where the server stands.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Weights are being fetched from a hub.
    Fetching {
        /// Bytes so far.
        received: u64,
        /// Bytes of all files.
        total: u64,
    },
    /// Weights are being read: share that is done.
    Loading(f32),
    /// Requests are answered.
    Ready(Arc<Served>),
    /// No new requests: the program ends once the last answer is given.
    Draining,
}

/// A phase that all handlers see and few tasks change.
#[derive(Clone, Debug)]
pub(crate) struct State {
    sender: Arc<watch::Sender<Phase>>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(Phase::Loading(0.0))),
        }
    }

    pub(crate) fn get(&self) -> Phase {
        self.sender.borrow().clone()
    }

    /// Moves on; draining is never left again.
    pub(crate) fn set(&self, phase: Phase) {
        self.sender.send_if_modified(|current| {
            let may = !matches!(current, Phase::Draining);
            if may {
                *current = phase;
            }
            may
        });
    }
}
