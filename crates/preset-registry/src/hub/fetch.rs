//! The files of a hub that are read for a model, in order. Keeps nothing.

use hub_metadata::{HubId, ModelInfo, Sources, WeightFiles, index_total};

use super::http::Http;
use super::problem::HubProblem;

/// Most bytes of the response about a model, which lists its files.
const MAX_INFO: usize = 4 << 20;
const MAX_CONFIG: usize = 1 << 20;
/// Most bytes of an index. The largest models have some hundred thousand tensors.
const MAX_INDEX: usize = 32 << 20;

/// Reads the facts about a model at the head of its default branch.
pub(crate) async fn info(http: &Http, id: &HubId) -> Result<ModelInfo, HubProblem> {
    let path = ["api", "models", id.owner(), id.repository()];
    let json = http.get(&path, MAX_INFO).await?.ok_or(HubProblem::NotFound)?;
    Ok(ModelInfo::parse(&json)?)
}

/// Reads everything about the model at that commit.
pub(crate) async fn sources(http: &Http, info: &ModelInfo) -> Result<Sources, HubProblem> {
    let repository = Repository { http, info };
    let files = info.weight_files()?;
    let mistral = matches!(&files, WeightFiles::Files { mistral: true, .. });
    let config = match repository.text("config.json").await? {
        None if mistral => repository.text("params.json").await?,
        config => config,
    };
    Ok(Sources {
        id: info.id.as_str().to_owned(),
        revision: info.revision.as_str().to_owned(),
        license: info.license.clone(),
        gated: info.gated,
        mistral,
        config: config.ok_or(hub_metadata::MetadataError::Missing {
            file: "the repository",
            what: "config.json",
        })?,
        generation_config: repository.text("generation_config.json").await?,
        weights_bytes: repository.weights(&files).await?,
    })
}

/// A repository at one commit.
struct Repository<'a> {
    http: &'a Http,
    info: &'a ModelInfo,
}

impl Repository<'_> {
    fn path<'p>(&'p self, file: &'p str) -> [&'p str; 5] {
        let id = &self.info.id;
        [
            id.owner(),
            id.repository(),
            "resolve",
            self.info.revision.as_str(),
            file,
        ]
    }

    async fn text(&self, file: &str) -> Result<Option<String>, HubProblem> {
        let bytes = self.http.get(&self.path(file), MAX_CONFIG).await?;
        // Invalid UTF-8 is invalid JSON too, which the parser reports.
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn weights(&self, files: &WeightFiles) -> Result<u64, HubProblem> {
        match files {
            WeightFiles::Index(name) => {
                let index = self.http.get(&self.path(name), MAX_INDEX).await?;
                Ok(index_total(&index.ok_or(HubProblem::NotFound)?)?)
            }
            WeightFiles::Files { names, .. } => {
                let mut total: u64 = 0;
                for name in names {
                    let size = self
                        .http
                        .size(&self.path(name))
                        .await?
                        .ok_or(HubProblem::NotFound)?;
                    total = total.saturating_add(size);
                }
                Ok(total)
            }
        }
    }
}
