//! Files that are read again when they change: keys and certificates. Knows nothing of what they hold.
//!
//! They are looked at by the clock: Kubernetes replaces what it mounts by moving links, which not every file system tells.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

/// How often to look. The files are small and few.
const PAUSE: Duration = Duration::from_secs(2);
/// Largest file, in bytes: a Secret holds one MiB.
const BYTES: u64 = 1 << 20;

/// What some files hold, in their order.
pub(crate) type Contents = Vec<Vec<u8>>;

/// Reads all of the files.
///
/// # Errors
/// When one cannot be read or is larger than a Secret can be.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<Contents> {
    files.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("{} cannot be read", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(failed)?;
    file.take(BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(failed)?;
    anyhow::ensure!(
        bytes.len() as u64 <= BYTES,
        "{} is larger than {BYTES} bytes",
        path.display()
    );
    Ok(bytes)
}

/// Hands what the files hold to `take` whenever it is something else than `known`, for ever. What cannot be read or taken is told,
/// and what was taken last stays.
pub(crate) async fn follow(
    files: Vec<PathBuf>,
    mut known: Contents,
    take: impl Fn(&Contents) -> anyhow::Result<()>,
) {
    let mut unreadable = false;
    loop {
        tokio::time::sleep(PAUSE).await;
        let asked = files.clone();
        let found = match tokio::task::spawn_blocking(move || read(&asked)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) if !unreadable => {
                tracing::error!("what was read last stays: {error:#}");
                unreadable = true;
                continue;
            }
            _ => continue,
        };
        unreadable = false;
        if found == known {
            continue;
        }
        match take(&found) {
            Ok(()) => tracing::info!(?files, "changed files were read again"),
            Err(error) => tracing::error!("what was read last stays: {error:#}"),
        }
        known = found;
    }
}
