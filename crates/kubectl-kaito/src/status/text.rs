//! One Workspace as a tree of phases.

use std::fmt::Write as _;

use instance_types::dollars;
use kaito_api::labels::ON_DEMAND;

use super::phases::{PhaseLine, PhaseState, StartPhase};
use super::view::{ClaimLine, StatusView};
use crate::output::{lasted, wrapped};
use crate::pod_step::PodStep;
use crate::screen::{Screen, Tone};

/// Largest length of a remedy's line.
const WRAP: usize = 96;

/// Draws the Workspace.
pub(crate) fn tree(view: &StatusView, screen: Screen) -> String {
    let mut text = head(view, screen);
    let mut claims = false;
    let mut pods = false;
    for line in &view.phases {
        text.push_str(&phase(view, line, screen));
        // Claims and pods are shown under the phase that is current, else under the one that made them.
        let current = line.state != PhaseState::Done;
        match line.phase {
            StartPhase::Claims | StartPhase::Instances | StartPhase::Nodes | StartPhase::DevicePlugins
                if !claims && (current || line.phase == StartPhase::DevicePlugins) =>
            {
                claims = true;
                view.claims
                    .iter()
                    .for_each(|claim| text.push_str(&claim_text(claim, screen)));
            }
            StartPhase::Pods
            | StartPhase::Weights
            | StartPhase::Images
            | StartPhase::FirstAnswer
            | StartPhase::Tuning
                if !pods && (current || is_last(view, line)) =>
            {
                pods = true;
                view.pods
                    .iter()
                    .for_each(|pod| text.push_str(&pod_text(pod, screen)));
            }
            _ => {}
        }
    }
    text.push_str(&foot(view, screen));
    text
}

fn is_last(view: &StatusView, line: &PhaseLine) -> bool {
    view.phases.last() == Some(line)
}

fn head(view: &StatusView, screen: Screen) -> String {
    let tone = match view.state.as_str() {
        "Ready" | "Succeeded" => Tone::Good,
        "Failed" | "NotReady" => Tone::Bad,
        _ => Tone::Busy,
    };
    let nodes = match view.target_nodes {
        Some(wanted) => format!(", {} of {wanted} nodes", view.nodes.len()),
        None => String::new(),
    };
    let mut text = format!(
        "Workspace {}/{}: {}{nodes}\n",
        view.namespace,
        view.name,
        screen.paint(tone, &view.state)
    );
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{}", screen.cut(&format!("{name:<9} {value}")));
    };
    if let Some(model) = &view.model {
        line("Model", model.clone());
    }
    if let Some(revision) = &view.model_revision {
        let commit = revision.commit.as_deref().map(|commit| format!("{commit}, "));
        line(
            "Commit",
            format!("{}{}", commit.unwrap_or_default(), revision.source.describe()),
        );
    }
    if let Some(endpoint) = &view.endpoint {
        line("Endpoint", endpoint.clone());
    }
    if view.cost.nodes > 0 && view.cost.usd_micros_per_hour > 0 {
        let (price, spent) = (view.cost.price(), view.cost.spent());
        line(
            "Cost",
            format!("${price} an hour at list price, about ${spent} so far"),
        );
    }
    text
}

fn phase(view: &StatusView, line: &PhaseLine, screen: Screen) -> String {
    let (mark, tone) = match line.state {
        PhaseState::Done => ("✓", Tone::Good),
        PhaseState::Running => ("●", Tone::Busy),
        PhaseState::Stuck => ("✗", Tone::Bad),
        PhaseState::Waiting => ("○", Tone::Dim),
    };
    let took = line.seconds.map(lasted).unwrap_or_default();
    let note = note(view, line).unwrap_or_default();
    let shown = format!("{mark} {:<19} {took:>12}  {note}", line.phase.name());
    // The mark is painted after the cut, which counts characters.
    let cut = screen.cut(shown.trim_end());
    let rest: String = cut.chars().skip(1).collect();
    format!("{}{rest}\n", screen.paint(tone, mark))
}

