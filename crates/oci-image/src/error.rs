//! The errors of packing and unpacking.

use std::io;
use std::path::Path;

/// Shorthand for this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure with an image or a layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system or the source of the bytes failed.
    #[error("failed to {doing}")]
    Io {
        /// The attempt: a verb phrase with the path.
        doing: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The bytes are not an archive, or a damaged one.
    #[error("the layer is damaged: {0}")]
    Damaged(String),
    /// An entry of an archive would leave its directory, or is of a kind that is not unpacked.
    #[error("the layer is refused: its entry {entry:?} {why}")]
    Unsafe {
        /// The name of the entry, in printable form.
        entry: String,
        /// The problem: a verb phrase.
        why: &'static str,
    },
    /// The image exceeds a limit of the caller.
    #[error("the image is too large: {0}")]
    TooLarge(String),
    /// A document that cannot be written.
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
    /// A document that does not follow the specification.
    #[error("expected an OCI document")]
    Spec(#[from] oci_spec::OciSpecError),
}

impl Error {
    /// Returns a constructor of an error of the file system while doing `verb` to `path`.
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
