//! Names that only a model hub knows.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use preset_catalog::Preset;
use preset_catalog::fit::FitReport;
use preset_registry::{HubOptions, ServerOptions};
use preset_registry_api::v1::plan_resources_request::Model;
use preset_registry_api::v1::{
    GetCatalogStatusRequest, GetPresetRequest, PlanResourcesRequest, PresetOrigin,
};
use preset_registry_api::{hub_reason, near_matches};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::hub_server::{Hub, Mood, Repository};
use crate::running::Running;
use crate::tls::Authority;

const CONFIG: &str = r#"{"architectures": ["Qwen3ForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960,
    "rope_theta": Infinity}"#;
const INDEX: &str =
    r#"{"metadata": {"total_size": 16381470720}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}"#;

fn repository(commit: char, files: &[(&str, &str)]) -> Repository {
    Repository {
        commit,
        more: r#", "cardData": {"license": "apache-2.0"}"#.to_owned(),
        files: files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Bytes::copy_from_slice(text.as_bytes())))
            .collect(),
    }
}

fn qwen(commit: char) -> Repository {
    repository(
        commit,
        &[
            ("config.json", CONFIG),
            ("model.safetensors.index.json", INDEX),
            ("generation_config.json", "{}"),
        ],
    )
}

struct World {
    hub: Hub,
    directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let world = Self {
            hub: Hub::start().await,
            directory: tempfile::tempdir().unwrap(),
        };
        world.hub.add("Acme/Qwen3-Support", qwen('a'));
        world
    }

    fn token_file(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    async fn serve(&self) -> Running {
        self.serve_with(false).await
    }

    async fn serve_with(&self, commits_only: bool) -> Running {
        std::fs::write(self.token_file(), "").unwrap();
        Running::with(ServerOptions {
            hub: Some(HubOptions {
                endpoint: self.hub.endpoint(),
                token_file: Some(self.token_file()),
                ca_file: None,
                cache_dir: Some(self.directory.path().join("cache")),
                redirect_hosts: vec!["cdn.example.com".to_owned()],
                allow_private_endpoint: false,
                commits_only,
            }),
            ..ServerOptions::default()
        })
        .await
    }

    /// The preset, or the refusal, of a server that has not asked yet.
    async fn ask(&self, name: &str) -> Result<Preset, Status> {
        self.serve().await.get(name).await
    }
}

