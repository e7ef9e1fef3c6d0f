//! Packed contents come out again, and equal contents give equal images.

use std::collections::BTreeMap;
use std::path::Path;

use oci_image::{
    Image, ImageIndex, ImageManifest, LayerWriter, Layout, MediaType, Platform, Unpacker, add_tree, digest_of,
};
use proptest::prelude::*;

use super::*;

fn pack(from: &Path, to: &str) -> (Vec<u8>, oci_image::Layer) {
    let mut layer = LayerWriter::new(Vec::new(), 6);
    add_tree(&mut layer, from, Path::new(to), &|_| true).unwrap();
    layer.finish().unwrap()
}

fn image(layer: oci_image::Layer) -> Image {
    Image {
        platform: Platform::of("x86_64"),
        layers: vec![layer],
        entrypoint: vec!["/program".to_owned()],
        user: "65532:65532".to_owned(),
        annotations: (0..9).map(|n| (format!("key-{n}"), "value".to_owned())).collect(),
    }
}

#[test]
fn equal_content_is_an_equal_image_whoever_wrote_it_when() {
    let digests = [0o600, 0o644].map(|mode| {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = tempfile::tempdir().unwrap();
        let names = if mode == 0o600 { ["a", "b"] } else { ["b", "a"] };
        for name in names {
            let path = scratch.path().join(name);
            std::fs::write(&path, name).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let assembled = image(pack(scratch.path(), "data").1).assemble().unwrap();
        assembled.manifest_descriptor.digest().to_string()
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_layout_holds_what_its_documents_say() {
    let scratch = tempfile::tempdir().unwrap();
    let layout = Layout::create(scratch.path()).unwrap();
    let layer = layout
        .layer(9, |layer| layer.file("program", true, 3, &b"abc"[..]))
        .unwrap();
    let descriptor = layout.image(&image(layer), "latest").unwrap();
    let manifest = std::fs::read(layout.blob(descriptor.digest())).unwrap();
    let manifest: ImageManifest = serde_json::from_slice(&manifest).unwrap();
    for blob in manifest.layers().iter().chain([manifest.config()]) {
        let bytes = std::fs::read(layout.blob(blob.digest())).unwrap();
        assert_eq!(
            (bytes.len() as u64, digest_of(&bytes).unwrap()),
            (blob.size(), blob.digest().clone())
        );
    }
    let config = std::fs::read(layout.blob(manifest.config().digest())).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
    // A second image takes the place of the first, and nothing of it is left.
    let again = Layout::create(scratch.path()).unwrap();
    let layer = again
        .layer(9, |layer| layer.file("other", true, 3, &b"def"[..]))
        .unwrap();
    again.image(&image(layer), "latest").unwrap();
    assert_eq!(
        std::fs::read_dir(scratch.path().join("blobs/sha256"))
            .unwrap()
            .count(),
        3
    );
}

#[test]
fn images_of_several_platforms_share_their_layers_and_have_one_index() {
    let scratch = tempfile::tempdir().unwrap();
    let layout = Layout::create(scratch.path()).unwrap();
    let layer = layout
        .layer(9, |layer| layer.file("program", true, 3, &b"abc"[..]))
        .unwrap();
    let images = ["x86_64", "aarch64"].map(|architecture| Image {
        platform: Platform::of(architecture),
        ..image(layer.clone())
    });
    let descriptor = layout.images(&images, "latest").unwrap();
    let read = |path: &Path| -> ImageIndex { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let top = read(&scratch.path().join("index.json"));
    assert_eq!(top.manifests().len(), 1);
    assert_eq!(top.manifests()[0].digest(), descriptor.digest());
    assert_eq!(top.manifests()[0].media_type(), &MediaType::ImageIndex);
    let index = read(&layout.blob(descriptor.digest()));
    let platforms = index.manifests().iter().map(|manifest| {
        assert!(layout.blob(manifest.digest()).is_file());
        manifest.platform().as_ref().unwrap().architecture().to_string()
    });
    assert_eq!(platforms.collect::<Vec<_>>(), ["amd64", "arm64"]);
    // The layer, the index, and a configuration and a manifest for each.
    let blobs = std::fs::read_dir(scratch.path().join("blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 6);
}

#[test]
fn links_inside_become_files_and_others_are_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("file"), "content").unwrap();
    std::os::unix::fs::symlink("file", scratch.path().join("inside")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", scratch.path().join("outside")).unwrap();
    let mut layer = LayerWriter::new(Vec::new(), 6);
    let left_out = add_tree(&mut layer, scratch.path(), Path::new("data"), &|path| {
        path != "no"
    })
    .unwrap();
    assert_eq!(left_out, [Path::new("outside")]);
    let (bytes, _) = layer.finish().unwrap();
    let to = tempfile::tempdir().unwrap();
    Unpacker::new(to.path(), Some("data"), LIMITS)
        .apply(&bytes[..])
        .unwrap();
    assert_eq!(listing(to.path()), ["file = content", "inside = content"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(
        files in prop::collection::btree_map("[a-z]{1,3}(/[A-Z .]{1,60}x){0,3}", prop::collection::vec(any::<u8>(), 0..2000), 0..8)
    ) {
        let from = tempfile::tempdir().unwrap();
        let files: BTreeMap<String, Vec<u8>> = files;
        for (name, content) in &files {
            let path = from.path().join(name);
            // A name may be taken by a directory of another; it is left out then.
            if std::fs::create_dir_all(path.parent().unwrap()).is_ok() {
                let _ = std::fs::write(path, content);
            }
        }
        let (bytes, layer) = pack(from.path(), "data");
        prop_assert_eq!(layer.descriptor.size(), bytes.len() as u64);
        prop_assert_eq!(layer.descriptor.digest(), &digest_of(&bytes).unwrap());
        let to = tempfile::tempdir().unwrap();
        Unpacker::new(to.path(), Some("data"), LIMITS).apply(&bytes[..]).unwrap();
        prop_assert_eq!(listing(from.path()), listing(to.path()));
    }
}
