//! The body of a request that can be sent more than once.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;

/// Bytes of a file that are read at once.
const PIECE: u64 = 1 << 20;

/// The body of a request.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// The first bytes of a file, read while they are sent.
    File {
        /// The file.
        file: Arc<File>,
        /// Number of bytes.
        length: u64,
    },
}

impl Body {
    /// The first `length` bytes of a file.
    #[must_use]
    pub fn file(file: Arc<File>, length: u64) -> Self {
        Self::File { file, length }
    }

    pub(super) fn to_http(&self) -> reqwest::Body {
        match self {
            Self::Bytes(bytes) => bytes.clone().into(),
            Self::File { file, length } => {
                let (file, length) = (Arc::clone(file), *length);
                let pieces =
                    futures::stream::try_unfold(0, move |offset| piece(Arc::clone(&file), offset, length));
                reqwest::Body::wrap_stream(pieces)
            }
        }
    }
}

async fn piece(file: Arc<File>, offset: u64, length: u64) -> std::io::Result<Option<(Bytes, u64)>> {
    let size = PIECE.min(length.saturating_sub(offset));
    if size == 0 {
        return Ok(None);
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_exact_at(&mut buffer, offset)
            .map(|()| Bytes::from(buffer))
    });
    let bytes = read.await.map_err(std::io::Error::other)??;
    Ok(Some((bytes, offset + size)))
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into())
    }
}
