//! Flags of the program.

mod config_file;
mod dtype;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use model::Precision;
use telemetry::TelemetryArgs;

use crate::settings::{
    AdapterMode, AdapterSettings, Backend, DrainSettings, HubSettings, LoadSettings, ModelSettings, Pipeline,
    ProxySettings, SecuritySettings, ServerSettings,
};
use config_file::ConfigFile;
use dtype::Dtype;

/// Serves a language model over HTTP.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Model hub repository of the weights; also the served name unless --served-model-name is given.
    #[arg(long)]
    model: Option<String>,
    /// Commit, branch or tag of the repository.
    #[arg(long, default_value = "main")]
    revision: String,
    /// Model hub, such as https://huggingface.co, to download the weights from if their directory has no model.
    #[arg(long)]
    pub hub_endpoint: Option<String>,
    /// File with the token for the hub.
    #[arg(long, requires = "hub_endpoint")]
    pub hub_token_file: Option<PathBuf>,
    /// PEM file of further authorities for the hub's certificate.
    #[arg(long, env = "SSL_CERT_FILE")]
    hub_ca_file: Option<PathBuf>,
    /// Maximum of bytes to download.
    #[arg(long, default_value_t = 2 << 40)]
    max_bytes: u64,
    /// Directory with config.json, safetensors and tokenizer.json.
    #[arg(long, default_value = "/workspace/weights")]
    weights_dir: PathBuf,
    /// Name of the model in requests.
    #[arg(long)]
    served_model_name: Option<String>,
    /// Address to listen at.
    #[arg(long, default_value = "0.0.0.0")]
    bind_address: IpAddr,
    /// Port to listen at; --local-rank is added to it.
    #[arg(long, default_value_t = 5000)]
    port: u16,
    /// Rank of this process on the node.
    #[arg(long, env = "LOCAL_RANK", default_value_t = 0)]
    local_rank: u16,
    /// Maximum of tokens of prompt and completion [default: the context of the model]
    #[arg(long)]
    pub max_context_tokens: Option<usize>,
    /// Directory of adapters: each subdirectory with an adapter_config.json is an adapter of that name.
    #[arg(long, default_value = "/mnt/adapter")]
    adapters_dir: PathBuf,
    /// Use of adapters [default: merge]
    #[arg(long, value_enum)]
    adapter_mode: Option<AdapterMode>,
    /// Strength of an adapter, as NAME=NUMBER [default: 1]
    #[arg(long, value_parser = strength)]
    pub adapter_strength: Vec<(String, f32)>,
    /// The user's inference_config.yaml, whose section `native` sets options that flags do not set.
    #[arg(long)]
    pub config_file: Option<PathBuf>,
    /// Number format of the weights in memory [default: auto]
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// Input that /chat takes [default: text-generation]
    #[arg(long, value_enum)]
    pipeline: Option<Pipeline>,
    /// Chat template that replaces the model's: a path, or the template itself if it contains `{` or a line end.
    #[arg(long)]
    chat_template: Option<String>,
    /// Threads that compute [default: the number of CPUs this process may use]
    #[arg(long)]
    threads: Option<usize>,
    /// Maximum of requests that generate at the same time [default: 16]
    #[arg(long)]
    max_sequences: Option<usize>,
    /// Maximum of requests that wait; the server answers more with 429 [default: 64]
    #[arg(long)]
    max_waiting: Option<usize>,
    /// Maximum of tokens in one step, of prompts and completions [default: 256]
    #[arg(long)]
    step_tokens: Option<usize>,
    /// Memory for keys and values in MiB [default: half of what is free after loading]
    #[arg(long)]
    cache_mib: Option<usize>,
    /// File with API keys, one a line; requests must send one. The server reloads the file when it changes.
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// Certificate chain (PEM) of the server. The server reloads the file when it changes.
    #[arg(long, requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// Private key (PEM) of the certificate. The server reloads the file when it changes.
    #[arg(long, requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
    /// Origin whose web pages may use the API, such as https://chat.example.com; `*` stands for all. Repeated for several.
    #[arg(long)]
    cors_origin: Vec<String>,
    /// Maximum of open connections; further clients wait.
    #[arg(long, default_value_t = 1024)]
    max_connections: usize,
    /// Forward requests to the OpenAI-compatible server at this URL instead of loading a model.
    #[arg(long)]
    engine_url: Option<String>,
    /// Maximum of requests that wait for the engine; more get 429.
    #[arg(long, default_value_t = 512, requires = "engine_url")]
    max_in_flight: usize,
    /// Loopback address at which `GET /drain` ends the server: new requests are refused, and the response comes after the last one.
    #[arg(long, requires = "engine_url")]
    drain_address: Option<SocketAddr>,
    /// Seconds without any token, while requests are in flight, after which /health reports the engine as hung.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    stall_seconds: u64,
    /// Seconds before `/drain` refuses new requests.
    #[arg(long, default_value_t = 5)]
    drain_delay_seconds: u64,
    /// Seconds that running requests have to finish after SIGTERM.
    #[arg(long, default_value_t = 25)]
    drain_seconds: u64,
    /// Logs and traces.
    #[command(flatten)]
    pub(crate) telemetry: TelemetryArgs,
}

