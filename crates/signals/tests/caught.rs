//! Signals to this process; one test, as they go to the whole of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rustix::process::{Signal, getpid, kill_process};
use signals::StopSignals;

#[tokio::test]
async fn a_signal_counts_from_the_moment_of_listening() {
    for (signal, name) in [
        (Signal::TERM, "SIGTERM"),
        (Signal::INT, "SIGINT"),
        (Signal::TERM, "SIGTERM"),
    ] {
        let signals = StopSignals::listen().unwrap();
        // Nobody waits yet.
        kill_process(getpid(), signal).unwrap();
        assert_eq!(signals.first().await, name);
    }
}
