//! Instance types that are retired, or whose GPUs the image of the engine does not support.

use ::instance_types::{Catalog, Cloud};
use preset_catalog::EngineImage;
use preset_catalog::fit::RetiredTypes;
use serde_json::json;
use workspace_plan::PresetLookup;

use crate::case::{Case, actions, check};
use crate::objects;

const RETIRED: &str = "Standard_NC6s_v3";
const A10: &str = "Standard_NV36ads_A10_v5";
const T4: &str = "Standard_NC4as_T4_v3";

#[track_caller]
fn refused(case: &Case, starts: &str) {
    check(case, "ResourceReady", starts, &[]);
}

/// Instance types of the claims that exist after the plan.
pub(crate) fn bought(case: &Case) -> Vec<String> {
    let claims = case.observed.claims.iter();
    let types = claims.map(|claim| {
        let requirements = claim.requirements();
        let found = requirements
            .iter()
            .find(|requirement| requirement.key == "node.kubernetes.io/instance-type");
        found.unwrap().values[0].clone()
    });
    types.collect()
}

#[test]
fn a_retired_type_is_replaced_and_the_status_says_so() {
    let template = objects::template(json!({"name": "server", "image": "server:1"}));
    for case in [
        Case::serving("phi-3-mini-128k-instruct"),
        Case::tuning(),
        Case::new(template, PresetLookup::NotNeeded),
    ] {
        let first = case.on(RETIRED);
        let note = "InstanceTypeReplaced: instance type Standard_NC6s_v3 is retired since 2025-09-30: \
                    Standard_NV36ads_A10_v5 is bought instead, for $3.20/h instead of $3.06/h for each node.";
        let events = first.plan().events;
        assert!(
            events.iter().any(|event| event.reason == "InstanceTypeReplaced"),
            "{events:?}"
        );
        let stored = first.stored();
        assert!(
            stored.stored_message().contains(note),
            "{}",
            stored.stored_message()
        );
        let stored = stored.stored();
        assert_eq!(bought(&stored), [A10]);
        assert!(
            stored
                .plan()
                .events
                .iter()
                .all(|event| event.reason != "InstanceTypeReplaced"),
            "said once"
        );
    }
}

#[test]
fn the_choice_is_never_made_again() {
    let case = Case::serving("phi-3-mini-128k-instruct")
        .on(RETIRED)
        .stored()
        .stored();
    assert_eq!(bought(&case), [A10]);
    // Another context would choose another type now, and so would a table with other prices.
    let longer = case.clone().annotated("kaito.sh/max-context-tokens", "100000");
    assert!(bought(&longer.stored()).iter().all(|found| found == A10));
    let fresh = Case::serving("phi-3-mini-128k-instruct")
        .on(RETIRED)
        .annotated("kaito.sh/max-context-tokens", "100000");
    assert_eq!(bought(&fresh.stored().stored()), ["Standard_NC24ads_A100_v4"]);
    // What was bought before the retirement stays, even if retired types are refused now.
    let mut refusing = case;
    refusing.settings.retired_types = RetiredTypes::Refuse;
    assert!(actions(&refusing.plan()).is_empty());
    assert!(refusing.stored().stored_message().contains("is bought instead"));
}

#[test]
fn without_a_replacement_the_status_says_what_would_work() {
    let large = Case::serving("llama-3.3-70b-instruct").on(RETIRED);
    refused(
        &large,
        "False/InstanceTypeRetired: instance type Standard_NC6s_v3 is retired since 2025-09-30, and none that costs at most \
         1.5 times as much replaces it; what would work is 1 node of Standard_NC288ds_xl_RTXPRO6000BSE_v6",
    );
    let mut refusing = Case::serving("phi-3-mini-4k-instruct").on(RETIRED);
    refusing.settings.retired_types = RetiredTypes::Refuse;
    refused(
        &refusing,
        "False/InstanceTypeRetired: instance type Standard_NC6s_v3 is retired since 2025-09-30; what would work is 1 node of \
         Standard_NV36ads_A10_v5",
    );
}

#[test]
fn no_replacement_costs_more_than_half_more() {
    let types = Catalog::embedded().unwrap();
    let price = |name: &str| {
        let found = types.lookup(Cloud::Azure, name).unwrap();
        found.list_price.as_ref().unwrap().usd_micros_per_hour
    };
    let mut replaced = 0;
    for preset in preset_catalog::Catalog::embedded().unwrap().iter().step_by(4) {
        for retired in types.of(Cloud::Azure).filter(|found| found.retired.is_some()) {
            let case = Case::serving(&preset.name).on(&retired.name).stored().stored();
            let all = bought(&case);
            let cost: u64 = all.iter().map(|name| price(name)).sum();
            assert!(
                cost * 2 <= price(&retired.name) * 3,
                "{} on {}: {all:?}",
                preset.name,
                retired.name
            );
            replaced += usize::from(!all.is_empty());
        }
    }
    assert!(replaced > 20, "{replaced}");
}

