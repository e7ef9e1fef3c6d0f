//! The nodes of a Workspace: how many it needs, and how many of them are ready.

use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::labels;

use crate::claim_status::ClaimStatus;
use crate::condition::ConditionUpdate;
use crate::context::PlanContext;
use crate::node::{has_condition, is_ready, name, offers};
use crate::node_count;
use crate::problem::Problem;
use crate::settings::ProvisionerMode;

/// The nodes of a Workspace.
#[derive(Debug)]
pub(crate) struct NodeSet<'a> {
    /// Number of nodes that the Workspace needs.
    pub(crate) wanted: u32,
    /// True if all claims are ready; `None` where users bring their own nodes.
    pub(crate) claims: Option<ConditionUpdate>,
    /// True if enough nodes are ready and offer their GPUs.
    pub(crate) nodes: ConditionUpdate,
    /// Names of all nodes, ready or not, sorted.
    pub(crate) workers: Vec<&'a str>,
}

impl<'a> NodeSet<'a> {
    /// Looks at the nodes, of which `wanted` must offer `gpus` each.
    pub(crate) fn of(context: &PlanContext<'a>, wanted: u32, gpus: u32) -> Self {
        let (claims, candidates) = match context.settings.mode.claim_kind() {
            Some(kind) => {
                let status = ClaimStatus::of(context, kind, wanted);
                (Some(status.condition), status.nodes)
            }
            None => (None, context.nodes.values().copied().collect()),
        };
        Self {
            wanted,
            claims,
            nodes: condition(&candidates, wanted, gpus, context.settings.mode),
            workers: candidates.into_iter().map(name).collect(),
        }
    }

    /// Looks at the nodes of the running workload. GPUs are not required: the workload has them already.
    pub(crate) fn of_running(context: &PlanContext<'a>) -> Option<Self> {
        Some(Self::of(context, node_count::reported(context)?, 0))
    }

    /// No nodes, for this reason.
    pub(crate) fn none(condition: ConditionUpdate) -> Self {
        Self {
            wanted: 0,
            claims: Some(condition.clone()),
            nodes: condition,
            workers: Vec::new(),
        }
    }

    /// The same number of nodes, none of which counts for this reason.
    pub(crate) fn waiting(self, problem: &Problem) -> Self {
        Self {
            claims: Some(problem.condition()),
            nodes: problem.condition(),
            ..self
        }
    }

    /// Adds the sizing summary, which explains the number of nodes.
    pub(crate) fn explained(mut self, sizing_summary: Option<&str>) -> Self {
        if let Some(summary) = sizing_summary {
            self.nodes.message = format!("{} {summary}", self.nodes.message);
        }
        self
    }

    /// True if the workload has everything it needs to run.
    pub(crate) fn resource(&self) -> ConditionUpdate {
        let missing = self
            .claims
            .iter()
            .chain([&self.nodes])
            .find(|condition| !condition.is_true());
        let ready = || ConditionUpdate::met(WorkspaceReason::ResourceReady, "All nodes are ready.");
        missing.cloned().unwrap_or_else(ready)
    }
}

fn condition(nodes: &[&Node], wanted: u32, gpus: u32, mode: ProvisionerMode) -> ConditionUpdate {
    let (ready, unready): (Vec<&Node>, Vec<&Node>) = nodes.iter().copied().partition(|node| is_ready(node));
    let (usable, without_gpus): (Vec<&Node>, Vec<&Node>) =
        ready.iter().copied().partition(|node| offers(node, gpus));
    let count = format!("{} of {wanted} nodes are ready", usable.len());
    if u32::try_from(usable.len()).unwrap_or(u32::MAX) >= wanted {
        return ConditionUpdate::met(
            WorkspaceReason::NodesReady,
            format!("{count}.{}", pressure(nodes)),
        );
    }
    if let Some(node) = without_gpus.first() {
        let cause = format!(
            "{count}: node {} offers fewer than {gpus} {}",
            name(node),
            labels::NVIDIA_GPU
        );
        return ConditionUpdate::unmet(WorkspaceReason::NodePluginsNotReady, cause);
    }
    let waiting = match unready.first() {
        Some(node) => format!("{count}: node {} is not{}", name(node), pressure(nodes)),
        None => count,
    };
    let reason = match mode {
        ProvisionerMode::Machine | ProvisionerMode::NodeClaim => WorkspaceReason::NodesNotReady,
        ProvisionerMode::Byo => WorkspaceReason::ByoNodesMissing,
    };
    ConditionUpdate::unmet(reason, waiting)
}

fn pressure(nodes: &[&Node]) -> String {
    const KINDS: [&str; 3] = ["DiskPressure", "MemoryPressure", "PIDPressure"];
    let pressed = nodes.iter().filter_map(|node| {
        let kinds = KINDS.into_iter().filter(|kind| has_condition(node, kind));
        let kinds: Vec<&str> = kinds.collect();
        (!kinds.is_empty()).then(|| format!("{} ({})", name(node), kinds.join(", ")))
    });
    let pressed: Vec<String> = pressed.collect();
    if pressed.is_empty() {
        String::new()
    } else {
        format!(" Under resource pressure: {}.", pressed.join("; "))
    }
}
