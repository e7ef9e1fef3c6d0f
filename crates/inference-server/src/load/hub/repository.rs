//! A repository of a model hub, at one revision. `egress` makes the requests and the files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use egress::{
    BearerToken, Client, DownloadSettings, Downloader, ErrorClass, Hub, ProxySettings, RemoteFile, Retry,
    Settings, WebPolicy,
};
use futures::{StreamExt as _, TryStreamExt as _};
use hub_metadata::{HubId, ModelInfo};
use url::Url;

use super::files::{self, FileFacts, Weights};
use crate::settings::HubSettings;

/// Concurrent files. Their requests share the connections.
pub(super) const FILES: usize = 4;
/// Most bytes of the hub's response about a model, which lists its files.
const INFO_BYTES: usize = 4 << 20;
/// Bytes of one request. Larger files are fetched in parts.
const PART_BYTES: u64 = 16 << 20;
/// Concurrent requests.
const CONNECTIONS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest silence of the hub.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 10;
const RETRY: Retry = Retry {
    attempts: 6,
    first_pause: Duration::from_secs(1),
    report: |line| tracing::warn!("{line}"),
};

/// A repository of a hub.
pub(super) struct Repository {
    hub: Hub,
    id: HubId,
    revision: String,
    max_bytes: u64,
    with_token: bool,
}

impl Repository {
    /// Checks the settings, and asks nothing yet.
    ///
    /// Only the hub itself is trusted: its address is not checked, and it alone receives the token. Its redirects must lead to
    /// public addresses.
    pub(super) fn new(settings: &HubSettings) -> anyhow::Result<Self> {
        let wanted = "--hub-endpoint needs --model=OWNER/NAME, the repository to fetch";
        let id = HubId::parse(settings.repository.as_deref().context(wanted)?).context(wanted)?;
        let revision = settings.revision.clone();
        ensure!(
            files::is_revision(&revision),
            "--revision must be a commit, a branch or a tag, not {revision:?}"
        );
        let endpoint = Url::parse(&settings.endpoint)
            .with_context(|| format!("--hub-endpoint must be a URL, not {:?}", settings.endpoint))?;
        let host = endpoint
            .host_str()
            .with_context(|| format!("--hub-endpoint must name a host: {endpoint}"))?;
        let policy = WebPolicy {
            allow_http: endpoint.scheme() == "http",
            allow_private: false,
            allowed_hosts: vec![host.trim_matches(['[', ']']).to_owned()],
        };
        let client = Client::new(
            Arc::new(policy),
            Settings {
                user_agent: concat!("kaito-inference-server/", env!("CARGO_PKG_VERSION")),
                connect_timeout: CONNECT_TIMEOUT,
                read_timeout: READ_TIMEOUT,
                redirects: REDIRECTS,
                proxy: ProxySettings::environment(),
                ca_file: settings.ca_file.clone(),
            },
        )?;
        let token = match &settings.token_file {
            Some(file) => Some(BearerToken::new(&endpoint, file.clone())?),
            None => None,
        };
        Ok(Self {
            with_token: token.is_some(),
            hub: Hub::new(client, endpoint, token, RETRY)?,
            id,
            revision,
            max_bytes: settings.max_bytes,
        })
    }

    /// Creates a downloader into a directory.
    pub(super) fn downloader(&self, directory: &Path) -> Downloader {
        self.hub.downloader(DownloadSettings {
            directory: directory.to_owned(),
            retry: RETRY,
            part_bytes: PART_BYTES,
            connections: CONNECTIONS,
            max_bytes: self.max_bytes,
        })
    }

    /// The hub's facts about the model at the revision.
    pub(super) async fn info(&self) -> anyhow::Result<ModelInfo> {
        let (owner, name) = (self.id.owner(), self.id.repository());
        let url = self
            .hub
            .url(&["api", "models", owner, name, "revision", &self.revision]);
        let body = self.hub.read(&url, INFO_BYTES).await;
        Ok(ModelInfo::parse(&body.map_err(|error| self.explain(error))?)?)
    }

    /// A file of the repository at the commit of `info`.
    pub(super) fn file(&self, info: &ModelInfo, name: &str) -> RemoteFile {
        let (id, revision) = (&info.id, info.revision.as_str());
        RemoteFile {
            url: self
                .hub
                .url(&[id.owner(), id.repository(), "resolve", revision, name]),
            name: name.to_owned(),
            sha256: None,
        }
    }

    /// Downloads a file.
    pub(super) async fn download(&self, downloader: &Downloader, file: &RemoteFile) -> anyhow::Result<()> {
        let downloaded = downloader.file(file).await;
        downloaded.map(drop).map_err(|error| self.explain(error))
    }

    /// The files with the hub's facts about each.
    pub(super) async fn describe(
        &self,
        info: &ModelInfo,
        names: Vec<String>,
    ) -> anyhow::Result<Vec<(RemoteFile, FileFacts)>> {
        let describe = async |name: String| {
            let mut file = self.file(info, &name);
            let headers = self.hub.describe(&file.url).await;
            let facts = FileFacts::read(&headers.map_err(|error| self.explain(error))?);
            file.sha256.clone_from(&facts.sha256);
            Ok::<_, anyhow::Error>((file, facts))
        };
        let described = futures::stream::iter(names).map(describe);
        described.buffered(FILES).try_collect().await
    }

    /// Names of the files of weights. Downloads their index if there are several.
    pub(super) async fn weights(
        &self,
        downloader: &Downloader,
        info: &ModelInfo,
        directory: &Path,
    ) -> anyhow::Result<Vec<String>> {
        let weights = Weights::of(&info.files)?;
        let Weights::Indexed(index) = weights else {
            return Ok(weights.names());
        };
        for (file, facts) in &self.describe(info, vec![index.to_owned()]).await? {
            let bytes = facts.size.unwrap_or(0);
            ensure!(
                bytes <= files::INDEX_BYTES,
                "{index} must have at most {} bytes, not {bytes}",
                files::INDEX_BYTES
            );
            self.download(downloader, file).await?;
        }
        let text = std::fs::read(directory.join(index)).with_context(|| format!("failed to read {index}"))?;
        files::shards(&text, &info.files)
    }

    /// Adds a remedy that is particular to model hubs.
    fn explain(&self, error: egress::Error) -> anyhow::Error {
        let remedy = match error.class() {
            ErrorClass::Unauthorized if self.with_token => {
                Some("the token of --hub-token-file may not read this model: accept its license on the hub")
            }
            ErrorClass::Unauthorized => {
                Some("the model may be gated: accept its license, and give a token with --hub-token-file")
            }
            ErrorClass::NotFound => Some("is --model or --revision misspelt?"),
            _ => None,
        };
        let error = anyhow::Error::from(error);
        match remedy {
            Some(remedy) => error.context(remedy),
            None => error,
        }
    }
}
