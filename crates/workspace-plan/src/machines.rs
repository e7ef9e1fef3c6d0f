//! The Machines of a Workspace: one a slot, and what their provisioner says of them.

use k8s_openapi::api::core::v1::Node;
use kaito_api::conditions::{MachineConditionType, MachineReason, WorkspaceReason};
use kaito_api::{Machine, MachineCondition, labels, names};
use plan::drift::apply_if_needed;
use plan::{Delete, Kind, ObjectRef, Propagation, Write};
use render::{Hardware, MachineRequest};

use crate::finding::Finding;
use crate::subject::{Subject, is_live, label};
use crate::workloads;

/// The writes that leave exactly one Machine a slot. A Machine that is going is waited for, and Machines are
/// taken away only while nothing runs on them.
pub(crate) fn writes(subject: &Subject<'_>, nodes: u32, hardware: &Hardware, disk_gib: u32) -> Vec<Write> {
    let mut writes = orphans(subject);
    if workloads::current(subject).is_none() {
        let wanted = wanted_names(subject, nodes);
        let surplus = own(subject).filter(|machine| is_live(&machine.metadata) && !is_legacy(machine));
        writes.extend(
            surplus
                .filter(|machine| !wanted.contains(&name(machine).to_owned()))
                .map(delete),
        );
    }
    let image_family = subject
        .annotation(labels::NODE_IMAGE_FAMILY)
        .unwrap_or(&subject.settings.node_image_family);
    writes.extend(ordinals(subject, nodes).filter_map(|ordinal| {
        let request = MachineRequest {
            workspace: subject.workspace(),
            ordinal,
            hardware,
            disk_gib,
            image_family,
        };
        let machine = render::machine(&request);
        let observed = subject.machines.get(name(&machine)).copied();
        if observed.is_some_and(|observed| !is_live(&observed.metadata)) {
            return None;
        }
        apply_if_needed(machine, observed)
    }));
    writes
}

/// Whether the writes make Machines that are not there. Everything else of the Workspace then waits for the next pass,
/// which their appearance causes: nodes take longest, and a Service, whose address the API server gives out one at a
/// time, must not hold up the claims of other Workspaces.
pub(crate) fn is_claiming(subject: &Subject<'_>, writes: &[Write]) -> bool {
    writes.iter().any(|write| match write {
        Write::Apply(manifest) => !subject.machines.contains_key(manifest.target().name.as_str()),
        Write::Delete(_) | Write::Patch(_) | Write::Evict(_) => false,
    })
}

/// Machines of this Workspace, going ones too.
pub(crate) fn own<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a Machine> {
    let uid = subject.uid();
    let own = move |machine: &&Machine| owner_uid(machine).is_none_or(|owner| owner == uid);
    subject.machines.values().copied().filter(own)
}

/// The deletion of one Machine.
pub(crate) fn delete(machine: &Machine) -> Write {
    Write::Delete(Delete {
        target: ObjectRef {
            kind: Kind::Machine,
            namespace: None,
            name: name(machine).to_owned(),
        },
        uid: machine.metadata.uid.clone().unwrap_or_default(),
        propagation: Propagation::Background,
        grace_seconds: None,
    })
}

/// Deletions of Machines that an earlier Workspace of this name left behind. Only what is older than the observed
/// Workspace can be such a one, however old the observation is.
pub(crate) fn orphans(subject: &Subject<'_>) -> Vec<Write> {
    let born = subject.metadata().creation_timestamp.as_ref();
    let is_orphan = |machine: &&&Machine| {
        let other = owner_uid(machine).is_some_and(|owner| owner != subject.uid());
        let older = machine
            .metadata
            .creation_timestamp
            .as_ref()
            .zip(born)
            .is_some_and(|(own, born)| own.0 < born.0);
        other && older && is_live(&machine.metadata)
    };
    subject
        .machines
        .values()
        .filter(is_orphan)
        .map(|machine| delete(machine))
        .collect()
}

fn owner_uid(machine: &Machine) -> Option<&str> {
    label(&machine.metadata, labels::WORKSPACE_UID)
}

// Machines that upstream's controller made carry no UID. They fill the first slots.
fn is_legacy(machine: &Machine) -> bool {
    owner_uid(machine).is_none()
}

