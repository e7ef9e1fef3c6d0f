//! Workspaces to be created: names, shape, presets, instance types, annotations.

use serde_json::{Value, json};

use crate::case::Cases;
use crate::case::Expect::{Accepted, AsPlanned, Refused};
use crate::workspaces::*;

pub(crate) fn names() -> Cases {
    let named = |name: &str| with(inference(), "/metadata/name", name.into());
    vec![
        (named("w"), Accepted),
        (named("phi-4-mini"), Accepted),
        (named(&"w".repeat(52)), Accepted),
        (named(&"w".repeat(53)), Refused("at most 52")),
        (named("1w"), Refused("start with a letter")),
        (named("w.w"), Refused("start with a letter")),
    ]
}

pub(crate) fn shape() -> Cases {
    let both = with(inference(), "/tuning", tuning()["tuning"].clone());
    vec![
        (inference(), Accepted),
        (tuning(), Accepted),
        (template(), Accepted),
        (
            with(inference(), "/apiVersion", json!("kaito.sh/v1alpha1")),
            Accepted,
        ),
        (
            with(tuning(), "/apiVersion", json!("kaito.sh/v1alpha1")),
            Accepted,
        ),
        (
            with(inference(), "/inference", Value::Null),
            Refused("not neither"),
        ),
        (both, Refused("but not both")),
        (
            with(inference(), "/resource", Value::Null),
            Refused("resource must be specified"),
        ),
        (
            with(inference(), "/inference", json!({})),
            Refused("inference.preset or inference.template"),
        ),
        (
            with(template(), "/inference/preset", json!({"name": "phi-4"})),
            Refused("cannot be set at the same time"),
        ),
        (
            with(inference(), "/inference/preset", json!({"name": ""})),
            Refused("preset.name"),
        ),
        (
            with(inference(), "/inference/preset", json!({})),
            Refused("preset.name"),
        ),
        (
            with(inference(), "/inference/preset/accessMode", json!("private")),
            Accepted,
        ),
        (
            with(inference(), "/inference/preset/accessMode", json!("secret")),
            Refused("accessMode"),
        ),
        (
            with(inference(), "/inference/presets", json!({})),
            Refused("presets"),
        ),
        (with(inference(), "/spec", json!({})), Refused("spec")),
        (with(inference(), "/resource/count", json!(1)), Accepted),
        (with(inference(), "/resource/count", json!(3)), Accepted),
        (
            with(inference(), "/resource/count", json!(0)),
            Refused("resource.count"),
        ),
        (
            with(inference(), "/resource/count", json!(-1)),
            Refused("resource.count"),
        ),
        (
            with(inference(), "/resource/count", json!(1001)),
            Refused("resource.count"),
        ),
        (
            with(inference(), "/resource/count", json!("1")),
            Refused("resource.count"),
        ),
        (
            with(inference(), "/resource/preferredNodes", json!(["n"])),
            Accepted,
        ),
        (
            with(inference(), "/resource/preferredNodes", json!([1])),
            Refused("preferredNodes"),
        ),
        (
            with(inference(), "/inference/config", json!("c".repeat(253))),
            Accepted,
        ),
        (
            with(inference(), "/inference/config", json!("c".repeat(254))),
            Refused("inference.config"),
        ),
        (
            with(
                inference(),
                "/inference/preset/presetOptions",
                json!({"modelAccessSecret": "hf"}),
            ),
            Accepted,
        ),
        (
            with(
                inference(),
                "/inference/preset/presetOptions",
                json!({"image": "r.example.com/a:1"}),
            ),
            Accepted,
        ),
        (
            with(
                inference(),
                "/inference/preset/presetOptions",
                json!({"imagePullSecrets": [""]}),
            ),
            Refused("names of Secrets"),
        ),
        (
            with(
                inference(),
                "/inference/preset/presetOptions",
                json!({"modelAccessSecret": ""}),
            ),
            Accepted,
        ),
        (
            with(
                inference(),
                "/inference/preset/presetOptions",
                json!({"image": "r.example.com/A b"}),
            ),
            Refused("not an image reference"),
        ),
    ]
}

