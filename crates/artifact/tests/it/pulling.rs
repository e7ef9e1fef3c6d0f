//! `pull` of images and artifacts that others made, good and bad ones.

use std::path::Path;

use oci_image::digest_of;
use serde_json::{Value, json};
use testkit::image_registry::{Auth, Registry};

use crate::proxy::{Fault, Proxy};
use crate::{Outcome, files, noise, run};

async fn pull(to: &Path, flags: &[&str], reference: &str) -> Outcome {
    run(&[&["pull", &format!("--to={}", to.display())], flags, &[reference]].concat()).await
}

/// Puts things into a registry by its API, without the program.
struct Writer {
    base: String,
    client: reqwest::Client,
}

impl Writer {
    fn new(registry: &Registry, repository: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            base: format!("http://{}/v2/{repository}", registry.address()),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Stores a blob; gives its descriptor.
    async fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(bytes).unwrap().to_string();
        let begun = self
            .client
            .post(format!("{}/blobs/uploads/", self.base))
            .send()
            .await
            .unwrap();
        let mut url = url::Url::parse(begun.headers()["location"].to_str().unwrap()).unwrap();
        url.query_pairs_mut().append_pair("digest", &digest);
        let put = self.client.put(url).body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(put.status(), 201);
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    /// Stores a manifest; gives its descriptor.
    async fn manifest(&self, tag: &str, manifest: &Value) -> Value {
        let kind = manifest["mediaType"].as_str().unwrap();
        let bytes = manifest.to_string();
        let url = format!("{}/manifests/{tag}", self.base);
        let put = self
            .client
            .put(url)
            .header("content-type", kind)
            .body(bytes.clone())
            .send()
            .await
            .unwrap();
        let code = put.status();
        assert_eq!(code, 201, "{}", put.text().await.unwrap());
        json!({"mediaType": kind, "digest": digest_of(bytes.as_bytes()).unwrap(), "size": bytes.len()})
    }

    async fn image(&self, tag: &str, layers: &[Value]) -> Value {
        let config = self.blob(CONFIG, br#"{"rootfs":{"diff_ids":[]}}"#).await;
        self.manifest(
            tag,
            &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}),
        )
        .await
    }
}

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An uncompressed archive.
fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // The name is put in as it is: the library would refuse some of them.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn layers_of_every_compression_make_the_payload() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let writer = Writer::new(&registry, "a");
    let plain = tar(&[("etc/passwd", b"x"), ("data/a", b"1"), ("data/b", b"2")]);
    let zstd = ruzstd::encoding::compress_to_vec(
        &tar(&[("data/.wh.a", b""), ("data/c", b"3")])[..],
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    let layers = [
        writer.blob(LAYER, &plain).await,
        // The type is wrong, as it is in the wild; the bytes are believed.
        writer
            .blob("application/vnd.docker.image.rootfs.diff.tar.gzip", &zstd)
            .await,
    ];
    writer.image("v1", &layers).await;
    let to = tempfile::tempdir().unwrap();
    pull(to.path(), &[], &registry.reference("a:v1")).await.good();
    assert_eq!(
        files(to.path()),
        [("b".to_owned(), b"2".to_vec()), ("c".to_owned(), b"3".to_vec())]
    );
}

#[tokio::test]
async fn the_strength_of_an_adapter_is_written_into_its_configuration() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let writer = Writer::new(&registry, "adapter");
    let config = json!({"r": 8, "lora_alpha": 32, "alpha_pattern": {"q_proj": 8}}).to_string();
    let entries = [
        ("data/adapter_config.json", config.as_bytes()),
        ("data/adapter_model.safetensors", b"weights"),
    ];
    let layer = writer.blob(LAYER, &tar(&entries)).await;
    writer.image("v1", &[layer]).await;
    let to = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let flags = ["--lora-strength=0.25"];
        pull(to.path(), &flags, &registry.reference("adapter:v1"))
            .await
            .good();
        let read = |name: &str| std::fs::read(to.path().join(name)).unwrap();
        let written: Value = serde_json::from_slice(&read("adapter_config.json")).unwrap();
        let expected = json!({"r": 8, "lora_alpha": 8, "alpha_pattern": {"q_proj": 2}});
        assert_eq!(written, expected, "also after a restart");
        assert_eq!(read("adapter_model.safetensors"), b"weights");
    }
    // What is no adapter has no strength.
    let layer = writer.blob(LAYER, &tar(&[("data/a", b"1")])).await;
    writer.image("v2", &[layer]).await;
    let failed = pull(
        to.path(),
        &["--lora-strength=0.25"],
        &registry.reference("adapter:v2"),
    )
    .await;
    assert!(failed.code != 0, "{}", failed.said);
}

#[tokio::test]
async fn an_index_leads_to_the_image_of_this_machine() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let writer = Writer::new(&registry, "a");
    let here = oci_image::Platform::here().architecture;
    let mut manifests = Vec::new();
    for (architecture, content) in [("s390x", b"other"), (here.as_str(), b"right")] {
        let layer = writer.blob(LAYER, &tar(&[("data/a", content)])).await;
        let mut descriptor = writer.image(architecture, &[layer]).await;
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        manifests.push(descriptor);
    }
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
    let descriptor = writer.manifest("many", &index).await;
    let digest = descriptor["digest"].as_str().unwrap();
    for reference in ["a:many".to_owned(), format!("a@{digest}")] {
        let to = tempfile::tempdir().unwrap();
        pull(to.path(), &[], &registry.reference(&reference)).await.good();
        assert_eq!(files(to.path()), [("a".to_owned(), b"right".to_vec())]);
    }
}

