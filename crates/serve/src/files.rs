//! Notice of changed files: from the kernel, and from a slow timer in case the kernel reports nothing.
//!
//! Reports only that it is time to look. Directories are watched, not files: Kubernetes replaces a mounted Secret or
//! ConfigMap by moving a symbolic link beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// Pause between looks without a report of the kernel.
const POLL: Duration = Duration::from_secs(60);
/// Pause after a report, so that a change in several steps is read once.
const SETTLE: Duration = Duration::from_millis(50);
/// Symbolic links to follow from one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// Reports when files or directories may have changed.
#[derive(Debug)]
pub struct FileChanges {
    paths: Vec<PathBuf>,
    watched: BTreeSet<PathBuf>,
    /// Absent if the kernel grants no watch; the timer remains.
    watcher: Option<RecommendedWatcher>,
    reports: mpsc::Receiver<()>,
    poll: Interval,
}

impl FileChanges {
    /// Watches the entries of a directory, which may be created later.
    #[must_use]
    pub fn of_directory(directory: &Path) -> Self {
        // Its entries have this parent.
        Self::of_files(vec![directory.join("entry")])
    }

    /// Watches files that may be created later, through every symbolic link on their paths.
    ///
    /// The first [`Self::next`] returns at once, for changes before the watch began. Requires a Tokio runtime.
    #[must_use]
    pub fn of_files(files: Vec<PathBuf>) -> Self {
        let (report, reports) = mpsc::channel(1);
        let first = report.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                // A full channel already holds a report.
                let _ = report.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "file watching is unavailable; polling every {} s", POLL.as_secs());
        });
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll.reset();
        let mut changes = Self {
            paths: files,
            watched: BTreeSet::new(),
            watcher: watcher.ok(),
            reports,
            poll,
        };
        changes.arm();
        // The channel is empty, so this cannot fail.
        let _ = first.try_send(());
        changes
    }

    /// Returns when it is time to look.
    pub async fn next(&mut self) {
        tokio::select! {
            Some(()) = self.reports.recv() => {
                tokio::time::sleep(SETTLE).await;
                while self.reports.try_recv().is_ok() {}
            }
            _ = self.poll.tick() => {}
        }
        self.arm();
    }

    /// Watches the directories that matter now. A replaced directory is a new one to the kernel, so all watches are renewed.
    fn arm(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for directory in std::mem::take(&mut self.watched) {
            // Fails if the directory is gone, and the watch with it.
            let _ = watcher.unwatch(&directory);
        }
        for path in &self.paths {
            directories(path, MAX_LINKS, &mut self.watched);
        }
        for directory in &self.watched {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::debug!(directory = %directory.display(), %error, "failed to watch directory");
            }
        }
    }
}

/// Adds every directory in which a changed entry changes where `path` leads: its parent, and the parent of each symbolic link
/// on the way.
fn directories(path: &Path, links: usize, found: &mut BTreeSet<PathBuf>) {
    found.insert(parent(path));
    let mut ancestors: Vec<&Path> = path
        .ancestors()
        .filter(|part| part.file_name().is_some())
        .collect();
    ancestors.reverse();
    for ancestor in ancestors {
        let Ok(target) = std::fs::read_link(ancestor) else {
            continue;
        };
        found.insert(parent(ancestor));
        if let (Some(links), Ok(rest)) = (links.checked_sub(1), path.strip_prefix(ancestor)) {
            // Joining an empty rest would add a slash.
            let target = parent(ancestor).join(target);
            let next = if rest.as_os_str().is_empty() {
                target
            } else {
                target.join(rest)
            };
            directories(&next, links, found);
        }
        return;
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Reports whether an event may have changed contents. Our own reads must not make us read again.
const fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_change_is_reported_and_reading_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        std::fs::write(&file, "1").unwrap();
        let mut changes = FileChanges::of_directory(directory.path());
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

    #[test]
    fn every_link_on_the_way_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::create_dir_all(path("mount/..1")).unwrap();
        std::fs::create_dir(path("etc")).unwrap();
        symlink("..1", path("mount/..data")).unwrap();
        symlink("..data/tls.crt", path("mount/tls.crt")).unwrap();
        symlink(path("mount"), path("secrets")).unwrap();
        symlink("../secrets/tls.crt", path("etc/server.crt")).unwrap();
        let mut found = BTreeSet::new();
        directories(&path("etc/server.crt"), MAX_LINKS, &mut found);
        for directory in ["etc", "mount", ""] {
            let there = found.iter().any(|found| {
                std::fs::canonicalize(found).ok() == std::fs::canonicalize(path(directory)).ok()
            });
            assert!(there, "{directory} is not in {found:?}");
        }
    }

    #[test]
    fn a_loop_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        symlink("a", root.path().join("a")).unwrap();
        let mut found = BTreeSet::new();
        directories(&root.path().join("a"), MAX_LINKS, &mut found);
        assert_eq!(found.len(), 1);
    }
}
