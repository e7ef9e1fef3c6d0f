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
    let image = image(&layout, Platform::here(), content);
    layout.image(&image, "latest").unwrap().digest().to_string()
}

fn image(layout: &Layout, platform: Platform, content: &[u8]) -> Image {
    let layer = layout
        .layer(1, |layer| {
            layer.directory("data", 0o755)?;
            layer.file("data/weights", false, content.len() as u64, content)
        })
        .unwrap();
    Image {
        platform,
        layers: vec![layer],
        entrypoint: vec!["/program".to_owned()],
        user: "65532:65532".to_owned(),
        annotations: BTreeMap::new(),
    }
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

#[tokio::test]
async fn images_of_several_architectures_are_published_with_their_index() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path().join("image");
    let layout = Layout::create(&at).unwrap();
    let other = Platform {
        architecture: "s390x".to_owned(),
    };
    let images = [
        image(&layout, other, b"for others"),
        image(&layout, Platform::here(), b"for this machine"),
    ];
    let digest = layout.images(&images, "latest").unwrap().digest().to_string();
    let reference = registry.reference("team/program:1");
    let said = publish(&at, &[], &reference).await.good();
    assert!(
        said.termination.ends_with(&format!("@{digest}")),
        "{}",
        said.termination
    );
    for image in &images {
        let manifest = image.assemble().unwrap().manifest_descriptor;
        assert!(registry.blob(manifest.digest().as_ref()).is_file());
    }
    let to = scratch.path().join("pulled");
    let pulled = format!("--to={}", to.display());
    run(&["pull", &pulled, &said.termination]).await.good();
    assert_eq!(files(&to), [("weights".to_owned(), b"for this machine".to_vec())]);
}
