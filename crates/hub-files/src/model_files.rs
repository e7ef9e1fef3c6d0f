//! The files of a model that an engine reads: their facts, their size and their download.

use std::path::Path;

use egress::{Downloader, RemoteFile};
use futures::{StreamExt as _, TryStreamExt as _};
use hub_metadata::ModelInfo;

use crate::error::{Error, Result};
use crate::files::{FileFacts, Selection};
use crate::repository::{FILES, Repository};

/// The files of a model that an engine reads, at one commit.
#[derive(Debug)]
pub struct ModelFiles {
    /// Settings, tokenizers and code.
    small: Vec<(RemoteFile, FileFacts)>,
    weights: Vec<(RemoteFile, FileFacts)>,
    /// The file that lists the weights. It is in the directory already.
    index: Option<&'static str>,
}

impl ModelFiles {
    /// Bytes of all files, as far as the hub states them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        bytes(&self.small) + self.weight_bytes()
    }

    /// Bytes of the weights, as far as the hub states them.
    #[must_use]
    pub fn weight_bytes(&self) -> u64 {
        bytes(&self.weights)
    }

    /// Number of the files that are downloaded.
    #[must_use]
    pub fn count(&self) -> usize {
        self.small.len() + self.weights.len()
    }

    /// Names of all files that belong into the directory.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let files = self.small.iter().chain(&self.weights);
        files.map(|(file, _)| file.name.as_str()).chain(self.index)
    }
}

fn bytes(files: &[(RemoteFile, FileFacts)]) -> u64 {
    files.iter().filter_map(|(_, facts)| facts.size).sum()
}

impl Repository {
    /// Chooses the files of an engine and asks the hub about each. Downloads the index of the weights if there is one.
    ///
    /// # Errors
    /// There are no weights of that form, the files are too large, their index is malformed, or the hub refuses or cannot be reached.
    pub async fn files(
        &self,
        selection: Selection,
        downloader: &Downloader,
        (info, directory): (&ModelInfo, &Path),
    ) -> Result<ModelFiles> {
        let weights = self.weights(selection, downloader, (info, directory)).await?;
        let files = ModelFiles {
            small: self.describe(info, selection.small(&info.files)).await?,
            weights: self.describe(info, weights.files).await?,
            index: weights.index,
        };
        if files.bytes() > self.max_bytes {
            return Err(Error::TooLarge {
                model: info.id.to_string(),
                bytes: files.bytes(),
                limit: self.max_bytes,
            });
        }
        Ok(files)
    }

    /// Downloads all files, some at a time.
    ///
    /// # Errors
    /// The hub refuses or cannot be reached, or a file has the wrong checksum.
    pub async fn download_all(&self, downloader: &Downloader, files: &ModelFiles) -> Result<()> {
        let all = files.small.iter().chain(&files.weights);
        // Owned, so that the future can be sent between threads.
        let all: Vec<RemoteFile> = all.map(|(file, _)| file.clone()).collect();
        futures::stream::iter(all)
            .map(|file| async move { self.download(downloader, &file).await })
            .buffer_unordered(FILES)
            .try_collect()
            .await
    }
}
