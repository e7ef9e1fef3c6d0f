//! The Workspace's status: computed whole in each plan and written only when it differs.

mod attempts;
mod cold_start;
mod events;
mod offerings;
mod progress;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kaito_api::WorkspaceStatus;
use kaito_api::conditions::{NewCondition, WorkspaceConditionType, WorkspaceReason};
use kaito_api::workspace_status::WorkspaceState;
use plan::Plan;

use crate::claim_problem;
use crate::claims;
use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::desired::LeftOut;
use crate::model_commit;
use crate::node_set::NodeSet;
use crate::observed::PresetLookup;
use crate::problem::Problem;
use crate::refused::Refused;
use crate::retention;
use crate::rung;
use crate::settings::ProvisionerMode;
use crate::workload::JobProgress;

/// Pause before a registry is asked again that does not respond.
const REGISTRY_UNAVAILABLE: Duration = Duration::from_secs(10);
/// Pause before a registry is asked again for an unknown preset: a catalog may grow.
const PRESET_UNKNOWN: Duration = Duration::from_secs(60);

/// The results of one plan, from which the status follows.
#[derive(Debug)]
pub(crate) struct StatusReport<'a> {
    /// The nodes; `None` while their number is not decided.
    pub(crate) nodes: Option<NodeSet<'a>>,
    /// True if the workload has everything it needs to run.
    pub(crate) resource: ConditionUpdate,
    /// True if the model is served.
    pub(crate) inference: ConditionUpdate,
    /// True if the Job has started; `None` for inference.
    pub(crate) job: Option<ConditionUpdate>,
    /// The state as one word.
    pub(crate) state: WorkspaceState,
    /// Problems to report although they prevent nothing.
    pub(crate) notes: Vec<Problem>,
    /// Instance type of the nodes; empty where none is asked for.
    pub(crate) instance_type: &'a str,
    /// The arithmetic behind the number of nodes, in one line.
    pub(crate) sizing_summary: Option<&'a str>,
    /// Instance types that are left out for quota or restrictions.
    pub(crate) left_out: &'a [LeftOut],
}

impl<'a> StatusReport<'a> {
    pub(crate) fn new(
        context: &PlanContext<'a>,
        resource: ConditionUpdate,
        nodes: Option<NodeSet<'a>>,
    ) -> Self {
        let mut refused = Refused::of(context);
        let resource = refused.resource(resource);
        let workload = refused.workload.as_ref();
        let (state, inference, job) = if context.workspace().spec.tuning.is_some() {
            let message = "A tuning Workspace serves nothing; there is nothing to wait for.";
            let inference = ConditionUpdate::met(WorkspaceReason::TuningHasNoInference, message);
            let job = progress::job(context, resource.is_true(), workload);
            (tuning_state(context), inference, Some(job))
        } else {
            let inference = progress::inference(context, resource.is_true(), workload);
            let is_ready = resource.is_true() && inference.is_true();
            (inference_state(context, is_ready), inference, None)
        };
        Self {
            nodes,
            resource,
            inference,
            job,
            state,
            notes: refused.note.into_iter().collect(),
            instance_type: "",
            sizing_summary: None,
            left_out: &[],
        }
    }

    /// The same report with these notes before its own.
    pub(crate) fn noting(self, notes: impl IntoIterator<Item = Problem>) -> Self {
        Self {
            notes: notes.into_iter().chain(self.notes).collect(),
            ..self
        }
    }

    /// True if the Workspace serves, or its tuning succeeded.
    fn overall(&self) -> ConditionUpdate {
        let ready = |message: &str| ConditionUpdate::met(WorkspaceReason::WorkspaceReady, message);
        let overall = match self.state {
            WorkspaceState::Ready => ready("The model answers."),
            WorkspaceState::Succeeded => ready("The tuning is done."),
            WorkspaceState::Failed => self.blocked(WorkspaceReason::WorkspaceFailed),
            WorkspaceState::Running if self.job_problem().is_some() => {
                self.blocked(WorkspaceReason::WorkspacePending)
            }
            WorkspaceState::Running => {
                ConditionUpdate::unmet(WorkspaceReason::WorkspacePending, "The tuning Job runs.")
            }
            WorkspaceState::Pending | WorkspaceState::NotReady => {
                self.blocked(WorkspaceReason::WorkspacePending)
            }
        };
        let notes = self.notes.iter().map(Problem::note);
        let message: Vec<String> = [overall.message].into_iter().chain(notes).collect();
        ConditionUpdate {
            message: message.join(" "),
            ..overall
        }
    }

