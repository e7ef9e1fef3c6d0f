//! Flags of the program.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use model::Precision;
use telemetry::TelemetryArgs;

/// Answers over HTTP with a language model.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Model hub repository the weights are from; named in logs, and the served name unless that is given.
    #[arg(long)]
    pub model: Option<String>,
    /// Commit, branch or tag of that repository; `main` without it.
    #[arg(long)]
    pub revision: Option<String>,
    /// Model hub, such as https://huggingface.co, to fetch the weights from when their directory holds no model.
    #[arg(long)]
    pub hub_endpoint: Option<String>,
    /// File with the token for the hub.
    #[arg(long, requires = "hub_endpoint")]
    pub hub_token_file: Option<PathBuf>,
    /// Bytes that may be fetched in all.
    #[arg(long, default_value_t = 2 << 40)]
    pub max_bytes: u64,
    /// Directory with config.json, safetensors and tokenizer.json.
    #[arg(long, default_value = "/workspace/weights")]
    pub weights_dir: PathBuf,
    /// Name of the model in requests.
    #[arg(long)]
    pub served_model_name: Option<String>,
    /// Address to listen at.
    #[arg(long, default_value = "0.0.0.0")]
    pub bind_address: IpAddr,
    /// Port to listen at; the rank of this process is added to it.
    #[arg(long, default_value_t = 5000)]
    pub port: u16,
    /// Rank of this process among those on the node.
    #[arg(long, env = "LOCAL_RANK", default_value_t = 0)]
    pub local_rank: u16,
    /// Longest context in tokens, prompt and answer; the model's own without it.
    #[arg(long)]
    pub max_context_tokens: Option<usize>,
    /// Directory in which each directory with an `adapter_config.json` is an adapter of that name.
    #[arg(long, default_value = "/mnt/adapter")]
    pub adapters_dir: PathBuf,
    /// What is done with adapters: all are merged into the model, or each answers requests that name it as `model`.
    #[arg(long, value_enum, default_value_t = AdapterMode::Merge)]
    pub adapter_mode: AdapterMode,
    /// How strongly an adapter counts, as NAME=NUMBER; 1 for those not named.
    #[arg(long, value_parser = strength)]
    pub adapter_strength: Vec<(String, f32)>,
    /// The user's `inference_config.yaml`; its section `native` sets what flags do not.
    #[arg(long)]
    pub config_file: Option<PathBuf>,
    /// How weights are kept in memory.
    #[arg(long, value_enum)]
    pub dtype: Option<Dtype>,
    /// What `/chat` takes: a prompt or messages.
    #[arg(long, value_enum, default_value_t = Pipeline::TextGeneration)]
    pub pipeline: Pipeline,
    /// Chat template that replaces the model's own: a path, or the template itself if it holds `{` or a newline.
    #[arg(long)]
    pub chat_template: Option<String>,
    /// Threads that compute; as many as this process may use without it.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Most requests that generate at the same time.
    #[arg(long)]
    pub max_sequences: Option<usize>,
    /// Most requests that wait; more are answered with 429.
    #[arg(long)]
    pub max_waiting: Option<usize>,
    /// Most tokens of one step, of prompts and answers.
    #[arg(long)]
    pub step_tokens: Option<usize>,
    /// Memory for keys and values, in MiB; half of what is free after loading without it.
    #[arg(long)]
    pub cache_mib: Option<usize>,
    /// File with keys, one a line, of which requests must bring one; read again when it changes.
    #[arg(long)]
    pub api_key_file: Option<PathBuf>,
    /// Certificate (PEM) of the server, with those that lead to its authority; read again when it changes.
    #[arg(long, requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key (PEM) of that certificate.
    #[arg(long, requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// Stand in front of another OpenAI-compatible server at this URL instead of loading a model.
    #[arg(long)]
    pub engine_url: Option<String>,
    /// Seconds that answers may still take after SIGTERM.
    #[arg(long, default_value_t = 25)]
    pub drain_seconds: u64,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// What `/chat` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pipeline {
    /// A prompt.
    TextGeneration,
    /// Messages.
    Conversational,
}

/// What is done with adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdapterMode {
    /// All are merged into the weights when the server starts.
    Merge,
    /// Each stays beside the weights, for the requests whose `model` is its name.
    Request,
}

/// How weights are kept in memory; sums are 32-bit floats in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Without loss.
    Auto,
    /// 32-bit floats.
    #[value(alias = "float32")]
    #[serde(alias = "float32")]
    F32,
    /// bfloat16.
    #[value(alias = "bfloat16")]
    #[serde(alias = "bfloat16")]
    Bf16,
    /// 8-bit numbers with a scale for each 32.
    Q8,
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Auto => Self::Auto,
            Dtype::F32 => Self::F32,
            Dtype::Bf16 => Self::Bf16,
            Dtype::Q8 => Self::Q8,
        }
    }
}

impl Args {
    /// Name of the model in requests.
    #[must_use]
    pub fn served_name(&self) -> String {
        let by_dir = || {
            self.weights_dir
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let name = self.served_model_name.clone().or_else(|| self.model.clone());
        name.or_else(by_dir).unwrap_or_else(|| "model".to_owned())
    }
}

fn strength(text: &str) -> Result<(String, f32), String> {
    let wanted = || "NAME=NUMBER is wanted, as in my-adapter=0.5".to_owned();
    let (name, number) = text.rsplit_once('=').ok_or_else(wanted)?;
    match number.parse::<f32>() {
        Ok(number) if number.is_finite() && !name.is_empty() => Ok((name.to_owned(), number)),
        _ => Err(wanted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_flags_are_understood() {
        let args = Args::try_parse_from([
            "inference-server",
            "--model=HuggingFaceTB/SmolLM2-135M-Instruct",
            "--revision=abc",
            "--weights-dir=/workspace/weights",
            "--served-model-name=smollm2",
            "--port=5000",
            "--max-context-tokens=2048",
            "--adapters-dir=/mnt/adapter",
            "--adapter-strength=a=b=0.5",
            "--config-file=/mnt/config/inference_config.yaml",
        ])
        .unwrap();
        assert_eq!(args.adapter_strength, [("a=b".to_owned(), 0.5)]);
        assert_eq!(args.served_name(), "smollm2");
        assert_eq!(args.pipeline, Pipeline::TextGeneration);
        assert_eq!(args.adapter_mode, AdapterMode::Merge);
    }

    #[test]
    fn a_strength_is_a_number() {
        for wrong in ["a", "a=", "=1", "a=inf", "a=x"] {
            assert!(strength(wrong).is_err(), "{wrong}");
        }
    }
}
