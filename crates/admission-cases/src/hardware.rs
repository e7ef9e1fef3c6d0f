//! Workspaces on instance types that are retired, or whose GPUs the image of the engine does not support.

use crate::case::Cases;
use crate::case::Expect::{Accepted, Refused};
use crate::workspaces::*;

/// Types on which no engine runs, and types that are new.
pub(crate) fn supported() -> Cases {
    vec![
        (
            on(inference(), "Standard_NG32ads_V620_v1"),
            Refused(
                "is not supported: its GPUs are from AMD, and the image of the engine is built for CUDA; what would work",
            ),
        ),
        (
            on(inference(), "Standard_ND96isr_MI300X_v5"),
            Refused("is not supported: its GPUs are from AMD"),
        ),
        (
            on(inference(), "Standard_ND128isr_NDR_GB200_v6"),
            Refused("is not supported: its processors are arm64"),
        ),
        (on(template(), "Standard_ND96isr_MI300X_v5"), Accepted),
        (on(inference(), "Standard_NC144lds_xl_RTXPRO6000BSE_v6"), Accepted),
        (
            on(
                inference(),
                "Standard_ND96isr_MI300X_v5,Standard_NC144ds_xl_RTXPRO6000BSE_v6",
            ),
            Accepted,
        ),
    ]
}

/// Ladders of instance types.
pub(crate) fn ladders() -> Cases {
    let phi = |ladder: &str| on(preset("phi-4"), ladder);
    let none = "no instance type can be used: Standard_NC4as_T4_v3: the image of the engine needs GPUs of compute capability \
                8.0; Standard_D8s_v5: it has no NVIDIA GPU";
    vec![
        (phi("Standard_NC24ads_A100_v4,Standard_NC40ads_H100_v5"), Accepted),
        (
            phi("standard_nc40ads_h100_v5 , Standard_NC24ads_A100_v4"),
            Accepted,
        ),
        (phi("Standard_NC24ads_A100_v4,Standard_NC4as_T4_v3"), Accepted),
        (
            phi("Standard_NC4as_T4_v3,Standard_NC24ads_A100_v4,Standard_NC9zzz_v9"),
            Accepted,
        ),
        (on(template(), "Standard_NC4as_T4_v3,Standard_D8s_v5"), Accepted),
        (
            on(tuning(), "Standard_NC6s_v3,Standard_NC24ads_A100_v4"),
            Accepted,
        ),
        (phi("Standard_NC4as_T4_v3,Standard_D8s_v5"), Refused(none)),
        (
            on(
                preset("llama-3.3-70b-instruct"),
                "Standard_NC6s_v3,Standard_NC9zzz_v9",
            ),
            Refused(
                "Standard_NC6s_v3: it is retired since 2025-09-30; Standard_NC9zzz_v9: it is not known in cloud azure",
            ),
        ),
        (
            annotated(
                phi("Standard_NV36ads_A10_v5,Standard_NV72ads_A10_v5"),
                "max-context-tokens",
                "999999",
            ),
            Refused("must be at most 16384"),
        ),
        (
            phi("Standard_NC24ads_A100_v4,"),
            Refused("up to 8 different ones"),
        ),
        (
            phi("Standard_NC24ads_A100_v4,,Standard_NC40ads_H100_v5"),
            Refused("up to 8 different ones"),
        ),
        (
            phi("Standard_NC24ads_A100_v4,standard_nc24ads_a100_v4"),
            Refused("up to 8 different ones"),
        ),
        (phi("a,b,c,d,e,f,g,h,i"), Refused("up to 8 different ones")),
    ]
}

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
