//! The signals that end a program: SIGTERM from whoever runs it, SIGINT from a person at a terminal.
//!
//! A container's first process does not notice them unless it catches them, and any other dies of them without a word. What
//! happens then is the program's own: this says which signal came, and must not log, print or end anything.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals cannot be caught.
#[derive(Debug, thiserror::Error)]
#[error("{signal} cannot be listened for")]
pub struct ListenError {
    /// The signal by its name.
    pub signal: &'static str,
    /// Why.
    pub source: io::Error,
}

/// SIGTERM and SIGINT, caught from the moment this exists until the program ends.
///
/// Make it before anything is printed or bound: whoever sees a program's first word may send a signal at once.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Catches both signals from now on. Only within a Tokio runtime that has I/O.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> Result<Self, ListenError> {
        let listen = |name, kind| signal(kind).map_err(|source| ListenError { signal: name, source });
        Ok(Self {
            terminate: listen("SIGTERM", SignalKind::terminate())?,
            interrupt: listen("SIGINT", SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal, and says which it was; one that came since [`Self::listen`] counts. Both are caught for ever after,
    /// so further ones do nothing.
    pub async fn first(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
