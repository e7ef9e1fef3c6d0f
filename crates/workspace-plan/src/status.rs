//! The Workspace's status: a value computed whole on every pass and written only when it differs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kaito_api::WorkspaceStatus;
use kaito_api::conditions::{self, WorkspaceConditionType, WorkspaceReason};
use kaito_api::workspace_status::WorkspaceState;
use plan::Plan;

use crate::finding::{ConditionUpdate, Problem};
use crate::nodes::Fleet;
use crate::settings::ProvisionerMode;
use crate::subject::Subject;
use crate::tuning::{self, Progress};
use crate::{events, inference};

/// What one pass has to say.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// The nodes; absent when it was not decided how many there are to be.
    pub(crate) fleet: Option<Fleet<'a>>,
    /// Whether everything that the workload needs is there.
    pub(crate) resource: ConditionUpdate,
    /// Whether the model answers.
    pub(crate) inference: ConditionUpdate,
    /// Whether the Job has started; absent when there is to be none.
    pub(crate) job: Option<ConditionUpdate>,
    /// Where the Workspace is, in one word.
    pub(crate) state: WorkspaceState,
    /// What has to be said beside everything else.
    pub(crate) notes: Vec<Problem>,
    /// The sum that decided how many nodes there are to be, in one line.
    pub(crate) sum: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// Of a Workspace that serves.
    pub(crate) fn of_inference(
        subject: &Subject<'a>,
        resource: ConditionUpdate,
        fleet: Option<Fleet<'a>>,
    ) -> Self {
        let inference = inference::finding(subject, resource.is_true());
        let state = match subject.status().and_then(|status| status.state) {
            _ if resource.is_true() && inference.is_true() => WorkspaceState::Ready,
            Some(WorkspaceState::Ready | WorkspaceState::NotReady) => WorkspaceState::NotReady,
            _ => WorkspaceState::Pending,
        };
        Self {
            fleet,
            resource,
            inference,
            job: None,
            state,
            notes: Vec::new(),
            sum: None,
        }
    }

    /// Of a Workspace that tunes.
    pub(crate) fn of_tuning(
        subject: &Subject<'a>,
        resource: ConditionUpdate,
        fleet: Option<Fleet<'a>>,
    ) -> Self {
        let nothing = "A tuning Workspace serves nothing; there is nothing to wait for.";
        let state = match tuning::progress(subject) {
            Progress::Absent | Progress::Pending => WorkspaceState::Pending,
            Progress::Running => WorkspaceState::Running,
            Progress::Succeeded => WorkspaceState::Succeeded,
            Progress::Failed => WorkspaceState::Failed,
        };
        let job = tuning::finding(subject, resource.is_true());
        Self {
            fleet,
            resource,
            inference: ConditionUpdate::met(WorkspaceReason::TuningHasNoInference, nothing),
            job: Some(job),
            state,
            notes: Vec::new(),
            sum: None,
        }
    }

    /// Whether the Workspace does what it was made for; the reason is the one of `WorkspaceReady`.
    fn overall(&self) -> ConditionUpdate {
        let told = |finding: ConditionUpdate| ConditionUpdate {
            message: with_notes(&finding.message, &self.notes),
            ..finding
        };
        told(match self.state {
            WorkspaceState::Ready => {
                ConditionUpdate::met(WorkspaceReason::WorkspaceReady, "The model answers.")
            }
            WorkspaceState::Succeeded => {
                ConditionUpdate::met(WorkspaceReason::WorkspaceReady, "The tuning is done.")
            }
            WorkspaceState::Failed => self.blocked(WorkspaceReason::WorkspaceFailed),
            WorkspaceState::Running => {
                ConditionUpdate::unmet(WorkspaceReason::WorkspacePending, "The tuning Job runs.")
            }
            WorkspaceState::Pending | WorkspaceState::NotReady => {
                self.blocked(WorkspaceReason::WorkspacePending)
            }
        })
    }

    fn blocked(&self, reason: WorkspaceReason) -> ConditionUpdate {
        let all = [Some(&self.resource), Some(&self.inference), self.job.as_ref()];
        let what = match all.into_iter().flatten().find(|finding| !finding.is_true()) {
            Some(finding) => format!("{}: {}", finding.reason_str(), finding.message),
            None => "Everything is there; the Job has not ended.".to_owned(),
        };
        ConditionUpdate::unmet(reason, what)
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
        let fleet = self.fleet.as_ref();
        let claims = match mode {
            ProvisionerMode::Machine | ProvisionerMode::Byo => Type::MachineReady,
            ProvisionerMode::NodeClaim => Type::NodeClaimReady,
        };
        let all = [
            (claims, fleet.and_then(|fleet| fleet.claims.clone())),
            (Type::NodesReady, fleet.map(|fleet| fleet.nodes.clone())),
            (Type::ResourceReady, Some(self.resource.clone())),
            (Type::InferenceReady, Some(self.inference.clone())),
            (Type::JobStarted, self.job.clone()),
            (Type::WorkspaceReady, Some(overall)),
            (Type::WorkspaceSucceeded, Some(succeeded)),
        ];
        all.into_iter()
            .filter_map(|(kind, finding)| Some((kind, finding?)))
            .collect()
    }
}

fn with_notes(message: &str, notes: &[Problem]) -> String {
    let notes = notes.iter().map(Problem::note);
    std::iter::once(message.to_owned())
        .chain(notes)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Puts the status of a live Workspace and its events into the plan, and when to look again.
pub(crate) fn conclude(subject: &Subject<'_>, report: &Report<'_>, plan: &mut Plan) {
    let old = subject.status();
    let findings = report.conditions(subject.settings.mode);
    let workers = report
        .fleet
        .as_ref()
        .map(|fleet| fleet.workers.iter().map(|&name| name.to_owned()).collect());
    let status = WorkspaceStatus {
        worker_nodes: workers.unwrap_or_default(),
        state: Some(report.state),
        conditions: written(subject, &findings),
        target_node_count: report
            .fleet
            .as_ref()
            .and_then(|fleet| i32::try_from(fleet.wanted).ok()),
        observed_generation: Some(subject.generation()),
        performance: old.and_then(|old| old.performance.clone()),
    };
    plan.requeue = subject.look_again();
    plan.events = events::of(subject, &findings, report, &plan.writes);
    write(subject, &status, plan);
}

/// Puts the status of a Workspace that is being deleted into the plan: what is not said any more goes.
pub(crate) fn conclude_deletion(
    subject: &Subject<'_>,
    findings: &[(WorkspaceConditionType, ConditionUpdate)],
    plan: &mut Plan,
) {
    let old = subject.status().cloned().unwrap_or_default();
    let status = WorkspaceStatus {
        conditions: written(subject, findings),
        observed_generation: Some(subject.generation()),
        ..old
    };
    write(subject, &status, plan);
}

fn written(subject: &Subject<'_>, findings: &[(WorkspaceConditionType, ConditionUpdate)]) -> Vec<Condition> {
    let condition = |(kind, finding): &(WorkspaceConditionType, ConditionUpdate)| {
        conditions::condition(
            subject.conditions(),
            subject.now,
            subject.generation(),
            *kind,
            finding.status,
            finding.reason_str(),
            &finding.message,
        )
    };
    findings.iter().map(condition).collect()
}

fn write(subject: &Subject<'_>, status: &WorkspaceStatus, plan: &mut Plan) {
    if subject.status() != Some(status) {
        // Strings and numbers only, so this cannot fail.
        plan.status = serde_json::to_value(status).ok();
    }
}
