//! Values parsed from files, parsed again when the files change: keys, certificates, tokens.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::files::FileChanges;

/// Largest file in bytes: a Secret holds one MiB.
const MAX_BYTES: u64 = 1 << 20;

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {}", file.display())]
pub struct ReadError {
    /// The file.
    pub file: PathBuf,
    /// The error of the system.
    pub source: io::Error,
}

/// The result of one reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new contents are in use.
    Loaded,
    /// The new contents cannot be used; the previous ones stay in use.
    Failed,
}

impl Reload {
    /// A stable word for metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Failed => "failed",
        }
    }
}

/// A value that follows its files. Following ends when it is dropped.
#[derive(Debug)]
pub struct Reloaded<T> {
    current: watch::Receiver<Arc<T>>,
    _task: AbortOnDropHandle<()>,
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads and parses the files now, and again after every change of their contents. Requires a Tokio runtime.
    ///
    /// `parse` receives the contents in the order of `files`. `on_reload` is called after each change, not for the first
    /// read. Contents that cannot be read or parsed are logged, and the previous value stays.
    ///
    /// # Errors
    /// A file cannot be read or is larger than a Secret can be, or `parse` failed.
    pub fn open<E>(
        files: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, E> + Send + 'static,
        on_reload: impl Fn(Reload) + Send + 'static,
    ) -> Result<Self, E>
    where
        E: From<ReadError> + Into<anyhow::Error> + Send + 'static,
    {
        let contents = read(&files)?;
        let (sender, current) = watch::channel(Arc::new(parse(&contents)?));
        let follower = Follower {
            files,
            known: Ok(contents),
            parse,
            on_reload,
            sender,
        };
        Ok(Self {
            current,
            _task: AbortOnDropHandle::new(tokio::spawn(follower.run())),
        })
    }

    /// The value parsed last.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.borrow())
    }

    /// A receiver of the current value and of those to come.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<T>> {
        self.current.clone()
    }
}

struct Follower<T, P, R> {
    files: Vec<PathBuf>,
    /// The contents seen last, or the text of the error.
    known: Result<Vec<Vec<u8>>, String>,
    parse: P,
    on_reload: R,
    sender: watch::Sender<Arc<T>>,
}

impl<T, P, R, E> Follower<T, P, R>
where
    P: Fn(&[Vec<u8>]) -> Result<T, E>,
    R: Fn(Reload),
    E: From<ReadError> + Into<anyhow::Error>,
{
    async fn run(mut self) {
        let mut changes = FileChanges::of_files(self.files.clone());
        loop {
            changes.next().await;
            let files = self.files.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || read(&files)).await else {
                continue;
            };
            self.take(found);
        }
    }

    fn take(&mut self, found: Result<Vec<Vec<u8>>, ReadError>) {
        // Errors are compared by text, so that a lasting one is logged once.
        let seen = match &found {
            Ok(contents) => Ok(contents.clone()),
            Err(error) => Err(format!("{error}: {}", error.source)),
        };
        if seen == self.known {
            return;
        }
        self.known = seen;
        let parsed = found
            .map_err(E::from)
            .and_then(|contents| (self.parse)(&contents));
        let files = &self.files;
        let reload = match parsed {
            Ok(value) => {
                self.sender.send_replace(Arc::new(value));
                tracing::info!(?files, "reloaded changed files");
                Reload::Loaded
            }
            Err(error) => {
                let error = format!("{:#}", error.into());
                tracing::error!(
                    ?files,
                    error,
                    "failed to reload files, keeping the previous contents"
                );
                Reload::Failed
            }
        };
        (self.on_reload)(reload);
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, ReadError> {
    let read = |file: &PathBuf| {
        read_one(file).map_err(|source| ReadError {
            file: file.clone(),
            source,
        })
    };
    files.iter().map(read).collect()
}

fn read_one(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("expected at most {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}
