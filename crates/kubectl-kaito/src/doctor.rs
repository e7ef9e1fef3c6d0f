//! `doctor`: nodes that cost without use, and parts of the installation that do not work.
//!
//! `facts` reads the cluster, the other modules judge what it found without I/O. The cloud is known from what
//! gpu-provisioner publishes, so no login to it is needed.

mod claims;
mod definitions;
mod diagnosis;
mod facts;
mod instances;
mod nodes;
mod programs;
mod quota;
mod text;
mod uninstall;

use jiff::Timestamp;

use crate::answer::Answer;
use crate::args::{DoctorArgs, Format};
use crate::output::serialized;
use crate::screen::Screen;
use diagnosis::{CheckLine, Diagnosis, DoctorReport, NodeUse};
use facts::ClusterFacts;

/// Examines the cluster. Each finding costs money or needs a person.
pub(crate) async fn run(args: &DoctorArgs) -> anyhow::Result<Answer> {
    let access = args.read.cluster.connect().await?;
    let facts = ClusterFacts::read(&access, &args.release).await?;
    let now = Timestamp::now();
    let mut report = match args.before_uninstall {
        true => before_uninstall(&facts, now),
        false => examine(&facts, now),
    };
    report.leave_out(&args.skip);
    let text = match args.read.output {
        Format::Table => text::of(&report, args.before_uninstall, Screen::of_stdout()),
        format => serialized(format, &serde_json::to_value(&report)?)?,
    };
    Ok(Answer {
        text,
        findings: !report.findings.is_empty(),
    })
}

fn examine(facts: &ClusterFacts, now: Timestamp) -> DoctorReport {
    let (mut checks, of_programs) = programs::examine(facts, now);
    checks.extend(quota::check(facts, now));
    let mut findings = of_programs;
    findings.extend(claims::examine(facts, now));
    findings.extend(nodes::examine(facts, now));
    findings.extend(instances::examine(facts, now));
    findings.extend(quota::examine(facts, now));
    report(facts, checks, claims::uses(facts, now), findings)
}

fn before_uninstall(facts: &ClusterFacts, now: Timestamp) -> DoctorReport {
    let findings = uninstall::examine(facts, now);
    report(facts, Vec::new(), claims::uses(facts, now), findings)
}

fn report(
    facts: &ClusterFacts,
    checks: Vec<CheckLine>,
    nodes: Vec<NodeUse>,
    mut findings: Vec<Diagnosis>,
) -> DoctorReport {
    findings.sort_by(|a, b| {
        let cost = |found: &Diagnosis| std::cmp::Reverse(found.usd_micros_per_hour.unwrap_or(0));
        (cost(a), &a.subject).cmp(&(cost(b), &b.subject))
    });
    DoctorReport {
        release: facts.release.clone(),
        plugin_version: env!("CARGO_PKG_VERSION"),
        checks,
        nodes,
        findings,
        notes: facts.notes.clone(),
    }
}

#[cfg(test)]
mod tests;
