//! The formats of output.

use clap::ValueEnum;

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table as wide as the terminal, or of at most 100 columns.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Output format of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// A table as wide as the terminal, or of at most 100 columns.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// A Workspace.
    Manifest,
}