#[test]
fn gpus_that_the_image_does_not_support_are_not_paid_for() {
    let phi = "phi-3-mini-4k-instruct";
    refused(
        &Case::serving(phi).on(T4),
        "False/GPUTooOld: preset phi-3-mini-4k-instruct needs GPUs of compute capability 8.0, and Standard_NC4as_T4_v3 has \
         7.5; what would work is 1 node of Standard_NV36ads_A10_v5 or 1 node of Standard_NC24ads_A100_v4",
    );
    refused(
        &Case::tuning().on(T4),
        "False/GPUTooOld: tuning of preset phi-3-mini-4k-instruct needs GPUs of compute capability 8.0",
    );
    let template = objects::template(json!({"name": "server", "image": "server:1"}));
    let template = Case::new(template, PresetLookup::NotNeeded).on(T4);
    assert_eq!(
        bought(&template.stored().stored()),
        [T4],
        "the user's own image is the user's"
    );
    let mut another = Case::serving(phi).on(T4);
    another.settings.engine = EngineImage::UNKNOWN;
    assert_eq!(bought(&another.stored().stored()), [T4]);
    let bypassed = Case::serving(phi)
        .on(T4)
        .annotated("kaito.sh/bypass-resource-checks", "");
    assert_eq!(bought(&bypassed.stored().stored()), [T4]);
}

#[test]
fn a_model_that_needs_a_compiler_needs_an_image_with_it() {
    let case = Case::serving("deepseek-v3.2").on("Standard_ND96isr_H200_v5");
    refused(
        &case,
        "False/EngineLacksToolkit: preset deepseek-v3.2 needs the CUDA toolkit, which image \
         registry.example.com/kaito/kaito-base:0.5.0 lacks",
    );
    let mut other = case;
    other.settings.engine = EngineImage::KAITO_BASE.stated(None, Some(true));
    assert_eq!(bought(&other.stored().stored()), ["Standard_ND96isr_H200_v5"]);
}

#[test]
fn a_type_on_which_no_engine_runs_is_refused_with_the_reason() {
    for (name, why) in [
        (
            "Standard_ND96isr_MI300X_v5",
            "its GPUs are from AMD, and the image of the engine is built for CUDA",
        ),
        (
            "Standard_ND128isr_NDR_GB200_v6",
            "its processors are arm64, and kaito-base is built for amd64",
        ),
    ] {
        refused(
            &Case::serving("phi-4").on(name),
            &format!(
                "False/InstanceTypeUnsupported: instance type {name} is not supported: {why}; what would work is"
            ),
        );
    }
}

/// The same Workspace in an installation whose administrator lists types and prices.
fn with_types(mut case: Case, file: &str) -> Case {
    let types = Catalog::embedded().unwrap().with_files([("ours.yaml", file)]);
    case.settings.instance_types = types.unwrap().catalog.into();
    case
}

#[test]
fn an_own_type_is_known_sized_and_suggested() {
    const OWN: &str = "Standard_ND96isr_VR300_v7";
    let file = "cloud: azure\nprices: {region: eastus2, as_of: 2026-11-30, source: our contract}\ninstance_types:\n\
                - {name: Standard_ND96isr_VR300_v7, gpus: 8, gpu_memory_gib: 288, gpu_model: NVIDIA VR300, vendor: nvidia, \
                compute_capability: '12.1', usd_per_hour: '2'}\n";
    let large = "deepseek-r1-0528";
    let unknown = |name: &str| {
        format!("False/InstanceTypeUnknown: instance type {name} is not known in cloud azure; did you mean")
    };
    refused(&Case::serving(large).on(OWN), &unknown(OWN));
    let own = with_types(Case::serving(large).on(OWN), file).stored().stored();
    assert_eq!(
        bought(&own),
        [OWN],
        "one node holds what needs several built-in ones"
    );
    let status = serde_json::to_string(&own.observed.workspace.status).unwrap();
    assert!(status.contains("$2.00/h"), "{status}");
    let misspelled = with_types(Case::serving(large).on("Standard_ND96isr_VR300_v8"), file);
    refused(
        &misspelled,
        &format!("{} {OWN}", unknown("Standard_ND96isr_VR300_v8")),
    );
    // It is the cheapest that would work, too.
    let too_old = with_types(Case::serving("phi-3-mini-4k-instruct").on(T4), file);
    refused(
        &too_old,
        &format!(
            "False/GPUTooOld: preset phi-3-mini-4k-instruct needs GPUs of compute capability 8.0, and Standard_NC4as_T4_v3 has 7.5; \
             what would work is 1 node of {OWN}"
        ),
    );
}

#[test]
fn an_own_price_counts_for_ceilings() {
    let file = "cloud: azure\nprices: {region: eastus2, as_of: 2026-11-30, source: our contract}\n\
                usd_per_hour: {Standard_NC24ads_A100_v4: 900}\n";
    let ladder = "Standard_NC24ads_A100_v4,Standard_NC40ads_H100_v5";
    let mut case = with_types(Case::serving("phi-4").on(ladder), file);
    case.settings.ceilings.workspace.usd_per_hour = "10".parse().ok();
    refused(
        &case,
        "False/SpendingCeilingExceeded: 1 node of Standard_NC24ads_A100_v4 would cost $900.00/h; a Workspace may cost $10.00/h",
    );
}
