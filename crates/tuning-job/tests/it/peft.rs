//! Compatibility with PEFT: the program tunes, PEFT loads the adapter, and both give the same logits.
//!
//! | variable | effect |
//! |---|---|
//! | none | adapters are compared with those kept in `tests/data/loaded`, and logits with those that PEFT gave for them |
//! | `KAITO_PEFT_PYTHON` | this Python also loads the fresh adapters with PEFT (`tools/peft_logits.py`) |
//! | `KAITO_PEFT_RECORD` | the results are also stored in `tests/data/loaded` |

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Adapter, Decoder, OutputMode, Segment, Spec, TensorStore};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::process::{Place, text};

/// A sequence that is not in the training data.
const IDS: [u32; 12] = [5, 17, 101, 33, 8, 140, 77, 61, 29, 150, 12, 90];

/// A run: families differ in modules, and options in `adapter_config.json`.
struct Case {
    name: &'static str,
    family: &'static str,
    lora: &'static str,
    quantization: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        name: "all-linear",
        family: "llama",
        lora: "{r: 4, target_modules: all-linear}",
        quantization: "{}",
    },
    Case {
        name: "fused",
        family: "phi3",
        lora: "{r: 4, lora_alpha: 16, target_modules: [q_proj, o_proj, up_proj, down_proj]}",
        quantization: "{}",
    },
    Case {
        name: "patterns",
        family: "qwen3",
        lora: "{r: 4, lora_alpha: 8, use_rslora: true, target_modules: [q_proj, v_proj, down_proj], rank_pattern: {q_proj: 2}, \
               alpha_pattern: {down_proj: 24}, layers_to_transform: [1]}",
        quantization: "{}",
    },
    Case {
        name: "qlora",
        family: "gemma2",
        lora: "{r: 4, target_modules: all-linear}",
        quantization: "{load_in_4bit: true, bnb_4bit_quant_type: nf4, bnb_4bit_use_double_quant: true}",
    },
];

fn kept(case: &Case) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/loaded")
        .join(case.name)
}

/// Tunes with a fixed seed and writes the adapter to `out`.
fn tuned(case: &Case) -> Place {
    let place = Place::of(case.family);
    let sections = format!(
        "training_config:\n  ModelConfig: {{torch_dtype: float32}}\n  QuantizationConfig: {}\n  LoraConfig: {}\n  DatasetConfig: \
         {{train_test_split: 1}}\n  TrainingArguments:\n    output_dir: OUTPUT\n    max_steps: 8\n    per_device_train_batch_size: 2\n    \
         learning_rate: 2e-2\n    save_strategy: \"no\"\n    seed: 7\n",
        case.quantization, case.lora
    );
    let output = place.run("out", &sections);
    assert!(output.status.success(), "{}: {}", case.name, text(&output));
    place
}

/// Returns our logits, a row for each token.
fn logits(model: &Path, adapter: Option<&Path>) -> Vec<f32> {
    let adapters: Vec<Adapter> = adapter
        .into_iter()
        .map(|dir| Adapter::open(dir, 1.0).unwrap())
        .collect();
    let store = TensorStore::open(model).unwrap();
    let spec = Spec::open(model).unwrap();
    let decoder = Decoder::load(spec, &store, model::Precision::F32, &adapters, &|_| {}).unwrap();
    let mut cache = decoder.cache(IDS.len());
    let segment = Segment {
        tokens: &IDS,
        cache: &mut cache,
        output: OutputMode::AllLogits,
    };
    decoder.forward(&mut [segment]).unwrap().remove(0)
}

/// Returns the tensors of a file, as floats.
fn floats(file: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let words = view.data().as_chunks::<4>().0.iter();
        let values = words.map(|word| f32::from_le_bytes(*word)).collect();
        (name, (view.shape().to_vec(), values))
    };
    tensors.tensors().into_iter().map(read).collect()
}

fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Checks that PEFT's logits and ours are the same, and that the effect of the adapter exceeds rounding.
fn compare(case: &Case, model: &Path, adapter: &Path, recorded: &Path) {
    let recorded = floats(recorded);
    let (with, without) = (&recorded["logits"].1, &recorded["without"].1);
    let (ours, plain) = (logits(model, Some(adapter)), logits(model, None));
    let effect = worst(with, without);
    let (off, off_plain) = (worst(&ours, with), worst(&plain, without));
    println!(
        "{:10} with the adapter {off:.1e}, without {off_plain:.1e}; it changes {effect:.2}",
        case.name
    );
    assert!(
        effect > 0.3,
        "{}: the adapter changes nothing: {effect}",
        case.name
    );
    assert!(
        off < 1e-4 && off_plain < 1e-4,
        "{}: {off}, {off_plain}",
        case.name
    );
}

/// Loads the adapter with PEFT, if it is installed.
fn live(case: &Case, place: &Place) {
    let Some(python) = std::env::var_os("KAITO_PEFT_PYTHON") else {
        println!("SKIPPED: PEFT itself, KAITO_PEFT_PYTHON names no Python that has it");
        return;
    };
    let recorded = place.path("logits.safetensors");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/peft_logits.py");
    let mut command = Command::new(python);
    command
        .arg(script)
        .arg(place.path("model"))
        .arg(place.path("out"))
        .arg(&recorded);
    command.args(IDS.map(|id| id.to_string()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}", case.name, text(&output));
    compare(case, &place.path("model"), &place.path("out"), &recorded);
    if std::env::var_os("KAITO_PEFT_RECORD").is_some() {
        fs::create_dir_all(kept(case)).unwrap();
        for name in ["adapter_model.safetensors", "adapter_config.json"] {
            fs::copy(place.path("out").join(name), kept(case).join(name)).unwrap();
        }
        fs::copy(recorded, kept(case).join("logits.safetensors")).unwrap();
    }
}

#[test]
fn peft_loads_our_adapters_and_gives_the_same_logits() {
    for case in &CASES {
        let place = tuned(case);
        live(case, &place);
        let (fresh, kept) = (place.path("out"), kept(case));

        // PEFT loaded the files that the program writes.
        assert_eq!(
            json(&fresh.join("adapter_config.json")),
            json(&kept.join("adapter_config.json")),
            "{}",
            case.name
        );
        let weights = |dir: &Path| floats(&dir.join("adapter_model.safetensors"));
        let (ours, theirs) = (weights(&fresh), weights(&kept));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
        for (name, (shape, values)) in &ours {
            assert_eq!(shape, &theirs[name].0, "{}: {name}", case.name);
            // The order of sums depends on the processor.
            let off = worst(values, &theirs[name].1);
            assert!(off < 1e-3, "{}: {name} is off by {off}", case.name);
        }

        compare(
            case,
            &place.path("model"),
            &kept,
            &kept.join("logits.safetensors"),
        );
    }
}

#[test]
fn a_wrong_adapter_is_noticed() {
    let case = &CASES[0];
    let model = Place::of(case.family);
    let other = tempfile::tempdir().unwrap();
    let noticed = |change: &dyn Fn(&mut Value)| {
        let mut config = json(&kept(case).join("adapter_config.json"));
        change(&mut config);
        fs::write(other.path().join("adapter_config.json"), config.to_string()).unwrap();
        fs::copy(
            kept(case).join("adapter_model.safetensors"),
            other.path().join("adapter_model.safetensors"),
        )
        .unwrap();
        let compared = || {
            compare(
                case,
                &model.path("model"),
                other.path(),
                &kept(case).join("logits.safetensors"),
            )
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(compared)).is_err()
    };
    assert!(!noticed(&|_| {}));
    assert!(noticed(&|config| config["lora_alpha"] = 9.into()));
    assert!(noticed(&|config| config["use_rslora"] = true.into()));
}
