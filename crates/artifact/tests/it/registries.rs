//! Registries that behave as some clouds' do.

use std::path::Path;

use serde_json::json;

use crate::docker_config::{auth_dir, login};
use crate::played::{Manner, Played};
use crate::{Outcome, files, noise, run, run_with};

async fn pull(to: &Path, flags: &[&str], reference: &str) -> Outcome {
    run(&[&["pull", &format!("--to={}", to.display())], flags, &[reference]].concat()).await
}

const WEIGHTS: &str = "application/vnd.cncf.model.weight.v1.raw";
const SETTINGS: &str = "application/vnd.cncf.model.weight.config.v1.tar";

/// An archive of one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content).unwrap();
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn a_limit_on_anonymous_requests_is_met_with_credentials() {
    let registry = Played::start(Manner::LimitsAnonymous).await;
    let layer = registry.blob(WEIGHTS, b"weights", Some("model.safetensors"));
    registry.model("v1", &[layer]);
    let to = tempfile::tempdir().unwrap();
    let secret = auth_dir(&registry.address.to_string(), &login());
    let auth = format!("--auth-dir={}", secret.path().display());
    let reference = registry.reference("team/a:v1");
    pull(to.path(), &[&auth, "--attempts=1"], &reference).await.good();
    assert_eq!(
        files(to.path()),
        [("model.safetensors".to_owned(), b"weights".to_vec())]
    );
    pull(to.path(), &["--attempts=2"], &reference).await.bad(6, "429");
}

#[tokio::test]
async fn a_registry_that_refuses_chunks_gets_whole_blobs() {
    let registry = Played::start(Manner::RefusesChunks).await;
    let from = tempfile::tempdir().unwrap();
    std::fs::write(from.path().join("weights"), noise(300_000, 5)).unwrap();
    let source = format!("--from={}", from.path().display());
    let reference = registry.reference("a:v1");
    run(&["push", &source, "--chunk-bytes=65536", "--attempts=1", &reference])
        .await
        .good();
    let tried = registry
        .seen()
        .iter()
        .filter(|line| line.starts_with("PATCH"))
        .count();
    assert_eq!(tried, 1);
    let to = tempfile::tempdir().unwrap();
    pull(to.path(), &[], &reference).await.good();
    assert_eq!(files(to.path()), files(from.path()));
}

#[tokio::test]
async fn a_workload_identity_opens_a_registry_of_azure() {
    let registry = Played::start(Manner::Azure).await;
    let layer = registry.blob(WEIGHTS, b"weights", Some("model.safetensors"));
    registry.model("v1", &[layer]);
    let host = registry.address.to_string();
    let scratch = tempfile::tempdir().unwrap();
    let token = scratch.path().join("token");
    std::fs::write(&token, "the pod's token\n").unwrap();
    let config = json!({"credHelpers": {&host: "acr-env", "ecr.example": "ecr-login"}});
    let secrets = tempfile::tempdir().unwrap();
    std::fs::write(secrets.path().join("pull.json"), config.to_string()).unwrap();
    let auth = format!("--auth-dir={}", secrets.path().display());
    let to = tempfile::tempdir().unwrap();
    let target = format!("--to={}", to.path().display());
    let reference = registry.reference("team/a:v1");
    let args = ["pull", &target, &auth, "--attempts=1", &reference];
    let variables = [
        ("AZURE_FEDERATED_TOKEN_FILE", token.display().to_string()),
        ("AZURE_CLIENT_ID", "the-client".to_owned()),
        ("AZURE_TENANT_ID", "the-tenant".to_owned()),
        ("AZURE_AUTHORITY_HOST", format!("http://{host}/")),
    ];
    run_with(&variables, &args).await.good();
    assert_eq!(
        files(to.path()),
        [("model.safetensors".to_owned(), b"weights".to_vec())]
    );
    // Without an identity there is nothing to exchange.
    run(&args).await.bad(4, "there are no credentials");
    // No other registry receives a token of Entra ID, whatever it claims.
    let other = format!("localhost:{}/team/a:v1", registry.address.port());
    let everywhere = json!({"credsStore": "acr-env"});
    std::fs::write(secrets.path().join("pull.json"), everywhere.to_string()).unwrap();
    let args = ["pull", &target, &auth, "--attempts=1", &other];
    registry.seen();
    run_with(&variables, &args)
        .await
        .bad(3, "must be the registry itself");
    assert!(
        !registry
            .seen()
            .iter()
            .any(|line| line.contains("oauth2/exchange"))
    );
}

#[tokio::test]
async fn a_restarted_pull_fetches_only_the_rest() {
    let registry = Played::start(Manner::Open).await;
    let weights = noise(3 << 20, 9);
    let layers = [
        registry.blob(WEIGHTS, &weights, Some("sub/model.safetensors")),
        registry.blob(SETTINGS, &tar("config.json", b"{}"), None),
    ];
    registry.model("v1", &layers);
    let to = tempfile::tempdir().unwrap();
    let reference = registry.reference("team/a:v1");
    registry.cut_after(2 << 20);
    registry.seen();
    pull(to.path(), &["--attempts=1"], &reference).await.bad(6, "");
    let first = registry.seen();
    pull(to.path(), &[], &reference).await.good();
    let ranges: Vec<String> = registry
        .seen()
        .iter()
        .filter_map(|line| Some(line.rsplit_once("bytes=")?.1.to_owned()))
        .collect();
    let [range] = ranges.as_slice() else {
        panic!("{first:?}, then {ranges:?}")
    };
    let start: usize = range.trim_end_matches('-').parse().unwrap();
    assert!(start >= 1 << 20, "{start}");
    let expected = [
        ("config.json".to_owned(), b"{}".to_vec()),
        ("sub/model.safetensors".to_owned(), weights),
    ];
    assert_eq!(files(to.path()), expected);
    let left: Vec<_> = std::fs::read_dir(to.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn damaged_parts_are_noticed_and_forgotten() {
    let registry = Played::start(Manner::Open).await;
    let weights = noise(3 << 20, 10);
    let layer = registry.blob(WEIGHTS, &weights, Some("model.safetensors"));
    let name = layer["digest"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:")
        .to_owned();
    registry.model("v1", &[layer]);
    let to = tempfile::tempdir().unwrap();
    let kept = to.path().join(".artifact-partial");
    std::fs::create_dir(&kept).unwrap();
    std::fs::write(kept.join(&name), noise(1 << 20, 1)).unwrap();
    std::fs::write(kept.join("of-another-image"), "x").unwrap();
    let reference = registry.reference("team/a:v1");
    pull(to.path(), &["--attempts=1"], &reference)
        .await
        .bad(7, "have the digest");
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 0);
    pull(to.path(), &[], &reference).await.good();
    assert_eq!(files(to.path()), [("model.safetensors".to_owned(), weights)]);
}
