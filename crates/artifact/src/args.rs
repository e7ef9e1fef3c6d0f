//! The command line.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use egress::{ProxySettings, Retry, Settings};
use hub_files::Selection;

use crate::registry::RegistrySettings;
use crate::strength::Strength;

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

/// Flags of all commands.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// File for the outcome: the pushed image, or the error; it must exist
    #[arg(
        long,
        global = true,
        default_value = "/dev/termination-log",
        value_name = "FILE"
    )]
    pub(crate) termination_log: PathBuf,
    /// PEM file of certificates to trust, besides those of the web and of the system
    #[arg(long, global = true, env = "SSL_CERT_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Attempts at a transfer
    #[arg(long, global = true, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) attempts: u32,
    /// Pause after the first failure; it doubles with each further one, up to a minute
    #[arg(long, global = true, default_value = "1", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) retry_delay: Duration,
    /// Time for the whole command, without waiting for a tuning
    #[arg(long, global = true, default_value = "14400", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) timeout: Duration,
    /// Most bytes that are written in all
    #[arg(long, global = true, default_value_t = 2048 * GIB, value_name = "BYTES")]
    pub(crate) max_bytes: u64,
}

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(15);

impl Common {
    /// The attempts at a transfer.
    pub(crate) fn retry(&self) -> Retry {
        Retry {
            attempts: self.attempts,
            first_pause: self.retry_delay,
            report: crate::progress::say,
        }
    }

    /// The bounds of an HTTP client that uses the proxies of the environment.
    pub(crate) fn http(&self, silence: Duration, redirects: usize) -> Settings {
        Settings {
            user_agent: concat!("kaito-artifact/", env!("CARGO_PKG_VERSION")),
            connect_timeout: CONNECT,
            read_timeout: silence,
            redirects,
            proxy: ProxySettings::environment(),
            ca_file: self.ca_file.clone(),
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Download URLs, each to a file named after the last part of its path
    Fetch(Fetch),
    /// Download the files of a model on a hub that an engine reads
    Weights(Weights),
    /// Put `/data` of an image, or the titled files of an artifact, into a directory
    Pull(Pull),
    /// Copy the files of an adapter from a volume
    Copy(Copy),
    /// Check that an image may be pushed: an upload is begun and canceled
    CheckPush(CheckPush),
    /// Wait for the result of a tuning, pack it into an image and push it
    Push(Push),
    /// Wait until `push` beside this program has pushed its image
    AwaitPush(AwaitPush),
    /// Pack the weights of a model into an image and push it
    PushWeights(PushWeights),
    /// Push an image that lies in an OCI layout, as it is
    Publish(Publish),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Fetch {
    /// Directory to download to
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Permit `http` URLs, which anyone on the way can change
    #[arg(long)]
    pub(crate) allow_http: bool,
    /// Permit private and loopback addresses
    #[arg(long)]
    pub(crate) allow_private: bool,
    /// Permit this host whatever its address is; may be given more than once
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
    /// Concurrent requests
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) connections: u16,
    /// Bytes of one request; larger files are fetched in concurrent parts
    #[arg(long, default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(1024..=GIB))]
    pub(crate) part_bytes: u64,
    /// URLs to download; a checksum `#sha256=HEX` at the end is checked
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Weights {
    /// Directory to download to
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Model hub: a server with the paths of `https://huggingface.co`
    #[arg(long, default_value = "https://huggingface.co", value_name = "URL")]
    pub(crate) hub_endpoint: String,
    /// File with the token for the hub; only the hub itself receives it
    #[arg(long, value_name = "FILE")]
    pub(crate) hub_token_file: Option<PathBuf>,
    /// Repository
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) model: String,
    /// Commit, branch or tag
    #[arg(long, default_value = "main")]
    pub(crate) revision: String,
    /// Layout of the weights that the engine reads
    #[arg(long, default_value_t = Layout::Hub, value_enum)]
    pub(crate) layout: Layout,
}

/// Layout of the weights in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// The hub's, in safetensors or PyTorch's form.
    Hub,
    /// Mistral's own.
    Mistral,
}

impl Layout {
    /// The choice of files.
    pub(crate) fn selection(self) -> Selection {
        match self {
            Self::Hub => Selection::Hub,
            Self::Mistral => Selection::Mistral,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "hub",
            Self::Mistral => "mistral",
        })
    }
}

