//! `publish`: an image that lies in an OCI layout, as it is.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use egress::TransferCount;
use oci_image::{Descriptor, ImageIndex, ImageManifest};

use crate::args::{Common, Publish};
use crate::error::{Error, Result};
use crate::progress::{Reporter, say};
use crate::registry::{Blob, Content, Registry};

/// Pushes the one image of the layout, and returns it by digest. The registry receives only what it lacks.
///
/// # Errors
/// The layout is damaged or holds several images, or the registry refuses.
pub(crate) async fn run(args: &Publish, common: &Common) -> Result<String> {
    let target = crate::push::tagged(&args.reference)?;
    let whole = target.reference.whole();
    let index: ImageIndex = parsed(&args.from.join("index.json"))?;
    let [descriptor] = &index.manifests()[..] else {
        return Err(Error::Usage {
            argument: format!("{}", args.from.display()),
            expected: format!("a layout of one image, not of {}", index.manifests().len()),
        });
    };
    let place = path(&args.from, descriptor);
    let manifest: ImageManifest = parsed(&place)?;
    let bytes = std::fs::read(&place).map_err(Error::local("read", &place))?;
    say(&format!("pushing {whole} ({})", descriptor.digest()));

    let mut registry = Registry::open(target, args.access.settings(common), "pull,push", &[]).await?;
    let count = Arc::new(TransferCount::default());
    let _reporter = Reporter::start("pushed", Arc::clone(&count));
    for part in manifest.layers().iter().chain([manifest.config()]) {
        let place = path(&args.from, part);
        let file = File::open(&place).map_err(Error::local("open", &place))?;
        let blob = Blob {
            descriptor: part,
            content: Content::File(Arc::new(file)),
            chunk: args.chunk_bytes,
            mount_from: None,
        };
        registry.push_blob(&blob, &count).await?;
    }
    registry.push_manifest(descriptor, bytes).await?;
    let repository = whole
        .strip_suffix(&format!(":{}", registry.version()))
        .unwrap_or(&whole);
    Ok(format!("{repository}@{}", descriptor.digest()))
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
