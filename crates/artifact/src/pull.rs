//! `pull`: an image or an artifact to a directory.
//!
//! Everything is unpacked to a hidden directory inside the target first. It moves to its place when every digest
//! is right; until then nothing is to be seen of it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use oci_image::{Descriptor, ImageManifest, Limits, Unpacker};
use tokio::sync::mpsc;

use crate::args::{Common, Pull};
use crate::error::{Error, Result};
use crate::progress::{Count, Reporter, bytes, say};
use crate::registry::{Registry, parse};

/// The directory of an image that holds the payload.
const PAYLOAD: &str = "data";
const TITLE: &str = "org.opencontainers.image.title";
/// Says that a titled layer is an archive of a directory.
const UNPACK: &str = "io.deis.oras.content.unpack";
/// Pieces of a blob between the network and the disk; each is some kibibytes.
const PIECES: usize = 64;

/// Pulls.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn run(args: &Pull, common: &Common) -> Result<String> {
    let target = parse(&args.reference)?;
    let whole = target.reference.whole();
    let mut registry = Registry::open(target, &args.access, common, "pull", &[]).await?;
    let manifest = registry.manifest().await?;
    let blobs = plan(&manifest.image).map_err(|why| Error::Refused(format!("{whole} {why}")))?;
    let size: u64 = blobs.iter().map(|blob| blob.descriptor.size()).sum();
    if size > common.max_bytes {
        return Err(Error::TooMuch(format!(
            "{whole} has {}, more than is allowed (--max-bytes)",
            bytes(size as f64)
        )));
    }
    say(&format!(
        "pulling {whole} ({}, {})",
        manifest.digest,
        bytes(size as f64)
    ));
    std::fs::create_dir_all(&args.to).map_err(Error::local("create", &args.to))?;
    let staging = Staging::create(&args.to)?;
    let limits = Limits {
        entries: args.max_entries,
        bytes: common.max_bytes,
    };
    let count = Arc::new(Count::default());
    count.expect(size);
    let reporter = Reporter::start("pulled", Arc::clone(&count));
    let files = fill(&mut registry, blobs, &staging.0, limits, &count).await?;
    drop(reporter);
    if files == 0 {
        return Err(Error::NotFound(format!(
            "{whole} has nothing in /{PAYLOAD}: no payload is there to be used"
        )));
    }
    staging.publish(&args.to)?;
    Ok(format!(
        "pulled {files} files of {whole} to {}",
        args.to.display()
    ))
}

/// A blob, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    descriptor: Descriptor,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// A layer of an image, of which `/data` is wanted.
    Layer,
    /// An archive of files.
    Archive,
    /// One file, by its name relative to the target.
    File(PathBuf),
}

/// What is to be done with which blob. Pure.
fn plan(manifest: &ImageManifest) -> std::result::Result<Vec<Wanted>, String> {
    let annotation = |layer: &Descriptor, name: &str| -> Option<String> {
        layer.annotations().as_ref()?.get(name).cloned()
    };
    let titled: Vec<_> = manifest
        .layers()
        .iter()
        .filter_map(|layer| annotation(layer, TITLE).map(|title| (layer, title)))
        .collect();
    if titled.is_empty() {
        let config = manifest.config().media_type().to_string();
        let is_image =
            config.ends_with(".image.config.v1+json") || config.ends_with(".container.image.v1+json");
        if !is_image {
            return Err(format!(
                "is neither an image nor has it titled files; it is {config:?}"
            ));
        }
        let layer = |descriptor: &Descriptor| Wanted {
            descriptor: descriptor.clone(),
            form: Form::Layer,
        };
        return Ok(manifest.layers().iter().map(layer).collect());
    }
    let wanted = titled.into_iter().map(|(layer, title)| {
        let form = if annotation(layer, UNPACK).as_deref() == Some("true") {
            Form::Archive
        } else {
            Form::File(plain(&title).ok_or_else(|| format!("has a file with the unsafe title {title:?}"))?)
        };
        Ok(Wanted {
            descriptor: layer.clone(),
            form,
        })
    });
    wanted.collect()
}

/// The title as a path that stays below the target.
fn plain(title: &str) -> Option<PathBuf> {
    use std::path::Component;
    let mut path = PathBuf::new();
    for component in Path::new(title).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    let sensible = !path.as_os_str().is_empty() && !title.contains('\0') && !title.ends_with('/');
    sensible.then_some(path)
}

/// Brings all blobs into the directory, one after the other, as layers want; the number of files.
async fn fill(
    registry: &mut Registry,
    blobs: Vec<Wanted>,
    to: &Path,
    limits: Limits,
    count: &Count,
) -> Result<u64> {
    let mut layers = Unpacker::new(to, Some(PAYLOAD), limits);
    let mut archives = Unpacker::new(to, None, limits);
    let mut files = 0;
    for blob in blobs {
        match blob.form {
            Form::Layer => layers = unpack(registry, &blob.descriptor, layers, count).await?,
            Form::Archive => archives = unpack(registry, &blob.descriptor, archives, count).await?,
            Form::File(path) => {
                let path = to.join(path);
                stream(registry, &blob.descriptor, count, move |source| {
                    write(source, &path)
                })
                .await?;
                files += 1;
            }
        }
    }
    Ok(files + layers.files() + archives.files())
}

