//! Training against PEFT and torch (`tools/record_peft.py`): losses, norms of gradients, parameters after some steps, logits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use model::{Adapter, Decoder, OutputMode, Segment, Spec, TensorStore};
use safetensors::SafeTensors;
use tuning_job::config::{IntervalStrategy, SchedulerType};
use tuning_job::data::{BatchSampler, Example, batch_of};
use tuning_job::network::{
    ComputeDtype, LoadOptions, LoraOptions, Mode, ModuleSelection, Network, Precision, QuantType,
    resolve_target_modules,
};
use tuning_job::train::{
    AdamW, AdapterConfig, Checkpoint, LrSchedule, Trainer, TrainerCallback, TrainerSettings,
    TrainingProgress, save_adapter,
};

const FAMILIES: [&str; 9] = [
    "llama",
    "llama3",
    "mistral",
    "qwen3",
    "phi3",
    "phi3-longrope",
    "gemma2",
    "gemma3",
    "granite",
];

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../model/tests/data")
        .join(name)
}

fn settings(precision: Option<Precision>, dropout: f32) -> LoadOptions {
    LoadOptions {
        linear_precision: precision,
        other_precision: Some(Precision::F32),
        compute_dtype: ComputeDtype::F32,
        skip_modules: Vec::new(),
        lora: LoraOptions {
            target_modules: ModuleSelection::AllLinear,
            layers_to_transform: None,
            rank: (4, BTreeMap::new()),
            alpha: (8.0, BTreeMap::new()),
            use_rslora: false,
            dropout,
            gaussian_init: false,
        },
        seed: 1,
    }
}

fn load(name: &str, settings: &LoadOptions) -> (Network, Vec<f32>) {
    let dir = model(name);
    Network::load(
        Spec::open(&dir).unwrap(),
        &TensorStore::open(&dir).unwrap(),
        settings,
        &|_| {},
    )
    .unwrap()
}

/// Recording of a family.
struct Recorded(Vec<u8>);

impl Recorded {
    fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/peft-{name}.safetensors"));
        Self(std::fs::read(path).unwrap())
    }

    fn words(&self, name: &str) -> Vec<[u8; 4]> {
        SafeTensors::deserialize(&self.0)
            .unwrap()
            .tensor(name)
            .unwrap()
            .data()
            .as_chunks::<4>()
            .0
            .to_vec()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name).into_iter().map(f32::from_le_bytes).collect()
    }

    /// Returns all LoRA matrices in the order of the network's parameters.
    fn values(&self, network: &Network, when: &str) -> Vec<f32> {
        let mut values = vec![0.0; network.num_trainable_params()];
        for module in network.modules() {
            for (letter, at) in [("A", module.lora_a), ("B", module.lora_b)] {
                let part = self.floats(&format!(
                    "{when}.base_model.model.{}.lora_{letter}.weight",
                    module.name
                ));
                values[at..at + part.len()].copy_from_slice(&part);
            }
        }
        values
    }

    fn examples(&self) -> Vec<Example> {
        let numbers = |name: &str| {
            self.words(name)
                .into_iter()
                .map(u32::from_le_bytes)
                .collect::<Vec<_>>()
        };
        let (ids, loss_ranges) = (numbers("ids"), numbers("learnt"));
        let example = |(ids, loss_ranges): (&[u32], &[u32])| Example {
            tokens: ids.to_vec(),
            loss_ranges: std::iter::once(
                loss_ranges
                    .iter()
                    .take_while(|loss_ranges| **loss_ranges == 0)
                    .count()..ids.len(),
            )
            .collect(),
        };
        ids.chunks(12).zip(loss_ranges.chunks(12)).map(example).collect()
    }
}

fn sampler(examples: usize, batch_size: usize) -> BatchSampler {
    BatchSampler {
        groups: (0..examples).map(|at| vec![at]).collect(),
        batch_size,
        shuffle_seed: None,
        drop_last: false,
    }
}

fn run_settings(steps: u64, checkpointing: bool, accumulation: usize) -> TrainerSettings {
    TrainerSettings {
        optimizer: AdamW {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
        },
        lr_schedule: LrSchedule {
            scheduler_type: SchedulerType::Linear,
            learning_rate: 1e-2,
            warmup_steps: 1,
            max_steps: steps,
        },
        gradient_accumulation_steps: accumulation,
        gradient_checkpointing: checkpointing,
        seed: 9,
        logging_steps: 1,
        logging_first_step: false,
        save: (IntervalStrategy::Steps, 2),
        eval: (IntervalStrategy::Steps, 2),
        eval_batch_size: 1,
    }
}

#[derive(Default)]
struct Heard {
    progress: Vec<TrainingProgress>,
    saved: Vec<Checkpoint>,
}

impl TrainerCallback for Heard {
    fn on_step_end(&mut self, progress: &TrainingProgress, _: bool) {
        self.progress.push(*progress);
    }

