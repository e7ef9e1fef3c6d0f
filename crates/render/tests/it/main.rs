//! One golden object a kind: `snapshots/*.snap` is what we would apply.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail their test")]

use instance_types::Cloud;
use kaito_api::{AllowedOfferings, NodeClassRef, Workspace};
use plan::Manifest;
use preset_catalog::estimate::{self, GpuNode, HostFit, HostFormat, Work};
use preset_catalog::{Preset, Runtime, TuningMethod};
use render::{
    Adapter, AdapterMode, CaBundle, ClaimRequest, Custom, Downloads, Exposure, Hardware, Images, Inference,
    Isolation, NodeClaimOptions, Outgoing, Payload, Platform, Serving, Transport, Tuner, Tuning, TuningInput,
    TuningOutput,
};
use serde_json::{Value, json};

fn preset(name: &str) -> Preset {
    preset_catalog::Catalog::embedded()
        .unwrap()
        .find(name)
        .unwrap()
        .clone()
}

fn hardware(name: &str) -> Hardware {
    instance_types::Catalog::embedded()
        .unwrap()
        .lookup(Cloud::Azure, name)
        .unwrap()
        .into()
}

fn platform() -> Platform {
    Platform {
        images: Images::of_registry("registry.example.com/kaito", "0.1.0"),
        downloads: Downloads::default(),
        outgoing: Outgoing::default(),
        claimed: true,
        aks: true,
        image_volumes: true,
        node_taints: Vec::new(),
        isolation: Isolation::default(),
    }
}

fn workspace(spec: &Value) -> Workspace {
    let mut object = json!({
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "w", "namespace": "team", "uid": "u1"},
        "resource": {"instanceType": "x", "labelSelector": {"matchLabels": {"apps": "w"}}},
    });
    for (key, value) in spec.as_object().unwrap() {
        match object.get_mut(key) {
            Some(Value::Object(known)) => known.extend(value.as_object().unwrap().clone()),
            _ => object[key] = value.clone(),
        }
    }
    serde_json::from_value(object).unwrap()
}

#[track_caller]
fn golden(name: &str, manifest: impl Into<Manifest>) {
    let manifest = manifest.into();
    let plan = plan::Plan::<plan::NoCloud> {
        writes: vec![plan::Write::Apply(Box::new(manifest.clone()))],
        ..plan::Plan::default()
    };
    assert_eq!(plan_check::check(&plan), [], "{name}");
    // Whether JSON objects keep the order of their keys depends on what else is built.
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, sort_maps => true }, {
        insta::assert_yaml_snapshot!(name, manifest.to_value());
    });
}