fn ordinals(subject: &Subject<'_>, nodes: u32) -> std::ops::Range<u32> {
    let legacy = own(subject)
        .filter(|machine| is_legacy(machine) && is_live(&machine.metadata))
        .count();
    0..nodes.saturating_sub(u32::try_from(legacy).unwrap_or(u32::MAX))
}

fn wanted_names(subject: &Subject<'_>, nodes: u32) -> Vec<String> {
    let name = |ordinal| names::machine(subject.namespace(), subject.name(), subject.uid(), ordinal);
    ordinals(subject, nodes).map(name).collect()
}

pub(crate) fn name(machine: &Machine) -> &str {
    machine.metadata.name.as_deref().unwrap_or_default()
}

/// What has come of the Machines.
#[derive(Debug)]
pub(crate) struct Served<'a> {
    /// Whether all of them are ready.
    pub(crate) finding: Finding,
    /// Their nodes, by name.
    pub(crate) nodes: Vec<&'a Node>,
}

impl<'a> Served<'a> {
    /// Looks at the Machines of `wanted` slots.
    pub(crate) fn of(subject: &Subject<'a>, wanted: u32) -> Self {
        let slots = wanted_names(subject, wanted);
        let fills = |machine: &&Machine| is_legacy(machine) || slots.iter().any(|slot| slot == name(machine));
        let machines: Vec<&Machine> = own(subject)
            .filter(|m| is_live(&m.metadata))
            .filter(fills)
            .collect();
        Self {
            finding: finding(&machines, wanted),
            nodes: nodes_of(subject, &machines),
        }
    }
}

fn nodes_of<'a>(subject: &Subject<'a>, machines: &[&Machine]) -> Vec<&'a Node> {
    let node = |machine: &&Machine| {
        subject
            .nodes
            .get(machine.status.as_ref()?.node_name.as_str())
            .copied()
    };
    let mut nodes: Vec<&Node> = machines.iter().filter_map(node).collect();
    nodes.sort_by_key(|node| node.metadata.name.clone());
    nodes
}

fn finding(machines: &[&Machine], wanted: u32) -> Finding {
    let ready = machines.iter().filter(|machine| is_ready(machine)).count();
    let count = format!("{ready} of {wanted} Machines are ready");
    if u32::try_from(ready).unwrap_or(u32::MAX) >= wanted {
        return Finding::yes(WorkspaceReason::MachinesReady, format!("{count}."));
    }
    let stuck = machines
        .iter()
        .filter(|machine| !is_ready(machine))
        .filter_map(|m| Some((*m, standing(m)?)));
    // A problem is told before a mere wait.
    let stuck = stuck.min_by_key(|(_, (reason, _))| reason.remedy().is_empty());
    match stuck {
        None => Finding::no(WorkspaceReason::MachinesNotReady, count),
        Some((machine, (reason, message))) => {
            Finding::no(reason, format!("{count}; Machine {}: {message}", name(machine)))
        }
    }
}

fn is_ready(machine: &Machine) -> bool {
    machine
        .status
        .as_ref()
        .is_some_and(|status| status.is_true(MachineConditionType::Ready))
}

/// What its provisioner says stands in the way of a Machine. Other provisioners have words of their own, which go
/// into the message.
pub(crate) fn standing(machine: &Machine) -> Option<(MachineReason, String)> {
    let status = machine.status.as_ref()?;
    let steps = MachineConditionType::STEPS
        .into_iter()
        .filter_map(|step| status.condition(step));
    let blocking = steps.into_iter().find(|condition| condition.status != "True");
    let blocking = blocking.or_else(|| status.condition(MachineConditionType::Ready))?;
    Some(told(blocking))
}

fn told(condition: &MachineCondition) -> (MachineReason, String) {
    let message = condition.message.trim();
    match MachineReason::parse(&condition.reason) {
        Some(reason) if message.is_empty() => (reason, reason.as_str().to_owned()),
        Some(reason) => (reason, message.to_owned()),
        None => (
            MachineReason::AwaitingCloud,
            [condition.reason.as_str(), message].join(": "),
        ),
    }
}
