//! `bench-builds`: the same program as different builds made it, one beside the other: C libraries, allocators, flags.
//!
//! Builds take turns, so that a disturbed minute disturbs all of them. Processor time is the figure to compare on a busy
//! machine. The result is a ratio to the first build; nothing is asserted.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use gguf::example;
use reqwest::Client;
use serde_json::json;

/// Tokens of the answers that are measured.
const ANSWER: usize = 64;
/// Requests at once.
const STREAMS: usize = 8;
/// Words of the long prompt, and of the others.
const LONG: usize = 180;
const SHORT: usize = 24;
const NAME: &str = "smollm2";
/// Time until a server is ready.
const START: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
/// Words of prompts.
const WORDS: [&str; 12] = [
    "river", "stone", "seven", "lantern", "bridge", "paper", "window", "north", "copper", "garden", "signal",
    "winter",
];

/// Compares builds of inference-server on SmolLM2-135M-Instruct.
#[derive(Debug, Parser)]
struct Args {
    /// A build as LABEL=PATH, or LABEL=PATH+LIBRARY to preload a library; the first one is compared with
    #[arg(long = "server", required = true, value_parser = Build::parse)]
    servers: Vec<Build>,
    /// Arithmetic of the servers
    #[arg(long, default_value = "bf16")]
    dtype: String,
    /// Turns of each build; the best one counts, as the others were disturbed
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

#[derive(Clone, Debug)]
struct Build {
    label: String,
    path: PathBuf,
    preloaded: Option<PathBuf>,
}

impl Build {
    fn parse(text: &str) -> Result<Self> {
        let (label, path) = text.split_once('=').context("expected LABEL=PATH")?;
        let (path, preloaded) = match path.split_once('+') {
            Some((path, library)) => (path, Some(library.into())),
            None => (path, None),
        };
        Ok(Self {
            label: label.to_owned(),
            path: path.into(),
            preloaded,
        })
    }
}

/// Seconds of one kind of work: by the clock, and of processor time.
#[derive(Clone, Copy, Debug)]
struct WorkSeconds {
    wall: f64,
    cpu: f64,
}

impl WorkSeconds {
    const WORST: Self = Self {
        wall: f64::INFINITY,
        cpu: f64::INFINITY,
    };