/// Renders a preset served on nodes of an instance type; `change` has the last word.
fn served<'a>(
    (workspace, preset, hardware): (&'a Workspace, &'a Preset, &'a Hardware),
    engine: Runtime,
    change: impl FnOnce(&mut Inference<'a>),
) -> Manifest {
    // Defaults that live as long as what a test puts in their place.
    let (serving, platform): (&'a Serving, &'a Platform) =
        (Box::leak(Box::default()), Box::leak(Box::new(platform())));
    let work = Work::inference(estimate::DEFAULT_CONTEXT_TOKENS);
    let mut inference = Inference {
        workspace,
        preset,
        profile: preset.inference.as_ref().unwrap(),
        engine,
        placement: estimate::place(preset, hardware.gpu, work).unwrap(),
        host: (engine == Runtime::Native).then(|| {
            HostFit::of(
                &preset.shape,
                estimate::DEFAULT_CONTEXT_TOKENS,
                HostFormat::Published,
            )
        }),
        hardware,
        max_context: None,
        user_flags: Default::default(),
        config_hash: String::new(),
        weights_image: None,
        adapters: Vec::new(),
        serving,
        platform,
    };
    change(&mut inference);
    render::workload(&inference)
}

#[test]
fn machine() {
    let gpu = hardware("Standard_NC6s_v3");
    let request = |hardware, disk_gib| {
        ClaimRequest {
            workspace: &workspace(&json!({})),
            ordinal: 1,
            nodes: 2,
            hardware,
            disk_gib,
            image_family: "ubuntu",
            offerings: &AllowedOfferings::default(),
            taint: true,
        }
        .pipe(render::machine)
    };
    golden("machine_gpu", request(&gpu, 87));
    golden("machine_cpu", request(&hardware("Standard_D8s_v5"), 0));
}

#[test]
fn node_claim() {
    let (workspace, gpu) = (workspace(&json!({})), hardware("Standard_NC6s_v3"));
    let request = ClaimRequest {
        workspace: &workspace,
        ordinal: 1,
        nodes: 2,
        hardware: &gpu,
        disk_gib: 87,
        image_family: "ubuntu",
        offerings: &AllowedOfferings::default(),
        taint: true,
    };
    let options = NodeClaimOptions::default();
    golden("node_claim_gpu", render::node_claim(&request, &options));
    let other = NodeClaimOptions {
        class: NodeClassRef {
            group: "karpenter.k8s.aws".into(),
            kind: "EC2NodeClass".into(),
            name: "gpu".into(),
        },
        ..NodeClaimOptions::default()
    };
    // A Karpenter buys what is cheapest, so on-demand capacity is asked for even where nothing else is.
    let asked = AllowedOfferings {
        capacity_types: Vec::new(),
        zones: vec!["eu-west-1a".into(), "eu-west-1b".into()],
    };
    let elsewhere = ClaimRequest {
        offerings: &asked,
        ..request
    };
    golden(
        "node_claim_of_another_class",
        render::node_claim(&elsewhere, &other),
    );
    let contents = r#"{
        "requirements": [{"key": "karpenter.k8s.aws/instance-local-nvme", "operator": "Gt", "values": ["500"]}],
        "labels": {"team": "models", "apps": "theirs"},
        "annotations": {"example.com/owner": "models"},
        "taints": [{"key": "dedicated", "value": "models", "effect": "NoSchedule"}]
    }"#;
    let with_contents = NodeClaimOptions {
        contents: contents.parse().unwrap(),
        ..other.clone()
    };
    golden(
        "node_claim_with_contents",
        render::node_claim(&request, &with_contents),
    );
    let both = AllowedOfferings {
        capacity_types: vec!["spot".into(), "on-demand".into()],
        zones: vec!["2".into(), "1".into()],
    };
    let both = ClaimRequest {
        offerings: &both,
        ..request
    };
    golden("machine_with_offerings", render::machine(&both));
    golden("node_claim_with_offerings", render::node_claim(&both, &options));
    let same = |claim: kaito_api::NodeClaim| claim.metadata.name;
    assert_eq!(
        same(render::node_claim(&request, &other)),
        render::machine(&request).metadata.name
    );
}

trait Pipe: Sized {
    fn pipe<T>(self, step: impl FnOnce(&Self) -> T) -> T {
        step(&self)
    }
}
impl Pipe for ClaimRequest<'_> {}

#[test]
fn vllm_on_one_old_gpu() {
    let workspace = workspace(&json!({"inference": {"preset": {"name": "phi-3-mini-4k-instruct"}}}));
    let subject = (
        &workspace,
        &preset("phi-3-mini-4k-instruct"),
        &hardware("Standard_NC6s_v3"),
    );
    golden("deployment_vllm", served(subject, Runtime::Vllm, |_| {}));
}

