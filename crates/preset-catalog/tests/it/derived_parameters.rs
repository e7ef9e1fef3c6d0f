//! Derived parameters of sixty models, against a table of expected values.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use preset_catalog::{Catalog, Preset};

const EXPECTED: &str = include_str!("data/derived.tsv");
const LEGACY: &str = include_str!("data/legacy_presets.tsv");

/// The table's last column: what a model has beyond the usual flags.
fn extras(preset: &Preset) -> Vec<String> {
    let inference = preset.inference.as_ref().unwrap();
    let listed = [
        ("kv-cache-dtype", "kv-cache-dtype"),
        ("gdn-prefill-backend", "gdn-prefill-backend"),
        ("enable-expert-parallel", "enable-expert-parallel"),
        (
            "kernel-config.enable_flashinfer_autotune",
            "kernel-config.enable_flashinfer_autotune",
        ),
        ("kaito-kv-cache-cpu-memory-utilization", "kv-offload"),
    ];
    let mut found: Vec<_> = listed
        .into_iter()
        .filter_map(|(flag, label)| Some((label, inference.vllm_flags.get(flag)?)))
        .map(|(label, value)| {
            if value.is_empty() {
                label.to_owned()
            } else {
                format!("{label}={value}")
            }
        })
        .collect();
    if inference.vllm_env["VLLM_USE_DEEP_GEMM"] == "1" {
        found.push("DeepGEMM".to_owned());
    }
    found
}

fn check(columns: &[&str]) {
    let [
        hub_id,
        alias,
        disk,
        minutes,
        tool,
        reasoning,
        template,
        modes,
        dtype,
        quantization,
        extra,
    ] = columns
    else {
        panic!("a line of the table has {} columns", columns.len());
    };
    let preset = Catalog::embedded().unwrap().find(hub_id).expect(hub_id);
    let inference = preset.inference.as_ref().unwrap();
    let flag = |name: &str| inference.vllm_flags.get(name).map_or("", String::as_str);
    assert_eq!(preset.hub_id, *hub_id);
    assert!(
        alias.is_empty() || *alias == preset.name || preset.aliases.contains(&(*alias).to_owned()),
        "{hub_id}"
    );
    assert_eq!(inference.disk_gib.to_string(), *disk, "{hub_id}");
    assert_eq!(
        format!("{:.1}", f64::from(inference.readiness_timeout_seconds) / 60.0),
        *minutes,
        "{hub_id}"
    );
    assert_eq!(flag("tool-call-parser"), *tool, "{hub_id}");
    assert_eq!(
        inference.vllm_flags.contains_key("enable-auto-tool-choice"),
        !tool.is_empty(),
        "{hub_id}"
    );
    assert_eq!(flag("reasoning-parser"), *reasoning, "{hub_id}");
    assert_eq!(
        flag("chat-template").trim_start_matches("/workspace/chat_templates/"),
        *template,
        "{hub_id}"
    );
    assert_eq!(
        [flag("load_format"), flag("config_format"), flag("tokenizer_mode")].join("/"),
        *modes,
        "{hub_id}"
    );
    assert_eq!(flag("dtype"), *dtype, "{hub_id}");
    assert_eq!(
        preset.shape.quantization.as_deref().unwrap_or(""),
        *quantization,
        "{hub_id}"
    );
    // A CUDA toolkit on the node is not a flag.
    let expected: Vec<_> = extra
        .split_whitespace()
        .filter(|word| *word != "CUDA-toolkit")
        .collect();
    assert_eq!(
        sorted(extras(preset)),
        sorted(expected.into_iter().map(str::to_owned).collect()),
        "{hub_id}"
    );
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

#[test]
fn sixty_models_have_the_expected_parameters() {
    let lines: Vec<_> = EXPECTED.lines().skip(1).collect();
    assert_eq!(lines.len(), 60);
    for line in lines {
        check(&line.split('\t').collect::<Vec<_>>());
    }
}

#[test]
fn every_legacy_name_leads_to_its_model() {
    let lines: Vec<_> = LEGACY.lines().skip(1).collect();
    assert_eq!(lines.len(), 30);
    for line in lines {
        let [name, hub_id, tag, flags] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four columns: {line}");
        };
        let preset = Catalog::embedded().unwrap().find(name).expect(name);
        assert_eq!(preset.hub_id, hub_id);
        assert_eq!(
            preset.deprecated.is_some(),
            flags.contains("deprecated"),
            "{name}"
        );
        assert!(preset.gated || !flags.contains("gated"), "{name}");
        if let Some(tuning) = &preset.tuning {
            assert_eq!(tuning.weights_image, format!("kaito-{name}:{tag}"));
        }
    }
}

#[test]
fn names_of_the_machine_era_are_known() {
    let sizes = [("7b", 32, 32), ("13b", 40, 40), ("70b", 80, 8)];
    for (size, layers, kv_heads) in sizes {
        for kind in ["", "-chat"] {
            let name = format!("llama-2-{size}{kind}");
            let preset = Catalog::embedded().unwrap().find(&name).expect(&name);
            assert_eq!(preset.hub_id, format!("meta-llama/Llama-2-{size}{kind}-hf"));
            assert!(preset.gated && preset.inference.is_some());
            let shape = &preset.shape;
            assert_eq!((shape.layers, shape.kv_heads), (Some(layers), Some(kv_heads)));
            assert_eq!(
                shape.kv_bytes_per_token,
                u64::from(layers * kv_heads) * 2 * 128 * 2
            );
            let flags = &preset.inference.as_ref().unwrap().vllm_flags;
            assert!(
                !flags.contains_key("tool-call-parser"),
                "its template has no tools"
            );
        }
    }
}

/// Two bytes a weight: the size of a model without quantization follows from the number of its weights.
#[test]
fn sizes_agree_with_the_number_of_weights() {
    let millions = [
        ("llama-2-7b", 6738),
        ("llama-2-13b", 13_016),
        ("llama-2-70b", 68_977),
        ("smollm2-135m-instruct", 135),
        ("smollm2-360m-instruct", 362),
        ("tinyllama-1.1b-chat-v1.0", 1100),
        ("llama-3.1-8b-instruct", 8030),
    ];
    for (name, millions) in millions {
        let bytes = Catalog::embedded()
            .unwrap()
            .find(name)
            .unwrap()
            .shape
            .weights_bytes;
        let expected = f64::from(millions) * 2e6;
        let error = (bytes as f64 - expected).abs() / expected;
        assert!(error < 0.015, "{name}: {bytes} bytes");
    }
}