pub(crate) fn presets() -> Cases {
    vec![
        (preset("phi-4"), Accepted),
        (preset("Phi-4"), Accepted),
        (preset("microsoft/phi-4"), Accepted),
        (preset("Microsoft/Phi-4"), Accepted),
        (preset("gemma-3-4b-instruct"), Accepted),
        (preset("llama-3.1-8b-instruct"), Accepted),
        (
            unlicensed("llama-3.1-8b-instruct"),
            Refused("preset llama-3.1-8b-instruct is gated at its model hub"),
        ),
        (
            unlicensed("google/gemma-3-4b-it"),
            Refused("presetOptions.modelAccessSecret must name a Secret"),
        ),
        (unlicensed("phi-4"), Accepted),
        (
            preset("phi-5"),
            Refused("unknown preset phi-5; did you mean phi-"),
        ),
        (preset("phi-44"), Refused("unknown preset")),
        (preset("x"), Refused("unknown preset x; `kubectl")),
        (
            preset("acme/phi-4"),
            Refused("unknown preset acme/phi-4; did you mean phi-4, phi-4-mini"),
        ),
        (preset("acme/unheard-of"), Refused("unknown preset")),
        (preset("a/b/c"), Refused("unknown preset")),
        (preset("phi-4 "), Refused("unknown preset")),
        (preset(".."), Refused("unknown preset")),
        (preset("4"), Refused("unknown preset")),
        (
            with(tuning(), "/tuning/preset/name", json!("phi-5")),
            Refused("unknown preset phi-5"),
        ),
    ]
}

pub(crate) fn types() -> Cases {
    let cpu = |instance_type: &str| on(preset("smollm2-135m-instruct"), instance_type);
    let small = || with(tuning(), "/tuning/preset/name", json!("smollm2-135m-instruct"));
    let tuned_cpu = |instance_type: &str| on(small(), instance_type);
    vec![
        (on(inference(), "standard_nc24ads_a100_v4"), Accepted),
        (on(inference(), ""), Refused("resource.instanceType must be set")),
        (
            with(inference(), "/resource/instanceType", Value::Null),
            Refused("resource.instanceType must be set"),
        ),
        (
            with(template(), "/resource/instanceType", Value::Null),
            Refused("resource.instanceType must be set"),
        ),
        (
            on(inference(), "Standard_NC24ads_A100_v5"),
            Refused("is not known in cloud azure; did you mean Standard_NC24ads_A100_v4, "),
        ),
        (
            on(inference(), "Standard_N"),
            Refused("is not known in cloud azure"),
        ),
        (
            on(inference(), "Standard_D4s_v5"),
            Refused("is not known in cloud azure"),
        ),
        (
            on(inference(), "p4d.24xlarge"),
            Refused("is not known in cloud azure"),
        ),
        (on(inference(), "Standard_D8s_v5"), Accepted),
        (
            on(preset("phi-4"), "Standard_D8s_v5"),
            Refused("needs an NVIDIA GPU"),
        ),
        (on(tuning(), "Standard_D8s_v5"), Refused("needs an NVIDIA GPU")),
        (
            on(tuning(), "Standard_D4s_v5"),
            Refused("is not known in cloud azure"),
        ),
        (tuned_cpu("Standard_D8s_v5"), Accepted),
        (tuned_cpu("Standard_D4s_v5"), Accepted),
        (tuned_cpu("Standard_NX"), Refused("is not known in cloud azure")),
        (cpu("Standard_D8s_v5"), Accepted),
        (cpu("Standard_D4s_v5"), Accepted),
        (
            cpu("Standard_NC24ads_A100_v5"),
            Refused("is not known in cloud azure"),
        ),
        (
            cpu("Standard_NC4as_T4_v3"),
            Refused(
                "has GPUs of compute capability 7.5, and the image of the engine needs 8.0; what would work is 1 node",
            ),
        ),
        (
            annotated(cpu("Standard_D8s_v5"), "runtime", "vllm"),
            Refused("cannot run on instance type Standard_D8s_v5"),
        ),
        (on(template(), "Standard_D4s_v5"), Accepted),
        (on(template(), "Standard_D8s_v5"), Accepted),
        (
            on(template(), "Standard_NX1"),
            Refused("is not known in cloud azure"),
        ),
        (on(template(), "standard_e8s_v5"), Accepted),
        (
            on(template(), "Standard_D"),
            Refused("is not known in cloud azure"),
        ),
        (
            on(template(), "Standard_D4s v5"),
            Refused("is not known in cloud azure"),
        ),
        (
            on(template(), "YOUR_INSTANCE_TYPE"),
            Refused("is not known in cloud azure"),
        ),
        (
            on(template(), "p4d.24xlarge"),
            Refused("is not known in cloud azure"),
        ),
        (on(template(), "m5.large"), Refused("is not known in cloud azure")),
        (on(inference(), &"x".repeat(257)), Refused("instanceType")),
    ]
}

