//! `bench-tuning`: seconds and memory of training steps, beside PEFT on the same batches.
//!
//! Each contender is a process of its own, one after the other; every round runs all of them. A machine that others use makes
//! wall times long, so processor seconds are printed too. Steps after the first count.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Parser;
use gguf::example;
use model::{Spec, TensorStore, Tokenizer};
use serde::{Deserialize, Serialize};
use tuning_job::config::{IntervalStrategy, SchedulerType};
use tuning_job::data::{BatchSampler, Example};
use tuning_job::network::{
    ComputeDtype, LoadOptions, LoraOptions, ModuleSelection, Network, Precision, QuantType,
};
use tuning_job::train::{
    AdamW, Checkpoint, LrSchedule, Trainer, TrainerCallback, TrainerSettings, TrainingProgress,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/bench_peft.py");

/// Compares training steps with those of PEFT on SmolLM2-135M.
#[derive(Debug, Parser)]
struct Args {
    /// A Python with torch, transformers and peft; PEFT is left out without it.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Steps of a run.
    #[arg(long, default_value_t = 4)]
    steps: usize,
    /// Sequences of a batch.
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Tokens of the longest sequence; the others have at least half as many.
    #[arg(long, default_value_t = 128)]
    length: usize,
    /// Repetitions; the fastest counts.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Runs one contender and prints its numbers; used by the program itself.
    #[arg(long, hide = true)]
    contender: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Numbers {
    losses: Vec<f64>,
    seconds: Vec<f64>,
    cpu: Vec<f64>,
    peak_mb: f64,
}

#[expect(clippy::print_stdout, reason = "what this program was asked for")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(contender) = &args.contender {
        println!("{}", serde_json::to_string(&ours(&args, contender)?)?);
        return Ok(());
    }
    let model = example::smollm2(&example::cache(), &|what| println!("# {what}"))?.dir;
    let file = std::env::temp_dir().join(format!("bench-tuning-{}.json", std::process::id()));
    let tokens: Vec<Vec<Vec<u32>>> = batches(&args)
        .iter()
        .map(|batch| batch.iter().map(|e| e.tokens.clone()).collect())
        .collect();
    std::fs::write(&file, serde_json::to_vec(&tokens)?)?;
    // Without those that only fill a batch of PEFT's.
    let count = |batch: &Vec<Vec<u32>>| batch.iter().map(Vec::len).sum::<usize>() as f64;
    let counts: Vec<f64> = tokens.iter().map(count).collect();
    let mut contenders: Vec<(String, Vec<String>)> = Vec::new();
    if args.python.is_some() {
        for (name, dtype, checkpointing) in [
            ("PEFT f32", "float32", "false"),
            ("PEFT f32 checkpointing", "float32", "true"),
            ("PEFT bf16", "bfloat16", "false"),
        ] {
            let threads = args.threads.to_string();
            let all = [
                SCRIPT,
                &model.display().to_string(),
                &file.display().to_string(),
                &threads,
                dtype,
                checkpointing,
            ];
            contenders.push((name.to_owned(), all.map(str::to_owned).to_vec()));
        }
    }
    for name in ["f32", "f32 checkpointing", "bf16", "nf4 checkpointing"] {
        contenders.push((format!("tuning-job {name}"), vec![name.to_owned()]));
    }
    println!(
        "{:28} {:>9} {:>9} {:>12} {:>9} {:>9}",
        "", "s/step", "cpu s", "tokens/cpu s", "peak MB", "last loss"
    );
    for (name, arguments) in &contenders {
        let mut best: Option<Numbers> = None;
        for _ in 0..args.rounds {
            let numbers = run(&args, arguments).with_context(|| format!("{name} did not run"))?;
            if best
                .as_ref()
                .is_none_or(|best| mean(&numbers.cpu) < mean(&best.cpu))
            {
                best = Some(numbers);
            }
        }
        let best = best.unwrap_or_default();
        let last = best.losses.last().copied().unwrap_or(f64::NAN);
        println!(
            "{name:28} {:9.2} {:9.2} {:12.1} {:9.0} {last:9.4}",
            mean(&best.seconds),
            mean(&best.cpu),
            mean(&counts) / mean(&best.cpu),
            best.peak_mb
        );
    }
    let _ = std::fs::remove_file(file);
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    let counted = values.get(1..).unwrap_or_default();
    counted.iter().sum::<f64>() / counted.len() as f64
}