    /// The condition for which the Workspace is not ready.
    fn blocking(&self) -> Option<&ConditionUpdate> {
        let all = [Some(&self.resource), Some(&self.inference), self.job.as_ref()];
        let unmet = || all.into_iter().flatten().filter(|condition| !condition.is_true());
        // A problem comes before a mere wait.
        unmet()
            .find(|condition| condition.is_problem())
            .or_else(|| unmet().next())
    }

    /// The condition of a Job that runs, if a person should act.
    fn job_problem(&self) -> Option<&ConditionUpdate> {
        let job = self.job.as_ref();
        job.filter(|condition| !condition.is_true() && condition.is_problem())
    }

    /// The reason for which the Workspace is not ready, as one word.
    fn reason(&self) -> Option<&'static str> {
        match self.state {
            WorkspaceState::Ready | WorkspaceState::Succeeded => None,
            WorkspaceState::Running => self.job_problem().map(ConditionUpdate::reason_str),
            WorkspaceState::Pending | WorkspaceState::NotReady | WorkspaceState::Failed => {
                self.blocking().map(ConditionUpdate::reason_str)
            }
        }
    }

    fn blocked(&self, reason: WorkspaceReason) -> ConditionUpdate {
        let cause = match self.blocking() {
            Some(condition) => format!("{}: {}", condition.reason_str(), condition.message),
            None => "Everything is there; the Job has not ended.".to_owned(),
        };
        ConditionUpdate::unmet(reason, cause)
    }

    fn conditions(&self, mode: ProvisionerMode) -> Vec<(WorkspaceConditionType, ConditionUpdate)> {
        use WorkspaceConditionType as Type;
        let overall = self.overall();
        let succeeded = match overall.is_true() {
            true => ConditionUpdate {
                reason: Some(WorkspaceReason::WorkspaceSucceeded.into()),
                ..overall.clone()
            },
            false => overall.clone(),
        };
        let nodes = self.nodes.as_ref();
        let claims = match mode {
            ProvisionerMode::Machine | ProvisionerMode::Byo => Type::MachineReady,
            ProvisionerMode::NodeClaim => Type::NodeClaimReady,
        };
        let all = [
            (claims, nodes.and_then(|nodes| nodes.claims.clone())),
            (Type::NodesReady, nodes.map(|nodes| nodes.nodes.clone())),
            (Type::ResourceReady, Some(self.resource.clone())),
            (Type::InferenceReady, Some(self.inference.clone())),
            (Type::JobStarted, self.job.clone()),
            (Type::WorkspaceReady, Some(overall)),
            (Type::WorkspaceSucceeded, Some(succeeded)),
        ];
        all.into_iter()
            .filter_map(|(kind, condition)| Some((kind, condition?)))
            .collect()
    }
}

/// URL of the Workspace's Service: the address of its load balancer, else its name in the cluster.
fn endpoint(context: &PlanContext<'_>) -> Option<String> {
    let workspace = context.workspace();
    workspace.spec.inference.as_ref()?;
    let status = context
        .observed
        .workloads
        .service
        .as_ref()
        .and_then(|service| service.status.as_ref());
    let ingress = status
        .and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref()?.first())
        .and_then(|ingress| ingress.ip.as_deref().or(ingress.hostname.as_deref()));
    Some(match ingress {
        Some(address) if address.contains(':') => format!("http://[{address}]"),
        Some(address) => format!("http://{address}"),
        None => format!("http://{}.{}.svc", workspace.name(), workspace.namespace()),
    })
}

fn inference_state(context: &PlanContext<'_>, is_ready: bool) -> WorkspaceState {
    match context.status().and_then(|status| status.state) {
        _ if is_ready => WorkspaceState::Ready,
        Some(WorkspaceState::Ready | WorkspaceState::NotReady) => WorkspaceState::NotReady,
        _ => WorkspaceState::Pending,
    }
}

fn tuning_state(context: &PlanContext<'_>) -> WorkspaceState {
    match context.job_progress {
        JobProgress::Absent | JobProgress::Pending => WorkspaceState::Pending,
        JobProgress::Running => WorkspaceState::Running,
        JobProgress::Succeeded => WorkspaceState::Succeeded,
        JobProgress::Failed => WorkspaceState::Failed,
    }
}

