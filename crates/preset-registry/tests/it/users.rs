//! Users' preset files: a directory that changes under the running server.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use preset_registry::ServerOptions;
use preset_registry_api::v1::watch_presets_response::Event;
use preset_registry_api::v1::{
    GetCatalogStatusRequest, GetCatalogStatusResponse, GetPresetRequest, PresetOrigin, WatchPresetsRequest,
};
use tempfile::TempDir;
use tokio_stream::StreamExt as _;

use crate::running::{Running, eventually};

fn entry(hub_id: &str) -> String {
    format!(
        "- hub_id: {hub_id}\n  license: mit\n  architecture: LlamaForCausalLM\n  weights: 2.5Gi\n  \
         max_context_tokens: 4096\n  kv_bytes_per_token: 1024\n"
    )
}

/// A ConfigMap as the kubelet mounts it: files are links through `..data`, which is moved as a whole.
struct Mount {
    directory: TempDir,
    generation: u32,
}

impl Mount {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut mount = Self {
            directory: tempfile::tempdir().unwrap(),
            generation: 0,
        };
        mount.update(files);
        mount
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn update(&mut self, files: &[(&str, &str)]) {
        self.generation += 1;
        let version = format!("..{}", self.generation);
        fs::create_dir(self.path().join(&version)).unwrap();
        for (name, text) in files {
            fs::write(self.path().join(&version).join(name), text).unwrap();
        }
        symlink(&version, self.path().join("..data_tmp")).unwrap();
        fs::rename(self.path().join("..data_tmp"), self.path().join("..data")).unwrap();
        for entry in fs::read_dir(self.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("..") && files.iter().all(|(file, _)| *file != name) {
                fs::remove_file(self.path().join(name)).unwrap();
            }
        }
        for (name, _) in files {
            let link = self.path().join(name);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
        let old = self.path().join(format!("..{}", self.generation - 1));
        if old.exists() {
            fs::remove_dir_all(old).unwrap();
        }
    }

    async fn serve(&self) -> Running {
        Running::with(ServerOptions {
            presets_dir: Some(self.path().to_owned()),
            ..ServerOptions::default()
        })
        .await
    }
}

async fn status(running: &Running) -> GetCatalogStatusResponse {
    let response = running
        .presets()
        .get_catalog_status(GetCatalogStatusRequest {})
        .await;
    response.unwrap().into_inner()
}

#[tokio::test]
async fn files_are_served_and_followed() {
    let mut mount = Mount::new(&[("a.yaml", &entry("acme/one"))]);
    let running = mount.serve().await;
    assert_eq!(running.get("acme/One").await.unwrap().name, "one");
    let request = GetPresetRequest {
        name: "one".to_owned(),
    };
    let response = running.presets().get_preset(request).await.unwrap().into_inner();
    assert_eq!(response.origin(), PresetOrigin::User);
    let mut watch = running
        .presets()
        .watch_presets(WatchPresetsRequest {
            known_version: response.catalog_version,
        })
        .await
        .unwrap()
        .into_inner();
    watch.next().await.unwrap().unwrap();
    mount.update(&[("a.yaml", &entry("acme/two")), ("b.yaml", &entry("acme/three"))]);
    let message = watch.next().await.unwrap().unwrap();
    let Some(Event::Delta(delta)) = message.event else {
        panic!("not a delta: {message:?}");
    };
    let added: Vec<_> = delta.added.iter().map(|preset| preset.name.as_str()).collect();
    assert_eq!(
        (added, delta.removed),
        (vec!["three", "two"], vec!["one".to_owned()])
    );
    assert!(running.get("one").await.is_err() && running.get("two").await.is_ok());
    mount.update(&[]);
    eventually(async || running.get("two").await.is_err()).await;
    assert!(running.get("phi-4").await.is_ok());
}

#[tokio::test]
async fn a_bad_file_is_told_and_stops_nothing() {
    let good = entry("acme/good");
    let mut mount = Mount::new(&[
        ("bad.yaml", "- hub_id: acme/bad\n  colour: red\n"),
        ("good.yaml", &good),
    ]);
    let running = mount.serve().await;
    assert!(running.get("good").await.is_ok() && running.get("bad").await.is_err());
    let told = status(&running).await;
    assert_eq!((told.user_presets, told.user_files.len()), (1, 2));
    let problem = &told.user_files[0].problems[0];
    assert_eq!((problem.line, problem.column), (2, 3));
    assert!(
        problem.message.starts_with("unknown field `colour`"),
        "{}",
        problem.message
    );
    let metrics = running.metrics.encode().unwrap();
    for line in [
        "kaito_preset_registry_user_preset_files{state=\"bad\"} 1.0",
        "kaito_preset_registry_user_preset_files{state=\"loaded\"} 1.0",
        "kaito_preset_registry_presets{origin=\"user\"} 1.0",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    mount.update(&[("bad.yaml", &entry("acme/bad")), ("good.yaml", &good)]);
    eventually(async || running.get("bad").await.is_ok()).await;
    let told = status(&running).await;
    assert!(
        told.user_files.iter().all(|file| file.problems.is_empty()),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_directory_that_comes_later_is_no_reason_not_to_serve() {
    let parent = tempfile::tempdir().unwrap();
    let running = Running::with(ServerOptions {
        presets_dir: Some(parent.path().join("missing")),
        ..ServerOptions::default()
    })
    .await;
    assert!(running.get("phi-4").await.is_ok());
    let told = status(&running).await;
    assert!(told.user_files_error.contains("failed to read"), "{told:?}");
    assert!(
        running
            .metrics
            .encode()
            .unwrap()
            .contains("kaito_preset_registry_user_presets_readable 0.0")
    );
}

#[tokio::test]
async fn plain_files_are_followed_too() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::with(ServerOptions {
        presets_dir: Some(directory.path().to_owned()),
        ..ServerOptions::default()
    })
    .await;
    fs::write(directory.path().join("a.yml"), entry("acme/late")).unwrap();
    eventually(async || running.get("late").await.is_ok()).await;
}
