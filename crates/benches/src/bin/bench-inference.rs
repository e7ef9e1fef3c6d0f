//! Compares this decoder with llama.cpp and transformers on the same machine in one run.
//!
//! Every engine and precision runs in a process of its own, one after the other. Each measures reading a prompt, one
//! completion, eight completions at once, and its peak memory. The Python side is `tools/bench_peers.py`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use gguf::example;
use model::sampling::argmax;
use model::{Decoder, KvCache, OutputMode, Precision, Segment, Spec, TensorStore};
use serde::{Deserialize, Serialize};

/// Tokens of the prompt, of the answer, and of each of the answers given at once.
const PROMPT: usize = 256;
const ANSWER: usize = 64;
const TOGETHER: usize = 32;
/// Answers given at once, each to a prompt of so many tokens.
const STREAMS: usize = 8;
const SHORT: usize = 32;
/// Compares engines on SmolLM2-135M-Instruct.
#[derive(Debug, Parser)]
struct Args {
    /// Python with llama-cpp-python, torch and transformers; engines that are missing there are left out.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Threads of every engine.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Repetitions; the best one counts, as the others were disturbed.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Leave the Python engines out.
    #[arg(long)]
    own_only: bool,
    /// Run one of our own precisions in this process: f32, bf16, q8 or q4.
    #[arg(long, hide = true)]
    own: Option<String>,
}

/// Tokens a second, and tokens a second of processor time: the latter is meaningful on a busy machine, too.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Pace {
    wall: f64,
    cpu: f64,
}

/// Figures of one engine.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Reached {
    prefill: Pace,
    decode: Pace,
    together: Pace,
    /// Peak resident memory, in MB.
    memory: f64,
}

