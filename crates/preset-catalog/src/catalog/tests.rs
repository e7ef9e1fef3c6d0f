//! Tests of the embedded catalog, of lookup, and of what is refused.

use proptest::prelude::*;

use super::*;
use crate::preset::{Runtime, TuningMethod};
use crate::problem::Problem;

fn catalog() -> &'static Catalog {
    Catalog::embedded().expect("the embedded catalog is valid")
}

#[track_caller]
fn find(name: &str) -> &'static Preset {
    catalog().find(name).expect(name)
}

/// The closed list of names that older Workspaces use.
const ALIASES: [(&str, &str); 25] = [
    ("deepseek-r1-0528", "deepseek-ai/DeepSeek-R1-0528"),
    (
        "deepseek-r1-distill-llama-8b",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    ),
    (
        "deepseek-r1-distill-qwen-14b",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    ),
    ("deepseek-v3-0324", "deepseek-ai/DeepSeek-V3-0324"),
    ("gemma-3-27b-instruct", "google/gemma-3-27b-it"),
    ("gemma-3-4b-instruct", "google/gemma-3-4b-it"),
    ("gpt-oss-120b", "openai/gpt-oss-120b"),
    ("gpt-oss-20b", "openai/gpt-oss-20b"),
    ("llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct"),
    ("llama-3.3-70b-instruct", "meta-llama/Llama-3.3-70B-Instruct"),
    (
        "ministral-3-14b-instruct",
        "mistralai/Ministral-3-14B-Instruct-2512",
    ),
    (
        "ministral-3-3b-instruct",
        "mistralai/Ministral-3-3B-Instruct-2512",
    ),
    (
        "ministral-3-8b-instruct",
        "mistralai/Ministral-3-8B-Instruct-2512",
    ),
    ("mistral-7b", "mistralai/Mistral-7B-v0.3"),
    ("mistral-7b-instruct", "mistralai/Mistral-7B-Instruct-v0.3"),
    (
        "mistral-large-3-675b-instruct",
        "mistralai/Mistral-Large-3-675B-Instruct-2512",
    ),
    (
        "phi-3-medium-128k-instruct",
        "microsoft/Phi-3-medium-128k-instruct",
    ),
    ("phi-3-medium-4k-instruct", "microsoft/Phi-3-medium-4k-instruct"),
    ("phi-3-mini-128k-instruct", "microsoft/Phi-3-mini-128k-instruct"),
    ("phi-3-mini-4k-instruct", "microsoft/Phi-3-mini-4k-instruct"),
    ("phi-3.5-mini-instruct", "microsoft/Phi-3.5-mini-instruct"),
    ("phi-4", "microsoft/phi-4"),
    ("phi-4-mini-instruct", "microsoft/Phi-4-mini-instruct"),
    ("qwen2.5-coder-32b-instruct", "Qwen/Qwen2.5-Coder-32B-Instruct"),
    ("qwen2.5-coder-7b-instruct", "Qwen/Qwen2.5-Coder-7B-Instruct"),
];

#[test]
fn every_alias_leads_to_its_model() {
    for (alias, hub_id) in ALIASES {
        assert_eq!(find(alias).hub_id, hub_id);
        assert_eq!(find(&alias.to_uppercase()).hub_id, hub_id);
        assert_eq!(find(&hub_id.to_lowercase()).hub_id, hub_id);
    }
}

#[test]
fn presets_are_complete_and_in_name_order() {
    // 60 of upstream, 5 of its legacy list, 6 of the Machine era, 3 for the CPU.
    assert_eq!(catalog().len(), 74);
    assert!(catalog().iter().map(|preset| &preset.name).is_sorted());
    for preset in catalog().iter() {
        assert_eq!(
            preset.inference.is_some(),
            preset.deprecated.is_none(),
            "{}",
            preset.name
        );
        assert!(preset.shape.attention.is_some(), "{}", preset.name);
    }
}

#[test]
fn the_smallest_preset_runs_anywhere() {
    let preset = find("smollm2-135m-instruct");
    let inference = preset.inference.as_ref().unwrap();
    assert_eq!((inference.cpu, inference.runtimes[0]), (true, Runtime::Native));
    assert_eq!(
        (preset.shape.weights_bytes, preset.shape.kv_bytes_per_token),
        (1 << 28, 30 * 2 * 3 * 64 * 2)
    );
    assert!(!inference.vllm_flags.contains_key("tool-call-parser"));
}

#[test]
fn legacy_presets_are_served_and_a_deprecated_one_is_not() {
    for name in [
        "falcon-7b",
        "falcon-7b-instruct",
        "falcon-40b",
        "falcon-40b-instruct",
    ] {
        assert!(find(name).inference.is_some() && find(name).deprecated.is_none());
    }
    let phi_2 = find("phi-2");
    assert!(phi_2.deprecated.is_some() && phi_2.inference.is_none() && phi_2.tuning.is_none());
}

