//! Arguments of the command that creates a Workspace, and of completion.

use admission::table::EngineImageArgs;
use clap::ValueEnum;
use instance_types::Cloud;

use super::day_two::ClusterArgs;

/// Output instead of a Workspace in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeployOutput {
    /// The manifest, for `kubectl apply`.
    Manifest,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeployArgs {
    /// Short name, alias or hub id of a preset.
    pub(crate) preset: String,
    /// Name of the Workspace; the default is made of the preset's.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Instance type; the default is the cheapest that fits, one node before several. May be repeated.
    #[arg(long = "instance-type", value_name = "NAME")]
    pub(crate) instance_types: Vec<String>,
    /// Cloud whose instance types are compared: azure, aws, gcp, arc or other.
    #[arg(long, default_value = "azure")]
    pub(crate) cloud: Cloud,
    /// Tokens of prompt and completion together that must fit.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) context_tokens: Option<u32>,
    /// Largest number of nodes.
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_nodes: Option<u32>,
    /// Secret whose key HF_TOKEN is a token for a gated model.
    #[arg(long, value_name = "NAME")]
    pub(crate) model_access_secret: Option<String>,
    /// Create the Workspace without a question.
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Print the manifest instead.
    #[arg(long, short, value_enum)]
    pub(crate) output: Option<DeployOutput>,
    /// Image of the GPU engine, for the built-in catalog; a registry knows its own.
    #[command(flatten, next_help_heading = "Settings of the installation")]
    pub(crate) engine: EngineImageArgs,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// A shell, or kubectl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompletionShell {
    /// For `kubectl-kaito` in bash.
    Bash,
    /// For `kubectl-kaito` in zsh.
    Zsh,
    /// For `kubectl-kaito` in fish.
    Fish,
    /// For `kubectl kaito` in any shell: a program that must be called kubectl_complete-kaito.
    Kubectl,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    /// Shell.
    #[arg(value_enum)]
    pub(crate) shell: CompletionShell,
}
