//! `push`, and `pull` of what it pushed.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use testkit::image_registry::{Auth, Registry};

use crate::docker_config::{auth_dir, login};
use crate::proxy::{Fault, Proxy};
use crate::token_server::{IDENTITY, TokenServer};
use crate::{Outcome, command, files, noise, run};

/// The files of a tuning.
fn adapter(weights: usize) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    put("adapter_config.json", br#"{"peft_type":"LORA"}"#);
    put("adapter_model.safetensors", &noise(weights, 7));
    put("README.md", b"");
    put("sub/tokenizer.json", b"{}");
    put("checkpoint-10/optimizer.pt", b"large");
    put(
        "fine_tuning_completed.txt",
        b"Fine-Tuning completed at 2026-01-01-00-00-00",
    );
    directory
}

/// The files to push.
fn payload(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let left_behind = |name: &str| name.starts_with("checkpoint-") || name.starts_with("fine_tuning");
    files(directory)
        .into_iter()
        .filter(|(name, _)| !left_behind(name))
        .collect()
}

async fn push(from: &Path, flags: &[&str], reference: &str) -> Outcome {
    let from_flag = format!("--from={}", from.display());
    let wait = format!("--wait-for={}", from.join("fine_tuning_completed.txt").display());
    let flags = [
        &["push", &from_flag, &wait, "--base-model=phi-4"],
        flags,
        &[reference],
    ]
    .concat();
    run(&flags).await
}

async fn pull(to: &Path, flags: &[&str], reference: &str) -> Outcome {
    run(&[&["pull", &format!("--to={}", to.display())], flags, &[reference]].concat()).await
}

#[tokio::test]
async fn what_is_pushed_is_pulled() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let from = adapter(200_000);
    let reference = registry.reference("team/adapter:v1");
    let pushed = push(from.path(), &[], &reference).await.good();
    assert!(
        pushed
            .termination
            .starts_with(&registry.reference("team/adapter@sha256:")),
        "{}",
        pushed.termination
    );

    let to = tempfile::tempdir().unwrap();
    let place = to.path().join("adapter/mine");
    // Pulling again replaces; by digest is the same as by tag.
    for reference in [&reference, &pushed.termination, &reference] {
        pull(&place, &[], reference).await.good();
        assert_eq!(files(&place), payload(from.path()));
    }

    // The same content is the same image, and nothing is sent a second time.
    let again = push(from.path(), &[], &registry.reference("team/adapter:v2"))
        .await
        .good();
    assert_eq!(again.termination, pushed.termination);
    assert!(
        again.said.contains("the registry has the payload already"),
        "{}",
        again.said
    );
    let mounted = push(
        from.path(),
        &["--mount-from=team/adapter"],
        &registry.reference("other/copy:1"),
    )
    .await
    .good();
    assert!(
        mounted.said.contains("the registry has the payload already"),
        "{}",
        mounted.said
    );
}

#[tokio::test]
async fn upstreams_tools_and_image_volumes_find_the_payload() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let from = adapter(1000);
    let pushed = push(from.path(), &[], &registry.reference("a:v1")).await.good();
    let digest = pushed.termination.split_once('@').unwrap().1;
    let read = |digest: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(registry.blob(digest)).unwrap()).unwrap()
    };
    let manifest = read(digest);
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(manifest["annotations"], json!({"sh.kaito.model.name": "phi-4"}));
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+gzip"
    );
    // Container engines choose images by these.
    let config = read(manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(config["os"], "linux");
    assert!(
        ["amd64", "arm64"].contains(&config["architecture"].as_str().unwrap()),
        "{config}"
    );
    let layer = registry.blob(manifest["layers"][0]["digest"].as_str().unwrap());
    let listing = std::process::Command::new("tar")
        .arg("-tzf")
        .arg(layer)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(listing.stdout)
            .unwrap()
            .lines()
            .collect::<Vec<_>>(),
        [
            "data",
            "data/README.md",
            "data/adapter_config.json",
            "data/adapter_model.safetensors",
            "data/sub",
            "data/sub/tokenizer.json"
        ]
    );
}

