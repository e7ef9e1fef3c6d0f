//! When files may have changed: told by the kernel, and at long intervals by the clock in case it forgot.
//!
//! Says only that it is time to look. Directories are watched, not files: Kubernetes replaces what it mounts by
//! moving a link beside it.

use std::path::PathBuf;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// How often to look without having been told.
const RESCAN: Duration = Duration::from_secs(60);
/// What is written in several steps is looked at once.
const SETTLE: Duration = Duration::from_millis(50);

/// Tells when to look at some directories again.
#[derive(Debug)]
pub(crate) struct Changes {
    directories: Vec<PathBuf>,
    /// Absent when the kernel gives no more watches; the clock must do then.
    watcher: Option<RecommendedWatcher>,
    told: mpsc::Receiver<()>,
    rescan: Interval,
}

impl Changes {
    /// Watches these directories, also those that come into being later. The first [`Self::next`] ends at once, for
    /// what changed before they were watched.
    pub(crate) fn of(directories: Vec<PathBuf>) -> Self {
        let (tell, told) = mpsc::channel(1);
        let first = tell.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                // Full: somebody will look anyway.
                let _ = tell.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "changes of files are seen late: the kernel does not tell them");
        });
        let mut rescan = tokio::time::interval(RESCAN);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        rescan.reset();
        let mut changes = Self {
            directories,
            watcher: watcher.ok(),
            told,
            rescan,
        };
        changes.arm();
        // The channel is empty: this cannot fail.
        let _ = first.try_send(());
        changes
    }

    /// Ends when it is time to look.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            Some(()) = self.told.recv() => {
                tokio::time::sleep(SETTLE).await;
                while self.told.try_recv().is_ok() {}
            }
            _ = self.rescan.tick() => {}
        }
        // A directory that was replaced is another one to the kernel.
        self.arm();
    }

    fn arm(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for directory in &self.directories {
            // Fails where it was not watched, which is no harm.
            let _ = watcher.unwatch(directory);
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::debug!(directory = %directory.display(), %error, "not watched yet");
            }
        }
    }
}

/// Our own reading is told too and must not make us read again.
const fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_told_and_reading_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        std::fs::write(&file, "1").unwrap();
        let mut changes = Changes::of(vec![directory.path().to_owned()]);
        changes.next().await;
        std::fs::read(&file).unwrap();
        std::fs::read_dir(directory.path()).unwrap().count();
        let quiet = tokio::time::timeout(Duration::from_millis(300), changes.next()).await;
        assert!(quiet.is_err(), "reading counts as a change");
        std::fs::write(&file, "2").unwrap();
        changes.next().await;
        std::fs::remove_file(&file).unwrap();
        changes.next().await;
    }
}
