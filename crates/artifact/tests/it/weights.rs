//! `weights`, from a hub that is played by a web server.

use std::path::Path;

use serde_json::json;

use crate::web::{Page, Web};
use crate::{Outcome, files, noise, run};

const FIRST: &str = "0123456789abcdef0123456789abcdef01234567";
const SECOND: &str = "fedcba9876543210fedcba9876543210fedcba98";

fn page(text: &str) -> Page {
    Page::Plain(text.as_bytes().to_vec())
}

/// A hub with one model at a commit.
async fn hub(commit: &str, pages: &[(&str, Page)]) -> Web {
    let web = Web::start(&[]).await;
    publish(&web, commit, pages);
    web
}

fn publish(web: &Web, commit: &str, pages: &[(&str, Page)]) {
    let siblings: Vec<_> = pages.iter().map(|(name, _)| json!({"rfilename": name})).collect();
    let about = json!({"id": "Acme/Tiny", "sha": commit, "siblings": siblings}).to_string();
    web.put(&format!("/api/models/Acme/Tiny/revision/{commit}"), page(&about));
    for (name, page) in pages {
        web.put(&format!("/Acme/Tiny/resolve/{commit}/{name}"), page.clone());
    }
}

async fn weights(web: &Web, to: &Path, commit: &str, flags: &[&str]) -> Outcome {
    let to = format!("--to={}", to.display());
    let hub = format!("--hub-endpoint={}", web.url(""));
    let revision = format!("--revision={commit}");
    let line = ["weights", &to, &hub, "--model=Acme/Tiny", &revision];
    run(&[&line[..], flags].concat()).await
}

/// Names of the visible files.
fn names(dir: &Path) -> Vec<String> {
    let all = files(dir).into_iter().map(|(name, _)| name);
    all.filter(|name| !name.starts_with('.')).collect()
}

#[tokio::test]
async fn what_an_engine_reads_is_fetched_once_and_checked() {
    let shard = noise(40_000, 3);
    let index = json!({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).to_string();
    let mut pages = vec![
        ("config.json", page("{}")),
        ("modeling_tiny.py", page("x = 1")),
        ("README.md", page("not wanted")),
        ("consolidated.safetensors", Page::Lfs(noise(10, 4))),
        ("model-1.safetensors", Page::Lfs(shard.clone())),
        ("model-2.safetensors", Page::Lfs(shard.clone())),
        ("model.safetensors.index.json", page(&index)),
    ];
    let web = hub(FIRST, &pages).await;
    let to = tempfile::tempdir().unwrap();
    let outcome = weights(&web, to.path(), FIRST, &[]).await.good();
    let wanted = [
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
        "modeling_tiny.py",
    ];
    assert_eq!(names(to.path()), wanted);
    assert_eq!(outcome.termination, r#"{"weightsBytes":80007}"#);

    // The volume outlives the pod: the hub is not asked.
    web.seen();
    let again = weights(&web, to.path(), FIRST, &[]).await.good();
    assert_eq!(again.termination, outcome.termination);
    assert_eq!(web.seen(), []);

    // Another commit with one file: nothing of the first one stays beside it, and what is the same is not fetched.
    pages.retain(|(name, _)| ["config.json", "model-1.safetensors"].contains(name));
    publish(&web, SECOND, &pages);
    weights(&web, to.path(), SECOND, &[]).await.good();
    assert_eq!(names(to.path()), ["config.json", "model-1.safetensors"]);
    let path = format!("/Acme/Tiny/resolve/{SECOND}/model-1.safetensors");
    let requests = web.seen().into_iter().filter(|(seen, ..)| *seen == path);
    assert_eq!(requests.count(), 1, "only its description");
}

#[tokio::test]
async fn a_fetch_that_was_interrupted_leaves_nothing_to_another_commit() {
    let web = hub(
        FIRST,
        &[
            ("config.json", page("{}")),
            ("model.safetensors", Page::Lfs(noise(100, 4))),
        ],
    )
    .await;
    let to = tempfile::tempdir().unwrap();
    // A file of the user's stays, unless an interrupted fetch had the directory before.
    std::fs::write(to.path().join("notes.txt"), "mine").unwrap();
    weights(&web, to.path(), FIRST, &[]).await.good();
    assert_eq!(
        names(to.path()),
        ["config.json", "model.safetensors", "notes.txt"]
    );
    std::fs::rename(to.path().join(".complete.json"), to.path().join(".incomplete")).unwrap();
    for left in ["model-1.safetensors", ".model-2.safetensors.part"] {
        std::fs::write(to.path().join(left), "of another commit").unwrap();
    }
    // As some systems of files have it.
    std::fs::create_dir(to.path().join("lost+found")).unwrap();
    weights(&web, to.path(), FIRST, &[]).await.good();
    let all: Vec<String> = files(to.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(all, [".complete.json", "config.json", "model.safetensors"]);
}

#[tokio::test]
async fn mistrals_layout_is_another_choice() {
    let pages = [
        ("params.json", page("{}")),
        ("consolidated.safetensors", Page::Lfs(noise(100, 4))),
        ("model.safetensors", Page::Lfs(noise(100, 5))),
    ];
    let web = hub(FIRST, &pages).await;
    let to = tempfile::tempdir().unwrap();
    weights(&web, to.path(), FIRST, &["--layout=mistral"])
        .await
        .good();
    assert_eq!(names(to.path()), ["consolidated.safetensors", "params.json"]);
}

#[tokio::test]
async fn every_failure_says_why() {
    let web = hub(FIRST, &[("model.gguf", page("x")), ("config.json", page("{}"))]).await;
    let to = tempfile::tempdir().unwrap();
    weights(&web, to.path(), FIRST, &[]).await.bad(5, "safetensors");
    weights(&web, to.path(), SECOND, &[]).await.bad(5, "--revision");
    weights(&web, to.path(), "../x", &[])
        .await
        .bad(2, "--revision must be");
    web.put(
        &format!("/api/models/Acme/Tiny/revision/{FIRST}"),
        Page::Status(401),
    );
    weights(&web, to.path(), FIRST, &[])
        .await
        .bad(4, "accept its license");
    publish(&web, FIRST, &[("model.safetensors", Page::Lfs(noise(3000, 4)))]);
    weights(&web, to.path(), FIRST, &["--max-bytes=2000"])
        .await
        .bad(8, "--max-bytes");
    assert_eq!(names(to.path()), Vec::<String>::new());
}