#[test]
fn presets_that_can_be_tuned() {
    let images: Vec<_> = catalog()
        .iter()
        .filter_map(|preset| Some(preset.tuning.as_ref()?.weights_image.as_str()))
        .filter(|image| !image.is_empty())
        .collect();
    assert_eq!(
        images,
        [
            "kaito-mistral-7b:0.2.0",
            "kaito-phi-3-medium-128k-instruct:0.2.0",
            "kaito-phi-3-medium-4k-instruct:0.2.0",
            "kaito-phi-3-mini-128k-instruct:0.2.0",
            "kaito-phi-3-mini-4k-instruct:0.2.0",
            "kaito-phi-3.5-mini-instruct:0.2.0",
            "kaito-phi-4:0.2.0",
            "kaito-phi-4-mini-instruct:0.2.0",
            "kaito-qwen2.5-coder-32b-instruct:0.2.0",
            "kaito-qwen2.5-coder-7b-instruct:0.2.0",
        ]
    );
    for small in ["smollm2-135m-instruct", "smollm2-360m-instruct"] {
        let tuning = find(small).tuning.as_ref().unwrap();
        assert!(
            tuning.weights_files.contains(&"model.safetensors".to_owned()),
            "{small}"
        );
    }
    let tuning = find("qwen2.5-coder-32b-instruct").tuning.as_ref().unwrap();
    assert_eq!(
        (tuning.disk_gib, &tuning.methods[..]),
        (230, &TuningMethod::ALL[..])
    );
}

#[test]
fn suggestions() {
    assert_eq!(catalog().near("phi4")[0], "phi-4");
    assert_eq!(catalog().near("llama-3-8b")[0], "llama-3.1-8b-instruct");
    assert_eq!(
        catalog().near("meta/llama-3.1-8b-instruct")[0],
        "llama-3.1-8b-instruct"
    );
    assert_eq!(catalog().near("mistral7b")[0], "mistral-7b-v0.3");
    assert_eq!(catalog().near("falcon").len(), 3);
    assert!(
        !catalog().near("phi").contains(&"phi-2"),
        "a deprecated preset is no advice"
    );
    assert!(catalog().near("completely-unrelated").is_empty());
}

#[test]
fn the_version_names_the_data() {
    assert_eq!(catalog().version().len(), 2 * VERSION_BYTES);
    assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
    assert_eq!(digest(["ab", "c"]), digest(["ab", "c"]));
}

const ENTRY: &str = "hub_id: A/Model, license: mit, architecture: X, weights: 1Gi, max_context_tokens: 8, kv_bytes_per_token: 4";

#[track_caller]
fn problems(entries: &[&str]) -> Vec<Problem> {
    let yaml: String = entries.iter().map(|entry| format!("- {{{entry}}}\n")).collect();
    match Catalog::from_presets_yaml(&yaml) {
        Err(CatalogError::Invalid(violations)) => violations.into_iter().map(|found| found.problem).collect(),
        other => panic!("expected violations, got {other:?}"),
    }
}

#[test]
fn names_must_be_unique() {
    let taken = |name: &str| Problem::NameTaken {
        name: name.to_owned(),
        owner: "model".to_owned(),
    };
    assert_eq!(problems(&[&format!("{ENTRY}, aliases: [m, M]")]), [taken("m")]);
    assert_eq!(
        problems(&[&format!("{ENTRY}, aliases: [model]")]),
        [taken("model")]
    );
    let other_owner = ENTRY.replace("A/Model", "B/MODEL");
    assert_eq!(problems(&[ENTRY, &other_owner]), [taken("model")]);
    assert_eq!(
        problems(&[ENTRY, &ENTRY.replace("Model", "model")]),
        [taken("model"), taken("a/model")]
    );
}