#[tokio::test]
async fn a_broken_upload_goes_on() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let from = adapter(600_000);
    let faults = [
        Fault::Answer("503 Service Unavailable"),
        Fault::CutUp(300_000),
        Fault::Answer("429 Too Many Requests"),
        Fault::CutUp(100_000),
        Fault::CutDown(20),
    ];
    for chunk in ["--chunk-bytes=131072", "--chunk-bytes=1000000"] {
        let proxy = Proxy::start(registry.address(), &faults).await;
        let reference = format!("{}/broken-{}:v1", proxy.address, chunk.len());
        // The probe for TLS would take a fault for itself.
        let plain = format!("--plain-http={}", proxy.address);
        let pushed = push(from.path(), &[chunk, &plain], &reference).await.good();
        assert_eq!(proxy.faults_left(), 0, "all faults were met");
        assert!(pushed.said.contains("trying again"), "{}", pushed.said);
        let to = tempfile::tempdir().unwrap();
        let direct = registry.reference(&format!("broken-{}:v1", chunk.len()));
        pull(to.path(), &[], &direct).await.good();
        assert_eq!(files(to.path()), payload(from.path()));
    }
}

#[tokio::test]
async fn credentials_are_found_and_their_lack_is_said() {
    let Some(registry) = Registry::start(&Auth::Basic).unwrap() else {
        return;
    };
    let from = adapter(1000);
    let host = registry.address().to_string();
    let reference = registry.reference("a:v1");
    let none = push(from.path(), &[], &reference).await;
    none.bad(4, "refuses a push to repository a with no credentials");
    push(from.path(), &["--auth-dir=/nowhere"], &reference)
        .await
        .bad(1, "failed to list /nowhere");
    let wrong = auth_dir(&host, &json!({"username": "tester", "password": "wr0ng"}));
    let refused = push(
        from.path(),
        &[&format!("--auth-dir={}", wrong.path().display())],
        &reference,
    )
    .await;
    assert!(!refused.said.contains("wr0ng"), "{}", refused.said);
    refused.bad(
        4,
        "refuses a push to repository a with the credentials in --auth-dir",
    );

    let right = auth_dir(&host, &login());
    // Credentials of another Secret for the same place are tried too, in turn.
    std::fs::copy(
        wrong.path().join("push-secret.json"),
        right.path().join("a-wrong-one.json"),
    )
    .unwrap();
    let flag = format!("--auth-dir={}", right.path().display());
    push(from.path(), &[&flag], &reference).await.good();
    let to = tempfile::tempdir().unwrap();
    pull(to.path(), &[], &reference)
        .await
        .bad(4, "there are no credentials");
    pull(to.path(), &[&flag], &reference).await.good();
    assert_eq!(files(to.path()), payload(from.path()));
}

#[tokio::test]
async fn tokens_are_fetched_for_every_kind_of_credentials() {
    let tokens = TokenServer::start().await;
    let auth = Auth::Token {
        realm: tokens.realm(),
        certificate: tokens.certificate.clone(),
    };
    let Some(registry) = Registry::start(&auth).unwrap() else {
        return;
    };
    let from = adapter(1000);
    let host = registry.address().to_string();
    let reference = registry.reference("team/a:v1");
    push(from.path(), &[], &reference)
        .await
        .bad(4, "with no credentials");
    tokens.given();
    let entries = [login(), json!({"identitytoken": IDENTITY})];
    for (at, entry) in entries.iter().enumerate() {
        let secret = auth_dir(&host, entry);
        let flag = format!("--auth-dir={}", secret.path().display());
        for repository in ["team/a", "secret/a"] {
            let reference = registry.reference(&format!("{repository}:v{at}"));
            push(from.path(), &[&flag], &reference).await.good();
            let to = tempfile::tempdir().unwrap();
            pull(to.path(), &[&flag], &reference).await.good();
            assert_eq!(files(to.path()), payload(from.path()));
        }
        let given = tokens.given();
        // Registries limit anonymous requests, so they come last.
        assert!(!given.iter().any(|who| who.starts_with("anybody")), "{given:?}");
        let who = if at == 0 { "tester" } else { "identity" };
        assert!(
            given.contains(&format!("{who} repository:team/a:pull,push")),
            "{given:?}"
        );
        assert!(
            given.contains(&format!("{who} repository:secret/a:pull")),
            "{given:?}"
        );
    }
    // Reading what is public needs no credentials, reading what is not does.
    let to = tempfile::tempdir().unwrap();
    pull(to.path(), &[], &registry.reference("team/a:v0"))
        .await
        .good();
    pull(to.path(), &[], &registry.reference("secret/a:v0"))
        .await
        .bad(4, "there are no credentials");
}

