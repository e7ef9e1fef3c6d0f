//! Command line arguments.

mod chat;
mod day_two;
mod deploy;
mod format;

use std::path::PathBuf;

use admission::table::{EngineImageArgs, VerdictArgs};
use clap::{Parser, Subcommand, ValueEnum};
use instance_types::Cloud;
use preset_catalog::fit::RetiredTypes;

pub(crate) use chat::{ChatArgs, DashboardArgs, EndpointArgs};
pub(crate) use day_two::{ClusterArgs, DoctorArgs, ExplainArgs, Group, LogsArgs, StatusArgs, TopArgs};
pub(crate) use deploy::{CompletionArgs, CompletionShell, DeployArgs};
pub(crate) use format::{Format, PlanFormat};

/// Plan, lint, watch and explain Workspaces.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "kubectl-kaito",
    bin_name = "kubectl kaito",
    version,
    propagate_version = true
)]
pub struct Args {
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Source of the catalog.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Catalog")]
pub(crate) struct RegistryArgs {
    /// URL of a preset registry, such as https://127.0.0.1:50051; the default is the built-in catalog.
    #[arg(long, global = true, env = "KAITO_REGISTRY")]
    pub(crate) registry: Option<String>,
    /// File of instance types as the administrator lists them; may be repeated. A registry has its own for plans and lint.
    #[arg(
        long = "instance-type-table",
        global = true,
        env = "KAITO_INSTANCE_TYPE_TABLE",
        value_name = "FILE"
    )]
    pub(crate) instance_type_tables: Vec<PathBuf>,
    /// PEM file with the certificate authorities of an https registry; the default is the ConfigMap of the release.
    #[arg(long, global = true, env = "KAITO_REGISTRY_CA_FILE")]
    pub(crate) registry_ca_file: Option<PathBuf>,
    /// File with a token for an https registry; the default is a new token of --registry-account.
    #[arg(long, global = true, env = "KAITO_REGISTRY_TOKEN_FILE")]
    pub(crate) registry_token_file: Option<PathBuf>,
    /// Namespace and name of the release that an https registry belongs to, in the cluster of the kubeconfig.
    #[arg(
        long,
        global = true,
        env = "KAITO_REGISTRY_RELEASE",
        default_value = "kaito-system/kaito",
        value_name = "NAMESPACE/RELEASE"
    )]
    pub(crate) registry_release: String,
    /// ServiceAccount in the release's namespace whose token is shown to an https registry.
    #[arg(
        long,
        global = true,
        env = "KAITO_REGISTRY_ACCOUNT",
        default_value = "preset-reader"
    )]
    pub(crate) registry_account: String,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// List or show model presets.
    #[command(subcommand)]
    Presets(PresetsCommand),
    /// Compare instance types for a model: nodes, GPUs, longest context, price.
    Plan(PlanArgs),
    /// Validate Workspaces as `kubectl apply` would, without a cluster.
    Lint(LintArgs),
    /// Explain the state of a Workspace, with reasons and remedies.
    Explain(ExplainArgs),
    /// Show how far Workspaces are, what they cost, and why they wait.
    Status(StatusArgs),
    /// Show nodes, GPUs and cost by Workspace, namespace or model.
    Top(TopArgs),
    /// Print the address at which a model answers, or open it on this machine.
    Endpoint(EndpointArgs),
    /// Ask a model, once or in a conversation.
    Chat(ChatArgs),
    /// Serve a page on this machine that shows Workspaces, nodes and cost live.
    Dashboard(DashboardArgs),
    /// Print the log of the container that matters now.
    Logs(LogsArgs),
    /// Create the Workspace of the best plan for a preset, after its cost was shown.
    Deploy(DeployArgs),
    /// Print the completion script of a shell.
    Completion(CompletionArgs),
    /// Complete a command line for kubectl.
    #[command(name = "__complete", hide = true)]
    Complete {
        /// Words after the name of the plugin; the last one is completed.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Find nodes that cost without use, and parts of the installation that do not work.
    Doctor(DoctorArgs),
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PresetsCommand {
    /// List all presets, or the matching ones.
    List(ListArgs),
    /// Show one preset.
    Show(ShowArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Text that a name must contain.
    pub(crate) contains: Option<String>,
    /// List tunable presets only.
    #[arg(long)]
    pub(crate) tunable: bool,
    /// List presets that run without a GPU only.
    #[arg(long)]
    pub(crate) cpu: bool,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Short name, alias or hub id.
    pub(crate) name: String,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Short name, alias or hub id of a preset.
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    pub(crate) preset: Option<String>,
    /// File with Workspaces; - is standard input. Flags take precedence over the Workspace.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) filename: Option<PathBuf>,
    /// Cloud whose instance types are compared: azure, aws, gcp, arc or other.
    #[arg(long, default_value = "azure")]
    pub(crate) cloud: Cloud,
    /// Instance type to compare; may be repeated. The default is all.
    #[arg(long = "instance-type", value_name = "NAME")]
    pub(crate) instance_types: Vec<String>,
    /// Tokens of prompt and completion together that must fit.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) context_tokens: Option<u32>,
    /// Largest number of nodes.
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_nodes: Option<u32>,
    /// List divisions over several nodes too, although one node suffices.
    #[arg(long)]
    pub(crate) multi_node: bool,
    /// Plan for fine-tuning a named preset.
    #[arg(long, conflicts_with = "filename")]
    pub(crate) tuning: bool,
    /// Image of the GPU engine, for the built-in catalog; a registry knows its own.
    #[command(flatten, next_help_heading = "Settings of the installation")]
    pub(crate) engine: EngineImageArgs,
    /// Treatment of retired instance types: the chart's retiredInstanceTypes.
    #[arg(long, env = "RETIRED_INSTANCE_TYPES", default_value = "replace")]
    pub(crate) retired_instance_types: RetiredTypes,
    /// Estimate the time to ready from the starts of the cluster's Workspaces, or of one namespace.
    #[arg(long)]
    pub(crate) measured: bool,
    /// Print the memory of the fullest GPU and the formulas of the estimates, for the best candidate and those of --instance-type.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Compare with the quota of the cluster's subscription, as gpu-provisioner of this release published it.
    #[arg(
        long,
        value_name = "NAMESPACE/RELEASE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "kaito-system/kaito"
    )]
    pub(crate) quota: Option<String>,
    /// The cluster of --measured and --quota.
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// Output format; `manifest` is the Workspace of the best candidate of a preset.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: PlanFormat,
}

