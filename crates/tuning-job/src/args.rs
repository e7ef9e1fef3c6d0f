//! Command line of the program. Parses only.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;
use telemetry::TelemetryArgs;

/// Fine-tunes a model as `training_config.yaml` says, and writes the adapter.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// The configuration.
    #[arg(
        long,
        env = "YAML_FILE_PATH",
        default_value = "/mnt/config/training_config.yaml"
    )]
    pub config: PathBuf,
    /// Directory of the dataset.
    #[arg(long, env = "DATASET_FOLDER_PATH", default_value = "/mnt/data")]
    pub data: PathBuf,
    /// Directory of the model, unless the configuration names one.
    #[arg(long, env = "MODEL_PATH", default_value = "/workspace/weights")]
    pub model: PathBuf,
    /// Directory of the result; that of the configuration when absent.
    #[arg(long, env = "OUTPUT_DIR")]
    pub output_dir: Option<PathBuf>,
    /// Modules to train where the configuration names none, separated by commas.
    #[arg(long, env = "DEFAULT_TARGET_MODULES", value_delimiter = ',')]
    pub default_target_modules: Vec<String>,
    /// Name of the model in `adapter_config.json`; its directory when absent.
    #[arg(long, env = "BASE_MODEL_NAME")]
    pub base_model_name: Option<String>,
    /// Threads to compute with; those of the machine when absent.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Go on even if the estimate says that memory does not suffice.
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
