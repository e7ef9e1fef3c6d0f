//! The forward pass against what torch and transformers recorded (`tools/record.py`), for every family.

use std::path::{Path, PathBuf};

use model::{
    Adapter, CacheFormat, Decoder, KvCache, OutputMode, Precision, Segment, Spec, TensorStore,
    sampling::argmax,
};

/// Largest difference of a logit; logits are around 10.
const TOLERANCE: f32 = 1e-3;

const FAMILIES: [&str; 14] = [
    "llama",
    "llama3",
    "linear",
    "mistral",
    "qwen2",
    "qwen2-yarn",
    "qwen3",
    "phi3",
    "phi3-longrope",
    "phi4",
    "gemma",
    "gemma2",
    "gemma3",
    "granite",
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn load(name: &str, precision: Precision, adapters: &[Adapter]) -> Decoder {
    let dir = data(name);
    let spec = Spec::open(&dir).unwrap();
    Decoder::load(
        spec,
        &TensorStore::open(&dir).unwrap(),
        precision,
        adapters,
        &|_| {},
    )
    .unwrap()
}

/// Recorded values of a family.
struct Expected {
    tokens: Vec<u32>,
    logits: Vec<f32>,
    greedy: Vec<u32>,
    short_logits: Vec<f32>,
}

fn expected(name: &str) -> Expected {
    let bytes = std::fs::read(data(name).join("expected.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: &str| -> Vec<[u8; 4]> {
        let tensor = tensors.tensor(name);
        tensor.map_or_else(|_| vec![], |tensor| tensor.data().as_chunks::<4>().0.to_vec())
    };
    let tokens = |name: &str| words(name).into_iter().map(u32::from_le_bytes).collect();
    let floats = |name: &str| words(name).into_iter().map(f32::from_le_bytes).collect();
    Expected {
        tokens: tokens("tokens"),
        logits: floats("logits"),
        greedy: tokens("greedy"),
        short_logits: floats("short_logits"),
    }
}

fn run(decoder: &Decoder, cache: &mut KvCache, tokens: &[u32], output: OutputMode) -> Vec<f32> {
    let mut segments = [Segment {
        tokens,
        cache,
        output,
    }];
    decoder.forward(&mut segments).unwrap().remove(0)
}

fn all_logits(decoder: &Decoder, tokens: &[u32], planned: usize) -> Vec<f32> {
    run(
        decoder,
        &mut decoder.cache(planned),
        tokens,
        OutputMode::AllLogits,
    )
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn logits_match_torch() {
    for name in FAMILIES {
        let (decoder, expected) = (load(name, Precision::F32, &[]), expected(name));
        let long = worst(&all_logits(&decoder, &expected.tokens, 64), &expected.logits);
        let short = worst(
            &all_logits(&decoder, &expected.tokens[..10], 10),
            &expected.short_logits,
        );
        let most = expected
            .logits
            .iter()
            .fold(0.0_f32, |most, logit| most.max(logit.abs()));
        println!("{name:14} {long:.1e} {short:.1e} of {most:.1}");
        assert!(long < TOLERANCE && short < TOLERANCE, "{name}: {long} {short}");
    }
}

#[test]
fn greedy_continuations_match_torch() {
    for name in FAMILIES {
        let (decoder, expected) = (load(name, Precision::F32, &[]), expected(name));
        let mut cache = decoder.cache(64);
        let mut next = argmax(&run(
            &decoder,
            &mut cache,
            &expected.tokens,
            OutputMode::LastLogits,
        ));
        let mut greedy = Vec::new();
        while greedy.len() < expected.greedy.len() {
            greedy.push(next);
            next = argmax(&run(&decoder, &mut cache, &[next], OutputMode::LastLogits));
        }
        assert_eq!(greedy, expected.greedy, "{name}");
    }
}

#[test]
fn a_sequence_gets_the_same_bits_in_pieces_and_in_a_batch() {
    for name in ["llama", "gemma3", "phi3"] {
        let (decoder, tokens) = (load(name, Precision::Auto, &[]), expected(name).tokens);
        let whole = all_logits(&decoder, &tokens, 64);
        let vocabulary = decoder.spec().vocab_size;
        let mut cache = decoder.cache(64);
        let mut pieces = Vec::new();
        for piece in tokens.chunks(5) {
            pieces.extend(run(&decoder, &mut cache, piece, OutputMode::AllLogits));
        }
        assert_eq!(pieces, whole, "{name} in pieces");
        // Beside others, each at another position.
        let mut caches: Vec<KvCache> = (0..6).map(|_| decoder.cache(64)).collect();
        for (skip, cache) in caches.iter_mut().enumerate().skip(1) {
            run(&decoder, cache, &tokens[..skip], OutputMode::None);
        }
        let mut segments: Vec<Segment<'_>> = caches
            .iter_mut()
            .enumerate()
            .map(|(skip, cache)| Segment {
                tokens: &tokens[skip..],
                cache,
                output: OutputMode::AllLogits,
            })
            .collect();
        let batch = decoder.forward(&mut segments).unwrap();
        for (skip, logits) in batch.iter().enumerate() {
            assert_eq!(logits, &whole[skip * vocabulary..], "{name} beside others");
        }
    }
}

#[test]
fn a_prefix_taken_from_another_sequence_gives_the_same_bits() {
    let (decoder, tokens) = (load("llama", Precision::Auto, &[]), expected("llama").tokens);
    let mut first = decoder.cache(64);
    run(&decoder, &mut first, &tokens, OutputMode::None);
    let mut second = decoder.cache(32);
    second.copy_prefix(&first, 9);
    let found = run(&decoder, &mut second, &tokens[9..], OutputMode::LastLogits);
    assert_eq!(
        found,
        all_logits(&decoder, &tokens, 64)[(tokens.len() - 1) * decoder.spec().vocab_size..]
    );
}

#[test]
fn eight_bits_stay_near() {
    weights_stay_near(Precision::Q8, 0.05, 3);
}

/// The weights of this model are random numbers, which are harder to round than trained ones.
#[test]
fn four_bits_stay_near() {
    weights_stay_near(Precision::Q4, 0.4, 4);
}

/// Checks the relative error of logits beside an exact cache, and that weights are so many times smaller.
fn weights_stay_near(precision: Precision, most: f32, smaller: usize) {
    let (exact, rounded) = (load("llama", Precision::F32, &[]), load("llama", precision, &[]));
    let tokens = expected("llama").tokens;
    let mut cache = KvCache::new(rounded.spec(), 64, CacheFormat::F32);
    let found = run(&rounded, &mut cache, &tokens, OutputMode::AllLogits);
    let error = relative_error(&found, &all_logits(&exact, &tokens, 64));
    assert!(error > 1e-4 && error < most, "{error}");
    assert!(
        rounded.weight_bytes() * smaller < exact.weight_bytes(),
        "{} {}",
        rounded.weight_bytes(),
        exact.weight_bytes()
    );
}

#[test]
fn a_cache_of_bfloat16_stays_near_and_is_half_as_large() {
    let decoder = load("llama", Precision::F32, &[]);
    let tokens = expected("llama").tokens;
    let mut cache = KvCache::new(decoder.spec(), 64, CacheFormat::Bf16);
    let found = run(&decoder, &mut cache, &tokens, OutputMode::AllLogits);
    let error = relative_error(&found, &all_logits(&decoder, &tokens, 64));
    assert!(error > 1e-5 && error < 0.02, "{error}");
    let bytes = |format: CacheFormat| format.bytes_per_position(decoder.spec());
    assert_eq!(bytes(CacheFormat::Bf16) * 2, bytes(CacheFormat::F32));
    assert_eq!(decoder.cache_bytes_per_position(), bytes(CacheFormat::F32));
}

fn relative_error(found: &[f32], wanted: &[f32]) -> f32 {
    let square =
        |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    square(&mut found.iter().zip(wanted).map(|(a, b)| a - b)) / square(&mut wanted.iter().copied())
}

#[test]
fn merged_adapters_match_peft() {
    let adapter = |name: &str, strength| Adapter::open(&data("adapters").join(name), strength).unwrap();
    let adapters = [adapter("first", 0.7), adapter("second", 0.4)];
    let decoder = load("llama", Precision::F32, &adapters);
    let expected = expected("adapters");
    let difference = worst(&all_logits(&decoder, &expected.tokens, 64), &expected.logits);
    assert!(difference < TOLERANCE, "{difference}");
    let without = load("llama", Precision::F32, &[]);
    assert!(worst(&all_logits(&without, &expected.tokens, 64), &expected.logits) > 0.1);
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    let adapter = Adapter::open(&data("adapters").join("first"), 1.0).unwrap();
    let dir = data("phi3");
    let store = TensorStore::open(&dir).unwrap();
    let error = Decoder::load(
        Spec::open(&dir).unwrap(),
        &store,
        Precision::F32,
        &[adapter],
        &|_| {},
    )
    .unwrap_err();
    assert!(error.to_string().contains("trained for another one"), "{error}");
}

#[test]
fn wrong_tokens_and_too_long_sequences_are_refused() {
    let decoder = load("llama", Precision::Auto, &[]);
    let mut cache = decoder.cache(4);
    let mut refused = |tokens: &[u32]| {
        let mut segments = [Segment {
            tokens,
            cache: &mut cache,
            output: OutputMode::LastLogits,
        }];
        decoder.forward(&mut segments).unwrap_err().to_string()
    };
    assert!(refused(&[3, 160]).contains("token 160"));
    assert!(refused(&[3; 5]).contains("5 positions"));
    assert_eq!(
        run(&decoder, &mut cache, &[3; 4], OutputMode::LastLogits).len(),
        160
    );
}