/// Source of nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum NodeProvisioner {
    /// A Machine is created for each node.
    Machine,
    /// A NodeClaim is created for each node.
    #[default]
    #[value(name = "nodeclaim", aliases = ["azure-gpu-provisioner", "karpenter"])]
    NodeClaim,
    /// Existing nodes are selected by label.
    Byo,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LintArgs {
    /// File with Workspaces as YAML documents; - is standard input. May be repeated.
    #[arg(long = "filename", short = 'f', value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) filenames: Vec<PathBuf>,
    /// File with user presets of the registry; may be repeated.
    #[arg(long = "presets", value_name = "FILE", conflicts_with = "registry")]
    pub(crate) presets: Vec<PathBuf>,
    /// Cloud of the cluster: azure, aws, gcp, arc or other.
    #[arg(long, default_value = "azure")]
    pub(crate) cloud: Cloud,
    /// Source of the cluster's nodes: the chart's nodeProvisioner.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) node_provisioner: NodeProvisioner,
    /// Settings of the cluster's installation.
    #[command(flatten)]
    pub(crate) verdicts: VerdictArgs,
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn nodes_come_from_where_the_chart_says() {
        let of = |word: &str| {
            let flag = format!("--node-provisioner={word}");
            let args = Args::try_parse_from(["kubectl-kaito", "lint", "-f", "-", &flag]);
            args.map(drop).map_err(|error| error.to_string())
        };
        for word in [
            "machine",
            "nodeclaim",
            "azure-gpu-provisioner",
            "karpenter",
            "byo",
        ] {
            assert_eq!(of(word), Ok(()), "{word}");
        }
        assert!(of("nodepool").unwrap_err().contains("nodeclaim"));
    }

    #[test]
    fn a_plan_is_of_a_preset_or_a_file() {
        let parse = |flags: &[&str]| Args::try_parse_from(["kubectl-kaito", "plan"].iter().chain(flags));
        assert!(parse(&["phi-4"]).is_ok() && parse(&["-f", "-"]).is_ok());
        assert!(parse(&[]).is_err() && parse(&["phi-4", "-f", "-"]).is_err());
        assert!(
            parse(&["phi-4", "--context-tokens", "0"]).is_err()
                && parse(&["phi-4", "--cloud", "moon"]).is_err()
        );
    }
}
