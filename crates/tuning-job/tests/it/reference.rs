//! Training against PEFT and torch (`tools/record_peft.py`): losses, derivatives' lengths, values after some steps, logits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use model::{Adapter, Decoder, KvCache, OutputMode, Segment, Spec, TensorStore};
use safetensors::SafeTensors;
use tuning_job::config::{Schedule, WhenToSave};
use tuning_job::data::{Example, Order};
use tuning_job::network::{
    Batch, ComputeDtype, LoadSettings, LoraSettings, Mode, Network, Precision, Table, Targets,
    trained_modules,
};
use tuning_job::train::{
    AdamW, AdapterConfig, Checkpoint, LearningRate, Listener, Progress, Settings, Trainer, save_adapter,
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

fn settings(precision: Option<Precision>, dropout: f32) -> LoadSettings {
    LoadSettings {
        linear: precision,
        rest: Some(Precision::F32),
        quantised: ComputeDtype::F32,
        skip: Vec::new(),
        lora: LoraSettings {
            targets: Targets::All,
            layers: None,
            rank: (4, BTreeMap::new()),
            alpha: (8.0, BTreeMap::new()),
            rslora: false,
            dropout,
            gaussian: false,
        },
        seed: 1,
    }
}

fn load(name: &str, settings: &LoadSettings) -> (Network, Vec<f32>) {
    let dir = model(name);
    Network::load(
        Spec::open(&dir).unwrap(),
        &TensorStore::open(&dir).unwrap(),
        settings,
        &|_| {},
    )
    .unwrap()
}

/// What was recorded for a family.
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

    /// All factors in the order of the network's values.
    fn values(&self, network: &Network, when: &str) -> Vec<f32> {
        let mut values = vec![0.0; network.trained()];
        for module in network.modules() {
            for (letter, at) in [("A", module.a), ("B", module.b)] {
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
        let (ids, learnt) = (numbers("ids"), numbers("learnt"));
        let example = |(ids, learnt): (&[u32], &[u32])| Example {
            tokens: ids.to_vec(),
            learnt: std::iter::once(learnt.iter().take_while(|learnt| **learnt == 0).count()..ids.len())
                .collect(),
        };
        ids.chunks(12).zip(learnt.chunks(12)).map(example).collect()
    }
}

fn order(examples: usize, batch: usize) -> Order {
    Order {
        groups: (0..examples).map(|at| vec![at]).collect(),
        batch,
        shuffle: None,
        drop_last: false,
    }
}

fn run_settings(steps: u64, checkpointing: bool, accumulation: usize) -> Settings {
    Settings {
        adam: AdamW {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_norm: 1.0,
        },
        rate: LearningRate {
            schedule: Schedule::Linear,
            peak: 1e-2,
            warmup: 1,
            steps,
        },
        accumulation,
        checkpointing,
        seed: 9,
        log_every: 1,
        log_first: false,
        save: (WhenToSave::Steps, 2),
        evaluate: (WhenToSave::Steps, 2),
        evaluate_batch: 1,
    }
}

#[derive(Default)]
struct Heard {
    progress: Vec<Progress>,
    saved: Vec<Checkpoint>,
}

impl Listener for Heard {
    fn stepped(&mut self, progress: &Progress, _: bool) {
        self.progress.push(*progress);
    }

    fn save(&mut self, checkpoint: &Checkpoint, _: &Progress) -> anyhow::Result<()> {
        self.saved.push(checkpoint.clone());
        Ok(())
    }
}

fn run(
    network: &Network,
    examples: &[Example],
    order: &Order,
    settings: Settings,
    state: &mut Checkpoint,
) -> Heard {
    let trainer = Trainer {
        network,
        examples,
        held_out: &examples[..1],
        order,
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
fn training_is_that_of_peft() {
    for name in FAMILIES {
        // The record was made in 32 bits.
        let settings = settings(Some(Precision::F32), 0.0);
        let (recorded, (network, _)) = (Recorded::open(name), load(name, &settings));
        let mut state = Checkpoint::begin(recorded.values(&network, "before"));
        let examples = recorded.examples();
        let heard = run(
            &network,
            &examples,
            &order(2, 2),
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
        let after = worst(&state.values, &recorded.values(&network, "after"));
        let (loss, norm) = (
            worst(&losses, &recorded.floats("losses")),
            worst(&norms, &recorded.floats("norms")),
        );
        println!("{name:14} losses {loss:.1e}, norms {norm:.1e}, values {after:.1e}");
        assert!(loss < 2e-3 && norm < 5e-3, "{name}: {losses:?} {norms:?}");
        // Where a derivative is nearly nothing AdamW moves by its sign, which is then an accident of rounding.
        let far = state
            .values
            .iter()
            .zip(recorded.values(&network, "after"))
            .filter(|(a, b)| (**a - b).abs() > 1e-3)
            .count();
        assert!(
            far * 200 < state.values.len(),
            "{name}: {far} of {} values are elsewhere",
            state.values.len()
        );
    }
}

#[test]
fn an_adapter_answers_as_with_peft() {
    for name in FAMILIES {
        let (recorded, (network, _)) = (Recorded::open(name), load(name, &settings(None, 0.0)));
        let dir = tempfile::tempdir().unwrap();
        let config = AdapterConfig {
            base_model: name.to_owned(),
            r: 4,
            alpha: 8.0,
            dropout: 0.0,
            targets: trained_modules(network.spec(), &Targets::All).unwrap(),
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
            layers: None,
            rslora: false,
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
        let mut cache = KvCache::new(decoder.spec(), 12);
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

/// Where the processor has no instructions for it, nothing is rounded and nothing differs.
#[test]
fn bfloat16_arithmetic_changes_derivatives_little() {
    for name in FAMILIES {
        let recorded = Recorded::open(name);
        let batch = Batch::of(&recorded.examples());
        let derivative = |precision| {
            let (network, _) = load(name, &settings(Some(precision), 0.0));
            let values = recorded.values(&network, "after");
            let mut grads = vec![0.0; values.len()];
            let mode = Mode {
                dropout: None,
                checkpointing: false,
            };
            let loss = network.train(&values, &mut grads, &batch, mode, 1.0);
            (loss / batch.targets() as f64, grads)
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
        let batch = Batch::of(&recorded.examples());
        let derivative = |checkpointing: bool, pass: u64| {
            let mut grads = vec![0.0; values.len()];
            let mode = Mode {
                dropout: Some([pass, 0]),
                checkpointing,
            };
            let loss = network.train(&values, &mut grads, &batch, mode, 0.1);
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
fn derivatives_are_slopes_on_quantised_weights_too() {
    let precision = Precision::Quantised {
        table: Table::Nf4,
        double: true,
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
            learnt: Vec::new(),
        };
        let batch = Batch::of([&example]);
        let mut grads = vec![0.0; values.len()];
        let mode = Mode {
            dropout: None,
            checkpointing: true,
        };
        let loss = network.train(&values, &mut grads, &batch, mode, 1.0);
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
fn a_run_that_goes_on_from_a_checkpoint_ends_in_the_same_bits() {
    let (network, values) = load("llama", &settings(None, 0.1));
    let example = |first: u32| Example {
        tokens: (first..first + 5 + first % 4).collect(),
        learnt: Vec::new(),
    };
    let examples: Vec<Example> = (0..7).map(|i| example(10 + 11 * i)).collect();
    let order = Order {
        shuffle: Some(4),
        ..order(7, 2)
    };
    let settings = run_settings(7, true, 2);
    let mut whole = Checkpoint::begin(values);
    let heard = run(&network, &examples, &order, settings, &mut whole);
    assert_eq!(
        heard.saved.iter().map(|saved| saved.step).collect::<Vec<_>>(),
        [2, 4, 6]
    );
    assert!(heard.progress[1].evaluated.is_some() && heard.progress[2].evaluated.is_none());
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
            &order(2, batch),
            run_settings(3, true, accumulation),
            &mut state,
        );
        state.values
    };
    assert!(worst(&end(2, 1), &end(1, 2)) < 2e-4);
}

#[test]
fn modules_that_do_not_exist_are_named() {
    let mut wrong = settings(None, 0.0);
    wrong.lora.targets = Targets::Named(vec!["query".to_owned()]);
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
