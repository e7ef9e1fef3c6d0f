//! Weights from a model hub, when their directory holds none: the files of one commit, checked, with progress told.
//!
//! Requests and files are `artifact`'s, which bounds, checks and goes on with them; which files are wanted is `files`' decision.
//! `config.json` gets its name last, so a directory with one is complete.

mod files;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use artifact::{Limits, RemoteFile, Web};
use futures::{StreamExt as _, TryStreamExt as _};
use hub_metadata::{HubId, ModelInfo};
use model::Spec;
use url::Url;

use super::memory;
use super::phase::{Phase, SharedPhase};
use crate::metrics::Metrics;
use crate::settings::HubSettings;
use files::{CONFIG, Told, Wanted};

/// Bytes of the hub's answer about a model, which lists its files.
const INFO_BYTES: usize = 4 << 20;
/// Files at the same time; their requests share the connections.
const FILES: usize = 4;
const ATTEMPTS: u32 = 6;
/// How often progress is told.
const TOLD: Duration = Duration::from_millis(250);
/// Where `config.json` is until all is there.
const ASIDE: &str = ".incoming";
/// Locked by the server that fills the directory.
const LOCK: &str = ".incoming.lock";
/// How often to ask whether it is our turn.
const TURN: Duration = Duration::from_millis(500);

/// Fetches the model into its directory if flags allow that and there is none.
///
/// # Errors
/// When flags don't fit, the hub refuses or cannot be reached, a file is not what was promised, or the model cannot be served here.
pub(crate) async fn provide(
    settings: &HubSettings,
    metrics: &Metrics,
    phase: &SharedPhase,
) -> anyhow::Result<()> {
    let directory = settings.weights_dir.as_path();
    if directory.join(CONFIG).exists() {
        tracing::info!(directory = %directory.display(), "the weights are there already; the hub is not asked");
        return Ok(());
    }
    let hub = Hub::new(settings)?;
    let _turn = turn(directory).await?;
    if directory.join(CONFIG).exists() {
        tracing::info!(directory = %directory.display(), "another server has fetched the weights meanwhile");
        return Ok(());
    }
    let info = hub.info().await?;
    tracing::info!(model = %info.id, revision = info.revision.as_str(), "the model is fetched from the hub");
    let aside = hub.web(&directory.join(ASIDE))?;
    aside
        .file(&hub.file(&info, CONFIG, None)?)
        .await
        .map_err(|error| hub.explained(error))?;
    let spec = Spec::open(&directory.join(ASIDE)).context("the model cannot be served here")?;

    let web = hub.web(directory)?;
    let mut files = hub.look(&web, &info, Wanted::small(&info.files)).await?;
    let weights = hub.weights(&web, &info, directory).await?;
    files.extend(hub.look(&web, &info, weights.clone()).await?);
    let total: u64 = files.iter().filter_map(|(_, told)| told.size).sum();
    ensure!(
        total <= settings.max_bytes,
        "{} has {total} bytes, and --max-bytes allows {}",
        info.id,
        settings.max_bytes
    );
    let stored = files
        .iter()
        .filter(|(file, _)| weights.contains(&file.name))
        .filter_map(|(_, told)| told.size)
        .sum();
    memory::check_weights(&spec, stored, settings.precision)?;
    let from = &web;
    let fetching = futures::stream::iter(files)
        .map(|(file, _)| async move { from.file(&file).await })
        .buffer_unordered(FILES)
        .try_collect::<()>();
    tokio::pin!(fetching);
    let mut ticks = tokio::time::interval(TOLD);
    loop {
        tokio::select! {
            fetched = &mut fetching => break fetched.map_err(|error| hub.explained(error))?,
            _ = ticks.tick() => {
                let received = web.received();
                metrics.downloaded(received, total);
                phase.set(Phase::Downloading { received, total });
            }
        }
    }
    metrics.downloaded(web.received(), total);
    complete(directory)?;
    tracing::info!(bytes = total, "the model is there");
    Ok(())
}

/// Waits until no other server fills the directory; it is ours as long as the file is open.
async fn turn(directory: &Path) -> anyhow::Result<File> {
    let path = directory.join(LOCK);
    let failed = || format!("{} cannot be made", path.display());
    std::fs::create_dir_all(directory).with_context(failed)?;
    let file = File::create(&path).with_context(failed)?;
    let mut waiting = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if !waiting => {
                tracing::info!(directory = %directory.display(), "another server is filling the directory");
                waiting = true;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                // Not every file system knows locks; most directories have one server anyway.
                tracing::warn!(%error, "the directory cannot be locked");
                return Ok(file);
            }
        }
        tokio::time::sleep(TURN).await;
    }
}