fn run(args: &Args, arguments: &[String]) -> anyhow::Result<Numbers> {
    let output = match (&args.python, arguments) {
        (Some(python), [script, ..]) if script == SCRIPT => Command::new(python).args(arguments).output()?,
        _ => {
            let numbers =
                [args.steps, args.batch, args.length, args.threads].map(|number| number.to_string());
            let flags = ["--steps", "--batch", "--length", "--threads"];
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--contender").arg(&arguments[0]);
            command.args(
                flags
                    .iter()
                    .zip(&numbers)
                    .flat_map(|(flag, number)| [*flag, number]),
            );
            command.output()?
        }
    };
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Arbitrary tokens: each sequence counts through the vocabulary in steps of its own.
fn batches(args: &Args) -> Vec<Vec<Example>> {
    let example = |index: usize| Example {
        tokens: (0..args.length - index * 7 % (args.length / 2))
            .map(|at| ((index * 7919 + at * (13 + index % 5)) % 40_000 + 100) as u32)
            .collect(),
        loss_ranges: Vec::new(),
    };
    let batch = |step: usize| {
        (0..args.batch)
            .map(|at| example(step * args.batch + at))
            .collect()
    };
    (0..args.steps).map(batch).collect()
}

/// Hears of steps, and how long they took.
struct ProcessWatch {
    numbers: Numbers,
    began: Instant,
    cpu: f64,
}

impl TrainerCallback for ProcessWatch {
    fn on_step_end(&mut self, progress: &TrainingProgress, _: bool) {
        let cpu = cpu_seconds();
        self.numbers.losses.push(progress.loss);
        self.numbers.seconds.push(self.began.elapsed().as_secs_f64());
        self.numbers.cpu.push(cpu - self.cpu);
        (self.began, self.cpu) = (Instant::now(), cpu);
    }

    fn on_save(&mut self, _: &Checkpoint, _: &TrainingProgress) -> anyhow::Result<()> {
        Ok(())
    }
}

/// User and system time of this process; Linux counts it in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

fn ours(args: &Args, contender: &str) -> anyhow::Result<Numbers> {
    let dir = example::smollm2(&example::cache(), &|_| {})?.dir;
    Tokenizer::open(&dir).context("the example model is not whole")?;
    let nf4 = Precision::Quantized {
        quant_type: QuantType::Nf4,
        double_quant: true,
    };
    let precision = match contender.split(' ').next() {
        Some("bf16") => Precision::Bf16,
        Some("nf4") => nf4,
        _ => Precision::F32,
    };
    let settings = LoadOptions {
        linear_precision: Some(precision),
        other_precision: Some(if precision == nf4 {
            Precision::Bf16
        } else {
            precision
        }),
        compute_dtype: ComputeDtype::Bf16,
        skip_modules: Vec::new(),
        lora: LoraOptions {
            target_modules: ModuleSelection::AllLinear,
            layers_to_transform: None,
            rank: (8, std::collections::BTreeMap::new()),
            alpha: (16.0, std::collections::BTreeMap::new()),
            use_rslora: false,
            dropout: 0.0,
            gaussian_init: false,
        },
        seed: 1,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(args.threads)
        .build()?;
    pool.install(|| {
        let (network, values) =
            Network::load(Spec::open(&dir)?, &TensorStore::open(&dir)?, &settings, &|_| {})?;
        let examples = batches(args).concat();
        let sampler = BatchSampler {
            groups: (0..examples.len()).map(|at| vec![at]).collect(),
            batch_size: args.batch,
            shuffle_seed: None,
            drop_last: false,
        };
        let trainer = Trainer {
            network: &network,
            train_set: &examples,
            eval_set: &[],
            sampler: &sampler,
            settings: run_settings(args.steps as u64, contender.ends_with("checkpointing")),
        };
        let mut watch = ProcessWatch {
            numbers: Numbers::default(),
            began: Instant::now(),
            cpu: cpu_seconds(),
        };
        trainer.run(
            &mut Checkpoint::begin(values),
            &AtomicBool::new(false),
            &mut watch,
        )?;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let peak = status
            .split("VmHWM:")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        watch.numbers.peak_mb = peak.unwrap_or(f64::NAN) / 1000.0;
        Ok(watch.numbers)
    })
}

fn run_settings(steps: u64, checkpointing: bool) -> TrainerSettings {
    TrainerSettings {
        optimizer: AdamW {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
        },
        lr_schedule: LrSchedule {
            scheduler_type: SchedulerType::Constant,
            learning_rate: 2e-4,
            warmup_steps: 0,
            max_steps: steps,
        },
        gradient_accumulation_steps: 1,
        gradient_checkpointing: checkpointing,
        seed: 1,
        logging_steps: 1,
        logging_first_step: false,
        save: (IntervalStrategy::No, 1),
        eval: (IntervalStrategy::No, 1),
        eval_batch_size: 1,
    }
}
