//! Writes image layouts, the directory form of images that all image tools read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, Digest, ImageIndexBuilder, MediaType, SCHEMA_VERSION};

use crate::digest::digest_of;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::json::canonical;
use crate::layer::LayerWriter;

/// The annotation with the name of an image in a layout.
const REFERENCE_NAME: &str = "org.opencontainers.image.ref.name";

/// A layout to write.
#[derive(Debug)]
pub struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// Creates a layout in `directory`, and removes an older one there.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn create(directory: impl Into<PathBuf>) -> Result<Self> {
        let layout = Self {
            directory: directory.into(),
        };
        let blobs = layout.blobs();
        if blobs.exists() {
            fs::remove_dir_all(&blobs).map_err(Error::io("empty", &blobs))?;
        }
        fs::create_dir_all(&blobs).map_err(Error::io("create", &blobs))?;
        layout.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(layout)
    }

    /// Packs a layer into the layout, with the entries that `fill` adds.
    ///
    /// # Errors
    /// `fill` fails, or the directory cannot be written.
    pub fn layer(
        &self,
        effort: u32,
        fill: impl FnOnce(&mut LayerWriter<File>) -> Result<()>,
    ) -> Result<crate::layer::Layer> {
        let temporary = self.blobs().join("unfinished");
        let file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        let mut writer = LayerWriter::new(file, effort);
        fill(&mut writer)?;
        let (_, layer) = writer.finish()?;
        let place = self.blob(layer.descriptor.digest());
        fs::rename(&temporary, &place).map_err(Error::io("rename", &temporary))?;
        Ok(layer)
    }

    /// Stores the only image of the layout under a name, after its layers. Returns the descriptor of the manifest.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn image(&self, image: &Image, name: &str) -> Result<Descriptor> {
        let descriptor = self.store(image)?;
        self.expose(&descriptor, name)?;
        Ok(descriptor)
    }

    /// Stores images of different platforms under one name, after their layers. Returns the descriptor of their index.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn images(&self, images: &[Image], name: &str) -> Result<Descriptor> {
        let manifests = images.iter().map(|image| self.store(image));
        let index = index(manifests.collect::<Result<Vec<_>>>()?)?;
        let descriptor = Descriptor::new(MediaType::ImageIndex, index.len() as u64, digest_of(&index)?);
        self.put(descriptor.digest(), &index)?;
        self.expose(&descriptor, name)?;
        Ok(descriptor)
    }

    /// Stores the documents of an image. Returns the descriptor of its manifest.
    fn store(&self, image: &Image) -> Result<Descriptor> {
        let assembled = image.assemble()?;
        self.put(assembled.config_descriptor.digest(), &assembled.config)?;
        self.put(assembled.manifest_descriptor.digest(), &assembled.manifest)?;
        Ok(assembled.manifest_descriptor)
    }

    /// Makes a manifest or an index the content of the layout.
    fn expose(&self, content: &Descriptor, name: &str) -> Result<()> {
        let mut named = content.clone();
        named.set_annotations(Some([(REFERENCE_NAME.to_owned(), name.to_owned())].into()));
        self.write("index.json", &index(vec![named])?)
    }

    /// The path of a blob.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.digest())
    }

    fn blobs(&self) -> PathBuf {
        self.directory.join("blobs").join("sha256")
    }

    fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        write(&self.blob(digest), bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write(&self.directory.join(name), bytes)
    }
}

fn index(manifests: Vec<Descriptor>) -> Result<Vec<u8>> {
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()?;
    canonical(&index)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::io("write", path))
}
