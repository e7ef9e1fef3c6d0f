//! The signals that end a program: SIGTERM from a supervisor, SIGINT from a terminal.
//!
//! Process 1 of a container ignores them unless it catches them; any other process dies without a log line. The caller
//! decides what to do: this module does not log, print or exit.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal handler that could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("failed to install a handler for {signal}")]
pub struct ListenError {
    /// The name of the signal.
    pub signal: &'static str,
    /// The error of the system.
    pub source: io::Error,
}

/// Handlers for SIGTERM and SIGINT, active from construction to the end of the program.
///
/// Create it before anything is printed or bound: a supervisor may send a signal as soon as it sees a sign of life.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Installs both handlers. Requires a Tokio runtime with I/O.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn listen() -> Result<Self, ListenError> {
        let listen = |name, kind| signal(kind).map_err(|source| ListenError { signal: name, source });
        Ok(Self {
            terminate: listen("SIGTERM", SignalKind::terminate())?,
            interrupt: listen("SIGINT", SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal and returns its name. A signal that arrived since [`Self::listen`] counts.
    ///
    /// The handlers stay installed, so later signals have no effect.
    pub async fn first(mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
