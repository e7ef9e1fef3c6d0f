//! The ConfigMap of a Workspace: read before nodes are bought, sized for, and followed by what runs.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use workspace_plan::ConfigLookup;

use crate::case::{Case, actions, check, condition};
use crate::objects::parse;

const NAME: &str = "settings";

/// The ConfigMap as the controller's watch shows it.
fn config_map(data: &Value) -> ConfigLookup {
    let mut object: ConfigMap = parse(json!({"metadata": {"name": NAME}, "data": data}));
    workspace_plan::strip_user_config(&mut object);
    ConfigLookup::Found(Arc::new(object))
}

fn with(mut case: Case, lookup: ConfigLookup) -> Case {
    case.observed.config = lookup;
    case
}

fn saying(case: Case, text: &str) -> Case {
    with(case, config_map(&json!({"inference_config.yaml": text})))
}

/// A Workspace that serves and names the ConfigMap.
fn naming(preset: &str) -> Case {
    Case::serving(preset).edit(|workspace| {
        workspace.spec.inference.as_mut().unwrap().config = NAME.to_owned();
    })
}

/// Serving on one node, with settings.
fn running(text: &str) -> Case {
    let case = saying(naming("phi-4"), text).with_nodes(1, 1);
    let case = case.stored().answering().stored();
    assert!(case.plan().is_noop(), "{:?}", case.plan().reasons);
    case
}

fn args(case: &Case) -> Vec<String> {
    let workloads = &case.observed.workloads;
    let template = match (&workloads.deployment, &workloads.stateful_set) {
        (Some(object), _) => &object.spec.template,
        (None, Some(object)) => &object.spec.template,
        (None, None) => panic!("nothing runs"),
    };
    let containers = &template.spec.as_ref().unwrap().containers;
    containers[0].args.clone().unwrap()
}

fn hash(case: &Case) -> Option<String> {
    let deployment = case.observed.workloads.deployment.as_ref().unwrap();
    let metadata = deployment.spec.template.metadata.as_ref().unwrap();
    metadata
        .annotations
        .as_ref()?
        .get("kaito.sh/config-hash")
        .cloned()
}

#[test]
fn nothing_is_bought_before_the_config_map_is_understood() {
    let refused = |lookup: ConfigLookup, says: &str| {
        check(&with(naming("phi-4"), lookup), "ResourceReady", says, &[]);
    };
    refused(
        ConfigLookup::Asking,
        "False/ConfigMapPending: waiting for ConfigMap settings",
    );
    refused(
        ConfigLookup::Missing,
        "False/ConfigMapNotFound: ConfigMap settings does not exist. Create the ConfigMap",
    );
    refused(
        ConfigLookup::TooMany,
        "False/TooManyConfigMaps: ConfigMap settings is not read: the Workspaces of the namespace name more than 128.",
    );
    refused(
        config_map(&json!({"other.yaml": "vllm: {}"})),
        "False/ConfigMapNotFound: ConfigMap settings has no key inference_config.yaml.",
    );
    let text = |text: &str, says: &str| refused(config_map(&json!({"inference_config.yaml": text})), says);
    text(
        "vllm: {max-modell-len: 4096}",
        "False/ConfigMapInvalid: ConfigMap settings, inference_config.yaml: unknown flag vllm.max-modell-len; did you \
         mean max-model-len, max-parallel-loading-workers? Correct the ConfigMap",
    );
    text(
        "vllm: {host: 0.0.0.0}",
        "False/EngineFlagRefused: ConfigMap settings, inference_config.yaml: vllm.host cannot be set: the operator sets \
         the address and the protection of the API. Remove the flag",
    );
    text(
        "vllm: {max-model-len: 200000}",
        "False/ConfigMapInvalid: ConfigMap settings, inference_config.yaml: a context of 200000 tokens is longer than",
    );
    text(
        "vllm: {cpu-offload-gb: 1000}",
        "False/ConfigMapInvalid: ConfigMap settings, inference_config.yaml: vllm.cpu-offload-gb takes 1000 GiB of the \
         memory of a node, and pods of Standard_NC24ads_A100_v4 may use 164",
    );
    text(
        "vllm: {tensor-parallel-size: 3}",
        "False/ModelDoesNotFit: preset phi-4 on Standard_NC24ads_A100_v4: does not fit with tensor-parallel-size 3",
    );
}

