//! Arguments of the commands that read a cluster.

use std::path::PathBuf;

use clap::ValueEnum;

use super::format::Format;

/// The cluster, as kubectl finds it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// Namespace; the default is the kubeconfig's.
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// Kubeconfig file; the default is $KUBECONFIG, then ~/.kube/config.
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long)]
    pub(crate) context: Option<String>,
}

impl ClusterArgs {
    /// Reports whether a flag is set.
    pub(crate) fn is_named(&self) -> bool {
        self.namespace.is_some() || self.kubeconfig.is_some() || self.context.is_some()
    }
}

/// Flags of the commands that show what they read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadArgs {
    /// Output format.
    #[arg(long, short, value_enum, default_value_t)]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Name of the Workspace.
    pub(crate) workspace: String,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Name of the Workspace; without it all Workspaces are listed.
    pub(crate) workspace: Option<String>,
    /// Follow changes. With a name, until the Workspace is ready, done, failed or deleted.
    #[arg(long, short)]
    pub(crate) watch: bool,
    /// List the Workspaces of all namespaces.
    #[arg(long, short = 'A', conflicts_with_all = ["workspace", "namespace"])]
    pub(crate) all_namespaces: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// Rows of `top`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// One row a namespace.
    Namespace,
    /// One row a Workspace.
    #[default]
    Workspace,
    /// One row a model.
    Model,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// Rows: the most expensive one comes first.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) by: Group,
    /// Count the Workspaces of all namespaces.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// List what would leak or stop if the operator were uninstalled now.
    #[arg(long)]
    pub(crate) before_uninstall: bool,
    /// Kind of finding to leave out, such as noDevicePlugin; may be repeated. The report says how many were.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "FINDING",
        conflicts_with = "before_uninstall"
    )]
    pub(crate) skip: Vec<String>,
    /// Namespace and name of the release, for users who may not read its marker.
    #[arg(long, default_value = "kaito-system/kaito", value_name = "NAMESPACE/RELEASE")]
    pub(crate) release: String,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// Name of the Workspace.
    pub(crate) workspace: String,
    /// Follow the log, and those of the containers that start next.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Print the logs of all pods; the default is the first that is not ready.
    #[arg(long)]
    pub(crate) all_pods: bool,
    /// Container; the default is the step that runs or failed, else the engine.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Number of last lines.
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) tail: Option<i64>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}
