//! A model that is served: claims, Services, workload and what is to be said of them.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kaito_api::conditions::WorkspaceReason;
use plan::{Manifest, Plan};
use preset_catalog::{InferenceProfile, Preset, Runtime};
use render::{Adapter, Custom, Hardware, Inference};

use crate::finding::{ConditionUpdate, Problem};
use crate::nodes::Fleet;
use crate::sizing::Size;
use crate::status::{self, Report};
use crate::subject::Subject;
use crate::workloads::{self, Workload};
use crate::{claims, pods};

/// What is to be served, and where.
#[derive(Debug)]
pub(crate) struct Serving<'a> {
    pub(crate) what: What<'a>,
    pub(crate) size: Size,
    pub(crate) hardware: Hardware,
    /// The pods ask for GPUs.
    pub(crate) gpu: bool,
    /// Disk that each node needs, in GiB; 0 leaves it to the provisioner.
    pub(crate) disk_gib: u32,
    /// What has to be said beside everything else.
    pub(crate) notes: Vec<Problem>,
}

/// What is to be served.
#[derive(Debug)]
pub(crate) enum What<'a> {
    /// A pod template of the user's own.
    Template(Box<PodTemplateSpec>),
    /// A preset.
    Preset {
        preset: &'a Preset,
        profile: &'a InferenceProfile,
        engine: Runtime,
        max_context: Option<u32>,
        adapters: Vec<Adapter>,
    },
}

impl Serving<'_> {
    /// Everything that serves, in the order in which it is applied: the workload last.
    pub(crate) fn manifests(&self, subject: &Subject<'_>) -> Vec<Manifest> {
        let (workspace, platform) = (subject.workspace(), &subject.platform);
        match &self.what {
            What::Template(template) => {
                let custom = Custom {
                    workspace,
                    template,
                    nodes: self.size.placement.nodes,
                    platform,
                };
                vec![
                    render::service(workspace, false).into(),
                    custom.deployment().into(),
                ]
            }
            What::Preset {
                preset,
                profile,
                engine,
                max_context,
                adapters,
            } => {
                let inference = Inference {
                    workspace,
                    preset,
                    profile,
                    engine: *engine,
                    placement: self.size.placement,
                    hardware: &self.hardware,
                    max_context: *max_context,
                    adapters: adapters.clone(),
                    platform,
                };
                let wide = inference.spans_nodes();
                let mut manifests = vec![render::service(workspace, wide).into()];
                if wide {
                    manifests.push(render::headless_service(workspace).into());
                }
                manifests.push(render::workload(&inference));
                manifests
            }
        }
    }

    fn gpus_per_node(&self) -> u32 {
        if self.gpu {
            self.size.placement.gpus_per_node
        } else {
            0
        }
    }
}

/// Decides for a Workspace that serves.
pub(crate) fn plan(subject: &Subject<'_>, serving: &Serving<'_>) -> Plan {
    let nodes = serving.size.placement.nodes;
    let sum = serving.size.sum.as_deref();
    let fleet = Fleet::of(subject, nodes, serving.gpus_per_node()).explained(sum);
    let mut plan = Plan::default();
    if subject.makes_nodes() {
        plan.writes = claims::writes(subject, nodes, &serving.hardware, serving.disk_gib);
    }
    if !claims::is_claiming(subject, &plan.writes) {
        plan.writes.extend(workloads::writes(
            subject,
            serving.manifests(subject),
            fleet.is_ready(),
            |_| serving.size.blocked.is_none(),
        ));
    }
    plan.add_reason(
        if fleet.is_ready() {
            "serving"
        } else {
            "awaiting_nodes"
        },
        &fleet.resource().message,
    );
    let notes = serving
        .size
        .blocked
        .iter()
        .chain(&serving.notes)
        .cloned()
        .collect();
    let report = Report {
        notes,
        sum,
        ..Report::of_inference(subject, fleet.resource(), Some(fleet))
    };
    status::conclude(subject, &report, &mut plan);
    plan
}

/// Whether the model answers. What this pass deploys counts as deployed, so that the next has nothing new to say.
pub(crate) fn finding(subject: &Subject<'_>, nodes_ready: bool) -> ConditionUpdate {
    let pending = |what: &str| ConditionUpdate::unmet(WorkspaceReason::InferencePending, what);
    match workloads::current(subject) {
        Some(workload) if workload.serves() => ConditionUpdate::met(
            WorkspaceReason::InferenceReady,
            format!("The model answers at Service {}.", subject.name()),
        ),
        Some(Workload::Job(_)) | None if !nodes_ready => {
            pending("the model is deployed when its nodes are ready")
        }
        Some(_) | None => match pods::problem(subject) {
            Some(problem) => problem.finding(),
            None => pending("the model is being loaded"),
        },
    }
}