#[test]
fn a_template_of_the_config_map_must_be_there() {
    let settings = "vllm: {chat-template: /mnt/config/mine.jinja}";
    let of = |data: &Value| with(naming("phi-4"), config_map(data)).with_nodes(1, 1);
    let missing = of(&json!({"inference_config.yaml": settings, "other.jinja": "{{ a }}"}));
    let says = condition(&missing.plan(), "WorkspaceReady");
    assert!(
        says.contains("ConfigMapInvalid") && says.contains("the ConfigMap has no key \"mine.jinja\""),
        "{says}"
    );
    let found = of(&json!({"inference_config.yaml": settings, "mine.jinja": "{{ a }}"})).stored();
    assert!(args(&found.stored()).contains(&"--chat-template=/mnt/config/mine.jinja".to_owned()));
}

#[test]
fn the_flags_are_sized_for_and_said() {
    let sized = |text: &str| {
        let plan = saying(naming("llama-3.3-70b-instruct"), text).plan();
        condition(&plan, "NodesReady")
    };
    let says = sized("vllm: {max-model-len: 8192, kv-cache-dtype: fp8}");
    assert!(
        says.contains("llama-3.3-70b-instruct with 8192 tokens of context and 8-bit KV cache takes 3 x"),
        "{says}"
    );
    // Half of the weights: one node less, and less again with more of each GPU.
    let says = sized("vllm: {quantization: bitsandbytes}");
    assert!(says.contains("and weights in 4 bits takes 2 x"), "{says}");
    let says = sized("vllm: {quantization: bitsandbytes, gpu-memory-utilization: 0.99}");
    assert!(
        says.contains("and 99 % of GPU memory, weights in 4 bits takes 1 x"),
        "{says}"
    );
    let says = sized("vllm: {pipeline-parallel-size: 5}");
    assert!(says.contains("and pipeline parallelism 5 takes 5 x"), "{says}");
    let says = sized("vllm: {cpu-offload-gb: 40}");
    assert!(
        says.contains("40.00 GiB of weights of each GPU in the node's memory takes 2 x"),
        "{says}"
    );
}

#[test]
fn annotation_and_file_must_agree() {
    let case = naming("phi-4").annotated("kaito.sh/max-context-tokens", "4096");
    let says = "False/ConfigMapInvalid: annotation kaito.sh/max-context-tokens is 4096, and the ConfigMap of \
                inference.config sets a context of 8192 tokens;";
    check(
        &saying(case.clone(), "vllm: {max-model-len: 8192}"),
        "ResourceReady",
        says,
        &[],
    );
    assert!(!actions(&saying(case, "vllm: {max-model-len: 4096}").plan()).is_empty());
}

#[test]
fn the_command_line_has_the_flags_and_needs_no_file() {
    let case = running(
        "max_probe_steps: 4\nvllm: {max-model-len: 4096, enforce-eager: true, gpu-memory-utilization: 0.9, \
         load-format: safetensors}",
    );
    let args = args(&case);
    for arg in [
        "--max-model-len=4096",
        "--enforce-eager",
        "--gpu-memory-utilization=0.9",
        "--kaito-max-probe-steps=4",
        "--load-format=safetensors",
    ] {
        assert_eq!(
            args.iter().filter(|found| *found == arg).count(),
            1,
            "{arg}: {args:?}"
        );
    }
    assert!(
        !args.contains(&"--load_format=auto".to_owned()),
        "the preset's spelling would win"
    );
    let flags = |name: &str| args.iter().filter(|arg| arg.starts_with(name)).count();
    assert_eq!(
        (
            flags("--gpu-memory"),
            flags("--max-model-len"),
            flags("--kaito-config-file")
        ),
        (1, 1, 0)
    );
}

#[test]
fn an_edit_rolls_what_runs() {
    let case = running("vllm: {max-num-seqs: 8}");
    let before = hash(&case).unwrap();
    let case = saying(case, "vllm: {max-num-seqs: 16}");
    assert_eq!(
        actions(&case.plan()),
        ["apply ControllerRevision", "apply Deployment"]
    );
    let case = case.stored();
    assert_ne!(hash(&case).unwrap(), before);
    assert!(args(&case).contains(&"--max-num-seqs=16".to_owned()));
    // A file beside the settings, such as a chat template, is an edit too.
    let more = config_map(&json!({"inference_config.yaml": "vllm: {max-num-seqs: 16}", "a.jinja": "b"}));
    assert_eq!(actions(&with(case.answering().stored(), more).plan()).len(), 2);
}

