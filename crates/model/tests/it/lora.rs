//! Adapters beside the weights: as good as merged ones, and invisible to sequences with another one or none.

use std::path::{Path, PathBuf};

use model::{Adapter, Decoder, KvCache, Lora, OutputMode, Precision, Segment, Spec, TensorStore};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

const TOLERANCE: f32 = 1e-3;
const TOKENS: [u32; 24] = [
    5, 77, 31, 12, 99, 4, 58, 23, 140, 7, 66, 91, 3, 18, 120, 45, 9, 81, 33, 110, 27, 62, 14, 101,
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn load(dir: &Path, adapters: &[Adapter]) -> Decoder {
    let store = TensorStore::open(dir).unwrap();
    Decoder::load(
        Spec::open(dir).unwrap(),
        &store,
        Precision::F32,
        adapters,
        &|_| {},
    )
    .unwrap()
}

fn logits(decoder: &Decoder, adapter: Option<&Lora>, tokens: &[u32]) -> Vec<f32> {
    let mut cache = decoder.cache(64);
    let mut segments = [Segment {
        tokens,
        cache: &mut cache,
        output: OutputMode::AllLogits,
    }];
    decoder
        .forward_with_adapters(&mut segments, &[adapter])
        .unwrap()
        .remove(0)
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

/// An adapter of all matrices but the embeddings, written to a directory.
fn adapter_of_everything(store: &TensorStore, home: &Path, rank: usize, seed: u64) -> PathBuf {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut numbers = |count: usize| -> Vec<u8> {
        let values = (0..count).map(|_| (random.f32() - 0.5) * 0.4);
        values.flat_map(f32::to_le_bytes).collect()
    };
    let mut names: Vec<&str> = store.names().filter(|name| name.ends_with(".weight")).collect();
    names.sort_unstable();
    let mut tensors = Vec::new();
    for name in names {
        let shape = store.shape(name).unwrap();
        let ([outputs, inputs], false) = (shape.as_slice(), name.contains("embed_tokens")) else {
            continue;
        };
        let module = format!("base_model.model.{}", name.strip_suffix(".weight").unwrap());
        tensors.push((
            format!("{module}.lora_A.weight"),
            vec![rank, *inputs],
            numbers(rank * inputs),
        ));
        tensors.push((
            format!("{module}.lora_B.weight"),
            vec![*outputs, rank],
            numbers(outputs * rank),
        ));
    }
    let dir = home.join(format!("adapter-{seed}"));
    std::fs::create_dir_all(&dir).unwrap();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, &dir.join("adapter_model.safetensors")).unwrap();
    std::fs::write(
        dir.join("adapter_config.json"),
        format!(r#"{{"r": {rank}, "lora_alpha": 6}}"#),
    )
    .unwrap();
    dir
}

#[test]
fn adapters_beside_the_weights_match_merged_ones() {
    let home = tempfile::tempdir().unwrap();
    for name in ["llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3", "granite"] {
        let dir = data(name);
        let store = TensorStore::open(&dir).unwrap();
        let adapter = adapter_of_everything(&store, &home.path().join(name), 3, 1);
        let open = || Adapter::open(&adapter, 0.7).unwrap();
        let base = load(&dir, &[]);
        let lora = base.prepare_lora(&open()).unwrap();
        assert!(lora.bytes() > 0);
        let merged = logits(&load(&dir, &[open()]), None, &TOKENS);
        let beside = logits(&base, Some(&lora), &TOKENS);
        let difference = worst(&beside, &merged);
        assert!(difference < TOLERANCE, "{name}: {difference}");
        let changed = worst(&merged, &logits(&base, None, &TOKENS));
        assert!(changed > 0.1, "{name}: {changed}");
    }
}

#[test]
fn a_sequence_gets_the_same_bits_beside_those_with_other_adapters() {
    let home = tempfile::tempdir().unwrap();
    for name in ["llama", "phi3"] {
        let dir = data(name);
        let store = TensorStore::open(&dir).unwrap();
        let base = load(&dir, &[]);
        let fitted = |rank, seed| {
            let dir = adapter_of_everything(&store, &home.path().join(name), rank, seed);
            base.prepare_lora(&Adapter::open(&dir, 1.0).unwrap()).unwrap()
        };
        let (first, second) = (fitted(2, 1), fitted(5, 2));
        let adapters = [
            Some(&first),
            None,
            Some(&second),
            Some(&first),
            None,
            Some(&second),
        ];
        // Lengths from one token to all of them.
        let tokens: Vec<&[u32]> = [1, 24, 3, 9, 1, 17]
            .iter()
            .map(|length| &TOKENS[..*length])
            .collect();
        let alone: Vec<Vec<f32>> = adapters
            .iter()
            .zip(&tokens)
            .map(|(adapter, tokens)| logits(&base, *adapter, tokens))
            .collect();
        let mut caches: Vec<KvCache> = tokens.iter().map(|_| base.cache(64)).collect();
        let mut segments: Vec<Segment<'_>> = caches
            .iter_mut()
            .zip(&tokens)
            .map(|(cache, tokens)| Segment {
                tokens,
                cache,
                output: OutputMode::AllLogits,
            })
            .collect();
        assert_eq!(
            base.forward_with_adapters(&mut segments, &adapters).unwrap(),
            alone,
            "{name}"
        );
        assert_ne!(alone[0], alone[4]);
    }
}

#[test]
fn unfitting_adapters_are_refused() {
    let base = load(&data("phi3"), &[]);
    let error = base
        .prepare_lora(&Adapter::open(&data("adapters").join("first"), 1.0).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("trained for another one"), "{error}");
    let llama = load(&data("llama"), &[]);
    let home = tempfile::tempdir().unwrap();
    let store = TensorStore::open(&data("gemma3")).unwrap();
    let adapter = adapter_of_everything(&store, home.path(), 2, 1);
    let error = llama
        .prepare_lora(&Adapter::open(&adapter, 1.0).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("do not fit a weight of"), "{error}");
}

#[test]
fn adapters_without_a_rank_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let store = TensorStore::open(&data("llama")).unwrap();
    let dir = adapter_of_everything(&store, home.path(), 0, 1);
    let config = |text: &str| std::fs::write(dir.join("adapter_config.json"), text).unwrap();
    let modules = ["q", "k", "v", "o", "gate", "up", "down"].map(|name| format!(r#""{name}_proj": 0"#));
    let all = format!(
        r#"{{"r": 4, "lora_alpha": 6, "rank_pattern": {{{}}}}}"#,
        modules.join(", ")
    );
    for text in [r#"{"r": 0, "lora_alpha": 6}"#, &all] {
        config(text);
        let error = Adapter::open(&dir, 1.0).unwrap_err();
        assert!(error.to_string().contains("out of bounds"), "{error}");
    }
}

#[test]
fn hidden_states_are_those_that_logits_come_from() {
    // Tied: the logits are products of the hidden states with the embeddings.
    let dir = data("llama");
    let base = load(&dir, &[]);
    let mut cache = base.cache(64);
    let mut segments = [Segment {
        tokens: &TOKENS,
        cache: &mut cache,
        output: OutputMode::HiddenStates,
    }];
    let states = base.forward(&mut segments).unwrap().remove(0);
    let (hidden, vocabulary) = (base.spec().hidden_size, base.spec().vocab_size);
    assert_eq!(states.len(), TOKENS.len() * hidden);
    let embeddings = TensorStore::open(&dir)
        .unwrap()
        .read("model.embed_tokens.weight")
        .unwrap()
        .into_f32();
    let product = states.chunks(hidden).flat_map(|state| {
        let rows = embeddings.chunks(hidden).take(vocabulary);
        rows.map(move |row| row.iter().zip(state).map(|(a, b)| a * b).sum::<f32>())
    });
    let product: Vec<f32> = product.collect();
    assert!(worst(&product, &logits(&base, None, &TOKENS)) < TOLERANCE);
}
