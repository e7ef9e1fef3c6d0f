//! What is so, why, and what helps: one condition before it has a type and a time.

use kaito_api::conditions::{ClaimReason, Status, WorkspaceReason};

/// A reason from either closed set: what ails a claim is told of its Workspace in the same word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    Workspace(WorkspaceReason),
    Claim(ClaimReason),
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Workspace(reason) => reason.as_str(),
            Self::Claim(reason) => reason.as_str(),
        }
    }

    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Workspace(reason) => reason.remedy(),
            Self::Claim(reason) => reason.remedy(),
        }
    }

    /// Somebody should do something, or at least know.
    pub(crate) fn is_problem(self) -> bool {
        !self.remedy().is_empty()
    }
}

impl From<WorkspaceReason> for Reason {
    fn from(reason: WorkspaceReason) -> Self {
        Self::Workspace(reason)
    }
}

impl From<ClaimReason> for Reason {
    fn from(reason: ClaimReason) -> Self {
        Self::Claim(reason)
    }
}

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: WorkspaceReason,
    /// What is wrong, without the remedy. Holds nothing that changes by itself.
    pub(crate) what: String,
}

impl Problem {
    pub(crate) fn new(reason: WorkspaceReason, what: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
        }
    }

    /// The finding that this stands in the way.
    pub(crate) fn finding(&self) -> Finding {
        Finding::no(self.reason, &self.what)
    }

    /// For the end of another message.
    pub(crate) fn note(&self) -> String {
        format!("{}: {}", self.reason.as_str(), self.finding().message)
    }
}

/// A condition's status, reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) status: Status,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn yes(reason: WorkspaceReason, message: impl Into<String>) -> Self {
        Self {
            status: Status::True,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// Not so; the remedy is added.
    pub(crate) fn no(reason: impl Into<Reason>, what: impl AsRef<str>) -> Self {
        let reason = reason.into();
        Self {
            status: Status::False,
            reason,
            message: with_remedy(what.as_ref(), reason.remedy()),
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        self.status == Status::True
    }
}

// What already ends with the remedy was said by a program that knows it too.
fn with_remedy(what: &str, remedy: &str) -> String {
    let what = what.trim();
    if remedy.is_empty() || what.ends_with(remedy) {
        return what.to_owned();
    }
    let end = if what.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{what}{end} {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_are_added_once() {
        let reason = WorkspaceReason::PresetDeprecated;
        assert_eq!(Finding::no(reason, "old").message, "old. Choose another preset.");
        assert_eq!(
            Finding::no(reason, "Is it old?").message,
            "Is it old? Choose another preset."
        );
        assert_eq!(
            Finding::no(reason, "old. Choose another preset.").message,
            "old. Choose another preset."
        );
        assert_eq!(
            Finding::no(WorkspaceReason::NodesNotReady, "0 of 1").message,
            "0 of 1"
        );
    }
}
