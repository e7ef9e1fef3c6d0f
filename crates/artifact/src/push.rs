//! `push`: a directory as an image, once a tuning has filled it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use egress::TransferCount;
use oci_image::{Image, Layer, LayerWriter, Platform, add_tree};

use crate::args::{Common, Push};
use crate::error::{Error, NoResult, Result};
use crate::marker::Markers;
use crate::progress::{Reporter, bytes, say};
use crate::refused::Refused;
use crate::registry::{Blob, Content, Registry, parse};

/// The directory of the image that holds the payload.
const PAYLOAD: &str = "data";
/// The annotation with the preset of an adapter.
const BASE_MODEL: &str = "sh.kaito.model.name";
const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The effort of compression. Weights hardly shrink, and higher efforts take minutes.
const EFFORT: u32 = 1;

/// Waits until the result is complete.
///
/// # Errors
/// The tuning failed, or there is nothing to push.
pub(crate) async fn wait(args: &Push) -> Result<()> {
    // Checked now, not after hours of tuning.
    tagged(&args.to.reference)?;
    if let Some(done) = &args.wait_for {
        Markers::new(done, args.failed_when.as_deref()).wait().await?;
    }
    if args.base_model.is_some() && !args.from.join(ADAPTER_CONFIG).is_file() {
        return Err(Error::NoResult(NoResult::NoAdapter {
            directory: args.from.clone(),
            file: ADAPTER_CONFIG,
        }));
    }
    Ok(())
}

/// Packs and pushes, and returns the image by digest.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn run(args: &Push, common: &Common) -> Result<String> {
    let target = tagged(&args.to.reference)?;
    let whole = target.reference.whole();
    let (file, layer) = pack(args).await?;
    let size = layer.descriptor.size();
    if size > common.max_bytes {
        return Err(Error::TooLarge {
            what: "the image".to_owned(),
            size: bytes(size as f64),
        });
    }
    let image = Image {
        platform: Platform::here(),
        layers: vec![layer.clone()],
        entrypoint: Vec::new(),
        user: String::new(),
        annotations: annotations(args.base_model.as_deref()),
    };
    let assembled = image.assemble()?;
    let digest = assembled.manifest_descriptor.digest().to_string();
    say(&format!("pushing {whole} ({digest}, {})", bytes(size as f64)));

    let others: Vec<&str> = args.mount_from.as_deref().into_iter().collect();
    let mut registry = Registry::open(target, args.to.access.settings(common), "pull,push", &others).await?;
    let count = Arc::new(TransferCount::default());
    let _reporter = Reporter::start("pushed", Arc::clone(&count));
    let payload = Blob {
        descriptor: &layer.descriptor,
        content: Content::File(Arc::new(file)),
        chunk: args.to.chunk_bytes,
        mount_from: args.mount_from.as_deref(),
    };
    let config = Blob {
        descriptor: &assembled.config_descriptor,
        content: Content::Bytes(Bytes::from(assembled.config)),
        chunk: args.to.chunk_bytes,
        mount_from: None,
    };
    let sent = async {
        if !registry.push_blob(&payload, &count).await? {
            say("the registry has the payload already");
        }
        registry.push_blob(&config, &count).await?;
        registry
            .push_manifest(&assembled.manifest_descriptor, assembled.manifest)
            .await
    };
    if let Err(error) = sent.await {
        return Err(Refused::by(&registry, args.secret.as_deref()).explain(error));
    }
    let repository = whole
        .strip_suffix(&format!(":{}", registry.version()))
        .unwrap_or(&whole);
    Ok(format!("{repository}@{digest}"))
}

/// Parses a reference with a tag. The digest is the result of a push.
pub(crate) fn tagged(reference: &str) -> Result<crate::registry::Target> {
    let target = parse(reference)?;
    if target.reference.digest().is_some() {
        return Err(Error::Usage {
            argument: reference.to_owned(),
            expected: "a tag to push to, not a digest".to_owned(),
        });
    }
    Ok(target)
}

fn annotations(base_model: Option<&str>) -> BTreeMap<String, String> {
    let named = base_model.map(|name| (BASE_MODEL.to_owned(), name.to_owned()));
    named.into_iter().collect()
}

/// Packs the directory to an unnamed file that ends with the program.
async fn pack(args: &Push) -> Result<(std::fs::File, Layer)> {
    let from = args.from.clone();
    let markers: Vec<_> = args
        .wait_for
        .iter()
        .map(|done| Markers::new(done, args.failed_when.as_deref()))
        .collect();
    let packed = tokio::task::spawn_blocking(move || {
        let directory = std::env::temp_dir();
        let file = tempfile::tempfile().map_err(Error::local("create a file in", &directory))?;
        let is_marker = |path: &Path| {
            let full = from.join(path);
            markers
                .iter()
                .any(|markers| full == markers.done || full == markers.failed)
        };
        let mut files = std::cell::Cell::new(0u64);
        let wanted = |path: &Path| {
            let wanted = is_payload(path) && !is_marker(path);
            files.set(files.get() + u64::from(wanted && from.join(path).is_file()));
            wanted
        };
        let mut layer = LayerWriter::new(std::io::BufWriter::new(file), EFFORT);
        for path in add_tree(&mut layer, &from, Path::new(PAYLOAD), &wanted)? {
            say(&format!(
                "left out: {}, which is not a file of this directory",
                path.display()
            ));
        }
        if *files.get_mut() == 0 {
            return Err(Error::NoResult(NoResult::NoFiles {
                directory: from.clone(),
            }));
        }
        let (file, layer) = layer.finish()?;
        let file = file
            .into_inner()
            .map_err(|error| Error::local("write to", &directory)(error.into_error()))?;
        Ok((file, layer))
    });
    packed.await.map_err(|error| Error::task(&error))?
}

/// Reports whether a path belongs to the payload. Checkpoints are many times the size of the result and are not served.
fn is_payload(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let checkpoint = name
        .strip_prefix("checkpoint-")
        .is_some_and(|step| step.bytes().all(|b| b.is_ascii_digit()));
    !checkpoint && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_and_hidden_files_stay_behind() {
        let payload = |path: &str| is_payload(Path::new(path));
        assert!(payload("adapter_config.json") && payload("sub/checkpoint-best") && payload("checkpoint"));
        assert!(!payload("checkpoint-500") && !payload(".cache") && !payload("sub/.git"));
    }
}
