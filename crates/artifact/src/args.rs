//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

const GIB: u64 = 1 << 30;

/// Moves payloads between the web, registries and directories.
#[derive(Clone, Debug, Parser)]
#[command(name = "artifact", version)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What all commands have.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// File for the outcome: the pushed image, or why it failed; not written where it does not exist yet
    #[arg(
        long,
        global = true,
        default_value = "/dev/termination-log",
        value_name = "FILE"
    )]
    pub(crate) termination_log: PathBuf,
    /// Certificates (PEM) to trust besides those of the web and of the system
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// How often a transfer is tried before it is given up
    #[arg(long, global = true, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) attempts: u32,
    /// Pause after the first failure; it doubles with each further one, up to a minute
    #[arg(long, global = true, default_value = "1", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) retry_delay: Duration,
    /// Time for the whole command; waiting for a tuning does not count
    #[arg(long, global = true, default_value = "14400", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) timeout: Duration,
    /// Bytes that may be written in all
    #[arg(long, global = true, default_value_t = 2048 * GIB, value_name = "BYTES")]
    pub(crate) max_bytes: u64,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Download URLs, each to a file named after the last part of its path
    Fetch(Fetch),
    /// Put `/data` of an image, or the titled files of an artifact, into a directory
    Pull(Pull),
    /// Wait for the result of a tuning, pack it into an image and push it
    Push(Push),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Fetch {
    /// Directory to download to
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Also take `http` URLs, which anybody on the way can change
    #[arg(long)]
    pub(crate) allow_http: bool,
    /// Also reach private and loopback addresses
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// Reach this host whatever its address is; may be given more than once
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
    /// Requests at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) connections: u16,
    /// Bytes of one request; larger files are fetched in parts, by several at the same time
    #[arg(long, default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(1024..=GIB))]
    pub(crate) part_bytes: u64,
    /// What to download; `#sha256=HEX` at its end is checked
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
}

/// How a registry is reached.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Access {
    /// Directory with Docker config files (`*.json`, `.dockerconfigjson`); anonymous access is tried first
    #[arg(long, value_name = "DIR")]
    pub(crate) auth_dir: Option<PathBuf>,
    /// Registry (`HOST[:PORT]`) that is spoken to without TLS; loopback ones are when they know no TLS
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) plain_http: Vec<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Pull {
    /// Directory to fill
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Files, directories and links that may be unpacked
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) max_entries: u64,
    /// Image or artifact, by tag or digest
    pub(crate) reference: String,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Push {
    /// Directory to pack
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Begin when this file is there; it is not packed
    #[arg(long, value_name = "FILE")]
    pub(crate) wait_for: Option<PathBuf>,
    /// Give up when this file is there; `fine_tuning_failed.txt` beside the one waited for, if not given
    #[arg(long, value_name = "FILE")]
    pub(crate) failed_when: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Preset that was tuned; the directory must then hold an adapter
    #[arg(long, value_name = "NAME")]
    pub(crate) base_model: Option<String>,
    /// Repository of the same registry that may hold the same layers already
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) mount_from: Option<String>,
    /// Largest part of an upload, in bytes
    #[arg(long, default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(1024..=GIB))]
    pub(crate) chunk_bytes: u64,
    /// Image to push to
    pub(crate) reference: String,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_command_lines_of_our_pods_are_understood() {
        let lines: [&[&str]; 3] = [
            &[
                "fetch",
                "--to=/mnt/data",
                "https://example.com/a",
                "https://example.com/b",
            ],
            &[
                "pull",
                "--to=/mnt/adapter/x",
                "--auth-dir=/secrets/pull",
                "example.com/x:1",
            ],
            &[
                "push",
                "--from=/mnt/results",
                "--wait-for=/mnt/results/fine_tuning_completed.txt",
                "--auth-dir=/secrets/push",
                "--base-model=phi-4",
                "example.com/x:1",
            ],
        ];
        for line in lines {
            Args::try_parse_from([&["artifact"], line].concat()).unwrap();
        }
        assert!(Args::try_parse_from(["artifact", "fetch", "--to=/x"]).is_err());
    }
}
