//! A model that is tuned: one node, one Job, and what is to be said of them.
//!
//! A Job cannot be changed. An edit of what it was made of is reported, and a Job that ended stays as it is; its
//! node is not made again.

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use kaito_api::TuningSpec;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;
use plan::{Manifest, Plan};
use preset_catalog::{Preset, TuningMethod, TuningProfile};
use render::{Destination, Hardware, Source, Tuner, Tuning};

use crate::finding::{ConditionUpdate, Problem};
use crate::nodes::Fleet;
use crate::status::{self, Report};
use crate::subject::Subject;
use crate::workloads::{self, Workload};
use crate::{claims, pods};

/// What is to be tuned, and where.
#[derive(Debug)]
pub(crate) struct Tuned<'a> {
    pub(crate) spec: &'a TuningSpec,
    pub(crate) preset: &'a Preset,
    pub(crate) profile: &'a TuningProfile,
    pub(crate) method: TuningMethod,
    pub(crate) tuner: Tuner,
    pub(crate) input: Source,
    pub(crate) output: Destination,
    pub(crate) hardware: Hardware,
    pub(crate) nodes: u32,
    /// The sum that decided, in one line.
    pub(crate) sum: Option<String>,
    /// What has to be said beside everything else.
    pub(crate) notes: Vec<Problem>,
}

impl Tuned<'_> {
    /// Everything that tunes, in the order in which it is applied: the Job last.
    pub(crate) fn manifests(&self, subject: &Subject<'_>) -> Vec<Manifest> {
        let tuning = Tuning {
            workspace: subject.workspace(),
            preset: self.preset,
            profile: self.profile,
            method: self.method,
            tuner: self.tuner,
            hardware: &self.hardware,
            input: self.input.clone(),
            output: self.output.clone(),
            platform: &subject.platform,
        };
        let config = self
            .spec
            .config
            .is_empty()
            .then(|| render::tuning_config(&tuning).into());
        let rest = [
            render::service(subject.workspace(), false).into(),
            render::job(&tuning).into(),
        ];
        config.into_iter().chain(rest).collect()
    }
}

/// How far the Job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Absent,
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// How far the Workspace's Job is.
pub(crate) fn progress(subject: &Subject<'_>) -> Progress {
    match job(subject) {
        None => Progress::Absent,
        Some(job) => job.status.as_ref().map_or(Progress::Pending, of_status),
    }
}

// The Job's own verdict counts: a pod that failed and was replaced is no failed tuning.
fn of_status(status: &JobStatus) -> Progress {
    let is = |kind: &str| {
        let conditions = status.conditions.iter().flatten();
        conditions
            .into_iter()
            .any(|condition| condition.type_ == kind && condition.status == "True")
    };
    match () {
        () if is("Failed") || is("FailureTarget") => Progress::Failed,
        () if is("Complete") || is("SuccessCriteriaMet") => Progress::Succeeded,
        () if status.ready.unwrap_or_default() > 0 => Progress::Running,
        () => Progress::Pending,
    }
}

fn job<'a>(subject: &Subject<'a>) -> Option<&'a Job> {
    match workloads::current(subject)? {
        Workload::Job(job) => Some(job),
        Workload::Deployment(_) | Workload::StatefulSet(_) => None,
    }
}

/// Decides for a Workspace that tunes.
pub(crate) fn plan(subject: &Subject<'_>, tuned: &Tuned<'_>) -> Plan {
    let sum = tuned.sum.as_deref();
    let fleet = Fleet::of(subject, tuned.nodes, tuned.hardware.gpu.gpus).explained(sum);
    let ended = matches!(progress(subject), Progress::Succeeded | Progress::Failed);
    let mut plan = Plan::default();
    if subject.makes_nodes() && !ended {
        plan.writes = claims::writes(subject, tuned.nodes, &tuned.hardware, tuned.profile.disk_gib);
    }
    let running = workloads::current(subject);
    if !claims::is_claiming(subject, &plan.writes) {
        plan.writes.extend(workloads::writes(
            subject,
            tuned.manifests(subject),
            fleet.is_ready(),
            |write| running.is_none_or(|job| !workloads::changes_spec(job, write)),
        ));
    }
    plan.add_reason(
        if fleet.is_ready() {
            "tuning"
        } else {
            "awaiting_nodes"
        },
        &fleet.resource().message,
    );
    let notes = edited(subject, tuned)
        .into_iter()
        .chain(tuned.notes.iter().cloned())
        .collect();
    let report = Report {
        notes,
        sum,
        ..Report::of_tuning(subject, fleet.resource(), Some(fleet))
    };
    status::conclude(subject, &report, &mut plan);
    plan
}

fn edited(subject: &Subject<'_>, tuned: &Tuned<'_>) -> Option<Problem> {
    let made_of = job(subject)?
        .metadata
        .annotations
        .as_ref()?
        .get(labels::SPEC_HASH)?;
    let what = "tuning was edited; the Job does what it was made for";
    (*made_of != render::spec_digest(tuned.spec)).then(|| Problem::new(WorkspaceReason::UpdateBlocked, what))
}

/// Whether the Job has started. One that this pass makes counts as made, so that the next has nothing new to say.
pub(crate) fn finding(subject: &Subject<'_>, nodes_ready: bool) -> ConditionUpdate {
    let started = |what: &str| ConditionUpdate::met(WorkspaceReason::JobStarted, what);
    let pending = |what: &str| ConditionUpdate::unmet(WorkspaceReason::JobPending, what);
    match progress(subject) {
        Progress::Absent if !nodes_ready => pending("the Job is made when its node is ready"),
        Progress::Absent | Progress::Pending => match pods::problem(subject) {
            Some(problem) => problem.finding(),
            None => pending("the Job's pod is starting"),
        },
        Progress::Running => started("The tuning Job runs."),
        Progress::Succeeded => match pods::pushed(subject) {
            Some(reference) => started(&format!("The tuning Job succeeded and pushed {reference}.")),
            None => started("The tuning Job succeeded."),
        },
        Progress::Failed => ConditionUpdate::unmet(WorkspaceReason::JobFailed, failure(subject)),
    }
}

fn failure(subject: &Subject<'_>) -> String {
    let conditions = job(subject).and_then(|job| job.status.as_ref()?.conditions.as_ref());
    let failed = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Failed");
    match failed.and_then(|condition| condition.message.as_deref()) {
        Some(message) => format!("the tuning Job failed: {message}"),
        None => "the tuning Job failed".to_owned(),
    }
}