    fn on_save(&mut self, checkpoint: &Checkpoint, _: &TrainingProgress) -> anyhow::Result<()> {
        self.saved.push(checkpoint.clone());
        Ok(())
    }
}

fn run(
    network: &Network,
    examples: &[Example],
    order: &BatchSampler,
    settings: TrainerSettings,
    state: &mut Checkpoint,
) -> Heard {
    let trainer = Trainer {
        network,
        train_set: examples,
        eval_set: &examples[..1],
        sampler: order,
        settings,
    };
    let mut heard = Heard::default();
    trainer.run(state, &AtomicBool::new(false), &mut heard).unwrap();
    heard
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
fn training_matches_peft() {
    for name in FAMILIES {
        // The record was made in 32 bits.
        let settings = settings(Some(Precision::F32), 0.0);
        let (recorded, (network, _)) = (Recorded::open(name), load(name, &settings));
        let mut state = Checkpoint::begin(recorded.values(&network, "before"));
        let examples = recorded.examples();
        let heard = run(
            &network,
            &examples,
            &sampler(2, 2),
            run_settings(5, name.len() % 2 == 0, 1),
            &mut state,
        );
        let losses: Vec<f32> = heard
            .progress
            .iter()
            .map(|progress| progress.loss as f32)
            .collect();
        let norms: Vec<f32> = heard
            .progress
            .iter()
            .map(|progress| progress.grad_norm as f32)
            .collect();
        let after = worst(&state.trainable_params, &recorded.values(&network, "after"));
        let (loss, norm) = (
            worst(&losses, &recorded.floats("losses")),
            worst(&norms, &recorded.floats("norms")),
        );
        println!("{name:14} losses {loss:.1e}, norms {norm:.1e}, values {after:.1e}");
        assert!(loss < 2e-3 && norm < 5e-3, "{name}: {losses:?} {norms:?}");
        // AdamW moves by the sign of a tiny gradient, which depends on rounding.
        let far = state
            .trainable_params
            .iter()
            .zip(recorded.values(&network, "after"))
            .filter(|(a, b)| (**a - b).abs() > 1e-3)
            .count();
        assert!(
            far * 200 < state.trainable_params.len(),
            "{name}: {far} of {} values are elsewhere",
            state.trainable_params.len()
        );
    }
}

#[test]
fn logits_with_an_adapter_match_peft() {
    for name in FAMILIES {
        let (recorded, (network, _)) = (Recorded::open(name), load(name, &settings(None, 0.0)));
        let dir = tempfile::tempdir().unwrap();
        let config = AdapterConfig {
            base_model: name.to_owned(),
            r: 4,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: resolve_target_modules(network.spec(), &ModuleSelection::AllLinear).unwrap(),
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            layers_to_transform: None,
            use_rslora: false,
        };
        save_adapter(
            dir.path(),
            &config,
            network.modules(),
            &recorded.values(&network, "after"),
        )
        .unwrap();
        let adapter = Adapter::open(dir.path(), 1.0).unwrap();
        let store = TensorStore::open(&model(name)).unwrap();
        let decoder = Decoder::load(
            network.spec().clone(),
            &store,
            model::Precision::F32,
            &[adapter],
            &|_| {},
        )
        .unwrap();
        let mut cache = decoder.cache(12);
        let tokens = recorded.examples().remove(0).tokens;
        let segment = Segment {
            tokens: &tokens,
            cache: &mut cache,
            output: OutputMode::AllLogits,
        };
        let logits = decoder.forward(&mut [segment]).unwrap().remove(0);
        let off = worst(&logits, &recorded.floats("logits"));
        assert!(off < 1e-3, "{name}: {off}");
    }
}

/// Without AMX nothing is rounded and nothing differs.
#[test]
fn bfloat16_changes_gradients_little() {
    for name in FAMILIES {
        let recorded = Recorded::open(name);
        let batch = batch_of(&recorded.examples());
        let derivative = |precision| {
            let (network, _) = load(name, &settings(Some(precision), 0.0));
            let values = recorded.values(&network, "after");
            let mut grads = vec![0.0; values.len()];
            let mode = Mode {
                dropout_seed: None,
                gradient_checkpointing: false,
            };
            let loss = network.forward_backward(&values, &mut grads, &batch, mode, 1.0);
            (loss / batch.num_labels() as f64, grads)
        };
        let ((loss, plain), (rounded_loss, rounded)) =
            (derivative(Precision::F32), derivative(Precision::Bf16));
        let along = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum() };
        let cosine = along(&plain, &rounded) / (along(&plain, &plain) * along(&rounded, &rounded)).sqrt();
        println!("{name:14} {loss:.4} {rounded_loss:.4} {cosine:.6}");
        assert!(
            (loss - rounded_loss).abs() < 0.01 * loss,
            "{name}: {loss} {rounded_loss}"
        );
        assert!(cosine > 0.99, "{name}: {cosine}");
    }
}

