//! The status of a lookup of an unknown name. The server writes it, clients read it.
//!
//! A `google.rpc.Status` with an `ErrorInfo`, as <https://google.aip.dev/193> describes, so that clients need not parse the
//! message.

use std::collections::HashMap;

use instance_types::did_you_mean;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The `domain` of every `ErrorInfo` of this service.
pub(crate) const ERROR_DOMAIN: &str = "kaito.sh";
/// The `reason` of the `ErrorInfo` for an unknown name.
pub(crate) const PRESET_NOT_FOUND: &str = "PRESET_NOT_FOUND";

const ASKED: &str = "name";
const DID_YOU_MEAN: &str = "did_you_mean";
/// Separates names, which have no comma.
const SEPARATOR: &str = ",";

/// Builds the status for an unknown name, with similar short names, best first.
#[must_use]
pub fn not_found(asked: &str, near: &[&str]) -> Status {
    status(asked, near, sentence(asked, near))
}

/// Builds the same status after a model hub was asked too.
#[must_use]
pub fn not_found_on_hub(asked: &str, near: &[&str], endpoint: &str) -> Status {
    let sentence = sentence(asked, near);
    status(
        asked,
        near,
        format!("the hub at {endpoint} has no such model, and {sentence}"),
    )
}

fn status(asked: &str, near: &[&str], sentence: String) -> Status {
    let metadata = HashMap::from([
        (ASKED.to_owned(), asked.to_owned()),
        (DID_YOU_MEAN.to_owned(), near.join(SEPARATOR)),
    ]);
    let details = ErrorDetails::with_error_info(PRESET_NOT_FOUND, ERROR_DOMAIN, metadata);
    Status::with_error_details(Code::NotFound, sentence, details)
}

fn sentence(asked: &str, near: &[&str]) -> String {
    format!("no preset is named `{asked}`{}", did_you_mean::hint(near))
}

/// The similar names in a status of [`not_found`], best first; empty for any other status.
#[must_use]
pub fn near_matches(status: &Status) -> Vec<String> {
    let Some(info) = status
        .get_details_error_info()
        .filter(|info| info.reason == PRESET_NOT_FOUND)
    else {
        return Vec::new();
    };
    let joined = info.metadata.get(DID_YOU_MEAN).map_or("", String::as_str);
    joined
        .split(SEPARATOR)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(near: &[&str], message: &str) {
        let status = not_found("phi4", near);
        assert_eq!((status.code(), status.message()), (Code::NotFound, message));
        assert_eq!(near_matches(&status), near);
        assert_eq!(status.get_details_error_info().unwrap().metadata[ASKED], "phi4");
    }

    #[test]
    fn what_the_server_writes_the_client_reads() {
        check(&[], "no preset is named `phi4`");
        check(&["phi-4"], "no preset is named `phi4`; did you mean phi-4?");
        check(
            &["phi-4", "b", "c"],
            "no preset is named `phi4`; did you mean phi-4, b, c?",
        );
    }

    #[test]
    fn another_status_has_no_near_matches() {
        assert!(near_matches(&Status::not_found("no route")).is_empty());
        let details =
            ErrorDetails::with_error_info("OTHER", ERROR_DOMAIN, [(DID_YOU_MEAN.to_owned(), "x".to_owned())]);
        assert!(near_matches(&Status::with_error_details(Code::NotFound, "", details)).is_empty());
    }
}