#[test]
fn a_model_whose_heads_cannot_be_divided_runs_in_stages() {
    let workspace = workspace(&json!({"inference": {"preset": {"name": "falcon-7b"}}}));
    let subject = (&workspace, &preset("falcon-7b"), &hardware("Standard_NC12s_v3"));
    let value = served(subject, Runtime::Vllm, |_| {}).to_value();
    let args = value["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
    for expected in ["--tensor-parallel-size=1", "--pipeline-parallel-size=2"] {
        assert!(args.contains(expected), "{args}");
    }
    assert!(!args.contains("ray"), "one node needs no cluster: {args}");
}

/// Everything that annotations may ask for.
fn protected() -> Serving {
    Serving {
        api_keys_secret: Some("keys".into()),
        tls_secret: Some("certificate".into()),
        cors_origins: vec!["https://chat.example.com".into()],
        stall_seconds: Some(300),
        adapter_mode: AdapterMode::Request,
        cpu: Some("4".into()),
        memory: Some("16Gi".into()),
        ..Serving::default()
    }
}

/// The command line of an engine must not change where its container is not.
#[test]
fn vllm_without_a_front_has_the_port_of_the_api() {
    let workspace = workspace(&json!({"inference": {"preset": {"name": "phi-4"}}}));
    let subject = (
        &workspace,
        &preset("phi-4"),
        &hardware("Standard_NC24ads_A100_v4"),
    );
    let serving = Serving {
        front: false,
        ..Serving::default()
    };
    golden(
        "deployment_vllm_alone",
        served(subject, Runtime::Vllm, |inference| inference.serving = &serving),
    );
}

/// Names of the containers of a pod are distinct whatever the Workspace is called.
#[test]
fn a_workspace_may_be_called_front() {
    let mut workspace = workspace(&json!({"inference": {"preset": {"name": "phi-4"}}}));
    workspace.metadata.name = Some("front".into());
    let subject = (
        &workspace,
        &preset("phi-4"),
        &hardware("Standard_NC24ads_A100_v4"),
    );
    let pod = served(subject, Runtime::Vllm, |_| {}).to_value()["spec"]["template"]["spec"].clone();
    assert_ne!(pod["containers"][0]["name"], pod["initContainers"][0]["name"]);
}

/// A proxy and authorities of the installation.
fn outgoing() -> Outgoing {
    Outgoing {
        http_proxy: Some("http://proxy.example.com:3128".into()),
        https_proxy: Some("http://proxy.example.com:3128".into()),
        no_proxy: vec!["10.0.0.0/8".into()],
        ca_bundle: Some(CaBundle {
            config_map: "trust".into(),
            key: "bundle.pem".into(),
        }),
        azure_identity: true,
    }
}

#[test]
fn vllm_with_everything() {
    let workspace = workspace(&json!({"inference": {
        "preset": {"name": "phi-4", "presetOptions": {
            "modelAccessSecret": "hub", "image": "mine/vllm:1", "imagePullSecrets": ["pull"],
        }},
        "config": "settings",
    }}));
    let mut preset = preset("phi-4");
    preset.revision = Some("abc".into());
    preset.inference.as_mut().unwrap().trust_remote_code = true;
    let volume = render::parse_volume(&serde_json::from_value(json!({"emptyDir": {}})).unwrap()).unwrap();
    let subject = (&workspace, &preset, &hardware("Standard_NC48ads_A100_v4"));
    let serving = protected();
    let mut platform = platform();
    platform.images.pull_secrets = vec!["registry".into(), "pull".into()];
    platform.downloads.hub = "https://hub.example.com".into();
    platform.outgoing = outgoing();
    golden(
        "deployment_vllm_everything",
        served(subject, Runtime::Vllm, |inference| {
            inference.serving = &serving;
            inference.platform = &platform;
            inference.max_context = Some(4096);
            inference.adapters = vec![
                Adapter {
                    name: "legal".into(),
                    strength: "0.5".into(),
                    payload: Payload::Image {
                        reference: "r.io/legal:1".into(),
                        pull_secrets: vec!["s1".into(), "s2".into()],
                    },
                },
                Adapter {
                    name: "tone".into(),
                    strength: String::new(),
                    payload: Payload::Volume(Box::new(volume.clone())),
                },
                Adapter {
                    name: "mood".into(),
                    strength: "0.75".into(),
                    payload: Payload::Volume(Box::new(volume)),
                },
            ];
        }),
    );
}

#[test]
fn weights_in_an_image_are_a_volume_where_kubelets_mount_images() {
    let workspace = workspace(
        &json!({"inference": {"preset": {"name": "phi-4", "presetOptions": {
            "modelAccessSecret": "hub", "imagePullSecrets": ["pull"],
        }}}}),
    );
    let subject = (
        &workspace,
        &preset("phi-4"),
        &hardware("Standard_NC24ads_A100_v4"),
    );
    let of = |engine, image_volumes| {
        let mut platform = platform();
        platform.images.pull_secrets = vec!["registry".into()];
        platform.image_volumes = image_volumes;
        platform.downloads.plain_http_registries = vec!["r.io".into()];
        served(subject, engine, |inference| {
            inference.weights_image = Some("r.io/phi-4@sha256:1");
            inference.platform = Box::leak(Box::new(platform));
        })
    };
    golden("deployment_weights_volume", of(Runtime::Vllm, true));
    golden("deployment_weights_pulled", of(Runtime::Vllm, false));
    for (image_volumes, directory) in [(true, "/workspace/weights/data"), (false, "/workspace/weights")] {
        let pod = of(Runtime::Native, image_volumes).to_value()["spec"]["template"]["spec"].clone();
        let args = pod["containers"][0]["args"].as_array().unwrap();
        assert!(
            args.contains(&json!(format!("--weights-dir={directory}"))),
            "{args:?}"
        );
    }
}

#[test]
fn vllm_on_several_nodes() {
    let workspace = workspace(&json!({"inference": {"preset": {"name": "phi-4"}}}));
    let subject = (&workspace, &preset("phi-4"), &hardware("Standard_NV36ads_A10_v5"));
    golden("stateful_set_vllm", served(subject, Runtime::Vllm, |_| {}));
    golden(
        "network_policy_several_nodes",
        render::network_policy(&workspace, true),
    );
    golden("service_headless", render::headless_service(&workspace));
    golden(
        "service_several_nodes",
        render::service(&workspace, true, &Exposure::Cluster, Transport::Http),
    );
}

#[test]
fn native_without_gpu() {
    let workspace = workspace(&json!({
        "inference": {"preset": {"name": "smollm2-135m-instruct", "presetOptions": {"modelAccessSecret": "hub"}}},
    }));
    let subject = (
        &workspace,
        &preset("smollm2-135m-instruct"),
        &hardware("Standard_D8s_v5"),
    );
    let serving = protected();
    golden(
        "deployment_native",
        served(subject, Runtime::Native, |inference| {
            inference.serving = &serving;
            inference.adapters = vec![Adapter {
                name: "tone".into(),
                strength: "0.25".into(),
                payload: Payload::Image {
                    reference: "r.io/tone:1".into(),
                    pull_secrets: Vec::new(),
                },
            }];
        }),
    );
    let public = Exposure::Public {
        from: vec!["192.0.2.0/24".to_owned()],
    };
    golden(
        "service_load_balancer",
        render::service(&workspace, false, &public, Transport::Https),
    );
}

#[test]
fn custom_template() {
    let workspace = workspace(&json!({}));
    let template = render::parse_template(
        &serde_json::from_value(json!({
            "metadata": {"labels": {"mine": "yes"}},
            "spec": {
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1"]}]},
                    {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["2"]}]},
                ]}}},
                "tolerations": [{"key": "mine", "operator": "Exists"}],
                "containers": [{
                    "name": "server",
                    "image": "mine/server:1",
                    "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "2048Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        }))
        .unwrap(),
    )
    .unwrap();
    let platform = platform();
    let custom = Custom {
        workspace: &workspace,
        template: &template,
        nodes: 2,
        platform: &platform,
    };
    golden("deployment_template", custom.deployment());
}

