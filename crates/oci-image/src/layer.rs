//! Packs files into a layer whose bytes depend on names and contents only.

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use oci_spec::image::{Descriptor, Digest, MediaType};
use tar::{Builder, EntryType, Header};

use crate::digest::Hashing;
use crate::error::{Error, Result};

/// A packed layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest, size and type of the compressed bytes.
    pub descriptor: Descriptor,
    /// Digest of the bytes before compression, which identifies the layer in image configurations.
    pub diff_id: Digest,
}

/// Writes a gzip layer. Entries belong to root, carry no time, and keep the order in which they are added.
pub struct LayerWriter<W: Write> {
    tar: Builder<Hashing<GzEncoder<Hashing<W>>>>,
}

impl<W: Write> std::fmt::Debug for LayerWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerWriter").finish_non_exhaustive()
    }
}

impl<W: Write> LayerWriter<W> {
    /// Creates a layer that is written to `sink`. `effort` is gzip's, 0 to 9.
    pub fn new(sink: W, effort: u32) -> Self {
        let gzip = GzEncoder::new(Hashing::new(sink), Compression::new(effort.min(9)));
        Self {
            tar: Builder::new(Hashing::new(gzip)),
        }
    }

    /// Adds a directory, with these permissions.
    ///
    /// # Errors
    /// The sink fails.
    pub fn directory(&mut self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let mut header = header(EntryType::Directory, mode, 0);
        self.tar
            .append_data(&mut header, path.as_ref(), io::empty())
            .map_err(Error::io("pack", path.as_ref()))
    }

    /// Adds a file of `size` bytes.
    ///
    /// # Errors
    /// The content cannot be read, has another size, or the sink fails.
    pub fn file(
        &mut self,
        path: impl AsRef<Path>,
        executable: bool,
        size: u64,
        content: impl Read,
    ) -> Result<()> {
        let path = path.as_ref();
        let mode = if executable { 0o755 } else { 0o644 };
        let mut header = header(EntryType::Regular, mode, size);
        let mut content = Hashing::new(content.take(size));
        self.tar
            .append_data(&mut header, path, &mut content)
            .map_err(Error::io("pack", path))?;
        if content.passed() == size {
            return Ok(());
        }
        let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter meanwhile");
        Err(Error::io("pack", path)(cut))
    }

    /// Ends the layer and returns the sink.
    ///
    /// # Errors
    /// The sink fails.
    pub fn finish(self) -> Result<(W, Layer)> {
        let doing = || Error::io("finish the layer of", Path::new("the image"));
        let (gzip, diff_id, _) = self.tar.into_inner().map_err(doing())?.finish()?;
        let (mut sink, digest, size) = gzip.finish().map_err(doing())?.finish()?;
        sink.flush().map_err(doing())?;
        let descriptor = Descriptor::new(MediaType::ImageLayerGzip, size, digest);
        Ok((sink, Layer { descriptor, diff_id }))
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}