#[test]
fn what_runs_does_not_need_the_config_map_any_more() {
    let case = running("vllm: {max-num-seqs: 8}");
    let note = |case: &Case| condition(&case.plan(), "WorkspaceReady");
    let broken: [(ConfigLookup, &str); 5] = [
        (
            ConfigLookup::Missing,
            "ConfigMapNotFound: ConfigMap settings does not exist.",
        ),
        (ConfigLookup::TooMany, "TooManyConfigMaps: "),
        (
            config_map(&json!({})),
            "ConfigMapNotFound: ConfigMap settings has no key",
        ),
        (
            config_map(&json!({"inference_config.yaml": "vllm: {port: 1}"})),
            "EngineFlagRefused: ",
        ),
        (
            config_map(&json!({"inference_config.yaml": "vllm: {max-model-len: 99999999}"})),
            "ConfigMapInvalid: ",
        ),
    ];
    for (lookup, says) in broken {
        let case = with(case.clone(), lookup);
        assert_eq!(actions(&case.plan()), [""; 0]);
        let found = note(&case);
        assert!(found.starts_with("True/") && found.contains(says), "{found}");
        assert!(case.clone().stored().plan().is_noop());
        // It comes back as it was: nothing restarts.
        let case = saying(case.stored(), "vllm: {max-num-seqs: 8}");
        assert_eq!(actions(&case.plan()), [""; 0]);
    }
    // A restarted controller has not read it yet, which is nothing to read about.
    let case = with(case, ConfigLookup::Asking);
    assert_eq!(actions(&case.plan()), [""; 0]);
    assert!(!note(&case).contains("ConfigMap"), "{}", note(&case));
}

#[test]
fn a_node_is_replaced_while_the_config_map_is_wrong() {
    let mut case = saying(naming("llama-3.3-70b-instruct"), "vllm: {max-num-seqs: 8}")
        .with_nodes(3, 1)
        .stored()
        .answering()
        .stored();
    case.observed.claims.truncate(2);
    let case = with(case, ConfigLookup::Missing);
    assert_eq!(actions(&case.plan()), ["apply Machine"]);
}

#[test]
fn an_edit_that_needs_other_nodes_is_left_to_a_new_workspace() {
    let case = saying(naming("llama-3.3-70b-instruct"), "vllm: {max-num-seqs: 8}")
        .with_nodes(3, 1)
        .stored()
        .answering()
        .stored();
    let case = saying(case, "vllm: {quantization: bitsandbytes}");
    assert_eq!(actions(&case.plan()), [""; 0]);
    let says = condition(&case.plan(), "WorkspaceReady");
    assert!(
        says.contains("UpdateBlocked: the model needs 2 nodes now; what runs was made for 3"),
        "{says}"
    );
}

#[test]
fn another_image_may_know_other_flags() {
    let own = naming("phi-4").edit(|workspace| {
        let inference = workspace.spec.inference.as_mut().unwrap();
        inference.preset.as_mut().unwrap().preset_options.image = "example.com/vllm:1".to_owned();
    });
    assert_eq!(
        actions(&saying(own, "vllm: {swap-space: 4}").plan())[0],
        "apply Machine"
    );
    check(
        &saying(naming("phi-4"), "vllm: {swap-space: 4}"),
        "ResourceReady",
        "False/ConfigMapInvalid: ConfigMap settings, inference_config.yaml: unknown flag vllm.swap-space",
        &[],
    );
}

#[test]
fn parameters_of_a_tuning_are_checked_too() {
    let tuning =
        || Case::tuning().edit(|workspace| workspace.spec.tuning.as_mut().unwrap().config = NAME.to_owned());
    let file = |text: &str| config_map(&json!({"training_config.yaml": text}));
    let good = |more: &str| {
        file(&format!(
            "training_config:\n  QuantizationConfig: {{load_in_4bit: true}}\n  \
             TrainingArguments: {{output_dir: /mnt/results{more}}}\n"
        ))
    };
    let refused =
        |lookup: ConfigLookup, says: &str| check(&with(tuning(), lookup), "ResourceReady", says, &[]);
    refused(
        ConfigLookup::Missing,
        "False/ConfigMapNotFound: ConfigMap settings does not exist",
    );
    refused(
        file("training_config: {}"),
        "False/ConfigMapInvalid: ConfigMap settings, training_config.yaml: the method qlora needs",
    );
    refused(
        file("training_config: {QuantizationConfig: {load_in_4bit: true}}"),
        "False/ConfigMapInvalid: ConfigMap settings, training_config.yaml: TrainingArguments.output_dir is absent and",
    );
    let case = with(tuning(), good("")).with_nodes(1, 1).stored();
    assert!(case.observed.workloads.job.is_some());
    // The Job has its parameters: an edit is reported, and a lost ConfigMap is the kubelet's to report.
    let edited = with(case.clone().stored(), good(", max_steps: 3")).plan();
    let says = condition(&edited, "WorkspaceSucceeded");
    assert!(
        says.contains("UpdateBlocked: the ConfigMap of tuning.config was edited"),
        "{says}"
    );
    assert_eq!(actions(&edited), [""; 0]);
    let lost = with(case.stored(), ConfigLookup::Missing).plan();
    assert_eq!(actions(&lost), [""; 0]);
}
