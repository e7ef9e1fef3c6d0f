//! Command line of the program. Parses only.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;
use telemetry::TelemetryArgs;

/// Fine-tunes a model with the settings of `training_config.yaml` and writes the adapter.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Path of the configuration.
    #[arg(
        long,
        env = "YAML_FILE_PATH",
        default_value = "/mnt/config/training_config.yaml"
    )]
    pub config: PathBuf,
    /// Directory of the dataset.
    #[arg(long, env = "DATASET_FOLDER_PATH", default_value = "/mnt/data")]
    pub data: PathBuf,
    /// Directory of the model, if the configuration names none.
    #[arg(long, env = "MODEL_PATH", default_value = "/workspace/weights")]
    pub model: PathBuf,
    /// Directory of the result [default: `output_dir` of the configuration]
    #[arg(long, env = "OUTPUT_DIR")]
    pub output_dir: Option<PathBuf>,
    /// Modules to train if the configuration names none, separated by commas.
    #[arg(long, env = "DEFAULT_TARGET_MODULES", value_delimiter = ',')]
    pub default_target_modules: Vec<String>,
    /// Name of the model in `adapter_config.json` [default: its directory]
    #[arg(long, env = "BASE_MODEL_NAME")]
    pub base_model_name: Option<String>,
    /// Threads to compute with [default: those of the machine]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Continue if the estimate exceeds the available memory.
    #[arg(long)]
    pub ignore_memory: bool,
    /// Address of the metrics server.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub bind_address: IpAddr,
    /// Port of the metrics server.
    #[arg(long, default_value_t = 5000)]
    pub port: u16,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}