/// Renders a tuning Job and its parameters.
fn tuned(
    name: &str,
    output: &Value,
    (input, destination): (TuningInput, TuningOutput),
    (tuner, hardware, platform): (Tuner, &Hardware, &Platform),
) {
    let spec = json!({"tuning": {"preset": {"name": name}, "method": "qlora", "input": {"urls": []}, "output": output}});
    let workspace = workspace(&spec);
    let preset = preset(name);
    let tuning = Tuning {
        workspace: &workspace,
        preset: &preset,
        profile: preset.tuning.as_ref().unwrap(),
        method: TuningMethod::Qlora,
        tuner,
        hardware,
        config_hash: String::new(),
        input,
        output: destination,
        platform,
    };
    golden(&format!("job_{name}"), render::job(&tuning));
    golden(&format!("tuning_config_{name}"), render::tuning_config(&tuning));
}

#[test]
fn tuning_from_urls_to_an_image() {
    tuned(
        "phi-3-mini-128k-instruct",
        &json!({"image": "r.io/out:1", "imagePushSecret": "push"}),
        (
            TuningInput::Urls(vec![
                "https://example.com/a.parquet?x=1".into(),
                "https://example.com/b".into(),
            ]),
            pushed(),
        ),
        (Tuner::Scripts, &hardware("Standard_NC6s_v3"), &brought()),
    );
}

