//! The blobs of a manifest, and the form in which each is written. Pure.

use std::path::{Path, PathBuf};

use oci_image::{Descriptor, ImageManifest};

const TITLE: &str = "org.opencontainers.image.title";
/// Path of a file of a ModelPack model.
const FILE_PATH: &str = "org.cncf.model.filepath";
/// Beginning of the media types of ModelPack's layers: weights, their configuration, code, documents and data.
const MODEL: &str = "application/vnd.cncf.model.";
/// Marks a titled layer as an archive of a directory.
const UNPACK: &str = "io.deis.oras.content.unpack";

/// A blob and its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) descriptor: Descriptor,
    pub(super) form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A layer of an image. Only `/data` is unpacked.
    Layer,
    /// An archive of files.
    Archive,
    /// One file, with its path relative to the target.
    File(PathBuf),
}

/// Chooses the blobs to write. The error is a verb phrase about the image.
pub(super) fn blobs(manifest: &ImageManifest) -> std::result::Result<Vec<Blob>, String> {
    let annotation = |layer: &Descriptor, name: &str| -> Option<String> {
        layer.annotations().as_ref()?.get(name).cloned()
    };
    let title = |layer: &Descriptor| annotation(layer, FILE_PATH).or_else(|| annotation(layer, TITLE));
    let titled: Vec<_> = manifest
        .layers()
        .iter()
        .filter_map(|layer| {
            Some((
                layer,
                title(layer).or_else(|| is_archive(layer).then(String::new))?,
            ))
        })
        .collect();
    if titled.is_empty() {
        let config = manifest.config().media_type().to_string();
        let is_image =
            config.ends_with(".image.config.v1+json") || config.ends_with(".container.image.v1+json");
        if !is_image {
            return Err(format!(
                "must be an image or have titled files; it is neither an image nor an artifact, but {config:?}"
            ));
        }
        let layer = |descriptor: &Descriptor| Blob {
            descriptor: descriptor.clone(),
            form: Form::Layer,
        };
        return Ok(manifest.layers().iter().map(layer).collect());
    }
    let blobs = titled.into_iter().map(|(layer, title)| {
        let form = if is_archive(layer) || annotation(layer, UNPACK).as_deref() == Some("true") {
            Form::Archive
        } else {
            Form::File(plain(&title).ok_or_else(|| format!("has a file with the unsafe title {title:?}"))?)
        };
        Ok(Blob {
            descriptor: layer.clone(),
            form,
        })
    });
    blobs.collect()
}

/// Reports whether a layer is an archive of a ModelPack model. The paths are those in the archive.
fn is_archive(layer: &Descriptor) -> bool {
    let kind = layer.media_type().to_string();
    let rest = kind.strip_prefix(MODEL);
    rest.is_some_and(|rest| {
        [".tar", ".tar+gzip", ".tar+zstd"]
            .iter()
            .any(|end| rest.ends_with(end))
    })
}

/// Bytes of all blobs. A manifest may state any sizes, so the sum saturates instead of wrapping to a small one.
pub(super) fn total(blobs: &[Blob]) -> u64 {
    let sizes = blobs.iter().map(|blob| blob.descriptor.size());
    sizes.fold(0, u64::saturating_add)
}

/// Turns a title into a path below the target.
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
        blobs(&manifest(config, layers))
            .unwrap()
            .into_iter()
            .map(|blob| blob.form)
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
        let archive = "application/vnd.cncf.model.weight.v1.tar+gzip";
        let raw = "application/vnd.cncf.model.weight.config.v1.raw";
        assert_eq!(
            forms(
                "application/vnd.cncf.model.config.v1+json",
                &[
                    (archive, Some("weights")),
                    (archive, None),
                    (raw, Some("config.json"))
                ]
            ),
            [Form::Archive, Form::Archive, Form::File("config.json".into())]
        );
        let error = blobs(&manifest("application/vnd.oci.empty.v1+json", &[(LAYER, None)])).unwrap_err();
        assert!(error.contains("neither an image"), "{error}");
    }

    #[test]
    fn sizes_cannot_add_up_to_little() {
        let mut some = blobs(&manifest(IMAGE, &[(LAYER, None), (LAYER, None)])).unwrap();
        assert_eq!(total(&some), 2);
        some[0].descriptor.set_size(u64::MAX);
        assert_eq!(total(&some), u64::MAX);
    }

    #[test]
    fn titles_stay_below_the_target() {
        for title in ["../a", "/a", "a/../../b", "", ".", "a\0b", "a/"] {
            assert_eq!(plain(title), None, "{title:?}");
        }
        assert_eq!(plain("./a//b"), Some("a/b".into()));
    }
}
