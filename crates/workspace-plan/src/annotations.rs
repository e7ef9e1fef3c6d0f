//! Annotations of a Workspace, parsed.

use crate::context::PlanContext;
use crate::problem::Problem;

/// Parses an annotation, if it is set.
pub(crate) fn parsed<T>(
    context: &PlanContext<'_>,
    annotation: &str,
    parse: impl Fn(&str) -> Option<T>,
    expected: &str,
) -> Result<Option<T>, Problem> {
    let Some(text) = context.workspace().annotation(annotation) else {
        return Ok(None);
    };
    match parse(text.trim()) {
        Some(value) => Ok(Some(value)),
        None => Err(Problem::invalid(format!(
            "annotation {annotation} is {text:?} and must be {expected}"
        ))),
    }
}