pub(crate) fn annotations() -> Cases {
    let on_one_t4 = |object| on(object, "Standard_NC4as_T4_v3");
    let big = || on(preset("llama-3.3-70b-instruct"), "Standard_NC24ads_A100_v4");
    let old = || annotated(on_one_t4(preset("phi-4")), "runtime", "native");
    vec![
        (annotated(inference(), "runtime", "vllm"), Accepted),
        (annotated(inference(), "runtime", "vLLM"), Accepted),
        (annotated(inference(), "runtime", " "), Accepted),
        (
            annotated(inference(), "runtime", "tgi"),
            Refused("must be vllm or native"),
        ),
        (
            annotated(preset("phi-4"), "runtime", "native"),
            Refused("would not use the GPUs of instance type Standard_NC24ads_A100_v4"),
        ),
        (annotated(preset("phi-4"), "runtime", "Transformers"), Accepted),
        (
            annotated(preset("gpt-oss-20b"), "runtime", "native"),
            Refused("is not served by the runtime native, only by vllm"),
        ),
        (annotated(big(), "runtime", "transformers"), Accepted),
        (
            annotated(
                on(preset("smollm2-135m-instruct"), "Standard_D8s_v5"),
                "runtime",
                "transformers",
            ),
            Accepted,
        ),
        (
            annotated(
                on(preset("smollm2-135m-instruct"), "Standard_D4s_v5"),
                "runtime",
                "native",
            ),
            Accepted,
        ),
        (big(), Accepted),
        (
            old(),
            Refused("would not use the GPUs of instance type Standard_NC4as_T4_v3"),
        ),
        (on_one_t4(preset("phi-4")), Refused("needs 8.0")),
        (
            annotated(on_one_t4(preset("phi-4")), "bypass-resource-checks", ""),
            Accepted,
        ),
        (on_one_t4(preset("deepseek-v4-pro")), AsPlanned),
        (
            annotated(old(), "bypass-resource-checks", ""),
            Refused("would not use the GPUs"),
        ),
        (
            annotated(
                annotated(big(), "max-context-tokens", "120000"),
                "bypass-resource-checks",
                "false",
            ),
            Accepted,
        ),
        (
            annotated(
                on(preset("phi-4"), "Standard_D8s_v5"),
                "bypass-resource-checks",
                "",
            ),
            Refused("needs an NVIDIA GPU"),
        ),
        (annotated(inference(), "max-context-tokens", "8192"), Accepted),
        (annotated(inference(), "max-context-tokens", " 8192 "), Accepted),
        (annotated(inference(), "max-context-tokens", ""), Accepted),
        (
            annotated(inference(), "max-context-tokens", "0"),
            Refused("must be a number of tokens"),
        ),
        (
            annotated(inference(), "max-context-tokens", "-1"),
            Refused("must be a number of tokens"),
        ),
        (
            annotated(inference(), "max-context-tokens", "8k"),
            Refused("must be a number of tokens"),
        ),
        (
            annotated(inference(), "max-context-tokens", "9999999999"),
            Refused("must be a number of tokens"),
        ),
        (
            annotated(inference(), "max-context-tokens", "131073"),
            Refused("must be at most 131072"),
        ),
        (annotated(inference(), "node-image-family", "ubuntu"), Accepted),
        (
            annotated(inference(), "node-image-family", "AzureLinux"),
            Accepted,
        ),
        (
            annotated(inference(), "node-image-family", "windows"),
            Refused("must be ubuntu or azurelinux"),
        ),
        (annotated(inference(), "performance-mode", "throughput"), Accepted),
        (annotated(inference(), "performance-mode", ""), Accepted),
        (
            annotated(inference(), "performance-mode", "fast"),
            Refused("must be balanced"),
        ),
        (annotated(inference(), "use-local-weights", "true"), Accepted),
        (
            annotated(inference(), "use-local-weights", "yes"),
            Refused("must be true or false"),
        ),
        (annotated(inference(), "anything-else", "x"), Accepted),
        (
            with(
                inference(),
                "/metadata/annotations",
                json!({"example.com/a": "b"}),
            ),
            Accepted,
        ),
        (with(inference(), "/metadata/labels", json!({"a": "b"})), Accepted),
    ]
}
