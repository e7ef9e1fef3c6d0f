//! The user's `inference_config.yaml`: its section `native`.
//!
//! The file is shared with vLLM, whose section `vllm` is not ours; of it only the length of the context is taken over.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::args::{Args, Dtype};

/// Largest file, in bytes: a ConfigMap holds one MiB.
const BYTES: u64 = 1 << 20;

#[derive(Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    native: Native,
    #[serde(default)]
    vllm: Vllm,
}

/// What the section may set; each is the flag of that name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Native {
    dtype: Option<Dtype>,
    max_context_tokens: Option<usize>,
    threads: Option<usize>,
    max_sequences: Option<usize>,
    max_waiting: Option<usize>,
    step_tokens: Option<usize>,
    cache_mib: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
struct Vllm {
    #[serde(rename = "max-model-len")]
    max_model_len: Option<usize>,
}

/// Flags, completed by the file they name. Flags win.
pub(crate) fn complete(args: Args) -> anyhow::Result<Args> {
    let Some(path) = args.config_file.clone() else {
        return Ok(args);
    };
    let text = read(&path)?;
    let file = parse(&text).with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(merged(args, &file))
}

fn read(path: &Path) -> anyhow::Result<String> {
    let failed = || format!("{} cannot be read", path.display());
    let length = std::fs::metadata(path).with_context(failed)?.len();
    anyhow::ensure!(length <= BYTES, "{} is larger than {BYTES} bytes", path.display());
    std::fs::read_to_string(path).with_context(failed)
}

fn parse(text: &str) -> anyhow::Result<File> {
    Ok(serde_saphyr::from_str::<Option<File>>(text)?.unwrap_or_default())
}

fn merged(args: Args, file: &File) -> Args {
    let native = &file.native;
    Args {
        dtype: args.dtype.or(native.dtype),
        max_context_tokens: args
            .max_context_tokens
            .or(native.max_context_tokens)
            .or(file.vllm.max_model_len),
        threads: args.threads.or(native.threads),
        max_sequences: args.max_sequences.or(native.max_sequences),
        max_waiting: args.max_waiting.or(native.max_waiting),
        step_tokens: args.step_tokens.or(native.step_tokens),
        cache_mib: args.cache_mib.or(native.cache_mib),
        ..args
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let args = Args::parse_from(["inference-server", "--threads=3"]);
        let file =
            parse("vllm: {max-model-len: 100, cpu-offload-gb: 0}\nnative: {threads: 2, dtype: bfloat16}")
                .unwrap();
        let args = merged(args, &file);
        assert_eq!(
            (args.threads, args.max_context_tokens, args.dtype),
            (Some(3), Some(100), Some(Dtype::Bf16))
        );
    }

    #[test]
    fn a_slip_is_told() {
        assert!(
            parse("native: {thread: 2}")
                .unwrap_err()
                .to_string()
                .contains("thread")
        );
        assert!(parse("").is_ok());
    }
}
