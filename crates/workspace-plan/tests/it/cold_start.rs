//! Times of the first start: each set once, when the last node or pod has done the step.

use std::sync::Arc;

use kaito_api::workspace_status::ColdStart;
use serde_json::{Value, json};

use crate::case::Case;
use crate::objects::{claim, parse, pod, t};

fn stored(case: &Case) -> ColdStart {
    let status = case.observed.workspace.status.as_ref();
    status
        .and_then(|status| status.cold_start.clone())
        .unwrap_or_default()
}

fn seconds(start: &ColdStart) -> Vec<Option<i64>> {
    let steps = start.steps().into_iter();
    steps
        .map(|(_, time)| time.map(|time| time.0.duration_since(t(0)).as_secs()))
        .collect()
}

/// A ready Machine whose steps ended at these seconds.
fn machine(ordinal: u32, steps: [i64; 3]) -> kaito_api::Claim {
    let mut value = serde_json::to_value(claim(kaito_api::ClaimKind::Machine, ordinal, None)).unwrap();
    for (condition, at) in value["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .zip(steps)
    {
        condition["lastTransitionTime"] = t(at).to_string().into();
    }
    parse::<kaito_api::Machine>(value).into()
}

fn running(at: i64) -> Value {
    json!({"phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": t(at).to_string()},
            {"type": "Ready", "status": "True", "lastTransitionTime": t(at + 60).to_string()}],
        "initContainerStatuses": [{"name": "weights", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "finishedAt": t(at + 20).to_string(),
                "message": "{\"weightsBytes\":29360128000}"}}}],
        "containerStatuses": [{"name": "w", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": t(at + 30).to_string()}}}]})
}

#[test]
fn the_timeline_grows_step_by_step_and_stays() {
    let mut case = Case::serving("phi-4").stored();
    assert_eq!(stored(&case), ColdStart::default());
    case.observed.claims = vec![claim(
        kaito_api::ClaimKind::Machine,
        0,
        Some(("AgentPoolCreating", "")),
    )];
    let mut case = case.stored();
    let start = stored(&case);
    assert_eq!(
        seconds(&start),
        [Some(-50), None, None, None, None, None, None, None]
    );
    assert_eq!(start.usd_per_hour, "3.67");
    case = case.with_nodes(1, 1);
    case.observed.claims = vec![machine(0, [100, 160, 200])];
    let mut case = case.stored().stored();
    assert_eq!(
        seconds(&stored(&case)),
        [Some(-50), Some(100), Some(160), Some(200), None, None, None, None]
    );
    // A clock that is late gives no step that ends before an earlier one.
    case.observed.pods = vec![Arc::new(pod("p0", running(190)))];
    let case = case.stored();
    assert_eq!(
        seconds(&stored(&case))[4..],
        [Some(200), Some(210), Some(220), None]
    );
    assert_eq!(stored(&case).weights_bytes, Some(29_360_128_000));
    let mut case = case.answering().stored();
    let whole = stored(&case);
    assert_eq!(seconds(&whole)[4..], [Some(200), Some(210), Some(220), Some(250)]);
    assert!(case.plan().is_noop());
    // What is started again is no first start.
    case.observed.pods = vec![Arc::new(pod("p1", running(900)))];
    case.observed.claims = vec![machine(0, [700, 800, 810])];
    assert_eq!(case.plan().status, None);
}

#[test]
fn a_step_is_done_when_the_last_node_has_done_it() {
    let mut case = Case::serving("llama-3.3-70b-instruct").with_nodes(3, 1);
    case.observed.claims = vec![machine(0, [10, 20, 30]), machine(1, [40, 50, 60])];
    assert_eq!(seconds(&stored(&case.clone().stored())), [None; 8]);
    case.observed.claims.push(machine(2, [15, 25, 70]));
    let start = stored(&case.stored());
    assert_eq!(seconds(&start)[..4], [Some(-50), Some(40), Some(50), Some(70)]);
    assert_eq!(start.usd_per_hour, "11.02");
}

#[test]
fn own_nodes_have_no_claims_and_no_price() {
    let case = Case::serving("phi-4").byo();
    assert_eq!(stored(&case.stored()), ColdStart::default());
}
