//! The nodes of a Workspace: what each has, and whether enough of them are fit.

use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::WorkspaceReason;
use kaito_api::{labels, quantity};
use render::Hardware;

use crate::finding::{ConditionUpdate, Problem};
use crate::settings::ProvisionerMode;
use crate::subject::{Subject, is_live};
use crate::validate::invalid;
use crate::{byo, claims};

/// What each node of the Workspace has, or will have.
pub(crate) fn hardware(subject: &Subject<'_>, needs_gpu: bool) -> Result<Hardware, Problem> {
    match subject.settings.mode {
        ProvisionerMode::Machine | ProvisionerMode::NodeClaim => of_instance_type(subject, needs_gpu),
        ProvisionerMode::Byo => byo::hardware(subject, needs_gpu),
    }
}

/// The instance type that the Workspace names; empty when it names none.
pub(crate) fn instance_type<'a>(subject: &Subject<'a>) -> &'a str {
    let resource = subject.workspace().spec.resource.as_ref();
    resource
        .map(|resource| resource.instance_type.as_str())
        .unwrap_or_default()
}

fn of_instance_type(subject: &Subject<'_>, needs_gpu: bool) -> Result<Hardware, Problem> {
    let name = instance_type(subject);
    if name.is_empty() {
        return Err(invalid(
            "resource.instanceType must be set: nodes are made for this Workspace",
        ));
    }
    match known(subject, name) {
        Some(hardware) => Ok(hardware),
        None if needs_gpu || names_gpus(subject, name) => Err(unknown(subject, name)),
        None => Ok(Hardware::cpu(name)),
    }
}

/// What the tables say of an instance type.
pub(crate) fn known(subject: &Subject<'_>, name: &str) -> Option<Hardware> {
    let catalog = instance_types::Catalog::embedded().ok()?;
    catalog.lookup(subject.settings.cloud, name).map(Hardware::from)
}

// An unlisted instance type with GPUs cannot be sized and would be expensive.
fn names_gpus(subject: &Subject<'_>, name: &str) -> bool {
    let catalog = instance_types::Catalog::embedded();
    catalog.is_ok_and(|catalog| catalog.names_gpus(subject.settings.cloud, name))
}

fn unknown(subject: &Subject<'_>, name: &str) -> Problem {
    let near = instance_types::Catalog::embedded().map(|catalog| catalog.near(subject.settings.cloud, name));
    let hint = match near {
        Ok(near) if !near.is_empty() => format!("; did you mean {}?", near.join(", ")),
        _ => String::new(),
    };
    let what = format!(
        "instance type {name} is not known in cloud {}{hint}",
        subject.settings.cloud
    );
    Problem::new(WorkspaceReason::InstanceTypeUnknown, what)
}

/// How many nodes there are to be, and how those that are there do.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    /// How many there are to be.
    pub(crate) wanted: u32,
    /// Whether the claims are served; absent where nodes are brought along.
    pub(crate) claims: Option<ConditionUpdate>,
    /// Whether enough nodes are fit.
    pub(crate) nodes: ConditionUpdate,
    /// Names of the Workspace's nodes, fit or not, sorted.
    pub(crate) workers: Vec<&'a str>,
}

impl<'a> Fleet<'a> {
    /// The nodes, of which `wanted` must offer `gpus` each.
    pub(crate) fn of(subject: &Subject<'a>, wanted: u32, gpus: u32) -> Self {
        let (claims, candidates) = match subject.settings.mode.claim_kind() {
            Some(kind) => {
                let served = claims::Served::of(subject, kind, wanted);
                (Some(served.finding), served.nodes)
            }
            None => (None, subject.nodes.values().copied().collect()),
        };
        let nodes = verdict(&candidates, wanted, gpus, subject.settings.mode);
        Self {
            wanted,
            claims,
            nodes,
            workers: candidates.into_iter().map(name).collect(),
        }
    }

    /// With the sum that decided how many nodes there are to be.
    pub(crate) fn explained(mut self, sum: Option<&str>) -> Self {
        if let Some(sum) = sum {
            self.nodes.message = format!("{} {sum}", self.nodes.message);
        }
        self
    }

    /// Whether everything that the workload needs is there.
    pub(crate) fn resource(&self) -> ConditionUpdate {
        let missing = self
            .claims
            .iter()
            .chain([&self.nodes])
            .find(|finding| !finding.is_true());
        let there = || ConditionUpdate::met(WorkspaceReason::ResourceReady, "All nodes are ready.");
        missing.cloned().unwrap_or_else(there)
    }

    /// The workload can run.
    pub(crate) fn is_ready(&self) -> bool {
        self.resource().is_true()
    }
}

fn verdict(nodes: &[&Node], wanted: u32, gpus: u32, mode: ProvisionerMode) -> ConditionUpdate {
    let (ready, unready): (Vec<&Node>, Vec<&Node>) = nodes.iter().copied().partition(|node| is_ready(node));
    let (fit, bare): (Vec<&Node>, Vec<&Node>) = ready.iter().copied().partition(|node| offers(node, gpus));
    let count = format!("{} of {wanted} nodes are ready", fit.len());
    if u32::try_from(fit.len()).unwrap_or(u32::MAX) >= wanted {
        return ConditionUpdate::met(
            WorkspaceReason::NodesReady,
            format!("{count}.{}", pressure(nodes)),
        );
    }
    if let Some(node) = bare.first() {
        let what = format!(
            "{count}: node {} offers fewer than {gpus} {}",
            name(node),
            labels::NVIDIA_GPU
        );
        return ConditionUpdate::unmet(WorkspaceReason::NodePluginsNotReady, what);
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

/// The node's name.
pub(crate) fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

/// The node takes work.
pub(crate) fn is_ready(node: &Node) -> bool {
    is_live(&node.metadata) && is(node, "Ready")
}

fn is(node: &Node, condition: &str) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|found| found.type_ == condition && found.status == "True")
}

fn offers(node: &Node, gpus: u32) -> bool {
    gpus == 0 || offered(node) >= gpus
}

/// NVIDIA GPUs that pods can ask the node for.
pub(crate) fn offered(node: &Node) -> u32 {
    let allocatable = node
        .status
        .as_ref()
        .and_then(|status| status.allocatable.as_ref());
    let amount = allocatable.and_then(|all| all.get(labels::NVIDIA_GPU));
    let units = amount
        .and_then(|amount| quantity::ceil_units(&amount.0))
        .unwrap_or_default();
    u32::try_from(units).unwrap_or(u32::MAX)
}

fn pressure(nodes: &[&Node]) -> String {
    const KINDS: [&str; 3] = ["DiskPressure", "MemoryPressure", "PIDPressure"];
    let pressed = nodes.iter().filter_map(|node| {
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| is(node, kind)).collect();
        (!kinds.is_empty()).then(|| format!("{} ({})", name(node), kinds.join(", ")))
    });
    let pressed: Vec<String> = pressed.collect();
    if pressed.is_empty() {
        String::new()
    } else {
        format!(" Under resource pressure: {}.", pressed.join("; "))
    }
}
