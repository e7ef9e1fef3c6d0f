//! `publish`, and `pull` of what it pushed.

use std::collections::BTreeMap;
use std::path::Path;

use oci_image::{Image, Layout, Platform};
use testkit::image_registry::{Auth, Registry};

use crate::docker_config::{auth_dir, login};
use crate::{Outcome, files, noise, run};

/// A layout of one image with one file.
fn layout(at: &Path, content: &[u8]) -> String {
    let layout = Layout::create(at).unwrap();
    let layer = layout
        .layer(1, |layer| {
            layer.directory("data", 0o755)?;
            layer.file("data/weights", false, content.len() as u64, content)
        })
        .unwrap();
    let image = Image {
        platform: Platform::here(),
        layers: vec![layer],
        entrypoint: vec!["/program".to_owned()],
        user: "65532:65532".to_owned(),
        annotations: BTreeMap::new(),
    };
    layout.image(&image, "latest").unwrap().digest().to_string()
}

async fn publish(from: &Path, flags: &[&str], reference: &str) -> Outcome {
    let from = format!("--from={}", from.display());
    run(&[&["publish", &from], flags, &[reference]].concat()).await
}

#[tokio::test]
async fn an_image_is_published_as_it_is() {
    let Some(registry) = Registry::start(&Auth::Basic).unwrap() else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path().join("image");
    let content = noise(100_000, 5);
    let digest = layout(&at, &content);
    let reference = registry.reference("team/program:1");
    publish(&at, &[], &reference).await.bad(4, "program");

    let logins = auth_dir(&registry.address().to_string(), &login());
    let auth = format!("--auth-dir={}", logins.path().display());
    let said = publish(&at, &[&auth, "--chunk-bytes=30000"], &reference)
        .await
        .good();
    assert!(
        said.termination.ends_with(&format!("@{digest}")),
        "{}",
        said.termination
    );
    let to = scratch.path().join("pulled");
    let pulled = format!("--to={}", to.display());
    run(&["pull", &pulled, &auth, &said.termination]).await.good();
    assert_eq!(files(&to), [("weights".to_owned(), content)]);

    std::fs::remove_file(at.join("index.json")).unwrap();
    publish(&at, &[&auth], &reference).await.bad(1, "index.json");
}