/// Adds the status of a live Workspace to the plan, with its events and the time of the next look.
pub(crate) fn report(context: &PlanContext<'_>, report: &StatusReport<'_>, plan: &mut Plan) {
    let updates = report.conditions(context.settings.mode);
    let nodes = report.nodes.as_ref();
    let workers = nodes.map(|nodes| nodes.workers.iter().map(|&name| name.to_owned()).collect());
    let status = WorkspaceStatus {
        worker_nodes: workers.unwrap_or_default(),
        state: Some(report.state),
        reason: report.reason().map(str::to_owned),
        model: context.workspace().preset_name().map(str::to_owned),
        model_revision: model_commit::status(context),
        endpoint: report.inference.is_true().then(|| endpoint(context)).flatten(),
        conditions: conditions(context, &updates),
        instance_type: instance_type(context, report),
        offerings: offerings::of(context),
        attempts: attempts::of(context, report.left_out),
        target_node_count: nodes.and_then(|nodes| i32::try_from(nodes.wanted).ok()),
        observed_generation: Some(context.generation()),
        cold_start: cold_start::of(context, nodes.map(|nodes| nodes.wanted)),
        performance: context.status().and_then(|old| old.performance.clone()),
    };
    plan.requeue = requeue(context);
    plan.events = events::of_writes(context, report.sizing_summary, &plan.writes);
    plan.events.extend(events::of_conditions(context, &updates));
    plan.events.extend(events::of_notes(context, &report.notes));
    write(context, &status, plan);
}

/// The type that is asked for. What runs keeps it while its spec decides nothing.
fn instance_type(context: &PlanContext<'_>, report: &StatusReport<'_>) -> Option<String> {
    let old = context.status().and_then(|status| status.instance_type.clone());
    match report.instance_type {
        "" => old.filter(|_| report.nodes.as_ref().is_some_and(|nodes| nodes.wanted > 0)),
        name => Some(name.to_owned()),
    }
}

/// Adds the status of a terminating Workspace to the plan, with these conditions only.
pub(crate) fn report_deletion(
    context: &PlanContext<'_>,
    updates: &[(WorkspaceConditionType, ConditionUpdate)],
    plan: &mut Plan,
) {
    let old = context.status().cloned().unwrap_or_default();
    let status = WorkspaceStatus {
        conditions: conditions(context, updates),
        observed_generation: Some(context.generation()),
        ..old
    };
    write(context, &status, plan);
}

/// Time of the next look if nothing changes: a registry must be asked again, and back-offs and patience end by themselves.
fn requeue(context: &PlanContext<'_>) -> Option<Duration> {
    let registry = match &context.observed.preset {
        PresetLookup::Unavailable { .. } | PresetLookup::Asking => Some(REGISTRY_UNAVAILABLE),
        PresetLookup::Unknown { .. } => Some(PRESET_UNKNOWN),
        PresetLookup::Found(_) | PresetLookup::NotNeeded => None,
    };
    let backoffs = context.observed.launch_backoffs.values();
    let backoffs = backoffs.filter_map(|backoff| backoff.remaining(context.now));
    let withdrawals = claims::own(context).filter_map(|claim| claim_problem::patience_left(context, claim));
    let withdrawals = withdrawals.filter(|left| !left.is_zero());
    let retention = retention::remaining(context).filter(|remaining| !remaining.is_zero());
    registry
        .into_iter()
        .chain(backoffs)
        .chain(withdrawals)
        .chain(retention)
        .chain(rung::next_look(context))
        .min()
}

fn conditions(
    context: &PlanContext<'_>,
    updates: &[(WorkspaceConditionType, ConditionUpdate)],
) -> Vec<Condition> {
    let condition = |(kind, update): &(WorkspaceConditionType, ConditionUpdate)| {
        let new = NewCondition {
            type_: kind.as_str(),
            status: update.status,
            reason: update.reason_str(),
            message: &update.message,
        };
        new.of_workspace(context.conditions(), context.generation(), context.now)
    };
    updates.iter().map(condition).collect()
}

fn write(context: &PlanContext<'_>, status: &WorkspaceStatus, plan: &mut Plan) {
    if context.status() != Some(status) {
        // A status has only strings as map keys, so this cannot fail.
        plan.status = serde_json::to_value(status).ok();
    }
}
