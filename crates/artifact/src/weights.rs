//! `weights`: the files of a model on a hub to a directory.
//!
//! A note in the directory says which model is complete there. So a directory that outlives its pod is filled once, and the
//! hub is not asked again.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use hub_files::{Repository, RepositorySettings};
use serde::{Deserialize, Serialize};

use crate::args::{Common, Weights};
use crate::error::{Error, Result};
use crate::progress::{Reporter, bytes, say};

/// The note. No file of a repository can have its name: hidden names are refused.
const NOTE: &str = ".complete.json";
/// Present while the directory is filled.
const BEGUN: &str = ".incomplete";

/// A complete model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    model: String,
    /// The commit.
    revision: String,
    layout: String,
    /// Bytes of all files.
    bytes: u64,
}

/// The end of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchedWeights {
    /// A line for the log.
    pub(crate) line: String,
    /// Bytes of all files, as JSON for the status of the container.
    pub(crate) result: String,
}

impl FetchedWeights {
    fn new(line: String, total: u64) -> Self {
        Self {
            line,
            result: format!(r#"{{"weightsBytes":{total}}}"#),
        }
    }
}

/// Fetches all files that the engine reads, unless they are there.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn run(args: &Weights, common: &Common) -> Result<FetchedWeights> {
    let repository = Repository::new(RepositorySettings {
        endpoint: args.hub_endpoint.clone(),
        repository: args.model.clone(),
        revision: args.revision.clone(),
        token_file: args.hub_token_file.clone(),
        ca_file: common.ca_file.clone(),
        max_bytes: common.max_bytes,
        user_agent: concat!("kaito-artifact/", env!("CARGO_PKG_VERSION")),
        retry: common.retry(),
    })?;
    if let Some(note) = complete(args) {
        let line = format!(
            "{} is complete in {}; the hub is not asked",
            note.model,
            args.to.display()
        );
        return Ok(FetchedWeights::new(line, note.bytes));
    }
    let is_ours = begin(&args.to)?;
    let info = repository.info().await?;
    say(&format!(
        "fetching {} at {}",
        info.id.as_str(),
        info.revision.as_str()
    ));
    let downloader = repository.downloader(&args.to);
    let _reporter = Reporter::start("fetched", downloader.count());
    let (selection, place) = (args.layout.selection(), (&info, args.to.as_path()));
    let files = repository.files(selection, &downloader, place).await?;
    let total = files.bytes();
    let wanted: HashSet<&str> = files.names().collect();
    if is_ours {
        // First, so that a volume needs room for one model only.
        remove_others(&args.to, &wanted, Kept::Hidden)?;
    }
    repository.download_all(&downloader, &files).await?;
    let note = Note {
        model: args.model.clone(),
        revision: info.revision.as_str().to_owned(),
        layout: args.layout.to_string(),
        bytes: total,
    };
    if is_ours {
        remove_others(&args.to, &wanted, Kept::Nothing)?;
    }
    keep(&note, &args.to)?;
    let line = format!(
        "fetched {} files of {} ({}) to {}",
        files.count(),
        info.id.as_str(),
        bytes(total as f64),
        args.to.display()
    );
    Ok(FetchedWeights::new(line, total))
}

/// The note about exactly this model. A branch may have moved since.
fn complete(args: &Weights) -> Option<Note> {
    let note = read(&args.to)?;
    let is_same =
        note.model == args.model && note.revision == args.revision && note.layout == args.layout.to_string();
    is_same.then_some(note)
}

/// Returns the model and the commit that are complete in a directory, if this command filled it.
pub(crate) fn downloaded(directory: &Path) -> Option<(String, String)> {
    read(directory).map(|note| (note.model, note.revision))
}

/// The note of a directory; `None` if there is no readable one.
fn read(directory: &Path) -> Option<Note> {
    let text = std::fs::read(note(directory)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Marks the directory as one that changes. Returns true if this command had written to it before: then it may have files of
/// another model or commit, and no file of the user's.
fn begin(directory: &Path) -> Result<bool> {
    let (note, begun) = (note(directory), directory.join(BEGUN));
    let is_ours = note.exists() || begun.exists();
    std::fs::create_dir_all(directory).map_err(Error::local("create", directory))?;
    std::fs::write(&begun, "").map_err(Error::local("write", &begun))?;
    remove(&note)?;
    Ok(is_ours)
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::local("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Files that stay although they are not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Hidden files: parts that an interrupted download left.
    Hidden,
    /// None.
    Nothing,
}

/// Removes what an earlier fetch left: an engine would load all weights that it finds.
fn remove_others(directory: &Path, wanted: &HashSet<&str>, kept: Kept) -> Result<()> {
    let entries = std::fs::read_dir(directory).map_err(Error::local("list", directory))?;
    for entry in entries {
        let entry = entry.map_err(Error::local("list", directory))?;
        let name = entry.file_name();
        let is_wanted = name.to_str().is_some_and(|name| wanted.contains(name));
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        let is_kept = kept == Kept::Hidden && name.as_encoded_bytes().starts_with(b".");
        if is_file && !is_wanted && !is_kept {
            std::fs::remove_file(entry.path()).map_err(Error::local("remove", &entry.path()))?;
        }
    }
    Ok(())
}

fn keep(text: &Note, directory: &Path) -> Result<()> {
    let path = note(directory);
    let text = serde_json::to_vec(text).map_err(io::Error::other);
    text.and_then(|text| std::fs::write(&path, text))
        .map_err(Error::local("write", &path))?;
    remove(&directory.join(BEGUN))
}

fn note(directory: &Path) -> PathBuf {
    directory.join(NOTE)
}
