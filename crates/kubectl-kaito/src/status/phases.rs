//! The phases of a first start, from `status.coldStart`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::Workspace;
use kaito_api::workspace_status::{ColdStart, WorkspaceState};
use serde::Serialize;

/// A phase, in the order of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StartPhase {
    Claims,
    Instances,
    Nodes,
    DevicePlugins,
    Pods,
    Weights,
    Images,
    FirstAnswer,
    Tuning,
}

impl StartPhase {
    /// Name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Instances => "instances",
            Self::Nodes => "nodes",
            Self::DevicePlugins => "device plugins",
            Self::Pods => "pods",
            Self::Weights => "weights",
            Self::Images => "images",
            Self::FirstAnswer => "load, first answer",
            Self::Tuning => "tuning",
        }
    }
}

/// Progress of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PhaseState {
    Done,
    Running,
    /// It lasts, and a person should act.
    Stuck,
    Waiting,
}

/// One phase of one Workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PhaseLine {
    pub(crate) phase: StartPhase,
    pub(crate) state: PhaseState,
    /// Seconds since the phase before; absent before the phase begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<i64>,
}

/// Returns the phases that this Workspace goes through. One that has no time although a later one has was not needed.
pub(crate) fn of(workspace: &Workspace, is_stuck: bool, now: Timestamp) -> Vec<PhaseLine> {
    let none = ColdStart::default();
    let status = workspace.status.as_ref();
    let start = status
        .and_then(|status| status.cold_start.as_ref())
        .unwrap_or(&none);
    let times = times(workspace, start);
    let last = times.iter().rposition(|(_, time)| time.is_some());
    let created = workspace.metadata.creation_timestamp.as_ref();
    let mut before = created.map_or(now, |time| time.0);
    let mut has_current = false;
    let mut lines = Vec::new();
    for (index, (phase, time)) in times.into_iter().enumerate() {
        let since = |end: Timestamp| Some(end.duration_since(before).as_secs().max(0));
        let (state, seconds) = match time {
            Some(time) => {
                let seconds = since(time);
                before = time;
                (PhaseState::Done, seconds)
            }
            None if last.is_some_and(|last| index < last) => continue,
            None if has_current || is_over(workspace) => (PhaseState::Waiting, None),
            None => {
                has_current = true;
                let state = if is_stuck {
                    PhaseState::Stuck
                } else {
                    PhaseState::Running
                };
                (state, since(now))
            }
        };
        lines.push(PhaseLine {
            phase,
            state,
            seconds,
        });
    }
    lines
}

fn times(workspace: &Workspace, start: &ColdStart) -> Vec<(StartPhase, Option<Timestamp>)> {
    use StartPhase as Phase;
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    let tuning = workspace.spec.tuning.is_some();
    let resource = workspace.spec.resource.as_ref();
    let has_claims =
        start.claimed.is_some() || resource.is_some_and(|resource| !resource.instance_type.is_empty());
    let is_preset = workspace
        .spec
        .inference
        .as_ref()
        .is_some_and(|inference| inference.preset.is_some());
    let all = [
        (has_claims, Phase::Claims, time(&start.claimed)),
        (has_claims, Phase::Instances, time(&start.launched)),
        (has_claims, Phase::Nodes, time(&start.registered)),
        (has_claims, Phase::DevicePlugins, time(&start.initialized)),
        (true, Phase::Pods, time(&start.scheduled)),
        (is_preset, Phase::Weights, time(&start.downloaded)),
        (true, Phase::Images, time(&start.started)),
        (!tuning, Phase::FirstAnswer, time(&start.ready)),
        (tuning, Phase::Tuning, tuned(workspace)),
    ];
    let shown = all.into_iter().filter(|(is_shown, ..)| *is_shown);
    shown.map(|(_, phase, time)| (phase, time)).collect()
}

/// Time at which the tuning succeeded.
fn tuned(workspace: &Workspace) -> Option<Timestamp> {
    let status = workspace.status.as_ref()?;
    if status.state != Some(WorkspaceState::Succeeded) {
        return None;
    }
    let conditions = status.conditions.iter();
    let mut done = conditions.filter(|condition| condition.type_ == "WorkspaceSucceeded");
    Some(done.next()?.last_transition_time.0)
}

/// Returns true if nothing is awaited any more.
fn is_over(workspace: &Workspace) -> bool {
    let state = workspace.status.as_ref().and_then(|status| status.state);
    state == Some(WorkspaceState::Failed)
}
