//! Workspaces with the verdicts that admission must give. The same list is put to `lint` by its tests and to a real API
//! server by the integration tests, so both give equal verdicts.
//!
//! Settings: nodes are created, the cloud is azure, the catalog is the built-in one.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "a list for tests: values are written where they are passed, and a wrong place must fail the test"
)]

mod case;
mod choices;
mod created;
mod embedded;
mod hardware;
mod offerings;
mod selectors;
mod serving;
mod updated;
mod workloads;
mod workspaces;

pub use case::{Case, Expect};
pub use workspaces::{annotated, inference, template, tuning, with};
use workspaces::{on, preset};

/// Returns all cases.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = created();
    cases.extend(updated::updated());
    cases.extend(sized());
    cases
}

fn created() -> Vec<Case> {
    let groups = [
        created::names(),
        created::shape(),
        created::presets(),
        created::types(),
        hardware::hardware(),
        hardware::ladders(),
        hardware::supported(),
        created::annotations(),
        choices::commits(),
        offerings::offerings(),
        serving::annotations(),
        selectors::selectors(),
        workloads::templates(),
        embedded::templates(),
        embedded::volumes(),
        workloads::adapted(),
        workloads::tuned(),
    ];
    let case = |(object, expect)| Case {
        old: None,
        object,
        expect,
    };
    groups.into_iter().flatten().map(case).collect()
}

/// Presets that are tried on every one of [`SIZED_TYPES`].
const SIZED_PRESETS: [&str; 14] = [
    "phi-4",
    "phi-4-mini-instruct",
    "llama-3.1-8b-instruct",
    "llama-3.3-70b-instruct",
    "deepseek-r1-0528",
    "deepseek-v4-pro",
    "falcon-7b",
    "falcon-40b",
    "gpt-oss-20b",
    "gpt-oss-120b",
    "gemma-3-27b-it",
    "kimi-k2.6",
    "qwen2.5-coder-32b-instruct",
    "smollm2-135m-instruct",
];
/// Instance types on which every one of [`SIZED_PRESETS`] is tried.
const SIZED_TYPES: [&str; 9] = [
    "Standard_NV36ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_ND96asr_v4",
    "Standard_NC80adis_H100_v5",
    "Standard_ND96isr_H200_v5",
    "Standard_NC6s_v3",
    "Standard_NC24s_v3",
    "Standard_NC4as_T4_v3",
    "Standard_NC64as_T4_v3",
];

fn sized() -> Vec<Case> {
    let mut cases = Vec::new();
    for name in SIZED_PRESETS {
        for instance_type in SIZED_TYPES {
            for context in [None, Some("2000"), Some("120000")] {
                let object = on(preset(name), instance_type);
                let object = match context {
                    Some(tokens) => annotated(object, "max-context-tokens", tokens),
                    None => object,
                };
                cases.push(Case {
                    old: None,
                    object,
                    expect: Expect::AsPlanned,
                });
            }
        }
    }
    cases
}
