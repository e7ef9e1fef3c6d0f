//! Broken and hostile files: a clear error, no panic, and no memory taken for what a file merely claims.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Adapter, ChatTemplate, Decoder, GenerationConfig, Precision, Spec, TensorStore, Tokenizer};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn dir_with(file: &str, bytes: &[u8]) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(file), bytes).unwrap();
    dir
}

/// A safetensors file of this header and so many bytes of data.
fn safetensors(header: &str, bytes: usize) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &vec![0; bytes],
    ]
    .concat()
}

fn open(bytes: &[u8]) -> Result<TensorStore, String> {
    TensorStore::open(dir_with("model.safetensors", bytes).path()).map_err(|error| error.to_string())
}

#[test]
fn odd_safetensors_are_refused_with_a_reason() {
    let one = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let cases = [
        (vec![], "truncated"),
        (b"{}".to_vec(), "truncated"),
        (u64::MAX.to_le_bytes().to_vec(), "expected a safetensors file"),
        ((1_u64 << 25).to_le_bytes().to_vec(), "truncated"),
        (safetensors("not json", 0), "broken header"),
        (safetensors(&one("[4]", "[0,16]"), 8), "truncated"),
        (safetensors(&one("[5]", "[0,16]"), 16), "broken header"),
        (safetensors(&one("[4]", "[4,20]"), 20), "broken header"),
        (
            safetensors(&one("[18446744073709551615,2]", "[0,16]"), 16),
            "broken header",
        ),
        (safetensors(&one("[-1]", "[0,16]"), 16), "broken header"),
    ];
    for (bytes, reason) in cases {
        let error = open(&bytes).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    let store = open(&safetensors(
        r#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#,
        8,
    ))
    .unwrap();
    assert!(store.read("a").unwrap_err().to_string().contains("I64"));
    assert!(store.read("b").unwrap_err().to_string().contains("`b`"));
}

#[test]
fn an_index_cannot_leave_its_directory() {
    for file in [
        "../model.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "weights.bin",
    ] {
        let index = json!({"weight_map": {"a": file}}).to_string();
        let dir = dir_with("model.safetensors.index.json", index.as_bytes());
        let error = TensorStore::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("must be a safetensors file of this directory"),
            "{error}"
        );
    }
}

#[test]
fn a_configuration_that_does_not_fit_the_weights_is_refused_before_memory_is_allocated() {
    let store = TensorStore::open(&data("llama")).unwrap();
    let mut config: Map<String, Value> =
        serde_json::from_slice(&fs::read(data("llama/config.json")).unwrap()).unwrap();
    config.insert("vocab_size".to_owned(), 4_000_000.into());
    config.insert("hidden_size".to_owned(), 65_536.into());
    let error = Decoder::load(
        Spec::parse(&config).unwrap(),
        &store,
        Precision::F32,
        &[],
        &|_| {},
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `model.embed_tokens.weight` has shape [160, 32], config.json asks for [4000000, 65536]"
    );
}