    fn best(self, other: Self) -> Self {
        Self {
            wall: self.wall.min(other.wall),
            cpu: self.cpu.min(other.cpu),
        }
    }
}

/// Figures of one build, in the order of [`WORK`].
#[derive(Debug)]
struct Reached {
    costs: [WorkSeconds; WORK.len()],
    memory: f64,
}

/// Kinds of work: words of a prompt, tokens of an answer, requests at once.
const WORK: [(&str, usize, usize, usize); 3] = [
    ("prefill", LONG, 1, 1),
    ("decode", SHORT, ANSWER, 1),
    ("8 streams", SHORT, ANSWER, STREAMS),
];

#[tokio::main]
async fn main() -> Result<()> {
    testkit::install_crypto_provider();
    let args = Args::parse();
    let model = tokio::task::spawn_blocking(|| example::smollm2(&example::cache(), &|_| {})).await??;
    let mut reached: Vec<Reached> = args
        .servers
        .iter()
        .map(|_| Reached {
            costs: [WorkSeconds::WORST; WORK.len()],
            memory: 0.0,
        })
        .collect();
    for run in 0..args.runs {
        for (build, reached) in args.servers.iter().zip(&mut reached) {
            let server = RunningBuild::start(build, &model.dir, &args.dtype).await?;
            // The first requests fill caches.
            server.measure(run * 1000, SHORT, 8, STREAMS).await?;
            for (at, (_, words, tokens, streams)) in WORK.into_iter().enumerate() {
                let seed = run * 1000 + 100 * (at + 1);
                let cost = server.measure(seed, words, tokens, streams).await?;
                reached.costs[at] = reached.costs[at].best(cost);
            }
            reached.memory = reached.memory.max(server.peak_megabytes()?);
        }
    }
    print(&args, &reached);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what this program was asked for")]
fn print(args: &Args, reached: &[Reached]) {
    println!(
        "speed beside {}, {}, best of {}: by the clock / by processor time",
        args.servers[0].label, args.dtype, args.runs
    );
    let heads = WORK.map(|(name, ..)| format!("{name:>15}"));
    println!("{:<20}{} {:>9}", "", heads.concat(), "peak MB");
    for (build, theirs) in args.servers.iter().zip(reached) {
        let ratios = theirs.costs.iter().zip(reached[0].costs);
        let ratios = ratios.map(|(cost, first)| {
            let (wall, cpu) = (first.wall / cost.wall, first.cpu / cost.cpu);
            format!("{:>15}", format!("{wall:.2} / {cpu:.2}"))
        });
        let ratios: String = ratios.collect();
        println!("{:<20}{ratios} {:>9.0}", build.label, theirs.memory);
    }
}

/// A running build; it ends with this value.
struct RunningBuild {
    child: Child,
    url: String,
    client: Client,
}

impl RunningBuild {
    async fn start(build: &Build, model: &std::path::Path, dtype: &str) -> Result<Self> {
        let [port] = testkit::reserve_ports()?;
        let mut command = Command::new(&build.path);
        command
            .args(["--bind-address=127.0.0.1", "--served-model-name", NAME])
            .args([format!("--port={port}"), format!("--dtype={dtype}")])
            .arg("--weights-dir")
            .arg(model)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(library) = &build.preloaded {
            command.env("LD_PRELOAD", library);
        }
        let child = command
            .spawn()
            .with_context(|| format!("failed to start {}", build.path.display()))?;
        let mut server = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            client: Client::builder().no_proxy().build()?,
        };
        server
            .wait_until_ready()
            .await
            .with_context(|| build.label.clone())?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let began = Instant::now();
        let health = format!("{}/health", self.url);
        loop {
            let answer = self.client.get(&health).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none() && began.elapsed() < START, "not ready: {ended:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends requests at once, each with a prompt of its own, and waits for all answers.
    async fn measure(&self, seed: usize, words: usize, tokens: usize, streams: usize) -> Result<WorkSeconds> {
        let (began, cpu) = (Instant::now(), self.cpu_seconds()?);
        let requests = (0..streams).map(|stream| self.complete(prompt(seed + stream, words), tokens));
        futures::future::try_join_all(requests).await?;
        Ok(WorkSeconds {
            wall: began.elapsed().as_secs_f64(),
            // The clock of processor time ticks a hundred times a second.
            cpu: (self.cpu_seconds()? - cpu).max(0.01),
        })
    }

    async fn complete(&self, prompt: String, tokens: usize) -> Result<()> {
        let body = json!({
            "model": NAME, "prompt": prompt, "temperature": 0, "max_tokens": tokens, "min_tokens": tokens,
        });
        let url = format!("{}/v1/completions", self.url);
        let answer = self.client.post(url).json(&body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status}: {text}");
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        ensure!(answer["usage"]["completion_tokens"] == tokens, "{text}");
        Ok(())
    }

    fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields
            .skip(11)
            .take(2)
            .map(str::parse::<f64>)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(ticks.iter().sum::<f64>() / 100.0)
    }

    fn peak_megabytes(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.context("no VmHWM")?.trim().trim_end_matches("kB").trim();
        Ok(kilobytes.parse::<f64>()? / 1000.0)
    }
}

impl Drop for RunningBuild {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A prompt that no other seed has, so that no cached prefix is of use.
fn prompt(seed: usize, words: usize) -> String {
    let word = |at: usize| WORDS[(seed * 7 + at * (seed % 5 + 1) + at / 3) % WORDS.len()];
    let text: Vec<&str> = (0..words).map(word).collect();
    format!("{seed} {}", text.join(" "))
}
