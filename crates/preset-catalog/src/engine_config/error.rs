//! Errors of a file, in one line each.

use instance_types::did_you_mean;

/// Reason why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineConfigError {
    /// The file is not what it must be.
    #[error("{0}")]
    Malformed(String),
    /// A flag that a Workspace cannot set.
    #[error("vllm.{flag} cannot be set: {why}")]
    Refused {
        /// Name of the flag.
        flag: String,
        /// Reason, for people.
        why: String,
    },
}

impl EngineConfigError {
    pub(super) fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }

    pub(super) fn refused(flag: &str, why: &str) -> Self {
        Self::Refused {
            flag: flag.to_owned(),
            why: why.to_owned(),
        }
    }
}

/// An unknown name, with similar ones.
pub(super) fn unknown_key<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> EngineConfigError {
    let hint = did_you_mean::hint(&did_you_mean::nearest(name, known));
    let gap = if what.ends_with('.') { "" } else { " " };
    EngineConfigError::malformed(format!("unknown {what}{gap}{name}{hint}"))
}
