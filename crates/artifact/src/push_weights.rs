//! `push-weights`: the weights of a model as an image, which nodes mount.
//!
//! Weights hardly shrink, and nodes fetch layers at the same time. So each large file is a layer of its own, without
//! compression, and a registry that has some of the files receives only the others.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use egress::TransferCount;
use oci_image::{Image, Layer, LayerWriter, Platform, add_tree};

use crate::args::{Common, PushWeights};
use crate::error::{Error, NoResult, Result};
use crate::progress::{Reporter, bytes, say};
use crate::registry::{Blob, Content, Registry};
use crate::weights;

/// The directory of the image that holds the weights.
const PAYLOAD: &str = "data";
/// Files of which an engine reads one first.
const CONFIGURATIONS: [&str; 2] = ["config.json", "params.json"];
/// Size from which a file is a layer of its own.
const LARGE: u64 = 64 << 20;
/// Most layers with large files. Container engines mount no more than 127 in all.
const LARGE_LAYERS: usize = 100;
/// The effort of compression for small files, and for large ones: none.
const EFFORT: (u32, u32) = (6, 0);

/// A layer, and the unnamed file that has it.
type Packed = (Layer, File);

/// Packs and pushes one layer after the other, and returns the image by digest.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn run(args: &PushWeights, common: &Common) -> Result<String> {
    let target = crate::push::tagged(&args.to.reference)?;
    let whole = target.reference.whole();
    if !CONFIGURATIONS.iter().any(|name| args.from.join(name).is_file()) {
        return Err(Error::NoResult(NoResult::NoModel {
            directory: args.from.clone(),
        }));
    }
    let mut registry = Registry::open(target, args.to.access.settings(common), "pull,push", &[]).await?;
    let count = Arc::new(TransferCount::default());
    let _reporter = Reporter::start("pushed", Arc::clone(&count));
    let from = args.from.clone();
    let (first, large) = blocking(move || small_files(&from)).await?;
    let mut layers = vec![push(&mut registry, first, args.to.chunk_bytes, &count).await?];
    for group in groups(&large, LARGE_LAYERS) {
        let (from, group) = (args.from.clone(), group.to_vec());
        let packed = blocking(move || large_files(&from, &group)).await?;
        layers.push(push(&mut registry, packed, args.to.chunk_bytes, &count).await?);
    }
    let image = Image {
        platform: Platform::here(),
        layers,
        entrypoint: Vec::new(),
        user: String::new(),
        annotations: annotations(&args.from),
    };
    let assembled = image.assemble()?;
    let config = Blob {
        descriptor: &assembled.config_descriptor,
        content: Content::Bytes(Bytes::from(assembled.config)),
        chunk: args.to.chunk_bytes,
        mount_from: None,
    };
    registry.push_blob(&config, &count).await?;
    registry
        .push_manifest(&assembled.manifest_descriptor, assembled.manifest)
        .await?;
    let repository = whole
        .strip_suffix(&format!(":{}", registry.version()))
        .unwrap_or(&whole);
    Ok(format!("{repository}@{}", assembled.manifest_descriptor.digest()))
}

async fn push(
    registry: &mut Registry,
    (layer, file): Packed,
    chunk: u64,
    count: &Arc<TransferCount>,
) -> Result<Layer> {
    let size = bytes(layer.descriptor.size() as f64);
    say(&format!("pushing layer {} ({size})", layer.descriptor.digest()));
    let blob = Blob {
        descriptor: &layer.descriptor,
        content: Content::File(Arc::new(file)),
        chunk,
        mount_from: None,
    };
    if !registry.push_blob(&blob, count).await? {
        say("the registry has this layer already");
    }
    Ok(layer)
}

/// Packs all files that are not large, and returns the names of the others, in order.
fn small_files(from: &Path) -> Result<(Packed, Vec<PathBuf>)> {
    let large = RefCell::new(Vec::new());
    let wanted = |path: &Path| {
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let file = std::fs::metadata(from.join(path)).ok();
        let is_large = file.is_some_and(|file| file.is_file() && file.len() >= LARGE);
        if is_large && !is_hidden {
            large.borrow_mut().push(path.to_owned());
        }
        !is_hidden && !is_large
    };
    let packed = pack(from, EFFORT.0, &wanted)?;
    Ok((packed, large.into_inner()))
}

/// Packs these files, with the directories above them.
fn large_files(from: &Path, files: &[PathBuf]) -> Result<Packed> {
    let all: BTreeSet<&Path> = files.iter().flat_map(|file| file.ancestors()).collect();
    pack(from, EFFORT.1, &|path| all.contains(path))
}

/// Packs to an unnamed file that ends with the program. A file that cannot be packed is an error: a model without it may
/// load, and be another.
fn pack(from: &Path, effort: u32, wanted: &dyn Fn(&Path) -> bool) -> Result<Packed> {
    let directory = std::env::temp_dir();
    let file = tempfile::tempfile().map_err(Error::local("create a file in", &directory))?;
    let mut layer = LayerWriter::new(BufWriter::new(file), effort);
    let left_out = add_tree(&mut layer, from, Path::new(PAYLOAD), wanted)?;
    if let Some(path) = left_out.first() {
        return Err(Error::Payload {
            payload: from.join(path).display().to_string(),
            problem: "leads out of the directory: copy the files, not their links".to_owned(),
        });
    }
    let (file, layer) = layer.finish()?;
    let file = file
        .into_inner()
        .map_err(|error| Error::local("write to", &directory)(error.into_error()))?;
    Ok((layer, file))
}

/// Divides the files into at most `most` groups of neighbors.
fn groups(files: &[PathBuf], most: usize) -> std::slice::Chunks<'_, PathBuf> {
    files.chunks(files.len().div_ceil(most).max(1))
}

/// The model and its commit, if `weights` downloaded it.
fn annotations(from: &Path) -> BTreeMap<String, String> {
    let Some((model, commit)) = weights::downloaded(from) else {
        return BTreeMap::new();
    };
    let named = [
        ("org.opencontainers.image.title", model),
        ("org.opencontainers.image.revision", commit),
    ];
    named.map(|(name, value)| (name.to_owned(), value)).into()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::task(&error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_many_shards_has_a_bounded_number_of_layers() {
        let files: Vec<PathBuf> = (0..163).map(|n| format!("{n}").into()).collect();
        let of = |count: usize| groups(&files[..count], LARGE_LAYERS).count();
        assert_eq!((of(0), of(1), of(100), of(101), of(163)), (0, 1, 100, 51, 82));
    }
}
