//! Weights from a model hub, if their directory holds none: the files of one commit, checked, with progress.
//!
//! `hub-files` chooses the files and fetches them. `config.json` gets its name last, so a directory with one is complete.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use egress::Retry;
use hub_files::{Repository, RepositorySettings, Selection};
use model::Spec;

use super::memory;
use super::phase::{ServerPhase, SharedPhase};
use crate::metrics::Metrics;
use crate::settings::HubSettings;

/// The description of the model.
const CONFIG: &str = "config.json";
const RETRY: Retry = Retry {
    attempts: 6,
    first_pause: Duration::from_secs(1),
    report: |line| tracing::warn!("{line}"),
};
/// Pause between two reports of progress.
const PROGRESS: Duration = Duration::from_millis(250);
/// Directory of `config.json` until all files are complete.
const INCOMING: &str = ".incoming";
/// File that the server locks while it fills the directory.
const LOCK: &str = ".incoming.lock";
/// Pause between attempts to lock.
const LOCK_PAUSE: Duration = Duration::from_millis(500);

/// Fetches the model into its directory, unless there is one.
///
/// # Errors
/// The settings do not fit, the hub refuses or cannot be reached, a file has the wrong checksum, or the model cannot be served.
pub(crate) async fn provide(
    settings: &HubSettings,
    metrics: &Metrics,
    phase: &SharedPhase,
) -> anyhow::Result<()> {
    let directory = settings.weights_dir.as_path();
    if directory.join(CONFIG).exists() {
        tracing::info!(directory = %directory.display(), "found weights; not asking the hub");
        return Ok(());
    }
    let repository = Repository::new(repository_settings(settings)?)?;
    let _lock = lock(directory).await?;
    if directory.join(CONFIG).exists() {
        tracing::info!(directory = %directory.display(), "another server has fetched the weights");
        return Ok(());
    }
    let info = repository.info().await?;
    tracing::info!(model = %info.id, revision = info.revision.as_str(), "fetching model from the hub");
    let incoming = repository.downloader(&directory.join(INCOMING));
    let config = repository.file(&info, CONFIG);
    repository.download(&incoming, &config).await?;
    let spec = Spec::open(&directory.join(INCOMING)).context("the model cannot be served here")?;

    let downloader = repository.downloader(directory);
    let place = (&info, directory);
    let files = repository.files(Selection::OwnEngine, &downloader, place).await?;
    let total = files.bytes();
    memory::check_weights(&spec, files.weight_bytes(), settings.precision)?;
    let fetching = repository.download_all(&downloader, &files);
    tokio::pin!(fetching);
    let count = downloader.count();
    let mut ticks = tokio::time::interval(PROGRESS);
    loop {
        tokio::select! {
            fetched = &mut fetching => break fetched?,
            _ = ticks.tick() => {
                let received = count.moved();
                metrics.downloaded(received, total);
                phase.set(ServerPhase::Downloading { received, total });
            }
        }
    }
    metrics.downloaded(count.moved(), total);
    complete(directory)?;
    tracing::info!(bytes = total, "fetched model");
    Ok(())
}

fn repository_settings(settings: &HubSettings) -> anyhow::Result<RepositorySettings> {
    let repository = settings.repository.clone();
    Ok(RepositorySettings {
        endpoint: settings.endpoint.clone(),
        repository: repository.context("--hub-endpoint needs --model=OWNER/NAME, the repository to fetch")?,
        revision: settings.revision.clone(),
        token_file: settings.token_file.clone(),
        ca_file: settings.ca_file.clone(),
        max_bytes: settings.max_bytes,
        user_agent: concat!("kaito-inference-server/", env!("CARGO_PKG_VERSION")),
        retry: RETRY,
    })
}

/// Waits until no other server fills the directory. The lock lasts as long as the file is open.
async fn lock(directory: &Path) -> anyhow::Result<File> {
    let path = directory.join(LOCK);
    let failed = || format!("failed to create {}", path.display());
    std::fs::create_dir_all(directory).with_context(failed)?;
    let file = File::create(&path).with_context(failed)?;
    let mut waiting = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if !waiting => {
                tracing::info!(directory = %directory.display(), "waiting for another server that is filling the directory");
                waiting = true;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                // Not every file system has locks, and most directories have one server only.
                tracing::warn!(%error, "failed to lock directory");
                return Ok(file);
            }
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

/// Gives `config.json` its name, after all other files.
fn complete(directory: &Path) -> anyhow::Result<()> {
    let incoming = directory.join(INCOMING);
    let failed = || format!("failed to complete {}", directory.display());
    // The lock file stays: waiting servers have it open.
    std::fs::rename(incoming.join(CONFIG), directory.join(CONFIG)).with_context(failed)?;
    std::fs::remove_dir_all(incoming).with_context(failed)
}