#[test]
fn facts_must_make_sense() {
    let zeros = ENTRY
        .replace("1Gi", "0Gi")
        .replace(": 8", ": 0")
        .replace(": 4", ": 0");
    let zero = |fields: &[&'static str]| fields.iter().copied().map(Problem::Zero).collect::<Vec<_>>();
    assert_eq!(
        problems(&[&zeros]),
        zero(&["weights", "max_context_tokens", "kv_bytes_per_token"])
    );
    assert_eq!(
        problems(&[&ENTRY.replace("mit", "' '")]),
        [Problem::Empty("license")]
    );
    assert_eq!(
        problems(&[&ENTRY.replace("A/Model", "model")]),
        [
            Problem::BadHubId("model".to_owned()),
            Problem::NameTaken {
                name: "model".to_owned(),
                owner: "model".to_owned(),
            }
        ]
    );
    assert_eq!(
        problems(&[&format!("{ENTRY}, aliases: [-x]")]),
        [Problem::BadName("-x".to_owned())]
    );
    assert_eq!(
        problems(&[&format!("{ENTRY}, cpu: true")]),
        [Problem::CpuWithoutNativeRuntime]
    );
    assert_eq!(
        problems(&[&format!("{ENTRY}, runtimes: []")]),
        [Problem::Empty("runtimes")]
    );
    assert_eq!(
        problems(&[&format!("{ENTRY}, runtimes: [vllm, vllm]")]),
        [Problem::Repeated("runtimes")]
    );
    let tuning = "tuning: {methods: [], disk_gib: 0, weights_image: x}";
    assert_eq!(
        problems(&[&format!("{ENTRY}, {tuning}")]),
        [
            Problem::Zero("tuning.disk_gib"),
            Problem::Empty("tuning.methods"),
            Problem::BadWeightsImage("x".to_owned()),
        ]
    );
    let weights = |of: &str| problems(&[&format!("{ENTRY}, tuning: {{methods: [lora], disk_gib: 1{of}}}")]);
    assert_eq!(weights(""), [Problem::BadWeightsImage(String::new())]);
    assert_eq!(
        weights(", weights_files: [../a, .b]"),
        ["../a", ".b"].map(|name| Problem::BadWeightsFile(name.to_owned()))
    );
    assert!(matches!(
        weights(", weights_image: 'a:b', weights_files: [a]")[..],
        [Problem::Contradiction(_)]
    ));
}

#[test]
fn layers_and_heads_must_agree() {
    let contradiction = |what| [Problem::Contradiction(what)];
    let entry = ENTRY.replace("kv_bytes_per_token: 4", "kv_bytes_per_token: 12");
    let with = |more: &str| problems(&[&format!("{entry}, {more}")]);
    assert_eq!(
        with("layers: 0, attention_heads: 0, kv_heads: 0"),
        ["layers", "attention_heads", "kv_heads"].map(Problem::Zero)
    );
    assert_eq!(
        with("layers: 5"),
        contradiction("kv_bytes_per_token is not a multiple of layers")
    );
    assert_eq!(
        with("attention_heads: 8, kv_heads: 3"),
        contradiction("attention_heads is not a multiple of kv_heads")
    );
    assert_eq!(
        with("attention: MLA, kv_heads: 1"),
        contradiction("latent attention (MLA) must not have kv_heads")
    );
    assert_eq!(
        with("attention: MQA, kv_heads: 2"),
        contradiction("multi-query attention (MQA) has one of kv_heads")
    );
    assert_eq!(
        with("hybrid_cache: {full_layers: 1}"),
        contradiction("hybrid_cache takes the number of layers")
    );
    assert_eq!(
        with("layers: 4, hybrid_cache: {full_layers: 3, window_layers: 2, window_tokens: 8}"),
        contradiction("hybrid_cache has more layers than the model")
    );
    assert_eq!(
        with("layers: 4, hybrid_cache: {full_layers: 3, window_layers: 1}"),
        contradiction("hybrid_cache must have window_tokens exactly when it has window_layers")
    );
    let yaml = format!("- {{{entry}, layers: 4, hybrid_cache: {{full_layers: 1, state: 0.5Gi}}}}");
    let catalog = Catalog::from_presets_yaml(&yaml).unwrap();
    let shape = &catalog.find("model").unwrap().shape;
    assert_eq!(shape.hybrid_cache.unwrap().state_bytes, 1 << 29);
}

#[test]
fn malformed_entries_say_where() {
    for bad in [
        format!("{ENTRY}, price: 3"),
        ENTRY.replace("1Gi", "1GB"),
        ENTRY.replace("license: mit, ", ""),
    ] {
        let error = Catalog::from_presets_yaml(&format!("- {{{bad}}}")).unwrap_err();
        assert!(
            matches!(
                error,
                CatalogError::Malformed {
                    document: "presets",
                    ..
                }
            ),
            "{error}"
        );
    }
    assert!(Catalog::from_presets_yaml("[]").unwrap().is_empty());
}

/// Lines of a preset file, right and wrong, in any order.
fn yaml_like() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("- hub_id: A/Model".to_owned()),
        Just(format!("- {{{ENTRY}}}")),
        Just("  weights: 1Gi".to_owned()),
        Just("  tuning: {methods: [lora], disk_gib: 1, weights_image: 'a:b'}".to_owned()),
        Just("  hybrid_cache: {full_layers: 1, state: 1Gi}".to_owned()),
        Just("- &a [*a, *a]".to_owned()),
        Just("? !!binary |".to_owned()),
        "[ ]{0,4}[a-z_]{1,12}: [-0-9.eEGi]{0,24}",
        "[- ]{0,4}[\\[\\]{}&*!|>'\"%@`#,:?-]{0,8}",
        "\\PC{0,30}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(yaml in yaml_like()) {
        match Catalog::from_presets_yaml(&yaml) {
            Ok(catalog) => prop_assert!(catalog.iter().all(|preset| catalog.find(&preset.name).is_some())),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Catalog::from_presets_yaml(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_question_is_answered(asked in "\\PC{0,60}") {
        for name in catalog().near(&asked) {
            prop_assert!(catalog().find(name).is_some());
        }
        prop_assert!(catalog().near(&asked).len() <= did_you_mean::MOST);
    }
}
