//! Workspaces on instance types that are retired, or whose GPUs the image of the engine does not support.

use crate::case::Cases;
use crate::case::Expect::{Accepted, Refused};
use crate::workspaces::*;

pub(crate) fn hardware() -> Cases {
    vec![
        (
            on(tuning(), "Standard_NC4as_T4_v3"),
            Refused("needs 8.0; what would work is"),
        ),
        (on(template(), "Standard_NC4as_T4_v3"), Accepted),
        // Retired types are replaced.
        (on(preset("phi-3-mini-4k-instruct"), "Standard_NC6s_v3"), Accepted),
        (on(tuning(), "Standard_NC6s_v3"), Accepted),
        (on(template(), "standard_nc6s_v3"), Accepted),
        (
            on(preset("llama-3.3-70b-instruct"), "Standard_NC6s_v3"),
            Refused(
                "is retired since 2025-09-30, and none that costs at most 1.5 times as much replaces it; what would work is 1 node of",
            ),
        ),
        (
            on(preset("deepseek-v4-pro"), "Standard_ND96isr_H200_v5"),
            Refused("needs the CUDA toolkit, which the image of the engine lacks"),
        ),
    ]
}