async fn unpack(
    registry: &mut Registry,
    descriptor: &Descriptor,
    unpacker: Unpacker,
    count: &Count,
) -> Result<Unpacker> {
    stream(registry, descriptor, count, move |source| {
        let mut unpacker = unpacker;
        unpacker.apply(source)?;
        Ok(unpacker)
    })
    .await
}

/// Runs `consume` on a thread of its own over the blob's bytes while they arrive. What it gives counts only if
/// the digest was right in the end.
async fn stream<T: Send + 'static>(
    registry: &mut Registry,
    descriptor: &Descriptor,
    count: &Count,
    consume: impl FnOnce(&mut Pipe) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sink, source) = mpsc::channel(PIECES);
    let consumer = tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe {
            source,
            piece: Bytes::new(),
        };
        consume(&mut pipe)
    });
    let delivered = registry.blob(descriptor, sink, count).await;
    let consumed = consumer.await.map_err(|error| Error::task(&error))?;
    // An error of the transfer is the cause of whatever the consumer then made of half a blob.
    delivered?;
    consumed
}

/// The receiving end as a reader.
struct Pipe {
    source: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.piece.is_empty() {
            match self.source.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), self.piece.get(..length)) {
            to.copy_from_slice(from);
        }
        self.piece.advance(length);
        Ok(length)
    }
}

fn write(source: &mut Pipe, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(Error::local("create", parent))?;
    }
    // Two files of one title make no sense; the first is kept from being written over through a link.
    let file = std::fs::File::create_new(path).map_err(Error::local("create", path));
    std::io::copy(source, &mut file?)
        .map(drop)
        .map_err(Error::local("write", path))
}

/// The hidden directory, removed whatever happens.
#[derive(Debug)]
struct Staging(PathBuf);

impl Staging {
    fn create(target: &Path) -> Result<Self> {
        let place = target.join(".artifact-staging");
        remove(&place)?;
        std::fs::create_dir(&place).map_err(Error::local("create", &place))?;
        Ok(Self(place))
    }

    /// Moves everything up, in place of what has the same name there.
    fn publish(self, target: &Path) -> Result<()> {
        for entry in std::fs::read_dir(&self.0).map_err(Error::local("list", &self.0))? {
            let entry = entry.map_err(Error::local("list", &self.0))?;
            let place = target.join(entry.file_name());
            if place == self.0 {
                return Err(Error::Refused(format!(
                    "the payload holds {}, a name of ours",
                    place.display()
                )));
            }
            if place.is_dir() || entry.path().is_dir() {
                remove(&place)?;
            }
            std::fs::rename(entry.path(), &place).map_err(Error::local("move a file to", &place))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            say(&error.to_string());
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.map_err(Error::local("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(config: &str, layers: &[(&str, Option<&str>)]) -> ImageManifest {
        let digest = format!("sha256:{}", "a".repeat(64));
        let layers = layers.iter().map(|(kind, title)| {
            let mut layer = serde_json::json!({"mediaType": kind, "digest": digest, "size": 1});
            if let Some(title) = title {
                layer["annotations"] = serde_json::json!({TITLE: title});
            }
            layer
        });
        let value = serde_json::json!({
            "schemaVersion": 2, "layers": layers.collect::<Vec<_>>(),
            "config": {"mediaType": config, "digest": digest, "size": 1},
        });
        serde_json::from_value(value).unwrap()
    }

    const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    #[track_caller]
    fn forms(config: &str, layers: &[(&str, Option<&str>)]) -> Vec<Form> {
        plan(&manifest(config, layers))
            .unwrap()
            .into_iter()
            .map(|wanted| wanted.form)
            .collect()
    }

    #[test]
    fn images_and_artifacts_are_told_apart() {
        let docker = "application/vnd.docker.container.image.v1+json";
        assert_eq!(forms(IMAGE, &[(LAYER, None)]), [Form::Layer]);
        assert_eq!(
            forms(docker, &[(LAYER, None), (LAYER, None)]),
            [Form::Layer, Form::Layer]
        );
        let weights = "application/vnd.cncf.model.weight.v1.raw";
        let titled = [(weights, Some("./sub/a.safetensors")), (weights, None)];
        assert_eq!(
            forms("application/vnd.cncf.model.config.v1+json", &titled),
            [Form::File("sub/a.safetensors".into())]
        );
        let error = plan(&manifest("application/vnd.oci.empty.v1+json", &[(LAYER, None)])).unwrap_err();
        assert!(error.contains("neither an image"), "{error}");
    }

    #[test]
    fn titles_stay_below_the_target() {
        for title in ["../a", "/a", "a/../../b", "", ".", "a\0b", "a/"] {
            assert_eq!(plain(title), None, "{title:?}");
        }
        assert_eq!(plain("./a//b"), Some("a/b".into()));
    }

    #[test]
    fn publishing_replaces_what_was_there() {
        let scratch = tempfile::tempdir().unwrap();
        let target = scratch.path();
        std::fs::create_dir_all(target.join("a/old")).unwrap();
        std::fs::write(target.join("b"), "old").unwrap();
        let staging = Staging::create(target).unwrap();
        std::fs::write(staging.0.join("a"), "new").unwrap();
        std::fs::create_dir(staging.0.join("b")).unwrap();
        std::fs::write(staging.0.join("c"), "new").unwrap();
        let place = staging.0.clone();
        staging.publish(target).unwrap();
        assert!(target.join("a").is_file() && target.join("b").is_dir() && target.join("c").is_file());
        assert!(!place.exists());
    }
}