/// An installation whose nodes are brought along.
fn brought() -> Platform {
    Platform {
        claimed: false,
        aks: false,
        ..platform()
    }
}

fn pushed() -> TuningOutput {
    let push = render::ImagePush {
        reference: "r.io/out:1".into(),
        secret: "push".into(),
        retry_seconds: 3600,
    };
    TuningOutput::Image(push, None)
}

#[test]
fn tuning_without_gpu() {
    let downloads = Downloads {
        hub: "https://hub.example.com/".into(),
        allow_http: true,
        allow_hosts: vec!["data.example.com".into(), "10.0.0.1".into()],
        plain_http_registries: vec!["registry.example.com:5000".into()],
    };
    let platform = Platform {
        downloads,
        outgoing: outgoing(),
        ..platform()
    };
    tuned(
        "smollm2-135m-instruct",
        &json!({"image": "r.io/out:1", "imagePushSecret": "push"}),
        (
            TuningInput::Urls(vec!["http://data.example.com/$(HOME).jsonl".into()]),
            pushed(),
        ),
        (Tuner::Native, &hardware("Standard_D8s_v5"), &platform),
    );
}

#[test]
fn tuning_from_an_image_to_a_volume() {
    let source = json!({"persistentVolumeClaim": {"claimName": "out"}});
    let volume = render::parse_volume(&serde_json::from_value(source.clone()).unwrap()).unwrap();
    tuned(
        "phi-4",
        &json!({"volumeSource": source}),
        (
            TuningInput::Payload(Payload::Image {
                reference: "r.io/data:1".into(),
                pull_secrets: vec!["pull".into()],
            }),
            TuningOutput::Volume(Box::new(volume)),
        ),
        (Tuner::Scripts, &hardware("Standard_NC6s_v3"), &brought()),
    );
}

#[test]
fn tuning_that_keeps_its_checkpoints_on_a_volume_and_is_pushed() {
    let source = json!({"persistentVolumeClaim": {"claimName": "checkpoints"}});
    let volume = render::parse_volume(&serde_json::from_value(source.clone()).unwrap()).unwrap();
    let TuningOutput::Image(push, None) = pushed() else {
        panic!("it is pushed, without a volume");
    };
    tuned(
        "smollm2-360m-instruct",
        &json!({"volumeSource": source, "image": "r.io/out:1", "imagePushSecret": "push"}),
        (
            TuningInput::Urls(vec!["https://example.com/data.jsonl".into()]),
            TuningOutput::Image(push, Some(Box::new(volume))),
        ),
        (Tuner::Native, &hardware("Standard_D8s_v5"), &brought()),
    );
}

#[test]
fn hardware_brought_along_is_not_judged() {
    let unknown = Hardware {
        gpu: GpuNode {
            gpus: 1,
            memory_bytes_total: 80 << 30,
            host_bytes: None,
        },
        ..Hardware::cpu("")
    };
    let workspace = workspace(&json!({"inference": {"preset": {"name": "phi-4"}}}));
    let subject = (&workspace, &preset("phi-4"), &unknown);
    let Manifest::Deployment(deployment) = served(subject, Runtime::Vllm, |_| {}) else {
        panic!("a Deployment")
    };
    let args = deployment
        .spec
        .template
        .spec
        .unwrap()
        .containers
        .remove(0)
        .args
        .unwrap();
    assert!(args.contains(&"--dtype=bfloat16".to_owned()), "{args:?}");
    assert!(args.is_sorted());
}
