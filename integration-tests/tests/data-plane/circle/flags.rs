//! Our programs accept the flags of the pods that the operator renders, also of pods that do not run here.

use clap::Parser as _;
use k8s_openapi::api::core::v1::PodSpec;
use kaito_api::Workspace;
use plan::Manifest;
use render::Downloads;
use serde_json::json;
use tuning_job::config::Config;

use super::workspace::{applied, pod, settings, workspace};

/// The command line of each container, through the parser of its program.
#[track_caller]
fn understood(pod: &PodSpec) {
    let all = pod.init_containers.iter().flatten().chain(&pod.containers);
    for container in all {
        let image = container.image.as_deref().unwrap();
        let name = image.rsplit('/').next().unwrap().split(':').next().unwrap();
        let line = || std::iter::once(name.to_owned()).chain(container.args.clone().unwrap());
        let answer = match name {
            "artifact" => artifact::Args::try_parse_from(line()).map(drop),
            "tuning-job" => tuning_job::Args::try_parse_from(line()).map(drop),
            "inference-server" => inference_server::Args::try_parse_from(line()).map(drop),
            other => panic!("{other} is no program of ours"),
        };
        answer.unwrap_or_else(|error| panic!("{}: {error}", container.name));
    }
}

fn downloads() -> Downloads {
    Downloads {
        allow_http: true,
        allow_hosts: vec!["data.example.com".to_owned()],
        ..Downloads::default()
    }
}

fn annotated(mut workspace: Workspace) -> Workspace {
    let annotations = [
        ("kaito.sh/max-context-tokens", "4096"),
        ("kaito.sh/api-keys-secret", "keys"),
        ("kaito.sh/tls-secret", "certificate"),
        ("kaito.sh/adapter-mode", "request"),
        ("kaito.sh/memory", "2Gi"),
    ];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
    workspace.metadata.annotations = Some(annotations.into());
    workspace
}

#[test]
fn a_server_with_everything() {
    let image = json!({"name": "legal", "image": "r.io/legal:1", "imagePullSecrets": ["pull"]});
    let volume = json!({"name": "tone", "volumeSource": {"persistentVolumeClaim": {"claimName": "c"}}});
    let adapters = [
        json!({"source": image, "strength": "0.5"}),
        json!({"source": volume}),
    ];
    let options = json!({"modelAccessSecret": "hub"});
    let content = json!({"config": "mine", "adapters": adapters, "preset": {"presetOptions": options}});
    let serving = pod(&applied(
        annotated(workspace("w", "inference", &content)),
        &settings(downloads()),
    ));
    understood(&serving);

    let args = serving.containers[0].args.clone().unwrap();
    let line = std::iter::once("inference-server".to_owned()).chain(args);
    let parsed = inference_server::Args::parse_from(line);
    assert_eq!(parsed.served_name(), "smollm2-135m-instruct");
    assert_eq!(parsed.max_context_tokens, Some(4096));
    // The step before it has the token; the server needs no hub.
    assert_eq!(parsed.hub_endpoint, None);
    assert_eq!(parsed.hub_token_file, None);
    assert_eq!(parsed.adapter_strength, [("legal".to_owned(), 0.5)]);
    // The settings of the ConfigMap are flags already.
    assert_eq!(parsed.config_file, None);
}

#[test]
fn the_front_of_vllm() {
    let workspace = workspace("w", "inference", &json!({}));
    let catalog = preset_catalog::Catalog::embedded().unwrap();
    let preset = catalog.find("phi-4").unwrap();
    let types = instance_types::Catalog::embedded().unwrap();
    for (instance_type, nodes) in [("Standard_NC24ads_A100_v4", 1), ("Standard_NV36ads_A10_v5", 2)] {
        let hardware: render::Hardware = types
            .lookup(instance_types::Cloud::Azure, instance_type)
            .unwrap()
            .into();
        let work = preset_catalog::estimate::Work::inference(2048);
        let serving = render::Serving {
            api_keys_secret: Some("keys".to_owned()),
            tls_secret: Some("certificate".to_owned()),
            cors_origins: vec!["https://chat.example.com".to_owned()],
            stall_seconds: Some(300),
            ..render::Serving::default()
        };
        let platform = render::Platform {
            images: render::Images::of_registry("registry.example.com/kaito", "0.1.0"),
            downloads: downloads(),
            claimed: true,
            aks: true,
            outgoing: render::Outgoing::default(),
            image_volumes: true,
            node_taints: Vec::new(),
            isolation: render::Isolation::default(),
        };
        let workload = render::workload(&render::Inference {
            workspace: &workspace,
            preset,
            profile: preset.inference.as_ref().unwrap(),
            engine: preset_catalog::Runtime::Vllm,
            placement: preset_catalog::estimate::place(preset, hardware.gpu, work).unwrap(),
            host: None,
            hardware: &hardware,
            max_context: None,
            user_flags: Default::default(),
            config_hash: String::new(),
            weights_image: None,
            adapters: Vec::new(),
            serving: &serving,
            platform: &platform,
        });
        assert_eq!(workload.to_value()["spec"]["replicas"], nodes, "{instance_type}");
        let spec = workload.to_value()["spec"]["template"]["spec"].clone();
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let front = spec.init_containers.unwrap().pop().unwrap();
        let line = std::iter::once("inference-server".to_owned()).chain(front.args.unwrap());
        inference_server::Args::try_parse_from(line)
            .unwrap()
            .settings()
            .unwrap();
    }
}

#[test]
fn a_tuning_by_every_source_and_method() {
    let image = json!({"image": "r.io/data:1", "imagePullSecrets": ["pull"]});
    let claim = json!({"volumeSource": {"persistentVolumeClaim": {"claimName": "c"}}});
    let urls = json!({"urls": ["https://example.com/a.parquet", "https://example.com/b.csv#sha256=00"]});
    let pushed = json!({"image": "r.io/out:1", "imagePushSecret": "push"});
    for method in ["lora", "qlora"] {
        for input in [&image, &claim, &urls] {
            for output in [&pushed, &claim] {
                let content = json!({"method": method, "input": input, "output": output});
                let all = applied(workspace("w", "tuning", &content), &settings(downloads()));
                understood(&pod(&all));
                let config = config(&all);
                assert_eq!(config.quantization.load_in_4bit, method == "qlora");
            }
        }
    }
}

/// Our own parameters, as the tuner reads them.
fn config(applied: &[Manifest]) -> Config {
    let text = applied.iter().find_map(|manifest| match manifest {
        Manifest::ConfigMap(map) => map.data.as_ref()?.get("training_config.yaml"),
        _ => None,
    });
    Config::parse(text.unwrap()).unwrap()
}

#[test]
fn a_wrong_flag_is_noticed() {
    let wrong = |arg: &str| {
        let mut pod = pod(&applied(
            workspace("w", "inference", &json!({})),
            &settings(downloads()),
        ));
        pod.containers[0]
            .args
            .get_or_insert_default()
            .push(arg.to_owned());
        std::panic::catch_unwind(|| understood(&pod)).is_err()
    };
    assert!(!wrong("--threads=1"));
    assert!(wrong("--thread=1"));
}