#[test]
fn layers_computed_again_give_the_same_bits() {
    for name in ["gemma3", "phi3"] {
        let (network, _) = load(name, &settings(None, 0.3));
        let recorded = Recorded::open(name);
        let values = recorded.values(&network, "before");
        let batch = batch_of(&recorded.examples());
        let derivative = |checkpointing: bool, pass: u64| {
            let mut grads = vec![0.0; values.len()];
            let mode = Mode {
                dropout_seed: Some([pass, 0]),
                gradient_checkpointing: checkpointing,
            };
            let loss = network.forward_backward(&values, &mut grads, &batch, mode, 0.1);
            (loss.to_bits(), grads)
        };
        assert_eq!(derivative(false, 1), derivative(true, 1));
        assert_ne!(
            derivative(true, 1),
            derivative(true, 2),
            "dropout differs from pass to pass"
        );
    }
}

#[test]
fn gradients_are_slopes_on_quantized_weights_too() {
    let precision = Precision::Quantized {
        quant_type: QuantType::Nf4,
        double_quant: true,
    };
    for name in ["llama3", "gemma3", "phi4", "qwen2"] {
        let (network, mut values) = load(name, &settings(Some(precision), 0.0));
        let mut random = 1_u32;
        let mut draw = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        values.iter_mut().for_each(|value| *value += 0.1 * draw());
        let example = Example {
            tokens: (0..20).map(|i| 3 + i * 7 % 150).collect(),
            loss_ranges: Vec::new(),
        };
        let batch = batch_of([&example]);
        let mut grads = vec![0.0; values.len()];
        let mode = Mode {
            dropout_seed: None,
            gradient_checkpointing: true,
        };
        let loss = network.forward_backward(&values, &mut grads, &batch, mode, 1.0);
        assert!((loss - network.loss(&values, &batch)).abs() < 1e-4 * loss);
        for _ in 0..3 {
            let direction: Vec<f32> = values.iter().map(|_| draw()).collect();
            let moved =
                |by: f32| -> Vec<f32> { values.iter().zip(&direction).map(|(v, d)| v + by * d).collect() };
            let slope = (network.loss(&moved(1e-3), &batch) - network.loss(&moved(-1e-3), &batch)) / 2e-3;
            let along: f64 = grads
                .iter()
                .zip(&direction)
                .map(|(g, d)| f64::from(*g) * f64::from(*d))
                .sum();
            assert!(
                (slope - along).abs() < 0.02 * slope.abs().max(1.0),
                "{name}: {slope} {along}"
            );
        }
    }
}

#[test]
fn a_resumed_run_ends_in_the_same_bits() {
    let (network, values) = load("llama", &settings(None, 0.1));
    let example = |first: u32| Example {
        tokens: (first..first + 5 + first % 4).collect(),
        loss_ranges: Vec::new(),
    };
    let examples: Vec<Example> = (0..7).map(|i| example(10 + 11 * i)).collect();
    let order = BatchSampler {
        shuffle_seed: Some(4),
        ..sampler(7, 2)
    };
    let settings = run_settings(7, true, 2);
    let mut whole = Checkpoint::begin(values);
    let heard = run(&network, &examples, &order, settings, &mut whole);
    assert_eq!(
        heard.saved.iter().map(|saved| saved.step).collect::<Vec<_>>(),
        [2, 4, 6]
    );
    assert!(heard.progress[1].eval_loss.is_some() && heard.progress[2].eval_loss.is_none());
    assert!(heard.progress[6].loss < heard.progress[0].loss);
    for mut state in heard.saved {
        run(&network, &examples, &order, settings, &mut state);
        assert_eq!(state, whole);
    }
}

#[test]
fn a_step_is_the_same_in_one_batch_and_in_several() {
    let (network, values) = load("mistral", &settings(None, 0.0));
    let examples = Recorded::open("mistral").examples();
    let end = |batch: usize, accumulation: usize| {
        let mut state = Checkpoint::begin(values.clone());
        run(
            &network,
            &examples,
            &sampler(2, batch),
            run_settings(3, true, accumulation),
            &mut state,
        );
        state.trainable_params
    };
    assert!(worst(&end(2, 1), &end(1, 2)) < 2e-4);
}

#[test]
fn modules_that_do_not_exist_are_named() {
    let mut wrong = settings(None, 0.0);
    wrong.lora.target_modules = ModuleSelection::Named(vec!["query".to_owned()]);
    let dir = model("llama");
    let found = Network::load(
        Spec::open(&dir).unwrap(),
        &TensorStore::open(&dir).unwrap(),
        &wrong,
        &|_| {},
    );
    let error = found.unwrap_err().to_string();
    assert!(
        error.contains("`query`") && error.contains("q_proj, k_proj"),
        "{error}"
    );
}