#[tokio::test]
async fn tls_is_checked() {
    let scratch = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (scratch.path().join("cert.pem"), scratch.path().join("key.pem"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let Some(registry) = Registry::start_with(&Auth::Nobody, Some((&certificate, &key))).unwrap() else {
        return;
    };
    let from = adapter(1000);
    let reference = registry.reference("a:v1");
    let ca = format!("--ca-file={}", certificate.display());
    push(from.path(), &[&ca], &reference).await.good();
    let to = tempfile::tempdir().unwrap();
    pull(to.path(), &[&ca], &reference).await.good();
    assert_eq!(files(to.path()), payload(from.path()));
    // Without that trust it is not used, not even by plain http.
    pull(to.path(), &["--attempts=1"], &reference)
        .await
        .bad(6, "invalid peer certificate");
}

#[tokio::test]
async fn only_a_result_is_pushed() {
    let from = adapter(1000);
    let nobody = "127.0.0.1:1/a:v1";
    std::fs::remove_file(from.path().join("fine_tuning_completed.txt")).unwrap();
    std::fs::write(
        from.path().join("fine_tuning_failed.txt"),
        "the loss is not a number\n",
    )
    .unwrap();
    push(from.path(), &[], nobody)
        .await
        .bad(9, "the tuning failed: the loss is not a number");

    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("fine_tuning_completed.txt"), "").unwrap();
    push(empty.path(), &[], nobody)
        .await
        .bad(9, "holds no adapter_config.json");
    let from_flag = format!("--from={}", empty.path().display());
    let wait = format!(
        "--wait-for={}",
        empty.path().join("fine_tuning_completed.txt").display()
    );
    run(&["push", &from_flag, &wait, nobody])
        .await
        .bad(9, "holds no files");
    let digest = format!("127.0.0.1:1/a@sha256:{}", "a".repeat(64));
    push(empty.path(), &[], &digest).await.bad(2, "must be a tag");
}

#[tokio::test]
async fn waiting_ends_with_a_signal_or_with_the_result() {
    let Some(registry) = Registry::start(&Auth::Nobody).unwrap() else {
        return;
    };
    let from = adapter(1000);
    let done = from.path().join("fine_tuning_completed.txt");
    std::fs::remove_file(&done).unwrap();
    let termination = tempfile::NamedTempFile::new().unwrap();
    let from_flag = format!("--from={}", from.path().display());
    let wait = format!("--wait-for={}", done.display());
    let reference = registry.reference("a:v1");
    let begin = || {
        command(&["push", &from_flag, &wait, &reference], termination.path())
            .spawn()
            .unwrap()
    };

    let waiting = begin();
    // It says that it waits once signals are caught.
    let waiting = until_it_says(waiting, "waiting for").await;
    let pid = waiting.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .arg(pid)
            .status()
            .unwrap()
            .success()
    );
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143));
    assert_eq!(
        std::fs::read_to_string(termination.path()).unwrap(),
        "stopped by SIGTERM before the work was done"
    );

    let waiting = until_it_says(begin(), "waiting for").await;
    std::fs::write(&done, "").unwrap();
    let output = tokio::task::spawn_blocking(|| waiting.wait_with_output().unwrap())
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let to = tempfile::tempdir().unwrap();
    pull(to.path(), &[], &reference).await.good();
    assert_eq!(files(to.path()), payload(from.path()));
}

/// Reads the program's words until these.
async fn until_it_says(child: std::process::Child, words: &'static str) -> std::process::Child {
    use std::io::{BufRead as _, BufReader};
    let read = tokio::task::spawn_blocking(move || {
        let mut child = child;
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(words)));
        // The pipe stays open, so that the program can write to it.
        std::thread::spawn(move || lines.for_each(drop));
        child
    });
    tokio::time::timeout(Duration::from_secs(60), read)
        .await
        .unwrap()
        .unwrap()
}
