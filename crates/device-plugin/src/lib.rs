//! A kubelet device plugin for tests: it advertises GPUs that do not exist, and lets them fail.
//!
//! Containers that ask for such a GPU get the variable `NVIDIA_VISIBLE_DEVICES`, and no device. The number of GPUs and of
//! healthy ones is in a file, so that a test changes it while the plugin runs. A plugin that is not started, or was killed,
//! is a missing one.

pub mod api;
mod gpus;
mod server;

use std::path::PathBuf;

pub use gpus::Gpus;
pub use server::run;

/// The command line.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "device-plugin", version)]
pub struct Args {
    /// The kubelet's directory of sockets of device plugins
    #[arg(long)]
    pub directory: PathBuf,
    /// The file with the number of GPUs and of healthy ones, such as `4 3`
    #[arg(long)]
    pub gpus_file: PathBuf,
    /// The name of the resource
    #[arg(long, default_value = "nvidia.com/gpu")]
    pub resource: String,
}
