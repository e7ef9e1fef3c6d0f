//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use instance_types::Cloud;

/// What a model needs and costs, and whether a Workspace would be taken, before it is applied.
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

/// Whose catalog is used.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Catalog")]
pub(crate) struct RegistryArgs {
    /// Preset registry to ask, such as http://127.0.0.1:50051; without it, the catalog that is part of this program.
    #[arg(long, global = true, env = "KAITO_REGISTRY")]
    pub(crate) registry: Option<String>,
    /// PEM file of the authorities that an https registry's certificate may be of.
    #[arg(long, global = true, env = "KAITO_REGISTRY_CA_FILE")]
    pub(crate) registry_ca_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// The models that can be named.
    #[command(subcommand)]
    Presets(PresetsCommand),
    /// Compare instance types for a model: nodes, GPUs, longest context, price, and why not.
    Plan(PlanArgs),
    /// Say what `kubectl apply` would say of Workspaces, without a cluster.
    Lint(LintArgs),
    /// Say where a Workspace of the cluster stands, why, and what helps.
    Explain(ExplainArgs),
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PresetsCommand {
    /// All presets, or those that match.
    List(ListArgs),
    /// Everything that is known of one.
    Show(ShowArgs),
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people, in 100 columns.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only those with this in a name.
    pub(crate) contains: Option<String>,
    /// Only those that can be tuned.
    #[arg(long)]
    pub(crate) tunable: bool,
    /// Only those that run without a GPU.
    #[arg(long)]
    pub(crate) cpu: bool,
    /// How the answer is printed.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Short name, alias or hub id.
    pub(crate) name: String,
    /// How the answer is printed.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Short name, alias or hub id of a preset.
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    pub(crate) preset: Option<String>,
    /// File with Workspaces; - for the standard input. What a Workspace says counts where no flag says otherwise.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) filename: Option<PathBuf>,
    /// Cloud whose instance types are compared: azure, aws or arc.
    #[arg(long, default_value = "azure")]
    pub(crate) cloud: Cloud,
    /// Only this instance type; may be repeated.
    #[arg(long = "instance-type", value_name = "NAME")]
    pub(crate) instance_types: Vec<String>,
    /// Tokens of a sequence, prompt and answer together, that must fit.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) context: Option<u32>,
    /// More nodes than this are not wanted.
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_nodes: Option<u32>,
    /// Plan for fine-tuning a named preset.
    #[arg(long, conflicts_with = "filename")]
    pub(crate) tuning: bool,
    /// Print what fills the fullest GPU, for the best candidate and those that --instance-type names.
    #[arg(long)]
    pub(crate) explain: bool,
    /// How the answer is printed.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Where nodes come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum NodeProvisioner {
    /// They are made, of the instance type that the Workspace names, each by a Machine.
    #[default]
    Machine,
    /// They are made likewise, each by a NodeClaim.
    #[value(name = "nodeclaim", aliases = ["azure-gpu-provisioner", "karpenter"])]
    NodeClaim,
    /// They are brought along.
    Byo,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LintArgs {
    /// File with Workspaces, each a document of its own; - for the standard input. May be repeated.
    #[arg(long = "filename", short = 'f', value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) filenames: Vec<PathBuf>,
    /// Files of presets that the registry will serve beside its own; may be repeated.
    #[arg(long = "presets", value_name = "FILE", conflicts_with = "registry")]
    pub(crate) presets: Vec<PathBuf>,
    /// Cloud of the cluster: azure, aws or arc.
    #[arg(long, default_value = "azure")]
    pub(crate) cloud: Cloud,
    /// Where the nodes of the cluster come from: the chart's nodeProvisioner.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) node_provisioner: NodeProvisioner,
    /// How the answer is printed.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Name of the Workspace.
    pub(crate) workspace: String,
    /// Its namespace; without it, that of the kubeconfig.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// Kubeconfig file; without it $KUBECONFIG, then ~/.kube/config.
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long)]
    pub(crate) context: Option<String>,
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
        assert!(parse(&["phi-4", "--context", "0"]).is_err() && parse(&["phi-4", "--cloud", "gcp"]).is_err());
    }
}
