//! Asking what a preset needs.

use instance_types::Cloud;
use preset_catalog::Catalog;
use preset_catalog::fit::{FitOptions, FitReport, compare_instance_types};
use preset_registry::ServerOptions;
use preset_registry_api::v1::plan_resources_request::Model;
use preset_registry_api::v1::{PlanResourcesRequest, PresetOrigin};
use tonic::{Code, Status};

use crate::running::Running;

fn named(name: &str) -> PlanResourcesRequest {
    PlanResourcesRequest {
        model: Some(Model::Name(name.to_owned())),
        cloud: "azure".to_owned(),
        ..PlanResourcesRequest::default()
    }
}

async fn plan(running: &Running, request: PlanResourcesRequest) -> Result<FitReport, Status> {
    let response = running.presets().plan_resources(request).await?.into_inner();
    Ok(response.plan.unwrap().try_into().unwrap())
}

#[tokio::test]
async fn the_answer_is_the_planners() {
    let running = Running::start().await;
    let types = instance_types::Catalog::embedded().unwrap();
    let all: Vec<_> = types.of(Cloud::Azure).collect();
    let preset = Catalog::embedded()
        .unwrap()
        .find("llama-3.3-70b-instruct")
        .unwrap();
    for (context, max_nodes) in [(0, 0), (131_072, 0), (131_072, 1)] {
        let request = PlanResourcesRequest {
            context_tokens: context,
            max_nodes,
            ..named("Llama-3.3-70B-Instruct")
        };
        let options = FitOptions {
            max_nodes: Some(max_nodes).filter(|nodes| *nodes > 0),
            ..FitOptions::default()
        };
        let context = if context == 0 { 2048 } else { context };
        assert_eq!(
            plan(&running, request).await.unwrap(),
            compare_instance_types(preset, &all, context, &options)
        );
    }
}

#[tokio::test]
async fn a_preset_may_come_with_the_request() {
    let running = Running::start().await;
    let mut preset = Catalog::embedded().unwrap().find("phi-4").unwrap().clone();
    preset.name = "mine".to_owned();
    let request = PlanResourcesRequest {
        model: Some(Model::Preset((&preset).into())),
        instance_types: vec!["standard_nc24ads_a100_v4".to_owned(); 2],
        ..named("")
    };
    let response = running
        .presets()
        .plan_resources(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(response.origin(), PresetOrigin::Unspecified);
    let plan = FitReport::try_from(response.plan.unwrap()).unwrap();
    assert_eq!((plan.preset.as_str(), plan.candidates.len()), ("mine", 1));
    assert_eq!(plan.best().unwrap().1.placement.nodes, 1);
}

/// A registry with an administrator's instance type.
#[tokio::test]
async fn own_types_are_planned_and_suggested() {
    let file = "cloud: other\ninstance_types:\n- {name: gpu-vr300x8, gpus: 8, gpu_memory_gib: 288, gpu_model: NVIDIA VR300, \
                vendor: nvidia, compute_capability: '12.1'}\n";
    let types = instance_types::Catalog::embedded().unwrap();
    let types = types.with_files([("ours.yaml", file)]).unwrap().catalog;
    let running = Running::with(ServerOptions {
        instance_types: types.into(),
        ..ServerOptions::default()
    })
    .await;
    let of_other = |instance_types: &[&str]| PlanResourcesRequest {
        cloud: "other".to_owned(),
        instance_types: instance_types.iter().map(ToString::to_string).collect(),
        ..named("llama-3.3-70b-instruct")
    };
    let report = plan(&running, of_other(&[])).await.unwrap();
    let (found, fit) = report.best().unwrap();
    assert_eq!(
        (found.name.as_str(), found.file.as_deref()),
        ("gpu-vr300x8", Some("ours.yaml"))
    );
    assert_eq!((fit.placement.nodes, fit.usd_micros_per_hour), (1, None));
    let status = plan(&running, of_other(&["gpu-vr300x9"])).await.unwrap_err();
    assert!(
        status.message().contains("did you mean gpu-vr300x8?"),
        "{}",
        status.message()
    );
}

#[tokio::test]
async fn bad_questions_say_what_is_wrong() {
    let running = Running::start().await;
    let bad = [
        (
            PlanResourcesRequest {
                cloud: "moon".to_owned(),
                ..named("phi-4")
            },
            "cloud is refused: unknown cloud `moon`; expected azure, aws, gcp, arc or other",
        ),
        (
            PlanResourcesRequest {
                instance_types: vec!["Standard_NC24ads_A100_v5".to_owned()],
                ..named("phi-4")
            },
            "instance_types holds `Standard_NC24ads_A100_v5`, which must be an instance type of azure; did you mean \
             Standard_NC24ads_A100_v4",
        ),
        (
            PlanResourcesRequest {
                model: None,
                ..named("")
            },
            "model must name a preset or hold one",
        ),
        (
            PlanResourcesRequest {
                model: Some(Model::Preset(Default::default())),
                ..named("")
            },
            "preset must be complete: preset `` must have `shape`",
        ),
        (
            PlanResourcesRequest {
                purpose: 9,
                ..named("phi-4")
            },
            "purpose must be one that this server knows",
        ),
    ];
    for (request, expected) in bad {
        let status = plan(&running, request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(expected), "{}", status.message());
    }
    let status = plan(&running, named("phi-5")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}
