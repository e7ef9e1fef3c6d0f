//! The result of a rule.

/// One broken rule: a line that names the place and the problem.
pub(super) type Problem = String;
