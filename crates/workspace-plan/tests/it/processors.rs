//! Models of some billion weights on nodes without GPUs: the numbers of the weights follow the memory.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;

use crate::case::{Case, condition};
use crate::objects::brought;

const EIGHT_BILLION: &str = "deepseek-r1-distill-llama-8b";

/// The engine's container, and why there is none.
fn engine(case: &Case) -> Result<Container, String> {
    let plan = case.plan();
    assert_eq!(plan_check::check(&plan), vec![], "{:?}", plan.reasons);
    let stored = case.clone().stored();
    let deployment = stored.observed.workloads.deployment.as_ref();
    let deployment = deployment.ok_or_else(|| condition(&plan, "ResourceReady"))?;
    Ok(deployment.spec.template.spec.as_ref().unwrap().containers[0].clone())
}

/// The flag of the numbers, and the requested memory.
fn numbers(case: &Case) -> (String, String) {
    let container = engine(case).unwrap();
    let flags = container.args.unwrap();
    let flags: Vec<_> = flags.iter().filter(|arg| arg.starts_with("--dtype")).collect();
    let requests = container.resources.unwrap().requests.unwrap();
    let numbers = flags.first().map_or("", |flag| flag.as_str());
    assert!(flags.len() < 2, "{flags:?}");
    (numbers.to_owned(), requests["memory"].0.clone())
}

fn on(preset: &str, instance_type: &str) -> Case {
    Case::serving(preset).on(instance_type).with_nodes(1, 0)
}

#[test]
fn a_large_model_is_rounded_and_a_small_one_is_not() {
    let expect = |case: &Case, dtype: &str, memory: &str| {
        assert_eq!(numbers(case), (dtype.to_owned(), memory.to_owned()));
    };
    // 14.96 GiB x 54 %, and half a GiB.
    expect(&on(EIGHT_BILLION, "Standard_D8s_v5"), "--dtype=q8", "8785Mi");
    expect(&on("smollm2-135m-instruct", "Standard_D8s_v5"), "", "768Mi");
    let limited = on(EIGHT_BILLION, "Standard_D8s_v5").annotated("kaito.sh/memory", "7Gi");
    expect(&limited, "--dtype=q4", "7Gi");
}

#[test]
fn memory_that_is_too_small_is_refused_before_nodes_are_bought() {
    let case = Case::serving(EIGHT_BILLION)
        .on("Standard_D8s_v5")
        .annotated("kaito.sh/memory", "4Gi");
    let plan = case.plan();
    assert_eq!(plan.writes.len(), 0, "{:?}", plan.reasons);
    let says = condition(&plan, "ResourceReady");
    assert!(
        says.contains("ModelDoesNotFit")
            && says.contains("needs 6.29 GiB of memory outside GPUs, but 4.00 GiB are"),
        "{says}"
    );
}

#[test]
fn a_large_model_needs_a_type_whose_memory_is_known() {
    let says = condition(
        &Case::serving(EIGHT_BILLION).on("Standard_D4s_v5").plan(),
        "ResourceReady",
    );
    assert!(
        says.contains("instance type Standard_D4s_v5 is not known"),
        "{says}"
    );
}

#[test]
fn own_nodes_without_gpus_serve_a_large_model_only_if_it_is_asked_for() {
    let mut node = brought("a", true, json!({}), 0);
    let status = node.status.as_mut().unwrap();
    let allocatable = status.allocatable.as_mut().unwrap();
    allocatable.insert("memory".to_owned(), Quantity("7000Mi".to_owned()));
    let mut case = Case::serving(EIGHT_BILLION).byo();
    case.observed.nodes = vec![Arc::new(node)];
    let says = engine(&case).unwrap_err();
    assert!(says.contains("node a does not report its GPUs"), "{says}");
    let asked = case.annotated("kaito.sh/runtime", "native");
    assert_eq!(numbers(&asked).0, "--dtype=q4");
}
