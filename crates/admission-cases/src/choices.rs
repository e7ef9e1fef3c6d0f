//! Workspaces that choose a commit or settings of their own.

use crate::case::Cases;
use crate::case::Expect::{Accepted, Refused};
use crate::workspaces::*;

pub(crate) fn commits() -> Cases {
    vec![
        (
            annotated(inference(), "model-revision", &"0123456789".repeat(4)),
            Accepted,
        ),
        (annotated(inference(), "model-revision", " "), Accepted),
        (
            annotated(inference(), "model-revision", "main"),
            Refused("must be a commit"),
        ),
        (
            annotated(inference(), "model-revision", &"A".repeat(40)),
            Refused("must be a commit"),
        ),
        (
            annotated(inference(), "model-revision", &"a".repeat(64)),
            Refused("must be a commit"),
        ),
        (
            annotated(template(), "model-revision", &"a".repeat(40)),
            Refused("has a template of its own"),
        ),
    ]
}
