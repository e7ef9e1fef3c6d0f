//! Every plan of the catalog survives the way to a message and back.

use std::collections::BTreeSet;

use instance_types::Cloud;
use preset_catalog::Catalog;
use preset_catalog::fit::{FitOptions, compare_instance_types};
use prost::Message as _;

use super::*;

fn plans() -> Vec<FitReport> {
    let prices = "cloud: azure\nprices: {region: r, as_of: '2026-11-30', source: s}\nusd_per_hour: {Standard_NC24ads_A100_v4: 1}\n";
    let types = instance_types::Catalog::embedded().unwrap();
    let types = types.with_files([("ours.yaml", prices)]).unwrap().catalog;
    let options = [
        (2048, FitOptions::default()),
        (
            1 << 20,
            FitOptions {
                max_nodes: Some(1),
                ..FitOptions::default()
            },
        ),
        (
            0,
            FitOptions {
                purpose: Purpose::Tuning,
                ..FitOptions::default()
            },
        ),
    ];
    let mut plans = Vec::new();
    for preset in Catalog::embedded().unwrap().iter() {
        for cloud in Cloud::ALL {
            let all: Vec<_> = types.of(cloud).collect();
            plans.extend(
                options
                    .iter()
                    .map(|(context, options)| compare_instance_types(preset, &all, *context, options)),
            );
        }
    }
    plans
}

#[test]
fn every_plan_survives_the_wire() {
    let mut reasons = BTreeSet::new();
    for plan in plans() {
        let message = v1::ResourcePlan::from(&plan);
        for candidate in &message.candidates {
            if let Some(v1::candidate::Outcome::Unfit(unfit)) = &candidate.outcome {
                reasons.extend(unfit.reasons.iter().map(|reason| {
                    let name = format!("{:?}", reason.detail);
                    name.split('(').nth(1).unwrap_or_default().to_owned()
                }));
            }
        }
        let decoded = v1::ResourcePlan::decode(message.encode_to_vec().as_slice()).unwrap();
        assert_eq!(FitReport::try_from(decoded).unwrap(), plan);
    }
    assert!(
        reasons.len() >= 6,
        "too few kinds of reasons were seen: {reasons:?}"
    );
}

#[test]
fn reasons_that_the_catalog_does_not_give_survive_too() {
    let reader = Reader { preset: "x" };
    let memory = memory_terms(v1::MemoryTerms {
        weights_bytes: 7,
        ..v1::MemoryTerms::default()
    });
    let capability = |major| ComputeCapability { major, minor: 5 };
    let reasons: [Reason; 6] = [
        Reason::ComputeCapabilityTooLow {
            needed: capability(9),
            available: capability(7),
        },
        Misfit::GpuTooSmall {
            context_tokens: 1,
            memory,
        }
        .into(),
        Misfit::PartTooLarge { parts: 2, memory }.into(),
        Misfit::FixedDivision {
            tensor_parallel: Some(2),
            pipeline_parallel: None,
            gpus_per_node: 4,
        }
        .into(),
        Misfit::NotDistributed {
            min_gpus: 3,
            gpus_per_node: 4,
        }
        .into(),
        Misfit::HostMemoryTooSmall {
            needed_bytes: 5,
            available_bytes: 6,
        }
        .into(),
    ];
    for reason in reasons {
        assert_eq!(reader.reason(&v1::Reason::from(&reason)).unwrap(), reason);
    }
}

#[track_caller]
fn refused(change: impl FnOnce(&mut v1::ResourcePlan), expected: &str) {
    let types = instance_types::Catalog::embedded().unwrap();
    let all: Vec<_> = types.of(Cloud::Azure).collect();
    let preset = Catalog::embedded().unwrap().find("phi-4").unwrap();
    let mut message = v1::ResourcePlan::from(&compare_instance_types(
        preset,
        &all,
        2048,
        &FitOptions::default(),
    ));
    change(&mut message);
    assert_eq!(FitReport::try_from(message).unwrap_err().to_string(), expected);
}

#[test]
fn a_message_must_say_enough() {
    refused(
        |plan| plan.purpose = 7,
        "preset `phi-4` has the unknown plan.purpose `7`",
    );
    refused(
        |plan| plan.candidates[0].outcome = None,
        "preset `phi-4` must have `candidate.outcome`",
    );
    refused(
        |plan| plan.candidates[0].instance_type = None,
        "preset `phi-4` must have `candidate.instance_type`",
    );
    refused(
        |plan| plan.candidates[0].instance_type.as_mut().unwrap().cloud = "moon".to_owned(),
        "preset `phi-4` has the unknown instance_type.cloud `moon`",
    );
    refused(
        |plan| plan.candidates[0].outcome = Some(v1::candidate::Outcome::Unfit(v1::Unfit::default())),
        "preset `phi-4` must have `unfit.reasons`",
    );
}
