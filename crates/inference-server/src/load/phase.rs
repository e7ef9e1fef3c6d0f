//! The phase of the server's life, as `/health` reports it.

use std::sync::Arc;

use tokio::sync::watch;

use super::loaded_model::LoadedModel;

/// The phase of the server's life.
#[derive(Clone, Debug)]
pub(crate) enum ServerPhase {
    /// Weights are downloaded from a hub.
    Downloading {
        /// Bytes so far.
        received: u64,
        /// Bytes of all files.
        total: u64,
    },
    /// Weights are loaded: fraction that is done.
    Loading(f32),
    /// Requests are served.
    Ready(Arc<LoadedModel>),
    /// New requests are refused. The program ends after the last response.
    Draining,
}

/// The phase, shared by handlers and the tasks that change it.
#[derive(Clone, Debug)]
pub(crate) struct SharedPhase {
    sender: Arc<watch::Sender<ServerPhase>>,
}

impl SharedPhase {
    pub(crate) fn new() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(ServerPhase::Loading(0.0))),
        }
    }

    pub(crate) fn get(&self) -> ServerPhase {
        self.sender.borrow().clone()
    }

    /// Changes the phase, except from draining, which is final.
    pub(crate) fn set(&self, phase: ServerPhase) {
        self.sender.send_if_modified(|current| {
            let may_change = !matches!(current, ServerPhase::Draining);
            if may_change {
                *current = phase;
            }
            may_change
        });
    }
}
