//! Files, and what is said about them.

use proptest::prelude::*;

use super::*;
use crate::Catalog;
use crate::estimate::{CacheFormat, WeightsFormat};

fn preset(name: &str) -> &'static Preset {
    Catalog::embedded().unwrap().find(name).unwrap()
}

fn parse(text: &str) -> Result<EngineConfig, EngineConfigError> {
    EngineConfig::parse(text, UnknownFlags::Refused)
}

fn vllm(text: &str) -> BTreeMap<String, String> {
    parse(text).unwrap().vllm
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let error = parse(text).unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn flags_stand_as_the_command_line_has_them() {
    let found = vllm(
        "max_probe_steps: 6
kv_cache_cpu_memory_utilization: 0.5
vllm:
  max-model-len: 4096
  --gpu_memory_utilization: 0.95
",
    );
    let all: Vec<(&str, &str)> = found
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        all,
        [
            ("gpu-memory-utilization", "0.95"),
            ("kaito-kv-cache-cpu-memory-utilization", "0.5"),
            ("kaito-max-probe-steps", "6"),
            ("max-model-len", "4096"),
        ]
    );
}

#[test]
fn switches_have_two_forms() {
    let one = |text: &str| vllm(text).into_iter().next().unwrap();
    let bare = |name: &str| (name.to_owned(), String::new());
    assert_eq!(one("vllm: {enforce-eager: true}"), bare("enforce-eager"));
    assert_eq!(one("vllm: {enforce_eager: 'True'}"), bare("enforce-eager"));
    assert_eq!(
        one("vllm: {enable-prefix-caching: false}"),
        bare("no-enable-prefix-caching")
    );
    assert_eq!(
        one("vllm: {no-enable-prefix-caching: true}"),
        bare("no-enable-prefix-caching")
    );
    assert_eq!(
        one("vllm: {no-enable-prefix-caching: false}"),
        bare("enable-prefix-caching")
    );
    refused("vllm: {enforce-eager: 1}", "must be true or false");
    refused("vllm: {disable-log-stats: false}", "must be true, or absent");
    refused("vllm: {enforce-eager: true, enforce_eager: true}", "set twice");
    let dotted = one("vllm: {compilation-config.pass_config.fuse_allreduce_rms: false}");
    assert_eq!(dotted.1, "False", "a part of a JSON value is a value");
}

#[test]
fn what_is_not_understood_is_said() {
    refused(
        "vllm: {max-modl-len: 4096}",
        "unknown flag vllm.max-modl-len; did you mean max-model-len",
    );
    // The parser of vLLM completes names.
    refused("vllm: {trust-remote: true}", "unknown flag vllm.trust-remote");
    refused(
        "vllm: {enforce-eager.x: true}",
        "unknown flag vllm.enforce-eager.x",
    );
    refused("vlm: {}", "unknown key vlm; did you mean vllm");
    refused("vllm: [1]", "vllm must be a map");
    refused("[1]", "must be a map");
    refused("vllm: {a: [", "must be YAML");
    refused("vllm: {max-num-seqs: [1, 2]}", "must be one value");
    refused("vllm: {max-num-seqs: }", "must have a value");
    refused("vllm: {max-num-seqs: ''}", "must be set to a value");
    refused("vllm: {max-model-len: many}", "a whole number");
    refused("vllm: {max-model-len: -5}", "a whole number");
    refused("vllm: {gpu-memory-utilization: 95}", "from 0.01 to 1");
    refused("vllm: {gpu-memory-utilization: 'nan'}", "from 0.01 to 1");
    refused("vllm: {tensor-parallel-size: 0}", "a whole number of at least 1");
    refused("vllm: {cpu-offload-gb: -1}", "a number of GiB");
    refused("kv_cache_cpu_memory_utilization: 2", "from 0 to 1");
    refused("max_probe_steps: no", "a whole number");
    refused(
        "native: {thread: 2}",
        "unknown flag native.thread; did you mean threads",
    );
    refused("native: {dtype: int4}", "expected one of");
    refused(&"a".repeat(MAX_BYTES + 1), "must have at most");
    assert_eq!(parse("").unwrap(), EngineConfig::default());
    assert_eq!(parse("vllm:\n").unwrap(), EngineConfig::default());
}