/// Flags about access to a registry.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Access {
    /// Directory with Docker config files (`*.json`, `.dockerconfigjson`); anonymous access is tried last
    #[arg(long, value_name = "DIR")]
    pub(crate) auth_dir: Option<PathBuf>,
    /// Registry (`HOST[:PORT]`) to use without TLS; a registry on this machine is also used without, if it has none
    #[arg(long, value_name = "REGISTRY")]
    pub(crate) plain_http: Vec<String>,
}

impl Access {
    /// The settings of a registry client.
    pub(crate) fn settings(&self, common: &Common) -> RegistrySettings {
        RegistrySettings {
            auth_dir: self.auth_dir.clone(),
            plain_http: self.plain_http.clone(),
            // While a registry receives a chunk or assembles a large blob, it is silent.
            http: common.http(Duration::from_secs(600), 5),
            retry: common.retry(),
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Pull {
    /// Directory to fill
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) access: Access,
    /// Most files, directories and links that are unpacked
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) max_entries: u64,
    /// Multiply the scale of the pulled LoRA adapter by this number, from 0 to 1
    #[arg(long, value_name = "NUMBER")]
    pub(crate) lora_strength: Option<Strength>,
    /// Image or artifact, by tag or digest
    pub(crate) reference: String,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Copy {
    /// Directory to copy from
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Directory to copy to
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Multiply the scale of the LoRA adapter by this number, from 0 to 1
    #[arg(long, value_name = "NUMBER")]
    pub(crate) lora_strength: Option<Strength>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CheckPush {
    #[command(flatten)]
    pub(crate) access: Access,
    /// Kubernetes Secret that holds the credentials; errors name it
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
    /// Image that is pushed later
    pub(crate) reference: String,
}

/// Destination of a push, and the access to it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PushTarget {
    #[command(flatten)]
    pub(crate) access: Access,
    /// Most bytes of one part of an upload
    #[arg(long, default_value_t = 16 << 20, value_parser = clap::value_parser!(u64).range(1024..=GIB))]
    pub(crate) chunk_bytes: u64,
    /// Image to push to
    pub(crate) reference: String,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Push {
    /// Directory to pack
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    /// Begin when this file exists; it is not packed
    #[arg(long, value_name = "FILE")]
    pub(crate) wait_for: Option<PathBuf>,
    /// Fail when this file exists; by default `fine_tuning_failed.txt` beside the one that is waited for
    #[arg(long, value_name = "FILE")]
    pub(crate) failed_when: Option<PathBuf>,
    /// Preset that was tuned; requires an adapter in the directory
    #[arg(long, value_name = "NAME")]
    pub(crate) base_model: Option<String>,
    /// Repository of the same registry that may hold the same layers
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) mount_from: Option<String>,
    /// Kubernetes Secret that holds the credentials; errors name it
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Option<String>,
    /// File for the outcome, which `await-push` reads; the program then lives for ten seconds at least
    #[arg(long, value_name = "FILE")]
    pub(crate) outcome: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) to: PushTarget,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AwaitPush {
    /// File with the outcome of `push`; it may not exist yet
    #[arg(long, value_name = "FILE")]
    pub(crate) outcome: PathBuf,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PushWeights {
    /// Directory with the weights and all files beside them
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) to: PushTarget,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Publish {
    /// Directory of an OCI layout with one image, or one index of images
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) to: PushTarget,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
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
        let lines: [&[&str]; 7] = [
            &[
                "weights",
                "--to=/workspace/weights",
                "--hub-endpoint=https://huggingface.co",
                "--hub-token-file=/secrets/hub/HF_TOKEN",
                "--model=mistralai/mistral-7b",
                "--revision=0123456789abcdef0123456789abcdef01234567",
                "--layout=mistral",
            ],
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
                "--lora-strength=0.5",
                "example.com/x:1",
            ],
            &[
                "copy",
                "--from=/mnt/adapter-source/x",
                "--to=/mnt/adapter/x",
                "--lora-strength=0.5",
            ],
            &[
                "check-push",
                "--auth-dir=/secrets/push",
                "--secret=push",
                "--attempts=14",
                "example.com/x:1",
            ],
            &[
                "push",
                "--from=/mnt/results",
                "--wait-for=/mnt/results/fine_tuning_completed.txt",
                "--auth-dir=/secrets/push",
                "--secret=push",
                "--outcome=/mnt/push/outcome.json",
                "--base-model=phi-4",
                "example.com/x:1",
            ],
            &[
                "await-push",
                "--outcome=/mnt/push/outcome.json",
                "--timeout=86400",
            ],
        ];
        for line in lines {
            Args::try_parse_from([&["artifact"], line].concat()).unwrap();
        }
        assert!(Args::try_parse_from(["artifact", "fetch", "--to=/x"]).is_err());
    }
}