#[expect(clippy::print_stdout, reason = "what this program was asked for")]
fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let example = example::smollm2(&example::cache(), &|what| println!("# {what}"))?;
    if let Some(precision) = &args.own {
        println!(
            "{}",
            serde_json::to_string(&own(&example.dir, precision, args.threads, args.runs)?)?
        );
        return Ok(());
    }
    println!(
        "SmolLM2-135M-Instruct, {} threads, best of {}; CPU is processor time, user and system",
        args.threads, args.runs
    );
    println!(
        "{:<18} {:>10} {:>8} {:>10} {:>8} {:>12} {:>8} {:>9}",
        "tokens a second of", "prefill", "CPU", "decode", "CPU", "8 streams", "CPU", "peak MB"
    );
    let me = std::env::current_exe()?;
    let threads = args.threads.to_string();
    for precision in ["f32", "bf16", "q8", "q4"] {
        let mut command = Command::new(&me);
        show(
            &format!("ours {precision}"),
            command.args([
                "--own",
                precision,
                "--threads",
                &threads,
                "--runs",
                &args.runs.to_string(),
            ]),
        );
    }
    if args.own_only {
        return Ok(());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/bench_peers.py");
    for engine in [
        "llama.cpp-f16",
        "llama.cpp-q8_0",
        "transformers-f32",
        "transformers-bf16",
    ] {
        let mut command = Command::new(&args.python);
        let sizes = [PROMPT, ANSWER, TOGETHER, STREAMS, SHORT, args.runs].map(|size| size.to_string());
        command
            .arg(&script)
            .args([engine, &threads])
            .args(sizes)
            .args([&example.gguf, &example.dir]);
        show(engine, &mut command);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what this program was asked for")]
fn show(name: &str, command: &mut Command) {
    match measured(command) {
        Ok(reached) => println!(
            "{name:<18} {:>10.1} {:>8.1} {:>10.1} {:>8.1} {:>12.1} {:>8.1} {:>9.0}",
            reached.prefill.wall,
            reached.prefill.cpu,
            reached.decode.wall,
            reached.decode.cpu,
            reached.together.wall,
            reached.together.cpu,
            reached.memory
        ),
        Err(error) => println!("{name:<18} left out: {error:#}"),
    }
}

fn measured(command: &mut Command) -> anyhow::Result<Reached> {
    let output = command.output().context("cannot be started")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        stderr.lines().last().unwrap_or_default()
    );
    let stdout = String::from_utf8(output.stdout)?;
    serde_json::from_str(stdout.lines().last().unwrap_or_default()).context("no result")
}

fn own(dir: &Path, precision: &str, threads: usize, runs: usize) -> anyhow::Result<Reached> {
    let precision = match precision {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        "q8" => Precision::Q8,
        "q4" => Precision::Q4,
        other => bail!("no precision {other}"),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| {
        let decoder = Decoder::load(
            Spec::open(dir)?,
            &TensorStore::open(dir)?,
            precision,
            &[],
            &|_| {},
        )?;
        let mut best = Reached::default();
        for _ in 0..runs {
            let (prefill, decode) = single(&decoder)?;
            best.prefill.improve(prefill);
            best.decode.improve(decode);
            best.together.improve(together(&decoder)?);
        }
        best.memory = peak_memory()?;
        Ok(best)
    })
}

fn prompt(seed: usize, length: usize) -> Vec<u32> {
    (0..length)
        .map(|at| ((seed * 7919 + at * 104_729) % 40_000 + 100) as u32)
        .collect()
}

fn step(decoder: &Decoder, caches: &mut [KvCache], tokens: &[Vec<u32>]) -> anyhow::Result<Vec<Vec<u32>>> {
    let segments = caches.iter_mut().zip(tokens).map(|(cache, tokens)| Segment {
        tokens,
        cache,
        output: OutputMode::LastLogits,
    });
    let logits = decoder.forward(&mut segments.collect::<Vec<_>>())?;
    Ok(logits.iter().map(|logits| vec![argmax(logits)]).collect())
}

fn single(decoder: &Decoder) -> anyhow::Result<(Pace, Pace)> {
    let mut caches = [decoder.cache(PROMPT + ANSWER)];
    let watch = Watch::start()?;
    let mut next = step(decoder, &mut caches, &[prompt(1, PROMPT)])?;
    let prefill = watch.pace(PROMPT)?;
    let watch = Watch::start()?;
    for _ in 0..ANSWER {
        next = step(decoder, &mut caches, &next)?;
    }
    Ok((prefill, watch.pace(ANSWER)?))
}

fn together(decoder: &Decoder) -> anyhow::Result<Pace> {
    let mut caches: Vec<KvCache> = (0..STREAMS).map(|_| decoder.cache(SHORT + TOGETHER)).collect();
    let prompts: Vec<Vec<u32>> = (0..STREAMS).map(|seed| prompt(seed, SHORT)).collect();
    let mut next = step(decoder, &mut caches, &prompts)?;
    let watch = Watch::start()?;
    for _ in 0..TOGETHER {
        next = step(decoder, &mut caches, &next)?;
    }
    watch.pace(STREAMS * TOGETHER)
}

impl Pace {
    fn improve(&mut self, other: Self) {
        self.wall = self.wall.max(other.wall);
        self.cpu = self.cpu.max(other.cpu);
    }
}

struct Watch {
    began: Instant,
    cpu: f64,
}

impl Watch {
    fn start() -> anyhow::Result<Self> {
        Ok(Self {
            began: Instant::now(),
            cpu: cpu_seconds()?,
        })
    }

    fn pace(&self, tokens: usize) -> anyhow::Result<Pace> {
        // The clock of processor time ticks a hundred times a second.
        let cpu = (cpu_seconds()? - self.cpu).max(0.01);
        Ok(Pace {
            wall: tokens as f64 / self.began.elapsed().as_secs_f64(),
            cpu: tokens as f64 / cpu,
        })
    }
}

/// Processor time of this process, all threads, user and system.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

fn peak_memory() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1000.0)
}