/// Gives `config.json` its name: all other files are there.
fn complete(directory: &Path) -> anyhow::Result<()> {
    let aside = directory.join(ASIDE);
    let failed = || format!("{} cannot be completed", directory.display());
    // The lock's file stays: who waits for it has it open.
    std::fs::rename(aside.join(CONFIG), directory.join(CONFIG)).with_context(failed)?;
    std::fs::remove_dir_all(aside).with_context(failed)
}

/// A repository of a hub.
struct Hub {
    endpoint: Url,
    id: HubId,
    revision: String,
    token: Option<String>,
    limits: Limits,
}

impl Hub {
    fn new(settings: &HubSettings) -> anyhow::Result<Self> {
        let wanted = "--hub-endpoint needs --model=OWNER/NAME, the repository to fetch";
        let id = HubId::parse(settings.repository.as_deref().context(wanted)?).context(wanted)?;
        let revision = settings.revision.clone();
        ensure!(
            files::is_revision(&revision),
            "--revision {revision:?} is neither a commit nor a branch"
        );
        let token = match &settings.token_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                Some(text.trim().to_owned()).filter(|token| !token.is_empty())
            }
        };
        Ok(Self {
            endpoint: Url::parse(&settings.endpoint)
                .with_context(|| format!("--hub-endpoint must be a URL, not {:?}", settings.endpoint))?,
            id,
            revision,
            token,
            limits: Limits {
                max_bytes: settings.max_bytes,
                attempts: ATTEMPTS,
            },
        })
    }

    fn web(&self, directory: &Path) -> anyhow::Result<Web> {
        Ok(Web::new(
            &self.endpoint,
            self.token.clone(),
            directory,
            self.limits,
        )?)
    }

    fn url(&self, path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("--hub-endpoint {} is no address of a hub", self.endpoint))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    /// What the hub knows of the model at the revision that was asked for.
    async fn info(&self) -> anyhow::Result<ModelInfo> {
        let path = [
            "api",
            "models",
            self.id.owner(),
            self.id.repository(),
            "revision",
            &self.revision,
        ];
        // Nothing is written by this one.
        let web = self.web(Path::new(""))?;
        let answer = web.read(&self.url(&path)?, INFO_BYTES).await;
        Ok(ModelInfo::parse(&answer.map_err(|error| self.explained(error))?)?)
    }

    fn file(&self, info: &ModelInfo, name: &str, sha256: Option<String>) -> anyhow::Result<RemoteFile> {
        let (id, revision) = (&info.id, info.revision.as_str());
        Ok(RemoteFile {
            url: self.url(&[id.owner(), id.repository(), "resolve", revision, name])?,
            name: name.to_owned(),
            sha256,
        })
    }

    /// The files with what the hub says about each.
    async fn look(
        &self,
        web: &Web,
        info: &ModelInfo,
        names: Vec<String>,
    ) -> anyhow::Result<Vec<(RemoteFile, Told)>> {
        let look = async |name: String| {
            let mut file = self.file(info, &name, None)?;
            let headers = web.look(&file.url).await;
            let told = Told::read(&headers.map_err(|error| self.explained(error))?);
            file.sha256.clone_from(&told.sha256);
            Ok::<_, anyhow::Error>((file, told))
        };
        let looks = futures::stream::iter(names).map(look);
        looks.buffered(FILES).try_collect().await
    }

    /// Names of the files of weights, and of their index if there are several.
    async fn weights(&self, web: &Web, info: &ModelInfo, directory: &Path) -> anyhow::Result<Vec<String>> {
        let wanted = Wanted::weights(&info.files)?;
        let Wanted::Indexed(index) = wanted else {
            return Ok(wanted.names());
        };
        let looked = self.look(web, info, vec![index.to_owned()]).await?;
        for (file, told) in &looked {
            let bytes = told.size.unwrap_or(0);
            ensure!(bytes <= files::INDEX_BYTES, "{index} has {bytes} bytes");
            web.file(file).await.map_err(|error| self.explained(error))?;
        }
        let text = std::fs::read(directory.join(index)).with_context(|| format!("{index} cannot be read"))?;
        files::shards(&text, &info.files)
    }

    /// What can be done about it, where that is not the same for all servers.
    fn explained(&self, error: artifact::Error) -> anyhow::Error {
        let hint = match (&error, &self.token) {
            (artifact::Error::Unauthorized(_), None) => {
                Some("the model may be gated: accept its license, and give a token with --hub-token-file")
            }
            (artifact::Error::Unauthorized(_), Some(_)) => {
                Some("the token of --hub-token-file may not read this model: accept its license on the hub")
            }
            (artifact::Error::NotFound(_), _) => Some("is --model or --revision misspelt?"),
            _ => None,
        };
        let error = anyhow::Error::from(error);
        match hint {
            Some(hint) => error.context(hint),
            None => error,
        }
    }
}
