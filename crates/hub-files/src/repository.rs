//! A repository of a model hub, at one revision. `egress` makes the requests and the files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use egress::{
    BearerToken, Client, DownloadSettings, Downloader, ErrorClass, Hub, ProxySettings, RemoteFile, Retry,
    Settings, WebPolicy,
};
use futures::{StreamExt as _, TryStreamExt as _};
use hub_metadata::{HubId, ModelInfo};
use url::Url;

use crate::error::{Error, Result};
use crate::files::{self, FileFacts, Selection, WeightSource};

/// Concurrent files. Their requests share the connections.
pub(crate) const FILES: usize = 4;
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
/// Flags of both programs that use this crate.
const MODEL: &str = "--model";
const REVISION: &str = "--revision";
const ENDPOINT: &str = "--hub-endpoint";

/// A repository and the way to it.
#[derive(Clone, Debug)]
pub struct RepositorySettings {
    /// URL of the hub.
    pub endpoint: String,
    /// Repository as `OWNER/NAME`.
    pub repository: String,
    /// Commit, branch or tag.
    pub revision: String,
    /// File with the token; read before each request.
    pub token_file: Option<PathBuf>,
    /// PEM file of further authorities.
    pub ca_file: Option<PathBuf>,
    /// Most bytes of all files.
    pub max_bytes: u64,
    /// Name and version of the program.
    pub user_agent: &'static str,
    /// Attempts at a request.
    pub retry: Retry,
}

/// Names of the files with the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightFiles {
    /// The file that lists them, if there is one.
    pub(crate) index: Option<&'static str>,
    /// The weights.
    pub(crate) files: Vec<String>,
}

/// A repository of a hub.
#[derive(Debug)]
pub struct Repository {
    hub: Hub,
    id: HubId,
    revision: String,
    pub(crate) max_bytes: u64,
    with_token: bool,
    retry: Retry,
}

impl Repository {
    /// Checks the settings, and asks nothing yet.
    ///
    /// Only the hub itself is trusted: its address is not checked, and it alone receives the token. Its redirects must lead to
    /// public addresses.
    ///
    /// # Errors
    /// A setting is malformed, or a file of certificates cannot be read.
    pub fn new(settings: RepositorySettings) -> Result<Self> {
        let must = |setting, expected: &str| Error::Setting {
            setting,
            expected: expected.to_owned(),
        };
        let id = HubId::parse(&settings.repository)
            .map_err(|_| must(MODEL, "OWNER/NAME, the repository to fetch"))?;
        if !files::is_revision(&settings.revision) {
            return Err(must(REVISION, "a commit, a branch or a tag"));
        }
        let endpoint = Url::parse(&settings.endpoint).map_err(|_| must(ENDPOINT, "a URL"))?;
        let host = endpoint
            .host_str()
            .ok_or_else(|| must(ENDPOINT, "a URL with a host"))?;
        let policy = WebPolicy {
            allow_http: endpoint.scheme() == "http",
            allow_private: false,
            allowed_hosts: vec![host.trim_matches(['[', ']']).to_owned()],
        };
        let client = Client::new(
            Arc::new(policy),
            Settings {
                user_agent: settings.user_agent,
                connect_timeout: CONNECT_TIMEOUT,
                read_timeout: READ_TIMEOUT,
                redirects: REDIRECTS,
                proxy: ProxySettings::environment(),
                ca_file: settings.ca_file,
            },
        )?;
        let token = match settings.token_file {
            Some(file) => Some(BearerToken::new(&endpoint, file)?),
            None => None,
        };
        Ok(Self {
            with_token: token.is_some(),
            hub: Hub::new(client, endpoint, token, settings.retry)?,
            id,
            revision: settings.revision,
            max_bytes: settings.max_bytes,
            retry: settings.retry,
        })
    }

    /// Creates a downloader into a directory.
    #[must_use]
    pub fn downloader(&self, directory: &Path) -> Downloader {
        self.hub.downloader(DownloadSettings {
            directory: directory.to_owned(),
            retry: self.retry,
            part_bytes: PART_BYTES,
            connections: CONNECTIONS,
            max_bytes: self.max_bytes,
        })
    }

    /// The hub's facts about the model at the revision.
    ///
    /// # Errors
    /// The hub refuses or cannot be reached, or its response is malformed.
    pub async fn info(&self) -> Result<ModelInfo> {
        let (owner, name) = (self.id.owner(), self.id.repository());
        let url = self
            .hub
            .url(&["api", "models", owner, name, "revision", &self.revision]);
        let body = self.hub.read(&url, INFO_BYTES).await;
        Ok(ModelInfo::parse(&body.map_err(|error| self.explain(error))?)?)
    }

    /// A file of the repository at the commit of `info`.
    #[must_use]
    pub fn file(&self, info: &ModelInfo, name: &str) -> RemoteFile {
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
    ///
    /// # Errors
    /// The hub refuses or cannot be reached, or the file has the wrong checksum.
    pub async fn download(&self, downloader: &Downloader, file: &RemoteFile) -> Result<()> {
        let downloaded = downloader.file(file).await;
        downloaded.map(drop).map_err(|error| self.explain(error))
    }

    /// The files with the hub's facts about each.
    ///
    /// # Errors
    /// The hub refuses or cannot be reached.
    pub(crate) async fn describe(
        &self,
        info: &ModelInfo,
        names: Vec<String>,
    ) -> Result<Vec<(RemoteFile, FileFacts)>> {
        let describe = async |name: String| {
            let mut file = self.file(info, &name);
            let headers = self.hub.describe(&file.url).await;
            let facts = FileFacts::read(&headers.map_err(|error| self.explain(error))?);
            file.sha256.clone_from(&facts.sha256);
            Ok::<_, Error>((file, facts))
        };
        let described = futures::stream::iter(names).map(describe);
        described.buffered(FILES).try_collect().await
    }

    /// Chooses the files of weights. Downloads their index if there is one.
    ///
    /// # Errors
    /// There are no weights of that form, or their index cannot be had or is malformed.
    pub(crate) async fn weights(
        &self,
        selection: Selection,
        downloader: &Downloader,
        (info, directory): (&ModelInfo, &Path),
    ) -> Result<WeightFiles> {
        let index = match selection.weights(&info.files)? {
            WeightSource::Files(files) => return Ok(WeightFiles { index: None, files }),
            WeightSource::Indexed(index) => index,
        };
        for (file, facts) in &self.describe(info, vec![index.to_owned()]).await? {
            let bytes = facts.size.unwrap_or(0);
            if bytes > files::INDEX_BYTES {
                let problem = format!("must have at most {} bytes, not {bytes}", files::INDEX_BYTES);
                return Err(Error::Index { index, problem });
            }
            self.download(downloader, file).await?;
        }
        let file = directory.join(index);
        let text = std::fs::read(&file).map_err(|source| Error::Local { file, source })?;
        let files = files::shards(index, &text, &info.files)?;
        Ok(WeightFiles {
            index: Some(index),
            files,
        })
    }

    /// Adds a remedy that is particular to model hubs.
    fn explain(&self, error: egress::Error) -> Error {
        let remedy = match error.class() {
            ErrorClass::Unauthorized if self.with_token => {
                "the token may not read this model: accept its license on the hub"
            }
            ErrorClass::Unauthorized => {
                "the model may be gated: accept its license on the hub, and give a token with --hub-token-file"
            }
            ErrorClass::NotFound => "check the spelling of --model and --revision",
            _ => return error.into(),
        };
        Error::Refused {
            refusal: error,
            remedy,
        }
    }
}