/// Detail of a phase: the bytes of the weights.
fn note(view: &StatusView, line: &PhaseLine) -> Option<String> {
    if line.phase != StartPhase::Weights {
        return None;
    }
    match line.state {
        PhaseState::Done => {
            let bytes = view.weights_bytes?;
            Some(format!(
                "{:.1} GiB on each node",
                bytes as f64 / f64::from(1 << 30)
            ))
        }
        PhaseState::Running | PhaseState::Stuck => view.downloads.first().cloned(),
        PhaseState::Waiting => None,
    }
}

fn claim_text(claim: &ClaimLine, screen: Screen) -> String {
    let price = claim
        .usd_micros_per_hour
        .map(|price| format!(" ${}/h", dollars(price)));
    let node = Some(&claim.node).filter(|node| !node.is_empty());
    let node = node.map(|node| format!(" node {node}"));
    let zone = Some(&claim.zone).filter(|zone| !zone.is_empty());
    let zone = zone.map(|zone| format!(" in {zone}")).unwrap_or_default();
    // On-demand capacity is the usual one.
    let kind = Some(&claim.capacity_type).filter(|kind| !["", ON_DEMAND].contains(&kind.as_str()));
    let kind = kind.map(|kind| format!(" {kind}")).unwrap_or_default();
    let mut line = format!(
        "    {} {}{kind}{zone}{}{}",
        claim.name,
        claim.instance_type,
        price.unwrap_or_default(),
        node.unwrap_or_default()
    );
    if !claim.reason.is_empty() {
        let _ = write!(line, " {}: {}", claim.reason, claim.message);
    }
    format!("{}\n", screen.cut(&line))
}

fn pod_text(pod: &PodStep, screen: Screen) -> String {
    let node = Some(&pod.node).filter(|node| !node.is_empty());
    let node = node.map(|node| format!(" on {node}")).unwrap_or_default();
    let line = format!("    {}{node}: {} {}", pod.pod, pod.container, pod.state);
    format!("{}\n", screen.cut(&line))
}

fn foot(view: &StatusView, screen: Screen) -> String {
    let mut text = String::new();
    let width = screen
        .size
        .map_or(WRAP, |(columns, _)| usize::from(columns).max(20));
    let mut paragraph = |name: &str, value: &str| {
        let words = format!("{name}{value}");
        text.push_str(&wrapped(&words, width));
    };
    match &view.reason {
        Some(reason) => paragraph(&format!("{reason}: "), &view.message),
        None if !["", "The model answers.", "The tuning is done."].contains(&view.message.as_str()) => {
            paragraph("", &view.message);
        }
        None => {}
    }
    if !view.remedy.is_empty() {
        paragraph("Remedy: ", &view.remedy);
    }
    for note in &view.notes {
        paragraph("Note: ", note);
    }
    text
}

/// Describes the Workspace in one line, which changes only if more than the time does.
pub(crate) fn line(view: &StatusView) -> String {
    let current = view.phases.iter().find(|line| line.state != PhaseState::Done);
    let phase = current.map(|line| match note(view, line) {
        Some(note) => format!("  {}: {note}", line.phase.name()),
        None => format!("  {}", line.phase.name()),
    });
    let reason = view
        .reason
        .as_ref()
        .map(|reason| format!("  {reason}: {}", view.message));
    format!(
        "{}/{} {}{}{}",
        view.namespace,
        view.name,
        view.state,
        phase.unwrap_or_default(),
        reason.unwrap_or_default()
    )
}

/// Describes the Workspace as one line of JSON, without what changes with time alone.
pub(crate) fn change(view: &StatusView) -> anyhow::Result<String> {
    let mut view = view.clone();
    view.cost.spent_usd_micros = 0;
    for line in view
        .phases
        .iter_mut()
        .filter(|line| line.state != PhaseState::Done)
    {
        line.seconds = None;
    }
    let mut value = serde_json::to_value(&view)?;
    if let Some(cost) = value["cost"].as_object_mut() {
        cost.remove("spentUsdMicros");
    }
    Ok(value.to_string())
}
