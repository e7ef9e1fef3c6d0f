//! A Workspace that goes gives everything back before it is released.

use std::sync::Arc;

use kaito_api::WorkspaceStatus;
use serde_json::json;

use crate::case::{Case, actions, condition};
use crate::objects::{self, claim_name, machine, parse};

#[test]
fn the_workload_is_deleted_first_then_the_machines_then_the_finalizer() {
    let running = Case::serving("phi-4")
        .with_nodes(1, 1)
        .stored()
        .answering()
        .stored();
    let going = running.deleted();
    let plan = going.plan();
    let machine = format!("delete Machine {}", claim_name(0));
    assert_eq!(
        actions(&plan),
        [
            "delete Deployment w",
            "delete Service w",
            "delete NetworkPolicy w-kaito",
            machine.as_str()
        ]
    );
    let says = condition(&plan, "WorkspaceDeleting");
    assert!(
        says.starts_with("True/workspaceDeleted: The Workspace is being deleted. Nodes are given back: ws"),
        "{says}"
    );
    let status: WorkspaceStatus = parse(plan.status.unwrap());
    assert_eq!(status.conditions.len(), 2, "what is not so any more is not said");
    let gone = going.stored();
    assert_eq!(actions(&gone.plan()), ["release"]);
}

#[test]
fn a_machine_that_is_draining_holds_the_workspace_and_is_named() {
    let mut case = Case::serving("phi-4").deleted();
    let mut going = machine(
        0,
        Some((
            "Draining",
            "Pod default/w-0 is held by a disruption budget. If it lasts.",
        )),
    );
    going.metadata.deletion_timestamp = Some(parse(json!(objects::t(0).to_string())));
    case.observed.claims = vec![going.into()];
    let plan = case.plan();
    assert_eq!(actions(&plan), [""; 0]);
    assert!(condition(&plan, "WorkspaceDeleting").contains("(Draining: Pod default/w-0 is held"));
    assert!(case.stored().plan().is_noop());
}

#[test]
fn a_workspace_without_objects_is_released() {
    assert_eq!(actions(&Case::serving("phi-4").deleted().plan()), ["release"]);
    assert_eq!(
        actions(&Case::serving("phi-4").byo().deleted().plan()),
        ["release"]
    );
    let unclaimed = Case::serving("phi-4")
        .edit(|w| w.metadata.finalizers = None)
        .deleted();
    assert!(unclaimed.plan().is_noop());
}

#[test]
fn objects_of_other_owners_stay() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1).stored();
    case.observed.claims.clear();
    let deployment = Arc::make_mut(case.observed.workloads.deployment.as_mut().unwrap());
    deployment.metadata.owner_references = None;
    assert_eq!(
        actions(&case.deleted().plan()),
        ["delete Service w", "delete NetworkPolicy w-kaito", "release"]
    );
}
