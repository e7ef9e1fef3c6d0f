//! `push-weights`, and `pull` of what it pushed.

use std::fs::File;
use std::path::Path;

use testkit::image_registry::{Auth, Registry};

use crate::{Outcome, files, run};

/// Bytes of a shard: enough for a layer of its own.
const SHARD: u64 = 65 << 20;

/// A model with a large and a small shard, as `weights` leaves it.
fn model() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    put("config.json", "{}");
    put("tokenizer.json", "{}");
    put(
        ".complete.json",
        r#"{"model": "Acme/Tiny", "revision": "0123", "layout": "hub", "bytes": 1}"#,
    );
    put("model-2.safetensors", "weights");
    let large = directory.path().join("model-1.safetensors");
    File::create(large).unwrap().set_len(SHARD).unwrap();
    directory
}

async fn push(from: &Path, reference: &str) -> Outcome {
    run(&["push-weights", &format!("--from={}", from.display()), reference]).await
}

#[tokio::test]
async fn a_large_shard_is_a_layer_and_all_files_are_pulled() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let model = model();
    let reference = registry.reference("weights/tiny:v1");
    let pushed = push(model.path(), &reference).await.good();
    let (_, digest) = pushed.termination.split_once('@').unwrap();
    let manifest = std::fs::read(registry.blob(digest)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let sizes = manifest["layers"].as_array().unwrap().iter();
    let sizes: Vec<u64> = sizes.map(|layer| layer["size"].as_u64().unwrap()).collect();
    assert!(
        sizes.len() == 2 && sizes[0] < 1000 && sizes[1] > SHARD,
        "{sizes:?}"
    );
    assert_eq!(
        manifest["annotations"]["org.opencontainers.image.title"],
        "Acme/Tiny"
    );

    let to = tempfile::tempdir().unwrap();
    let into = format!("--to={}", to.path().display());
    run(&["pull", &into, &pushed.termination]).await.good();
    let visible = files(model.path())
        .into_iter()
        .filter(|(name, _)| !name.starts_with('.'));
    assert!(files(to.path()) == visible.collect::<Vec<_>>());

    // A shard that the registry has is not sent again, whatever else changed.
    std::fs::write(model.path().join("tokenizer.json"), "{ }").unwrap();
    let again = push(model.path(), &reference).await.good();
    assert_ne!(again.termination, pushed.termination);
    assert_eq!(
        again.said.matches("the registry has this layer already").count(),
        1,
        "{}",
        again.said
    );
}

#[tokio::test]
async fn what_is_no_whole_model_is_not_pushed() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let reference = registry.reference("weights/tiny:v1");
    let elsewhere = tempfile::tempdir().unwrap();
    push(elsewhere.path(), &reference).await.bad(9, "config.json");

    // The layout of the hub's own cache.
    let blob = elsewhere.path().join("blob");
    std::fs::write(&blob, "weights").unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), "{}").unwrap();
    std::os::unix::fs::symlink(&blob, directory.path().join("model.safetensors")).unwrap();
    push(directory.path(), &reference)
        .await
        .bad(3, "leads out of the directory");
}