impl Args {
    /// Returns the settings of the program: the flags, completed by the configuration file. Flags win.
    ///
    /// # Errors
    /// The configuration file cannot be read or used.
    pub fn settings(self) -> anyhow::Result<ServerSettings> {
        let file = match &self.config_file {
            Some(path) => ConfigFile::read(path)?,
            None => ConfigFile::default(),
        };
        Ok(self.settings_with(&file))
    }

    fn settings_with(self, file: &ConfigFile) -> ServerSettings {
        ServerSettings {
            address: SocketAddr::new(self.bind_address, self.port.saturating_add(self.local_rank)),
            drain_timeout: Duration::from_secs(self.drain_seconds),
            max_connections: self.max_connections.max(1),
            stall: Duration::from_secs(self.stall_seconds),
            security: SecuritySettings {
                api_key_file: self.api_key_file.clone(),
                tls_cert_file: self.tls_cert_file.clone(),
                tls_key_file: self.tls_key_file.clone(),
                cors_origins: self.cors_origin.clone(),
            },
            backend: match self.engine_url.clone() {
                Some(url) => Backend::Proxy(ProxySettings {
                    url,
                    pipeline: self
                        .pipeline
                        .or(file.native.pipeline)
                        .unwrap_or(Pipeline::TextGeneration),
                    max_in_flight: self.max_in_flight.max(1),
                    drain: self.drain_address.map(|address| DrainSettings {
                        address,
                        delay: Duration::from_secs(self.drain_delay_seconds),
                    }),
                }),
                None => Backend::Model(Box::new(self.model_settings(file))),
            },
        }
    }

    fn model_settings(self, file: &ConfigFile) -> ModelSettings {
        let native = &file.native;
        let precision = Precision::from(self.dtype.or(native.dtype).unwrap_or(Dtype::Auto));
        let hub = self.hub_endpoint.clone().map(|endpoint| HubSettings {
            endpoint,
            repository: self.model.clone(),
            revision: self.revision.clone(),
            token_file: self.hub_token_file.clone(),
            ca_file: self.hub_ca_file.clone(),
            max_bytes: self.max_bytes,
            weights_dir: self.weights_dir.clone(),
            precision,
        });
        let load = LoadSettings {
            served_name: self.served_name(),
            weights_dir: self.weights_dir,
            repository: self.model,
            precision,
            pipeline: self
                .pipeline
                .or(native.pipeline)
                .unwrap_or(Pipeline::TextGeneration),
            chat_template: self.chat_template.or_else(|| native.chat_template.clone()),
            threads: self.threads.or(native.threads),
            max_context_tokens: self
                .max_context_tokens
                .or(native.max_context_tokens)
                .or(file.vllm.max_model_len),
            max_sequences: self.max_sequences.or(native.max_sequences),
            max_waiting: self.max_waiting.or(native.max_waiting),
            step_tokens: self.step_tokens.or(native.step_tokens),
            cache_mib: self.cache_mib.or(native.cache_mib),
            adapters: AdapterSettings {
                directory: self.adapters_dir,
                mode: self
                    .adapter_mode
                    .or(native.adapter_mode)
                    .unwrap_or(AdapterMode::Merge),
                strengths: self.adapter_strength,
            },
        };
        ModelSettings { load, hub }
    }

    /// Returns the name of the model in requests.
    #[must_use]
    pub fn served_name(&self) -> String {
        let directory_name = || {
            self.weights_dir
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let name = self.served_model_name.clone().or_else(|| self.model.clone());
        name.or_else(directory_name).unwrap_or_else(|| "model".to_owned())
    }
}

fn strength(text: &str) -> Result<(String, f32), String> {
    let expected = || "expected NAME=NUMBER, as in my-adapter=0.5".to_owned();
    let (name, number) = text.rsplit_once('=').ok_or_else(expected)?;
    match number.parse::<f32>() {
        Ok(number) if number.is_finite() && !name.is_empty() => Ok((name.to_owned(), number)),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model_settings(flags: &[&str], file: &str) -> ModelSettings {
        let args = Args::try_parse_from(std::iter::once(&"inference-server").chain(flags)).unwrap();
        match args.settings_with(&ConfigFile::parse(file).unwrap()).backend {
            Backend::Model(settings) => *settings,
            Backend::Proxy(_) => panic!("expected a model"),
        }
    }

    #[test]
    fn flags_of_pods_are_accepted() {
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
    }

    #[test]
    fn a_strength_must_be_a_number() {
        for wrong in ["a", "a=", "=1", "a=inf", "a=x"] {
            assert!(strength(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = "vllm: {max-model-len: 100, cpu-offload-gb: 0}\n\
                    native: {threads: 2, dtype: bfloat16, adapter-mode: request, chat-template: '{{ a }}'}";
        let load = model_settings(&["--threads=3"], file).load;
        assert_eq!(
            (load.threads, load.max_context_tokens, load.precision),
            (Some(3), Some(100), Precision::Bf16)
        );
        assert_eq!(
            (load.adapters.mode, load.pipeline, load.chat_template.as_deref()),
            (AdapterMode::Request, Pipeline::TextGeneration, Some("{{ a }}"))
        );
        let load = model_settings(&["--adapter-mode=merge", "--chat-template=x"], file).load;
        assert_eq!(
            (load.adapters.mode, load.chat_template.as_deref()),
            (AdapterMode::Merge, Some("x"))
        );
    }
}
