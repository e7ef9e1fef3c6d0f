//! The status of a request with an invalid field.

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

/// Refuses a request for one field. `problem` continues the name of the field.
pub(crate) fn invalid(field: &'static str, problem: &str) -> Status {
    let details = ErrorDetails::with_bad_request_violation(field, problem);
    Status::with_error_details(
        tonic::Code::InvalidArgument,
        format!("{field} {problem}"),
        details,
    )
}
