//! `pull`: an image or an artifact to a directory.
//!
//! Everything is unpacked to a hidden directory inside the target first. It is moved to its place when every digest is
//! right. Bytes that arrived stay beside it until then, so that a restarted container continues.

mod blobs;
mod kept;
mod pipe;
mod staging;

use std::path::Path;
use std::sync::Arc;

use egress::TransferCount;
use futures::{StreamExt as _, TryStreamExt as _};
use oci_image::{Descriptor, Limits, Unpacker};
use tokio::sync::mpsc;

use self::blobs::{Blob, Form, blobs, total};
use self::kept::Kept;
use self::pipe::Pipe;
use self::staging::Staging;
use crate::args::{Common, Pull};
use crate::error::{Error, Result};
use crate::progress::{Reporter, bytes, say};
use crate::registry::{Registry, parse};

/// The directory of an image that holds the payload.
const PAYLOAD: &str = "data";
/// Concurrent files of an artifact.
const FILES: usize = 4;
/// Pieces of a blob between the network and the disk, of some kibibytes each.
const PIECES: usize = 64;

/// Pulls an image or an artifact.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn run(args: &Pull, common: &Common) -> Result<String> {
    let target = parse(&args.reference)?;
    let whole = target.reference.whole();
    let mut registry = Registry::open(target, args.access.settings(common), "pull", &[]).await?;
    let manifest = registry.manifest().await?;
    let blobs = blobs(&manifest.image).map_err(|problem| Error::Payload {
        payload: whole.clone(),
        problem,
    })?;
    let size = total(&blobs);
    if size > common.max_bytes {
        return Err(Error::TooLarge {
            what: whole,
            size: bytes(size as f64),
        });
    }
    say(&format!(
        "pulling {whole} ({}, {})",
        manifest.digest,
        bytes(size as f64)
    ));
    std::fs::create_dir_all(&args.to).map_err(Error::local("create", &args.to))?;
    let staging = Staging::create(&args.to)?;
    let kept = Kept::open(&args.to, &blobs)?;
    let limits = Limits {
        entries: args.max_entries,
        bytes: common.max_bytes,
    };
    let count = Arc::new(TransferCount::default());
    count.expect(size);
    let reporter = Reporter::start("pulled", Arc::clone(&count));
    let files = fill(&mut registry, blobs, staging.place(), (limits, &kept), &count).await?;
    drop(reporter);
    if files == 0 {
        return Err(Error::NoPayload {
            image: whole,
            found: "nothing in /data",
        });
    }
    if let Some(strength) = args.lora_strength {
        strength.apply(staging.place())?;
    }
    staging.publish(&args.to)?;
    kept.remove()?;
    Ok(format!(
        "pulled {files} files of {whole} to {}",
        args.to.display()
    ))
}

/// Writes all blobs into the directory and returns the number of files. Layers are unpacked in order, files concurrently.
async fn fill(
    registry: &mut Registry,
    blobs: Vec<Blob>,
    to: &Path,
    (limits, kept): (Limits, &Kept),
    count: &TransferCount,
) -> Result<u64> {
    let mut layers = Unpacker::new(to, Some(PAYLOAD), limits);
    let mut archives = Unpacker::new(to, None, limits);
    let mut single = Vec::new();
    for blob in blobs {
        match blob.form {
            Form::Layer => layers = unpack(registry, &blob.descriptor, layers, (kept, count)).await?,
            Form::Archive => archives = unpack(registry, &blob.descriptor, archives, (kept, count)).await?,
            Form::File(path) => single.push((blob.descriptor, to.join(path))),
        }
    }
    let files = single.len() as u64 + layers.files() + archives.files();
    futures::stream::iter(single)
        .map(|(descriptor, path)| {
            let mut registry = registry.clone();
            async move {
                stream(&mut registry, &descriptor, (kept, count), move |source| {
                    write(source, &path)
                })
                .await
            }
        })
        .buffer_unordered(FILES)
        .try_collect::<()>()
        .await?;
    Ok(files)
}

async fn unpack(
    registry: &mut Registry,
    descriptor: &Descriptor,
    unpacker: Unpacker,
    (kept, count): (&Kept, &TransferCount),
) -> Result<Unpacker> {
    stream(registry, descriptor, (kept, count), move |source| {
        let mut unpacker = unpacker;
        unpacker.apply(source)?;
        Ok(unpacker)
    })
    .await
}

/// Runs `consume` on its own thread over the blob's bytes while they arrive. Its result is returned only if the digest is
/// right.
async fn stream<T: Send + 'static>(
    registry: &mut Registry,
    descriptor: &Descriptor,
    (kept, count): (&Kept, &TransferCount),
    consume: impl FnOnce(&mut Pipe) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sink, source) = mpsc::channel(PIECES);
    let consumer = tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe::new(source);
        consume(&mut pipe)
    });
    let delivered = registry
        .blob(descriptor, (sink, kept.file(descriptor)), count)
        .await;
    let consumed = consumer.await.map_err(|error| Error::task(&error))?;
    // An error of the transfer explains any error of the consumer of half a blob.
    match (delivered?, consumed) {
        (false, Ok(_)) => Err(Error::Corrupt {
            doing: format!("verify {}", descriptor.digest()),
            problem: "it was not read to its end".to_owned(),
        }),
        (_, consumed) => consumed,
    }
}

fn write(source: &mut Pipe, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::local("create", parent))?;
    }
    // `create_new` refuses a second file of one title, which could write through a link.
    let file = std::fs::File::create_new(path).map_err(Error::local("create", path));
    std::io::copy(source, &mut file?)
        .map(drop)
        .map_err(Error::local("write", path))
}
