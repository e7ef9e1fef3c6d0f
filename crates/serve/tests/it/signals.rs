//! Signals to this process. One test only: a signal reaches the whole process.

use rustix::process::{Signal, getpid, kill_process};
use serve::StopSignals;

#[tokio::test]
async fn a_signal_counts_from_the_moment_of_listening() {
    for (signal, name) in [
        (Signal::TERM, "SIGTERM"),
        (Signal::INT, "SIGINT"),
        (Signal::TERM, "SIGTERM"),
    ] {
        let signals = StopSignals::listen().unwrap();
        // No call waits yet.
        kill_process(getpid(), signal).unwrap();
        assert_eq!(signals.first().await, name);
    }
}