#[test]
fn flags_of_the_operator_are_refused() {
    for (flag, part) in [
        ("host", "address"),
        ("api_key", "protection"),
        ("model", "its commit"),
        ("revision", "its commit"),
        ("data-parallel-size", "divides"),
        ("middleware", "no commit pins"),
        ("worker-extension-cls", "no commit pins"),
        ("lora-modules", "inference.adapters"),
        ("allowed-local-media-path", "read files"),
        ("kaito-config-file", "starts the engine"),
        ("kv-transfer-config.kv_connector_module_path", "divides"),
        ("speculative-config.model", "second model"),
    ] {
        let error = parse(&format!("vllm: {{'{flag}': x}}")).unwrap_err();
        assert!(
            matches!(&error, EngineConfigError::Refused { why, .. } if why.contains(part)),
            "{error}"
        );
    }
    refused(
        "vllm: {speculative-config: '{\"mod\\u0065l\": \"a/b\"}'}",
        "second model",
    );
    refused("vllm: {speculative-config: x}", "must be JSON");
    assert!(
        parse("vllm: {speculative-config: '{\"method\": \"ngram\", \"num_speculative_tokens\": 4}'}").is_ok()
    );
}

#[test]
fn an_image_of_the_users_own_may_know_other_flags() {
    let text = "vllm: {swap-space: 4, old-switch: false, host: 0.0.0.0}";
    assert!(
        EngineConfig::parse(text, UnknownFlags::Passed).is_err(),
        "ours stay ours"
    );
    let found =
        EngineConfig::parse("vllm: {swap-space: 4, old-switch: false}", UnknownFlags::Passed).unwrap();
    assert_eq!(found.vllm["swap-space"], "4");
    assert!(found.vllm.contains_key("no-old-switch"));
}

#[test]
fn the_model_is_considered() {
    let check = |text: &str, name: &str, part: &str| {
        let found = parse(text).unwrap().check(preset(name), Runtime::Vllm);
        match found {
            Ok(()) => assert_eq!(part, "", "{text}"),
            Err(error) => assert!(!part.is_empty() && error.to_string().contains(part), "{error}"),
        }
    };
    check("vllm: {max-model-len: 4096}", "phi-3-mini-4k-instruct", "");
    check(
        "vllm: {max-model-len: 4097}",
        "phi-3-mini-4k-instruct",
        "longer than the 4096",
    );
    check("vllm: {max-model-len: auto}", "phi-3-mini-4k-instruct", "");
    check(
        "vllm: {quantization: awq}",
        "gpt-oss-20b",
        "quantized by mxfp4 already",
    );
    check("vllm: {quantization: fp8}", "phi-4", "");
    let unpinned = Preset {
        revision: None,
        ..preset("phi-4").clone()
    };
    let pinned = Preset {
        revision: Some("a".repeat(40)),
        ..unpinned.clone()
    };
    let trusts = parse("vllm: {trust-remote-code: true}").unwrap();
    assert!(
        trusts
            .check(&unpinned, Runtime::Vllm)
            .unwrap_err()
            .to_string()
            .contains("no fixed commit")
    );
    assert_eq!(trusts.check(&pinned, Runtime::Vllm), Ok(()));
}

#[test]
fn sizes_are_read() {
    let options = |text: &str| parse(text).unwrap().options;
    let found = options(
        "vllm: {gpu-memory-utilization: 0.29, kv-cache-dtype: fp8_e5m2, dtype: float32, tensor-parallel-size: '2', \
         pipeline-parallel-size: 3, cpu-offload-gb: 1.5}",
    );
    let expected = EngineOptions {
        memory_percent: Some(29),
        cache: CacheFormat::EightBit,
        weights: WeightsFormat::Float32,
        tensor_parallel: Some(2),
        pipeline_parallel: Some(3),
        offload_bytes_per_gpu: 3 << 29,
        host: None,
    };
    assert_eq!(found, expected);
    assert_eq!(
        found.to_string(),
        "29 % of GPU memory, weights in 32 bits, 8-bit KV cache, 1.50 GiB of weights of each GPU in the node's memory, \
         tensor parallelism 2, pipeline parallelism 3"
    );
    assert_eq!(
        options("vllm: {quantization: bitsandbytes}").weights,
        WeightsFormat::BitsAndBytes
    );
    assert_eq!(
        options("vllm: {max-num-seqs: 8, cpu-offload-gb: 0}"),
        EngineOptions::DEFAULT
    );
}

#[test]
fn our_own_server_has_its_section() {
    let found =
        parse("native: {threads: 2, dtype: bf16, chat-template: '{{ a }}'}\nvllm: {max-model-len: 512}")
            .unwrap();
    assert_eq!(found.native["threads"], "2");
    assert_eq!(found.context_tokens(Runtime::Native), Some(512));
    let found = parse("native: {max-context-tokens: 256}\nvllm: {max-model-len: 512}").unwrap();
    assert_eq!(found.context_tokens(Runtime::Native), Some(256));
    assert_eq!(found.context_tokens(Runtime::Vllm), Some(512));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn any_flag_is_answered_in_one_line(name in "[a-z_.-]{0,24}", value in "\\PC{0,24}") {
        let text = format!("vllm: {{'{}': '{}'}}", name, value.replace('\'', ""));
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}
