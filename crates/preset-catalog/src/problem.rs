//! Problems of presets: the rules that one can break.

/// Longest name: names become label values, whose length Kubernetes limits.
pub(crate) const MAX_NAME_LENGTH: usize = 63;

/// Problem of a preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The hub id does not have the form `owner/repository`.
    #[error("hub id `{0}` must have the form owner/repository")]
    BadHubId(String),
    /// A name cannot be a label value.
    #[error(
        "name `{0}` must be 1 to 63 of a-z, 0-9, `-`, `_` and `.`, and begin and end with a letter or digit"
    )]
    BadName(String),
    /// Two presets have the same name, or an alias repeats the preset's own name.
    #[error("name `{name}` already belongs to `{owner}`")]
    NameTaken {
        /// The name, in lower case.
        name: String,
        /// Short name of the preset that already has the name.
        owner: String,
    },
    /// A required text is empty.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// A size that must be positive is zero.
    #[error("{0} must be positive")]
    Zero(&'static str),
    /// The preset runs without a GPU, but the native runtime is not listed.
    #[error("must list the native runtime to run on a CPU")]
    CpuWithoutNativeRuntime,
    /// Layers and heads contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A list has a duplicate.
    #[error("{0} must not have duplicates")]
    Repeated(&'static str),
    /// The weights image does not have the form `repository:tag`.
    #[error("weights image `{0}` must have the form repository:tag")]
    BadWeightsImage(String),
    /// A weights file is not a plain file name.
    #[error("weights file `{0}` must be a plain file name")]
    BadWeightsFile(String),
    /// A revision is a branch, a tag or no name at all.
    #[error("revision `{0}` must be a commit: 40 or 64 digits of 0-9 and a-f")]
    BadRevision(String),
    /// The model runs its own code, and the owner of the repository may change that code.
    #[error("trust_remote_code requires a revision: write the commit whose code may run")]
    UnpinnedCode,
    /// The name of an engine flag would not be one argument.
    #[error("engine flag `{0}` must be named by a-z, 0-9, `-`, `_` and `.`, without leading dashes")]
    BadFlagName(String),
    /// The operator itself sets the flag.
    #[error("engine flag `{0}` is set by the operator: remove it")]
    ReservedFlag(String),
    /// The name of an environment variable is rejected by the API server or by a shell.
    #[error(
        "environment variable `{0}` must be named by letters, digits and `_`, and not begin with a digit"
    )]
    BadEnvName(String),
    /// The variable changes which code or which credentials the engine uses.
    #[error("environment variable `{0}` is reserved: remove it")]
    ReservedEnv(String),
    /// A text has control characters.
    #[error("{0} must not have control characters")]
    ControlCharacters(&'static str),
    /// A number, text or list is larger than any model needs.
    #[error("{field} must be at most {limit}")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// The largest value.
        limit: u64,
    },
}