#[tokio::test]
async fn a_model_of_the_hub_is_a_preset() {
    let world = World::new().await;
    let running = world.serve().await;
    let request = GetPresetRequest {
        name: "acme/qwen3-support".to_owned(),
    };
    let response = running.presets().get_preset(request).await.unwrap().into_inner();
    assert_eq!(response.origin(), PresetOrigin::Hub);
    let preset = Preset::try_from(response.preset.unwrap()).unwrap();
    assert_eq!(
        (preset.name.as_str(), preset.hub_id.as_str()),
        ("qwen3-support", "Acme/Qwen3-Support")
    );
    assert_eq!((preset.revision, preset.head), (None, Some("a".repeat(40))));
    assert_eq!(preset.license, "apache-2.0");
    // Qwen3-8B: 36 layers x 2 x 8 heads x 128 x 2 bytes.
    assert_eq!(
        (preset.shape.kv_bytes_per_token, preset.shape.weights_bytes),
        (147_456, 16_381_470_720)
    );
    let inference = preset.inference.unwrap();
    assert_eq!(
        inference.vllm_flags["tool-call-parser"], "hermes",
        "the catalog's rules hold"
    );
    assert!(!inference.trust_remote_code);

    world.hub.requests();
    running.get("Acme/Qwen3-Support").await.unwrap();
    running.get("microsoft/phi-4").await.unwrap();
    running.get("phi-4").await.unwrap();
    assert_eq!(world.hub.requests(), [""; 0], "what is known is not asked");
    assert_eq!(running.get("no-slash").await.unwrap_err().code(), Code::NotFound);

    let request = PlanResourcesRequest {
        model: Some(Model::Name("acme/qwen3-support".to_owned())),
        cloud: "azure".to_owned(),
        ..PlanResourcesRequest::default()
    };
    let response = running
        .presets()
        .plan_resources(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(response.origin(), PresetOrigin::Hub);
    assert!(
        FitReport::try_from(response.plan.unwrap())
            .unwrap()
            .best()
            .is_some()
    );
    let status = running
        .presets()
        .get_catalog_status(GetCatalogStatusRequest {})
        .await;
    assert_eq!(status.unwrap().into_inner().hub_endpoint, world.hub.endpoint());
}

#[tokio::test]
async fn sizes_come_from_the_files_where_there_is_no_index() {
    let world = World::new().await;
    let single = repository(
        'b',
        &[
            ("config.json", CONFIG),
            ("model.safetensors", "12345"),
            ("extra.safetensors", "123"),
        ],
    );
    world.hub.add("acme/single", single);
    for mood in [Mood::Fine, Mood::NoLengths] {
        std::fs::remove_dir_all(world.directory.path().join("cache")).ok();
        world.hub.set(mood);
        assert_eq!(world.ask("acme/single").await.unwrap().shape.weights_bytes, 8);
    }
    let params = r#"{"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8}"#;
    world.hub.add(
        "acme/ministral-3-x",
        repository(
            'c',
            &[
                ("params.json", params),
                ("consolidated.safetensors", "1234567"),
                ("model.safetensors", "1"),
            ],
        ),
    );
    let preset = world.ask("acme/ministral-3-x").await.unwrap();
    assert_eq!(preset.shape.weights_bytes, 7);
    assert_eq!(preset.inference.unwrap().vllm_flags["load_format"], "mistral");
}

#[track_caller]
fn check(result: Result<Preset, Status>, code: Code, reason: &str, words: &str) -> Status {
    let status = result.unwrap_err();
    assert_eq!(
        (status.code(), hub_reason(&status).as_deref()),
        (code, Some(reason)),
        "{status}"
    );
    assert!(status.message().contains(words), "{}", status.message());
    status
}

#[tokio::test]
async fn refusals_say_what_helps() {
    let world = World::new().await;
    let status = world.ask("acme/phi-4-mini-instruct").await.unwrap_err();
    assert_eq!((status.code(), hub_reason(&status)), (Code::NotFound, None));
    assert!(
        status.message().contains("has no such model"),
        "{}",
        status.message()
    );
    assert_eq!(near_matches(&status)[0], "phi-4-mini-instruct");
    assert_eq!(
        world.ask("acme/../../etc").await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(
        world.hub.requests().len(),
        1,
        "a name that cannot be a model is not asked"
    );

    let name = "acme/qwen3-support";
    let refuses = |code: u16| Mood::Refuses(StatusCode::from_u16(code).unwrap(), Vec::new());
    for code in [401, 403] {
        world.hub.set(refuses(code));
        check(
            world.ask(name).await,
            Code::FailedPrecondition,
            "HUB_ACCESS_DENIED",
            "--hub-token-file",
        );
    }
    world.hub.set(Mood::Refuses(
        StatusCode::TOO_MANY_REQUESTS,
        vec![("retry-after", "77")],
    ));
    let status = check(
        world.ask(name).await,
        Code::Unavailable,
        "HUB_LIMITED",
        "no more requests",
    );
    let retry = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(retry, Duration::from_secs(77));
    for code in [500, 503] {
        world.hub.set(refuses(code));
        let words = format!("answered with {code}");
        check(
            world.ask(name).await,
            Code::Unavailable,
            "HUB_UNAVAILABLE",
            &words,
        );
    }
    world.hub.set(Mood::Fine);
    let cases = [
        (vec![("model.safetensors", "1")], "must have config.json"),
        (vec![("config.json", CONFIG)], "holds no weights"),
        (
            vec![("config.json", "{"), ("model.safetensors", "1")],
            "failed to parse config.json",
        ),
        (
            vec![
                (
                    "config.json",
                    r#"{"architectures": ["BertModel"], "num_hidden_layers": 1, "num_attention_heads": 1, "hidden_size": 8}"#,
                ),
                ("model.safetensors", "1"),
            ],
            "not one that generates text",
        ),
        (
            vec![("config.json", CONFIG), ("model.safetensors", "")],
            "must be from 1 to",
        ),
    ];
    for (files, words) in cases {
        world.hub.add("acme/bad", repository('d', &files));
        check(
            world.ask("acme/bad").await,
            Code::FailedPrecondition,
            "HUB_MODEL_UNSUPPORTED",
            words,
        );
    }
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_told() {
    let world = World::new().await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let running = Running::with(ServerOptions {
        hub: Some(HubOptions {
            endpoint: format!("http://{nobody}"),
            token_file: None,
            ca_file: None,
            cache_dir: None,
            redirect_hosts: Vec::new(),
            allow_private_endpoint: false,
            commits_only: false,
        }),
        ..ServerOptions::default()
    })
    .await;
    check(
        running.get("a/b").await,
        Code::Unavailable,
        "HUB_UNAVAILABLE",
        "no connection",
    );
    drop(world);
}

#[tokio::test]
async fn the_token_is_read_anew_for_every_model() {
    let world = World::new().await;
    world.hub.require("first");
    let running = world.serve().await;
    check(
        running.get("acme/x").await,
        Code::FailedPrecondition,
        "HUB_ACCESS_DENIED",
        "--hub-token-file",
    );
    std::fs::write(world.token_file(), "second\n").unwrap();
    let denied = running.get("acme/y").await;
    let status = check(
        denied,
        Code::FailedPrecondition,
        "HUB_ACCESS_DENIED",
        "the registry's token may not read it",
    );
    assert!(
        !format!("{status:?}").contains("second"),
        "the token is told to a client"
    );
    std::fs::write(world.token_file(), "first\n").unwrap();
    running.get("acme/qwen3-support").await.unwrap();
    std::fs::write(world.token_file(), "two words").unwrap();
    let status = check(
        running.get("acme/z").await,
        Code::Unavailable,
        "HUB_UNAVAILABLE",
        "holds no token",
    );
    assert!(!format!("{status:?}").contains("two words"));
}

#[tokio::test]
async fn redirects_are_followed_only_where_it_is_allowed() {
    let world = World::new().await;
    let stranger = Hub::start().await;
    stranger.add("acme/qwen3-support", qwen('a'));
    let other_name = format!("http://localhost:{}", world.hub.address.port());
    for to in [
        stranger.endpoint(),
        other_name,
        "http://169.254.169.254".to_owned(),
        "file:///etc".to_owned(),
    ] {
        world.hub.set(Mood::Redirects(to));
        let result = world.ask("acme/qwen3-support").await;
        let status = result.unwrap_err();
        assert!(
            matches!(status.code(), Code::FailedPrecondition | Code::Unavailable),
            "{status}"
        );
    }
    assert_eq!(stranger.requests(), [""; 0]);
    world
        .hub
        .set(Mood::Redirects("http://169.254.169.254".to_owned()));
    let result = world.ask("acme/qwen3-support").await;
    check(
        result,
        Code::FailedPrecondition,
        "HUB_MODEL_UNSUPPORTED",
        "--hub-redirect-host",
    );
    // For ever to itself.
    world.hub.set(Mood::Redirects(String::new()));
    let result = world.ask("acme/qwen3-support").await;
    check(result, Code::Unavailable, "HUB_UNAVAILABLE", "too many redirects");
    world.hub.set(Mood::Redirects("/cdn".to_owned()));
    world.ask("acme/qwen3-support").await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let world = World::new().await;
    let large = " ".repeat((1 << 20) + 1);
    world.hub.add(
        "acme/large",
        repository('e', &[("config.json", &large), ("model.safetensors", "1")]),
    );
    let words = "config.json is larger than 1048576 bytes";
    check(
        world.ask("acme/large").await,
        Code::FailedPrecondition,
        "HUB_MODEL_UNSUPPORTED",
        words,
    );
    world.hub.set(Mood::Endless);
    check(
        world.ask("acme/qwen3-support").await,
        Code::FailedPrecondition,
        "HUB_MODEL_UNSUPPORTED",
        words,
    );
}

#[tokio::test]
async fn a_commit_is_read_once_and_outlives_the_hub() {
    let world = World::new().await;
    let name = "acme/qwen3-support";
    let first = world.ask(name).await.unwrap();
    assert_eq!(world.hub.requests().len(), 4);
    assert_eq!(world.ask(name).await.unwrap(), first);
    assert_eq!(
        world.hub.requests(),
        ["about acme/qwen3-support"],
        "the rest is on disk"
    );
    world
        .hub
        .set(Mood::Refuses(StatusCode::INTERNAL_SERVER_ERROR, Vec::new()));
    assert_eq!(world.ask(name).await.unwrap(), first);
    world.hub.set(Mood::Fine);
    world.hub.add("Acme/Qwen3-Support", qwen('f'));
    let next = world.ask(name).await.unwrap();
    assert_eq!(next.head, Some("f".repeat(40)));
    // Gone is not down.
    world.hub.set(Mood::Refuses(StatusCode::NOT_FOUND, Vec::new()));
    assert_eq!(world.ask(name).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_reading_is_shared_and_outlives_its_client() {
    let world = World::new().await;
    let running = world.serve().await;
    world.hub.set(Mood::Slow(Duration::from_millis(100)));
    let mut hurried = Request::new(GetPresetRequest {
        name: "acme/qwen3-support".to_owned(),
    });
    hurried.set_timeout(Duration::from_millis(50));
    let status = running.presets().get_preset(hurried).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status}"
    );
    let all = (0..100).map(|_| running.get("acme/Qwen3-Support"));
    for result in futures::future::join_all(all).await {
        result.unwrap();
    }
    assert_eq!(world.hub.requests().len(), 4);
    let text = running.metrics.encode().unwrap();
    assert!(
        text.contains("kaito_preset_registry_hub_lookups_total{result=\"read\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn an_encrypted_hub_is_trusted_by_its_authority() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("127.0.0.1");
    let hub = Hub::start_encrypted(&certificate, &key).await;
    hub.add("acme/model", qwen('a'));
    let directory = tempfile::tempdir().unwrap();
    let authorities = directory.path().join("ca.crt");
    std::fs::write(&authorities, authority.pem()).unwrap();
    let serve = |ca_file| {
        Running::with(ServerOptions {
            hub: Some(HubOptions {
                endpoint: format!("https://{}", hub.address),
                token_file: None,
                ca_file,
                cache_dir: None,
                redirect_hosts: Vec::new(),
                allow_private_endpoint: false,
                commits_only: false,
            }),
            ..ServerOptions::default()
        })
    };
    serve(Some(authorities)).await.get("acme/model").await.unwrap();
    let stranger = serve(None).await.get("acme/model").await;
    check(stranger, Code::Unavailable, "HUB_UNAVAILABLE", "no connection");
}

#[tokio::test]
async fn options_that_endanger_are_refused() {
    let options = |endpoint: &str, token: bool| ServerOptions {
        hub: Some(HubOptions {
            endpoint: endpoint.to_owned(),
            token_file: token.then(|| "t".into()),
            ca_file: None,
            cache_dir: None,
            redirect_hosts: Vec::new(),
            allow_private_endpoint: false,
            commits_only: false,
        }),
        ..ServerOptions::default()
    };
    let metrics = telemetry::Metrics::new();
    let prepare = |options| preset_registry::PresetServer::prepare(options, &metrics);
    assert!(prepare(options("http://hub.example.com", true)).await.is_err());
    assert!(prepare(options("ftp://hub.example.com", false)).await.is_err());
    assert!(prepare(options("https://hub.example.com", true)).await.is_ok());
}

#[tokio::test]
async fn a_preset_that_is_not_pinned_has_the_commit_of_the_hub() {
    let world = World::new().await;
    let catalog = preset_catalog::Catalog::embedded().unwrap();
    let unpinned = catalog
        .iter()
        .find(|preset| preset.revision.is_none() && preset.deprecated.is_none());
    let unpinned = unpinned.unwrap();
    world.hub.add(&unpinned.hub_id, qwen('b'));
    let running = world.serve_with(true).await;
    let asked = running.get(&unpinned.name).await.unwrap();
    let expected = Preset {
        head: Some("b".repeat(40)),
        ..unpinned.clone()
    };
    assert_eq!(asked, expected, "all else is the catalog's");
    assert_eq!(world.hub.requests(), [format!("about {}", unpinned.hub_id)]);
    running.get(&unpinned.name).await.unwrap();
    assert!(running.get("phi-4").await.unwrap().head.is_none(), "it is pinned");
    assert!(world.hub.requests().is_empty(), "asked once");
    let other = running.get("acme/qwen3-support").await.unwrap_err();
    assert_eq!(other.code(), Code::NotFound, "only commits are asked for");
    let status = running
        .presets()
        .get_catalog_status(GetCatalogStatusRequest {})
        .await;
    assert_eq!(status.unwrap().into_inner().hub_endpoint, "");

    // Without an answer of the hub the preset can be used all the same.
    world
        .hub
        .set(Mood::Refuses(StatusCode::INTERNAL_SERVER_ERROR, Vec::new()));
    assert_eq!(world.ask(&unpinned.name).await.unwrap(), *unpinned);
}
