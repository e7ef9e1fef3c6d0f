//! What can go wrong with an image.

use std::io;
use std::path::Path;

/// Shorthand for this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong; the texts say where, for people.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system or the source of the bytes failed.
    #[error("cannot {doing}")]
    Io {
        /// The attempt: a verb phrase with the path.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bytes are no archive, or a damaged one.
    #[error("the layer is damaged: {0}")]
    Damaged(String),
    /// An entry of an archive would leave its directory, or is of a kind that has no place in a payload.
    #[error("the layer is refused: its entry {entry:?} {why}")]
    Unsafe {
        /// The entry's name, as far as it is printable.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than the caller allows.
    #[error("the image is too large: {0}")]
    TooLarge(String),
    /// A document that cannot be written.
    #[error("cannot write JSON")]
    Json(#[from] serde_json::Error),
    /// A document that is not what the specification says.
    #[error("not an OCI document: {0}")]
    Spec(#[from] oci_spec::OciSpecError),
}

impl Error {
    /// An error of the file system while doing `verb` to `path`.
    pub(crate) fn io(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("{verb} {}", path.display());
        move |source| Self::Io { doing, source }
    }

    pub(crate) fn refused(entry: &[u8], why: &'static str) -> Self {
        Self::Unsafe {
            entry: String::from_utf8_lossy(entry).chars().take(200).collect(),
            why,
        }
    }
}