#[test]
fn absurd_configurations_name_the_field() {
    let base: Map<String, Value> =
        serde_json::from_slice(&fs::read(data("llama/config.json")).unwrap()).unwrap();
    let cases = [
        ("hidden_size", json!(0)),
        ("hidden_size", json!(1_u64 << 40)),
        ("num_hidden_layers", json!(1_000_000)),
        ("num_attention_heads", json!(-4)),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(7)),
        ("vocab_size", json!("many")),
        ("intermediate_size", Value::Null),
        ("rms_norm_eps", json!(0)),
        ("hidden_act", json!("relu6")),
        ("model_type", json!("mamba")),
        ("max_position_embeddings", json!(1e30)),
        ("quantization_config", json!({"quant_method": "gptq"})),
        ("rope_parameters", json!(5)),
        ("layer_types", json!(["full_attention"])),
    ];
    for (field, value) in cases {
        let mut config = base.clone();
        config.insert(field.to_owned(), value.clone());
        let error = Spec::parse(&config).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{field} {value}: {error}");
    }
    for rope in [
        json!({"rope_type": "linear", "factor": 0}),
        json!({"rope_type": "linear"}),
        json!({"rope_type": "warp"}),
        json!({"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}),
        json!({"rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4}),
        json!({"rope_type": "default", "partial_rotary_factor": 2}),
    ] {
        let mut config = base.clone();
        config.insert("rope_parameters".to_owned(), rope.clone());
        let error = Spec::parse(&config).unwrap_err().to_string();
        assert!(error.contains("`rope_parameters."), "{rope}: {error}");
    }
}

#[test]
fn broken_tokenizers_and_templates_are_refused() {
    for text in [
        "",
        "{}",
        "[1]",
        r#"{"model":{"type":"BPE","vocab":{"a":0},"merges":["x y"]}}"#,
    ] {
        let dir = dir_with("tokenizer.json", text.as_bytes());
        assert!(
            Tokenizer::open(dir.path())
                .unwrap_err()
                .to_string()
                .contains("expected a tokenizer"),
            "{text}"
        );
    }
    let endless = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    let template = ChatTemplate::parse(endless.to_owned(), String::new(), String::new()).unwrap();
    let conversation = model::chat::Conversation {
        messages: vec![],
        tools: None,
        add_generation_prompt: true,
        chat_template_kwargs: Map::new(),
    };
    assert!(template.render(&conversation).is_err());
    assert!(ChatTemplate::parse("{% for %}".to_owned(), String::new(), String::new()).is_err());
}

#[test]
fn adapters_that_cannot_be_merged_are_refused() {
    let source = data("adapters/first");
    let config: Value =
        serde_json::from_slice(&fs::read(source.join("adapter_config.json")).unwrap()).unwrap();
    let cases = [
        ("r", json!(5)),
        ("r", json!(0)),
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("peft_type", json!("IA3")),
        ("fan_in_fan_out", json!(true)),
    ];
    for (field, value) in cases {
        let mut config = config.clone();
        config[field] = value;
        let dir = dir_with("adapter_config.json", config.to_string().as_bytes());
        fs::copy(
            source.join("adapter_model.safetensors"),
            dir.path().join("adapter_model.safetensors"),
        )
        .unwrap();
        assert!(Adapter::open(dir.path(), 1.0).is_err(), "{field}");
    }
    assert!(Adapter::open(&source, f32::NAN).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any byte of any file changed or cut off: an error or another model, never a panic.
    #[test]
    fn mutilated_files_do_no_harm(at in 0.0_f64..1.0, byte in any::<u8>(), cut in any::<bool>(), which in 0_usize..5) {
        let name = ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"][which];
        let mut bytes = fs::read(data("llama").join(name)).unwrap();
        let at = (at * bytes.len() as f64) as usize;
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let dir = dir_with(name, &bytes);
        for file in fs::read_dir(data("llama")).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().unwrap() != name {
                fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        let dir = dir.path();
        if let (Ok(spec), Ok(store)) = (Spec::open(dir), TensorStore::open(dir)) {
            // A spec may now be huge; loading must notice that it does not fit the weights.
            let _ = Decoder::load(spec, &store, Precision::Auto, &[], &|_| {});
        }
        if let Ok(tokenizer) = Tokenizer::open(dir) {
            let _ = tokenizer.encode("the quick brown fox", true);
        }
        let _ = (ChatTemplate::open(dir), GenerationConfig::open(dir));
    }

    /// Random headers of random lengths.
    #[test]
    fn random_safetensors_headers_do_no_harm(header in "[\\[\\]{}\":,a-zF3210]{0,80}", bytes in 0_usize..64, length in any::<u64>()) {
        let _ = open(&safetensors(&header, bytes));
        let mut lying = safetensors(&header, bytes);
        lying[..8].copy_from_slice(&length.to_le_bytes());
        let _ = open(&lying);
    }
}
