//! Metrics of Workspaces and claims, read from the caches at each scrape. They repeat what the status says.
//!
//! Only the replica that leads shows them, so that sums over all replicas are right.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kaito_api::conditions::ClaimConditionType;
use kaito_api::workspace_status::ColdStartStep;
use kaito_api::{Claim, ClaimObject as _, Workspace, labels};
use telemetry::{CollectedGauge, Metrics};
use workspace_plan::UnavailableType;

use crate::observe::CacheSource;

type Labels = Vec<(&'static str, String)>;

/// Registers the metrics of all objects in the caches.
pub(crate) fn register(
    metrics: &Metrics,
    leads: impl Fn() -> bool + Send + Sync + 'static,
    source: &CacheSource,
) {
    let (workspaces, machines) = (source.workspaces.clone(), source.machines.clone());
    let (node_claims, unavailable) = (source.node_claims.clone(), source.unavailable.clone());
    metrics.collect(move || {
        if !leads() {
            return Vec::new();
        }
        let mut gauges = of_workspaces(&workspaces.all());
        let machines = machines.all().into_iter().map(|machine| machine.claim());
        let node_claims = node_claims.all().into_iter().map(|claim| claim.claim());
        gauges.push(of_claims(machines.chain(node_claims)));
        gauges.push(of_unavailable(&unavailable.all(operator_runtime::clock::now())));
        gauges
    });
}

fn of_workspaces(workspaces: &[Arc<Workspace>]) -> Vec<CollectedGauge> {
    let gauge = |name, help, read: &dyn Fn(&Workspace) -> Vec<(Labels, f64)>| CollectedGauge {
        name,
        help,
        series: workspaces.iter().flat_map(|workspace| read(workspace)).collect(),
    };
    vec![
        gauge(
            "kaito_workspace_info",
            "Model and instance type of a Workspace, as labels",
            &info,
        ),
        gauge(
            "kaito_workspace_state",
            "State of a Workspace and the reason for it, as labels",
            &state,
        ),
        gauge(
            "kaito_workspace_target_nodes",
            "Nodes that a Workspace needs",
            &target_nodes,
        ),
        gauge("kaito_workspace_nodes", "Ready nodes of a Workspace", &nodes),
        gauge(
            "kaito_workspace_usd_per_hour",
            "List price in US dollars an hour of the nodes of a Workspace, while it has all of them",
            &price,
        ),
        gauge(
            "kaito_workspace_cold_start_seconds",
            "Time from the creation of a Workspace to a step of its first start",
            &cold_start,
        ),
    ]
}

fn named(workspace: &Workspace, more: impl IntoIterator<Item = (&'static str, String)>) -> Labels {
    let name = [
        ("namespace", workspace.namespace().to_owned()),
        ("workspace", workspace.name().to_owned()),
    ];
    name.into_iter().chain(more).collect()
}

fn info(workspace: &Workspace) -> Vec<(Labels, f64)> {
    let work = if workspace.spec.tuning.is_some() {
        "tuning"
    } else {
        "inference"
    };
    let status = workspace.status.as_ref();
    let taken = status.and_then(|status| status.instance_type.clone());
    let asked = workspace.spec.resource.as_ref();
    let labels = [
        ("work", work.to_owned()),
        ("model", workspace.preset_name().unwrap_or_default().to_owned()),
        (
            "instance_type",
            taken
                .or_else(|| asked.map(|spec| spec.instance_type.clone()))
                .unwrap_or_default(),
        ),
    ];
    vec![(named(workspace, labels), 1.0)]
}

fn state(workspace: &Workspace) -> Vec<(Labels, f64)> {
    let status = workspace.status.as_ref();
    let state = status.and_then(|status| status.state);
    let reason = status.and_then(|status| status.reason.clone());
    let labels = [
        (
            "state",
            state.map_or_else(|| "Pending".to_owned(), |state| format!("{state:?}")),
        ),
        ("reason", reason.unwrap_or_default()),
    ];
    vec![(named(workspace, labels), 1.0)]
}

fn target_nodes(workspace: &Workspace) -> Vec<(Labels, f64)> {
    let count = workspace
        .status
        .as_ref()
        .and_then(|status| status.target_node_count);
    count
        .map(|count| (named(workspace, []), f64::from(count)))
        .into_iter()
        .collect()
}

fn nodes(workspace: &Workspace) -> Vec<(Labels, f64)> {
    let count = workspace
        .status
        .as_ref()
        .map_or(0, |status| status.worker_nodes.len());
    vec![(
        named(workspace, []),
        u32::try_from(count).map_or(f64::INFINITY, f64::from),
    )]
}

fn price(workspace: &Workspace) -> Vec<(Labels, f64)> {
    let status = workspace.status.as_ref();
    let has_nodes = status.is_some_and(|status| !status.worker_nodes.is_empty());
    let price = status
        .and_then(|status| status.cold_start.as_ref())
        .and_then(|start| start.usd_per_hour.parse().ok());
    price
        .filter(|_| has_nodes)
        .map(|price: f64| (named(workspace, []), price))
        .into_iter()
        .collect()
}

fn cold_start(workspace: &Workspace) -> Vec<(Labels, f64)> {
    let start = workspace
        .status
        .as_ref()
        .and_then(|status| status.cold_start.as_ref());
    let created = workspace.metadata.creation_timestamp.as_ref();
    let (Some(start), Some(created)) = (start, created) else {
        return Vec::new();
    };
    let series = |(step, time): (ColdStartStep, Option<&Time>)| {
        let took = time?.0.duration_since(created.0).as_secs_f64();
        let step = format!("{step:?}").to_lowercase();
        Some((named(workspace, [("step", step)]), took.max(0.0)))
    };
    start.steps().into_iter().filter_map(series).collect()
}

fn of_claims(claims: impl Iterator<Item = Claim>) -> CollectedGauge {
    let mut counts: BTreeMap<[String; 4], u32> = BTreeMap::new();
    for claim in claims {
        if !claim
            .metadata()
            .labels
            .as_ref()
            .is_some_and(|all| all.contains_key(labels::WORKSPACE))
        {
            continue;
        }
        let value = |key: &str| {
            let requirements = claim.requirements();
            let found = requirements.iter().find(|requirement| requirement.key == key);
            found
                .and_then(|requirement| requirement.values.first())
                .map_or_else(String::new, Clone::clone)
        };
        let labels = [
            claim.claim_kind().as_str().to_owned(),
            value(labels::INSTANCE_TYPE),
            claim
                .capacity_type()
                .map_or_else(|| value(labels::CAPACITY_TYPE), str::to_owned),
            phase(&claim).to_owned(),
        ];
        let count = counts.entry(labels).or_default();
        *count = count.saturating_add(1);
    }
    let series = counts
        .into_iter()
        .map(|([kind, instance_type, capacity_type, phase], count)| {
            let labels = vec![
                ("kind", kind),
                ("instance_type", instance_type),
                ("capacity_type", capacity_type),
                ("phase", phase),
            ];
            (labels, f64::from(count))
        });
    CollectedGauge {
        name: "kaito_claims",
        help: "Claims of Workspaces",
        series: series.collect(),
    }
}

fn of_unavailable(all: &[Arc<UnavailableType>]) -> CollectedGauge {
    CollectedGauge {
        name: "kaito_unavailable_instance_types",
        help: "Instance types that were refused lately and that ladders leave out, with the reason",
        series: all.iter().map(|found| (found.labels().into(), 1.0)).collect(),
    }
}

/// The last step that a claim has done.
fn phase(claim: &Claim) -> &'static str {
    if claim.metadata().deletion_timestamp.is_some() {
        return "Terminating";
    }
    let done = ClaimConditionType::STEPS
        .into_iter()
        .rev()
        .find(|step| claim.is_true(*step));
    match done {
        Some(ClaimConditionType::Initialized | ClaimConditionType::Ready) => "Initialized",
        Some(ClaimConditionType::Registered) => "Registered",
        Some(ClaimConditionType::Launched) => "Launched",
        Some(ClaimConditionType::NodeHealthy | ClaimConditionType::Drifted) | None => "Pending",
    }
}

#[cfg(test)]
mod tests {
    use kaito_api::Machine;
    use serde_json::json;

    use super::*;

    fn workspaces() -> Vec<Arc<Workspace>> {
        let ready = json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
            "metadata": {"name": "a", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "resource": {"instanceType": "Standard_NC24ads_A100_v4"},
            "inference": {"preset": {"name": "phi-4"}},
            "status": {
                "state": "Ready", "workerNodes": ["node-1"], "targetNodeCount": 1,
                "coldStart": {
                    "claimed": "2026-01-01T00:00:01Z", "ready": "2026-01-01T00:05:00Z", "usdPerHour": "3.68",
                },
            },
        });
        let new = json!({
            "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
            "metadata": {"name": "b", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "tuning": {"preset": {"name": "phi-4"}},
            "status": {"state": "Pending", "reason": "InstanceCreating", "targetNodeCount": 2},
        });
        let parse = |value| Arc::new(serde_json::from_value(value).unwrap());
        [ready, new].map(parse).into()
    }

    fn text(gauges: Vec<CollectedGauge>) -> String {
        let metrics = Metrics::without_process();
        metrics.collect(move || gauges.clone());
        let text = metrics.encode().unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_status_of_workspaces_becomes_series() {
        let a = r#"namespace="n",workspace="a""#;
        let b = r#"namespace="n",workspace="b""#;
        let expected = [
            format!(
                r#"kaito_workspace_info{{{a},work="inference",model="phi-4",instance_type="Standard_NC24ads_A100_v4"}} 1.0"#
            ),
            format!(r#"kaito_workspace_info{{{b},work="tuning",model="phi-4",instance_type=""}} 1.0"#),
            format!(r#"kaito_workspace_state{{{a},state="Ready",reason=""}} 1.0"#),
            format!(r#"kaito_workspace_state{{{b},state="Pending",reason="InstanceCreating"}} 1.0"#),
            format!("kaito_workspace_target_nodes{{{a}}} 1.0"),
            format!("kaito_workspace_target_nodes{{{b}}} 2.0"),
            format!("kaito_workspace_nodes{{{a}}} 1.0"),
            format!("kaito_workspace_nodes{{{b}}} 0.0"),
            format!("kaito_workspace_usd_per_hour{{{a}}} 3.68"),
            format!(r#"kaito_workspace_cold_start_seconds{{{a},step="claimed"}} 1.0"#),
            format!(r#"kaito_workspace_cold_start_seconds{{{a},step="ready"}} 300.0"#),
        ];
        assert_eq!(
            text(of_workspaces(&workspaces())),
            expected.map(|line| line + "\n").concat()
        );
    }

    #[test]
    fn claims_are_counted_by_what_they_ask_for_and_how_far_they_are() {
        let claim = |name: &str, workspace: Option<&str>, launched: &str| {
            let labels = workspace.map(|workspace| json!({"kaito.sh/workspace": workspace}));
            let machine: Machine = serde_json::from_value(json!({
                "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine",
                "metadata": {"name": name, "labels": labels},
                "spec": {"requirements": [
                    {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["t"]},
                ]},
                "status": {"conditions": [
                    {"type": "MachineLaunched", "status": launched, "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ]},
            }))
            .unwrap();
            Claim::from(machine)
        };
        let claims = [
            claim("a", Some("w"), "True"),
            claim("b", Some("w"), "True"),
            claim("c", Some("w"), "False"),
            claim("d", None, "True"),
        ];
        let labels = r#"kind="Machine",instance_type="t",capacity_type="""#;
        assert_eq!(
            text(vec![of_claims(claims.into_iter())]),
            format!(
                "kaito_claims{{{labels},phase=\"Launched\"}} 2.0\nkaito_claims{{{labels},phase=\"Pending\"}} 1.0\n"
            )
        );
    }
}
