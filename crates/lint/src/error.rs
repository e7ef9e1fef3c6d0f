//! Errors of the linter.

/// Error for rules that this program cannot parse, which tests exclude.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LintError {
    /// The CRD of Workspaces is invalid.
    #[error("failed to parse the CRD of Workspaces: {0}")]
    Definition(String),
    /// An expression of a policy is not valid CEL.
    #[error("failed to parse `{expression}`: {message}")]
    Expression {
        /// The expression.
        expression: String,
        /// Message of the parser.
        message: String,
    },
}
