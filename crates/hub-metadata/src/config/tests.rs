//! Shapes of known models from their config.json, and of hostile ones.

use super::*;

fn shape(json: &str) -> Result<ModelShape, MetadataError> {
    ModelConfig::parse(json)?.shape(1 << 30, None, None)
}

#[track_caller]
fn check(json: &str, attention: AttentionKind, kv_bytes_per_token: u64, context: u32) {
    let shape = shape(json).unwrap();
    assert_eq!(
        (
            shape.attention,
            shape.kv_bytes_per_token,
            shape.max_context_tokens
        ),
        (Some(attention), kv_bytes_per_token, context)
    );
}

#[test]
fn attention_of_every_kind() {
    // phi-4: 204800 in the catalog.
    check(
        r#"{"architectures": ["Phi3ForCausalLM"], "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40,
            "num_key_value_heads": 10, "max_position_embeddings": 16384}"#,
        AttentionKind::Gqa,
        204_800,
        16_384,
    );
    // DeepSeek-V3: 70272 in the catalog.
    check(
        r#"{"architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 7168, "num_hidden_layers": 61,
            "num_attention_heads": 128, "num_key_value_heads": 128, "kv_lora_rank": 512, "qk_rope_head_dim": 64,
            "max_position_embeddings": 163840}"#,
        AttentionKind::Mla,
        70_272,
        163_840,
    );
    // falcon-7b: 8192.
    check(
        r#"{"architectures": ["FalconForCausalLM"], "hidden_size": 4544, "num_hidden_layers": 32,
            "num_attention_heads": 71, "multi_query": true}"#,
        AttentionKind::Mqa,
        8192,
        2048,
    );
    // GPT-2, with the oldest names.
    check(
        r#"{"architectures": ["GPT2LMHeadModel"], "n_embd": 768, "n_layer": 12, "n_head": 12, "n_ctx": 1024}"#,
        AttentionKind::Mha,
        36_864,
        1024,
    );
}

#[test]
fn the_language_part_fills_in_what_the_top_leaves_out() {
    // gemma-3-27b-it: 507904 in the catalog.
    check(
        r#"{"architectures": ["Gemma3ForConditionalGeneration"], "num_hidden_layers": null,
            "text_config": {"hidden_size": 5376, "num_hidden_layers": 62, "num_attention_heads": 32,
            "num_key_value_heads": 16, "head_dim": 128, "max_position_embeddings": 131072, "rope_theta": Infinity}}"#,
        AttentionKind::Gqa,
        507_904,
        131_072,
    );
}

const SMALL: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 100}"#;

#[test]
fn quantisation_is_named_by_the_first_key() {
    let with = |quantization: &str| {
        let json = SMALL.replace(
            "\"hidden_size\"",
            &format!("\"quantization_config\": {quantization}, \"hidden_size\""),
        );
        shape(&json).unwrap().quantization
    };
    assert_eq!(with("null"), None);
    assert_eq!(
        with(r#"{"quant_method": "awq", "bits": 4}"#).as_deref(),
        Some("awq")
    );
    let method = with(r#"{"quant_method": "compressed-tensors", "format": "float-quantized"}"#);
    assert_eq!(method.as_deref(), Some("float-quantized"));
    assert_eq!(with("{}").as_deref(), Some("unknown"));
}

#[track_caller]
fn refused(json: &str, expected: &str) {
    assert_eq!(shape(json).unwrap_err().to_string(), expected);
}

#[test]
fn refusals_say_what_is_missing_or_absurd() {
    refused("{}", "config.json must have the number of layers");
    refused(
        &SMALL.replace("[\"LlamaForCausalLM\"]", "[]"),
        "config.json must have the architecture",
    );
    refused(
        &SMALL.replace("LlamaForCausalLM", "BertModel"),
        "the architecture `BertModel` is not one that generates text, so no engine can serve it",
    );
    refused(
        &SMALL.replace(
            "LlamaForCausalLM",
            "T5ForConditionalGeneration\"], \"is_encoder_decoder\": true, \"x\": [\"",
        ),
        "the architecture `T5ForConditionalGeneration` is not one that generates text, so no engine can serve it",
    );
    refused(
        &SMALL.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1e15"),
        "the number of layers in config.json must be from 1 to 1000, not 1000000000000000",
    );
    refused(
        &SMALL.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 0"),
        "the number of attention heads in config.json must be from 1 to 262144, not 0",
    );
    refused(
        &SMALL.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 128"),
        "the size of a head in config.json must be from 1 to 262144, not 0",
    );
    refused(
        &SMALL.replace(
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 4, \"num_key_value_heads\": 8",
        ),
        "the number of key and value heads in config.json must be from 1 to 4, not 8",
    );
}

#[test]
fn a_size_that_no_model_has_is_refused() {
    let config = ModelConfig::parse(SMALL).unwrap();
    let most = 4_u64 << 40;
    assert!(config.shape(most, None, None).is_ok());
    for bytes in [0, most + 1, u64::MAX] {
        assert_eq!(
            config.shape(bytes, None, None).unwrap_err().to_string(),
            format!("the total size in bytes in the weight files must be from 1 to {most}, not {bytes}")
        );
    }
    let wide = SMALL.replace(
        "\"num_attention_heads\": 4",
        "\"num_attention_heads\": 200000, \"head_dim\": 200000",
    );
    refused(
        &wide,
        "the bytes of context for one token in config.json must be from 1 to 67108864, not 320000000000",
    );
}

#[test]
fn context_of_the_generation_config_is_the_last_resort() {
    let silent = SMALL.replace("\"max_position_embeddings\": 100", "\"model_max_length\": 1e30");
    let context = |length| {
        let config = ModelConfig::parse(&silent).unwrap();
        config.shape(1, length, None).unwrap().max_context_tokens
    };
    assert_eq!([None, Some(20), Some(4096)].map(context), [2048, 2048, 4096]);
    assert_eq!(
        max_length(r#"{"max_length": 4096, "temperature": NaN}"#),
        Some(4096)
    );
    assert_eq!(max_length("nothing"), None);
}
