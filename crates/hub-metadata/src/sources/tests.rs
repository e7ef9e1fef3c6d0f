//! From the texts of a hub to presets, and any text at all.

use preset_catalog::Catalog;
use proptest::prelude::*;

use super::*;
use crate::{ModelInfo, index_total};

fn sources() -> Sources {
    let preset = Catalog::embedded().unwrap().find("phi-4").unwrap();
    Sources {
        id: preset.hub_id.clone(),
        revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        license: preset.license.clone(),
        gated: false,
        mistral: false,
        config: r#"{"architectures": ["Phi3ForCausalLM"], "hidden_size": 5120, "num_hidden_layers": 40,
            "num_attention_heads": 40, "num_key_value_heads": 10, "max_position_embeddings": 16384}"#
            .to_owned(),
        generation_config: None,
        weights_bytes: preset.shape.weights_bytes,
    }
}

#[test]
fn the_hub_gives_what_the_catalog_says() {
    let expected = Catalog::embedded().unwrap().find("phi-4").unwrap();
    let actual = sources().preset().unwrap();
    assert_eq!(actual.head.as_deref(), Some(sources().revision.as_str()));
    assert_eq!(actual.shape, expected.shape);
    let (actual, expected) = (actual.inference.unwrap(), expected.inference.as_ref().unwrap());
    assert_eq!(actual.vllm_flags, expected.vllm_flags);
    assert_eq!((actual.disk_gib, actual.distributed), (expected.disk_gib, true));
}

#[test]
fn mistrals_own_layout() {
    let sources = Sources {
        id: "mistralai/Ministral-3-9B".to_owned(),
        mistral: true,
        config: r#"{"dim": 4096, "n_layers": 34, "n_heads": 32, "n_kv_heads": 8, "head_dim": 128, "max_seq_len": 262144}"#
            .to_owned(),
        ..sources()
    };
    let preset = sources.preset().unwrap();
    assert_eq!(preset.shape.architecture, "Mistral3ForConditionalGeneration");
    assert_eq!(
        (preset.shape.kv_bytes_per_token, preset.shape.max_context_tokens),
        (139_264, 262_144)
    );
    assert_eq!(preset.inference.unwrap().vllm_flags["load_format"], "mistral");
}

#[test]
fn what_is_stored_is_read_again() {
    let json = serde_json::to_string(&sources()).unwrap();
    assert_eq!(serde_json::from_str::<Sources>(&json).unwrap(), sources());
    let elsewhere = Sources {
        id: "../../etc/passwd".to_owned(),
        ..sources()
    };
    assert!(elsewhere.preset().is_err());
}

#[test]
fn a_name_that_can_be_no_label_is_refused() {
    let long = Sources {
        id: format!("acme/{}", "x".repeat(64)),
        ..sources()
    };
    assert!(long.preset().unwrap_err().to_string().contains("must be 1 to 63"));
}

/// JSON that resembles what is read: its keys with values of all kinds.
fn json() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "architectures",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "kv_lora_rank",
        "qk_rope_head_dim",
        "multi_query",
        "text_config",
        "llm_config",
        "quantization_config",
        "format",
        "max_position_embeddings",
        "is_encoder_decoder",
        "id",
        "sha",
        "siblings",
        "rfilename",
        "gated",
        "cardData",
        "license",
        "metadata",
        "total_size",
        "max_length",
        "é",
    ]);
    let leaf = prop::sample::select(vec![
        "0",
        "1",
        "4",
        "-1",
        "1e308",
        "18446744073709551615",
        "16777216",
        "10000",
        "NaN",
        "-Infinity",
        "true",
        "null",
        "\"\"",
        "\"7\"",
        "[\"LlamaForCausalLM\"]",
        "[[]]",
        "\"LlamaForCausalLM\"",
        "\"\\u0000\"",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec((key.clone(), inner.clone()), 0..8).prop_map(|fields| {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(key, value)| format!("\"{key}\": {value}"))
                    .collect();
                format!("{{{}}}", fields.join(", "))
            }),
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_breaks_the_reader(
        config in prop_oneof![any::<String>(), json()],
        generation_config in prop::option::of(json()),
        weights_bytes in any::<u64>(),
        mistral in any::<bool>(),
    ) {
        let sources = Sources { config, generation_config, weights_bytes, mistral, ..sources() };
        if let Ok(preset) = sources.preset() {
            prop_assert!(preset.shape.kv_bytes_per_token > 0 && preset.shape.max_context_tokens > 0);
            prop_assert!(preset.shape.weights_bytes == weights_bytes && weights_bytes > 0);
        }
        let _ = ModelInfo::parse(sources.config.as_bytes()).map(|info| info.weight_files());
        let _ = index_total(sources.config.as_bytes());
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ModelInfo::parse(&bytes);
        let _ = index_total(&bytes);
    }

    #[test]
    fn deep_nesting_is_refused_not_followed(depth in 1usize..20_000) {
        let text = format!("{{\"text_config\": {}", "{\"text_config\": ".repeat(depth));
        let sources = Sources { config: text, ..sources() };
        prop_assert!(sources.preset().is_err());
    }
}