#[tokio::test]
async fn titled_files_of_an_artifact_keep_their_names() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let writer = Writer::new(&registry, "weights");
    let mut layers = Vec::new();
    for (title, content) in [
        ("config.json", noise(10, 1)),
        ("sub/model.safetensors", noise(70_000, 2)),
    ] {
        let mut layer = writer
            .blob("application/vnd.cncf.model.weight.v1.raw", &content)
            .await;
        layer["annotations"] = json!({"org.opencontainers.image.title": title});
        layers.push(layer);
    }
    let mut archive = writer
        .blob(
            "application/vnd.oci.image.layer.v1.tar",
            &tar(&[("docs/a", b"1")]),
        )
        .await;
    archive["annotations"] =
        json!({"org.opencontainers.image.title": "docs", "io.deis.oras.content.unpack": "true"});
    layers.push(archive);
    let config = writer
        .blob("application/vnd.cncf.model.config.v1+json", b"{}")
        .await;
    let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
    writer.manifest("v1", &manifest).await;
    let to = tempfile::tempdir().unwrap();
    pull(to.path(), &[], &registry.reference("weights:v1"))
        .await
        .good();
    let expected = [
        ("config.json", noise(10, 1)),
        ("docs/a", b"1".to_vec()),
        ("sub/model.safetensors", noise(70_000, 2)),
    ];
    assert_eq!(
        files(to.path()),
        expected.map(|(name, content)| (name.to_owned(), content))
    );

    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = json!("../evil");
    writer.manifest("evil", &manifest).await;
    pull(to.path(), &[], &registry.reference("weights:evil"))
        .await
        .bad(3, "unsafe title");
    assert!(!to.path().parent().unwrap().join("evil").exists());
}

#[tokio::test]
async fn bytes_that_are_not_what_was_promised_are_refused() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let writer = Writer::new(&registry, "a");
    let good = tar(&[("data/a", b"good")]);
    let layer = writer.blob(LAYER, &good).await;
    let manifest = writer.image("v1", std::slice::from_ref(&layer)).await;
    let to = tempfile::tempdir().unwrap();
    let reference = registry.reference("a:v1");

    // The registry's disk is tampered with: same size, other content.
    let stored = registry.blob(layer["digest"].as_str().unwrap());
    std::fs::write(&stored, tar(&[("data/a", b"evil")])).unwrap();
    pull(to.path(), &[], &reference)
        .await
        .bad(7, "the bytes have the digest");
    std::fs::write(&stored, [good.clone(), vec![0; 512]].concat()).unwrap();
    pull(to.path(), &["--attempts=1"], &reference)
        .await
        .bad(7, "longer than announced");
    std::fs::write(&stored, &good[..600]).unwrap();
    let short = pull(to.path(), &["--attempts=2"], &reference).await;
    assert_ne!(short.code, 0);
    assert_eq!(files(to.path()), [], "nothing of it is to be seen");
    std::fs::write(&stored, &good).unwrap();

    let digest = manifest["digest"].as_str().unwrap();
    let path = registry.blob(digest);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"schemaVersion\":2", "\"schemaVersion\": 2")).unwrap();
    pull(
        to.path(),
        &["--attempts=1"],
        &registry.reference(&format!("a@{digest}")),
    )
    .await
    .bad(7, "digest");
    std::fs::write(&path, text).unwrap();
    pull(to.path(), &[], &reference).await.good();
}

/// Tag, layer, flags, exit code, part of the message.
type Case<'a> = (&'a str, Vec<u8>, &'a [&'a str], i32, &'a str);

#[tokio::test]
async fn hostile_and_useless_images_are_refused() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let writer = Writer::new(&registry, "a");
    let to = tempfile::tempdir().unwrap();
    let cases: [Case<'_>; 5] = [
        (
            "climbs",
            tar(&[("data/../../evil", b"x")]),
            &[],
            3,
            "must not leave its directory",
        ),
        ("empty", tar(&[("etc/a", b"x")]), &[], 5, "has nothing in /data"),
        ("noise", noise(2000, 9), &[], 7, "damaged"),
        (
            "large",
            tar(&[("data/a", &[0; 5000])]),
            &["--max-bytes=4999"],
            8,
            "--max-bytes",
        ),
        (
            "many",
            tar(&[("data/a", b""), ("data/b", b"")]),
            &["--max-entries=1"],
            8,
            "more entries",
        ),
    ];
    for (tag, layer, flags, code, part) in cases {
        let layer = writer.blob(LAYER, &layer).await;
        writer.image(tag, &[layer]).await;
        pull(to.path(), flags, &registry.reference(&format!("a:{tag}")))
            .await
            .bad(code, part);
        assert_eq!(files(to.path()), [], "{tag}");
    }
    pull(to.path(), &[], &registry.reference("a:none"))
        .await
        .bad(5, "MANIFEST_UNKNOWN");
    pull(to.path(), &[], "not a reference")
        .await
        .bad(2, "must be a reference to an image");
}

#[tokio::test]
async fn a_broken_download_goes_on() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let writer = Writer::new(&registry, "a");
    let content = noise(500_000, 11);
    let layer = writer.blob(LAYER, &tar(&[("data/a", &content)])).await;
    writer.image("v1", &[layer]).await;
    let faults = [
        Fault::Answer("500 Internal Server Error"),
        Fault::CutDown(100_000),
        Fault::CutDown(200_000),
        Fault::Answer("503 Service Unavailable"),
    ];
    let proxy = Proxy::start(registry.address(), &faults).await;
    let to = tempfile::tempdir().unwrap();
    let plain = format!("--plain-http={}", proxy.address);
    pull(to.path(), &[&plain], &format!("{}/a:v1", proxy.address))
        .await
        .good();
    assert_eq!(proxy.faults_left(), 0, "all faults were met");
    assert_eq!(files(to.path()), [("a".to_owned(), content)]);
}
