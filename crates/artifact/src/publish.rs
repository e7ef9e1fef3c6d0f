//! `publish`: an image that lies in an OCI layout, as it is.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use egress::TransferCount;
use oci_image::{Descriptor, ImageIndex, ImageManifest, MediaType};

use crate::args::{Common, Publish};
use crate::error::{Error, Result};
use crate::progress::{Reporter, say};
use crate::registry::{Blob, Content, Registry};

/// Pushes the image of the layout, or the index with all its images, and returns it by digest. The registry receives only
/// what it lacks.
///
/// # Errors
/// The layout is damaged or holds several images without an index, or the registry refuses.
pub(crate) async fn run(args: &Publish, common: &Common) -> Result<String> {
    let target = crate::push::tagged(&args.to.reference)?;
    let whole = target.reference.whole();
    let index: ImageIndex = parsed(&args.from.join("index.json"))?;
    let [descriptor] = &index.manifests()[..] else {
        return Err(Error::Usage {
            argument: format!("{}", args.from.display()),
            expected: format!("a layout of one image, not of {}", index.manifests().len()),
        });
    };
    let bytes = content(&args.from, descriptor)?;
    let parts = match descriptor.media_type() {
        MediaType::ImageIndex => parsed::<ImageIndex>(&path(&args.from, descriptor))?
            .manifests()
            .clone(),
        _ => Vec::new(),
    };
    say(&format!("pushing {whole} ({})", descriptor.digest()));

    let mut registry = Registry::open(target, args.to.access.settings(common), "pull,push", &[]).await?;
    let count = Arc::new(TransferCount::default());
    let _reporter = Reporter::start("pushed", Arc::clone(&count));
    for part in &parts {
        push_blobs(args, part, &mut registry, &count).await?;
        registry.push_untagged(part, content(&args.from, part)?).await?;
    }
    if parts.is_empty() {
        push_blobs(args, descriptor, &mut registry, &count).await?;
    }
    registry.push_manifest(descriptor, bytes).await?;
    let repository = whole
        .strip_suffix(&format!(":{}", registry.version()))
        .unwrap_or(&whole);
    Ok(format!("{repository}@{}", descriptor.digest()))
}

/// Pushes the layers and the configuration of one image.
async fn push_blobs(
    args: &Publish,
    image: &Descriptor,
    registry: &mut Registry,
    count: &Arc<TransferCount>,
) -> Result<()> {
    let manifest: ImageManifest = parsed(&path(&args.from, image))?;
    for part in manifest.layers().iter().chain([manifest.config()]) {
        let place = path(&args.from, part);
        let file = File::open(&place).map_err(Error::local("open", &place))?;
        let blob = Blob {
            descriptor: part,
            content: Content::File(Arc::new(file)),
            chunk: args.to.chunk_bytes,
            mount_from: None,
        };
        registry.push_blob(&blob, count).await?;
    }
    Ok(())
}

fn content(layout: &Path, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let place = path(layout, descriptor);
    std::fs::read(&place).map_err(Error::local("read", &place))
}

fn path(layout: &Path, descriptor: &Descriptor) -> std::path::PathBuf {
    let digest = descriptor.digest();
    layout
        .join("blobs")
        .join(digest.algorithm().as_ref())
        .join(digest.digest())
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(Error::local("read", path))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Usage {
        argument: format!("{}", path.display()),
        expected: format!("a file of an OCI layout: {error}"),
    })
}
