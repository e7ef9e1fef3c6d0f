//! Tests of the doctor, from facts to text.

use k8s_openapi::api::core::v1::{Node, Pod};
use kaito_api::fleet::FleetRecord;
use kaito_api::{Claim, Machine, Workspace};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::facts::ReleaseLine;
use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn parse<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn workspace(name: &str) -> Workspace {
    parse(json!({
        "apiVersion": "kaito.sh/v1beta1", "kind": "Workspace",
        "metadata": {"name": name, "namespace": "a", "uid": format!("uid-{name}")},
    }))
}

/// A claim whose steps are done up to this one, since 10:00.
fn claim(name: &str, workspace: &str, done: usize, reason: &str) -> Claim {
    let steps = ["MachineLaunched", "MachineRegistered", "MachineInitialized"];
    let conditions: Vec<Value> = steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let (status, reason) = if index < done { ("True", "Done") } else { ("False", reason) };
            json!({"type": step, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-01-01T10:00:00Z"})
        })
        .collect();
    let machine: Machine = parse(json!({
        "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine",
        "metadata": {
            "name": name, "creationTimestamp": "2026-01-01T09:00:00Z",
            "labels": {
                "kaito.sh/workspace": workspace, "kaito.sh/workspacenamespace": "a",
                "kaito.sh/workspace-uid": format!("uid-{workspace}"),
            },
        },
        "spec": {"requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
        ]},
        "status": {"nodeName": format!("node-{name}"), "conditions": conditions},
    }));
    machine.into()
}

fn node(name: &str, gpus: &str) -> Node {
    parse(json!({
        "metadata": {
            "name": format!("node-{name}"), "finalizers": ["karpenter.sh/termination"],
            "creationTimestamp": "2026-01-01T11:00:00Z",
            "labels": {
                "kaito.sh/workspace": "w", "agentpool": name, "node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4",
            },
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"nvidia.com/gpu": gpus},
        },
    }))
}

fn pod(node: &str, phase: &str) -> Pod {
    parse(
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}}),
    )
}

fn fleet(instances: &Value) -> Option<FleetRecord> {
    Some(parse(json!({"instances": instances})))
}

fn healthy() -> ClusterFacts {
    ClusterFacts {
        release: Some(ReleaseLine {
            namespace: "kaito-system".to_owned(),
            name: "kaito".to_owned(),
            chart: "kaito-1.0.0".to_owned(),
            version: "1.0.0".to_owned(),
        }),
        workspaces: vec![workspace("w")],
        claims: vec![claim("ws1", "w", 3, "")],
        nodes: vec![node("ws1", "1")],
        pods: vec![pod("node-ws1", "Running")],
        fleet: fleet(&json!([
            {"name": "ws1", "owner": "claimed", "claim": "ws1", "state": "Succeeded"},
            {"name": "system", "owner": "foreign", "state": "Succeeded", "instanceType": "Standard_D8s_v5"},
        ])),
        deployments: vec![parse(json!({
            "metadata": {
                "name": "kaito-gpu-provisioner", "namespace": "kaito-system",
                "labels": {"app.kubernetes.io/version": "1.0.0", "app.kubernetes.io/component": "gpu-provisioner"},
            },
            "spec": {"replicas": 2, "selector": {}, "template": {"spec": {"serviceAccountName": "gpu-provisioner", "containers": []}}},
            "status": {"readyReplicas": 2},
        }))],
        accounts: vec![parse(json!({
            "metadata": {"name": "gpu-provisioner", "annotations": {"azure.workload.identity/client-id": "c"}},
        }))],
        leases: vec![parse(json!({
            "metadata": {"name": "gpu-provisioner", "namespace": "kaito-system"},
            "spec": {
                "holderIdentity": "gpu-provisioner-1", "renewTime": "2026-01-01T11:59:57.000000Z", "leaseDurationSeconds": 15,
            },
        }))],
        definitions: Some(kaito_api::crd::all()),
        capacity: None,
        policies: vec!["kaito".to_owned()],
        bound: vec!["kaito".to_owned()],
        daemon_sets: Some(Vec::new()),
        unlisted: Vec::new(),
        notes: Vec::new(),
    }
}

fn kinds(report: &DoctorReport) -> Vec<(&str, &str)> {
    let found = report.findings.iter();
    found.map(|found| (found.kind, found.subject.as_str())).collect()
}

#[test]
fn a_healthy_cluster_has_no_findings() {
    let report = examine(&healthy(), now());
    assert_eq!(
        text::of(&report, false, Screen::PLAIN),
        "\
Release kaito-system/kaito, version 1.0.0 (kaito-1.0.0)
✓ Deployment: kaito-gpu-provisioner: 2 of 2 replicas are ready
✓ identity: ServiceAccount gpu-provisioner has client id c
✓ leader: gpu-provisioner: gpu-provisioner-1, renewed 3 s ago
✓ definition: workspaces.kaito.sh is that of this plugin
✓ definition: kaitonodeclasses.kaito.sh is that of this plugin
✓ admission: 1 policies are bound
✓ cloud: 2 instances

NODES    COUNT  $/HOUR
in use       1    3.67
foreign      1    0.38

Nothing is wrong.
"
    );
}

#[test]
fn findings_are_sorted_by_cost() {
    let mut facts = healthy();
    facts.claims = vec![
        claim("ws1", "w", 3, ""),
        claim("ws2", "gone", 1, "NodeNotFound"),
        claim("ws3", "w", 0, "SubscriptionQuotaReached"),
        claim("ws4", "w", 3, ""),
        claim("ws5", "w", 2, "NodeNotReady"),
    ];
    facts.nodes = vec![node("ws1", "0"), node("ws9", "1"), node("ws4", "1")];
    facts.fleet = fleet(&json!([
        {"name": "ws8", "owner": "orphaned", "state": "Failed", "instanceType": "Standard_ND96isr_H100_v5", "since": "2026-01-01T11:00:00Z"},
        {"name": "old", "owner": "unclaimedUpstream", "state": "Succeeded", "instanceType": "unheard-of"},
    ]));
    let report = examine(&facts, now());
    assert_eq!(
        kinds(&report),
        [
            ("orphanedInstance", "instance ws8"),
            ("orphanedClaim", "Machine ws2"),
            ("idleNode", "Machine ws4"),
            ("stuckClaim", "Machine ws5"),
            ("noGpuOffered", "Node node-ws1"),
            ("orphanedNode", "Node node-ws9"),
            ("stuckClaim", "Machine ws3"),
            ("unclaimedInstance", "instance old"),
        ]
    );
    assert!(report.findings.iter().all(|found| !found.remedy.is_empty()));
    let text = text::of(&report, false, Screen::PLAIN);
    for part in [
        "Findings: 8, $116.69 an hour\n✗ instance ws8 $98.32/h for 60m\n    It was made for a claim that is gone. Standard_ND96isr_H100_v5, Failed.\n",
        "✗ Machine ws2 $3.67/h for 3h\n    Its Workspace a/gone does not exist.\n    Delete it: `kubectl delete machines ws2`.\n",
        "✗ Machine ws3 for 2h\n    It is not launched. SubscriptionQuotaReached: m\n    Ask for more quota",
        "It has no claim, and the cloud has no instance of its name.",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_start_has_time_and_a_pod_that_ended_uses_no_node() {
    let mut facts = healthy();
    facts.claims.push(claim("ws2", "w", 1, "NodeNotFound"));
    let soon: Timestamp = "2026-01-01T10:10:00Z".parse().unwrap();
    facts.leases.clear();
    facts.claims.retain(|claim| claim.name() == "ws1");
    assert_eq!(kinds(&examine(&facts, soon)), []);
    facts.pods = vec![pod("node-ws1", "Succeeded")];
    assert_eq!(kinds(&examine(&facts, soon)), [("idleNode", "Machine ws1")]);
}

#[test]
fn an_installation_that_does_not_work_is_described() {
    let mut facts = healthy();
    facts.deployments[0].status = None;
    facts.deployments[0]
        .metadata
        .labels
        .as_mut()
        .unwrap()
        .insert("app.kubernetes.io/version".to_owned(), "0.9.0".to_owned());
    facts.accounts[0].metadata.annotations = None;
    facts.leases[0].spec.as_mut().unwrap().lease_duration_seconds = Some(1);
    facts.definitions = Some(Vec::new());
    facts.bound.clear();
    facts.nodes[0] = node("ws1", "0");
    let found = examine(&facts, now());
    let mut kinds: Vec<&str> = kinds(&found).into_iter().map(|(kind, _)| kind).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            "identity",
            "noDefinition",
            "noDefinition",
            "noDevicePlugin",
            "noGpuOffered",
            "noLeader",
            "notReady",
            "unboundPolicy",
            "versions"
        ]
    );
    facts.daemon_sets = Some(vec![parse(
        json!({"metadata": {"name": "nvidia-device-plugin-daemonset"}}),
    )]);
    facts.fleet.as_mut().unwrap().held = "another cluster id".to_owned();
    let found = examine(&facts, now());
    let kinds: Vec<&str> = found.findings.iter().map(|found| found.kind).collect();
    assert!(
        !kinds.contains(&"noDevicePlugin") && kinds.contains(&"heldProvisioner"),
        "{kinds:?}"
    );
    let mut left = examine(&facts, now());
    left.leave_out(&["noGpuOffered".to_owned(), "noDevicePlugin".to_owned()]);
    assert!(left.findings.iter().all(|found| found.kind != "noGpuOffered"));
    assert_eq!(left.findings.len() + 1, found.findings.len());
    assert_eq!(
        left.notes,
        ["1 findings of kind noGpuOffered are left out, as --skip says."]
    );
    let nothing = examine(&ClusterFacts::default(), now());
    assert_eq!(nothing.findings[0].kind, "notInstalled");
}

#[test]
fn an_uninstallation_waits_for_all() {
    let mut facts = healthy();
    facts.fleet = fleet(
        &json!([{"name": "ws8", "owner": "orphaned", "state": "Failed", "instanceType": "Standard_ND96isr_H100_v5"}]),
    );
    let report = before_uninstall(&facts, now());
    assert_eq!(
        kinds(&report),
        [
            ("instance", "instance ws8"),
            ("claim", "Machine ws1"),
            ("node", "Node node-ws1"),
            ("workspace", "Workspace a/w"),
        ]
    );
    let empty = ClusterFacts {
        fleet: fleet(&json!([])),
        leases: healthy().leases,
        ..ClusterFacts::default()
    };
    let report = before_uninstall(&empty, now());
    assert!(report.findings.is_empty());
    assert_eq!(
        text::of(&report, true, Screen::PLAIN),
        "\nNothing would leak or stop: the operator can be uninstalled.\n"
    );
}

#[test]
fn quota_is_shown_and_what_it_stops_is_found() {
    let quota = |left: u64| json!({"limit": 96, "used": 96 - left});
    let record = |left: u64, read_at: &str| {
        Some(parse(json!({
            "region": "eastus2", "readAt": read_at, "families": {"F": quota(left)},
            "instanceTypes": {
                "standard_nc24ads_a100_v4": {"family": "F", "vcpus": 24},
                "standard_nc40ads_h100_v5": {"family": "G", "vcpus": 40, "restriction": "QuotaId"},
            },
        })))
    };
    let shown = |facts: &ClusterFacts| {
        let report = examine(facts, now());
        let check = report.checks.iter().find(|check| check.check == "quota");
        let found: Vec<String> = report
            .findings
            .iter()
            .filter(|found| found.kind == "quota")
            .map(|found| format!("{}: {}", found.subject, found.message))
            .collect();
        (check.map(|check| check.result.clone()), found)
    };
    let mut facts = healthy();
    assert_eq!(shown(&facts), (None, vec![]));
    facts.capacity = record(6, "2026-01-01T11:56:00Z");
    let (check, found) = shown(&facts);
    let words = "2 instance types in eastus2, 1 of them not for this subscription; read 4m ago";
    assert_eq!((check.as_deref(), found), (Some(words), vec![]));
    facts
        .claims
        .push(claim("ws2", "w", 0, "SubscriptionQuotaReached"));
    let (_, found) = shown(&facts);
    assert_eq!(
        found,
        [
            "instance type Standard_NC24ads_A100_v4: 1 claims wait for it: 24 vCPUs of F asked, 6 left in eastus2."
        ]
    );
    facts.capacity = record(24, "2026-01-01T11:56:00Z");
    assert_eq!(shown(&facts).1, Vec::<String>::new(), "there is room again");
    facts.capacity = record(6, "2026-01-01T09:00:00Z");
    let (check, found) = shown(&facts);
    assert!(check.is_some_and(|check| check.starts_with("not known")) && found.is_empty());
}

/// A cluster in which nothing is left, as far as its record says.
fn emptied(record: Value) -> ClusterFacts {
    ClusterFacts {
        workspaces: Vec::new(),
        claims: Vec::new(),
        nodes: Vec::new(),
        pods: Vec::new(),
        fleet: Some(parse(record)),
        ..healthy()
    }
}

#[test]
fn an_uninstallation_waits_for_a_record_that_can_be_trusted() {
    let left = |facts: &ClusterFacts| {
        let report = before_uninstall(facts, now());
        assert!(report.findings.iter().all(|found| !found.remedy.is_empty()));
        let kinds = kinds(&report).into_iter();
        kinds
            .map(|(kind, subject)| format!("{kind} {subject}"))
            .collect::<Vec<_>>()
    };
    let fine = || emptied(json!({"instances": []}));
    assert!(left(&fine()).is_empty());
    // The record is older than the end of the claim.
    let pool = json!({"name": "ws1", "owner": "claimed", "claim": "ws1", "state": "Succeeded"});
    let mut stale = emptied(json!({"instances": [pool]}));
    assert_eq!(left(&stale), ["instance instance ws1"]);
    let mut report = examine(&stale, now());
    report.leave_out(&["noDevicePlugin".to_owned()]);
    assert_eq!(kinds(&report), [("orphanedInstance", "instance ws1")]);
    let uses = examine(&stale, now()).nodes;
    assert_eq!(
        uses.iter().map(|used| used.usage).collect::<Vec<_>>(),
        ["instance without claim"]
    );
    stale.claims = vec![claim("ws1", "w", 3, "")];
    assert_eq!(left(&stale), ["claim Machine ws1"]);
    // No provisioner renews it.
    let mut stopped = fine();
    stopped.leases[0].spec.as_mut().unwrap().lease_duration_seconds = Some(1);
    assert_eq!(left(&stopped), ["oldRecord record of instances"]);
    stopped.leases.clear();
    assert_eq!(left(&stopped), ["oldRecord record of instances"]);
    let silent = emptied(json!({"instances": [], "silent": true}));
    assert_eq!(left(&silent), ["oldRecord record of instances"]);
    let short = emptied(json!({"instances": [], "leftOut": 3}));
    assert_eq!(left(&short), ["shortRecord record of instances"]);
    let held = emptied(json!({"instances": [], "held": "another cluster id"}));
    assert_eq!(left(&held), ["heldProvisioner gpu-provisioner"]);
    // There is none.
    let mut none = fine();
    none.fleet = None;
    assert_eq!(left(&none), ["noRecord record of instances"]);
    none.deployments.clear();
    assert_eq!(left(&none), ["noRecord record of instances"]);
    assert_eq!(left(&ClusterFacts::default()), ["noRecord record of instances"]);
    // A Karpenter makes the nodes.
    let mut foreign = fine();
    (foreign.fleet, foreign.leases) = (None, Vec::new());
    foreign.deployments = vec![controller("nodeclaim")];
    assert!(left(&foreign).is_empty());
    let mut unread = fine();
    unread.unlisted = vec![facts::CLAIMS];
    assert_eq!(left(&unread), ["unread Machines and NodeClaims"]);
}

/// The Deployment of a workspace-controller that makes claims of this kind.
fn controller(mode: &str) -> k8s_openapi::api::apps::v1::Deployment {
    parse(json!({
        "metadata": {"name": "kaito-workspace-controller", "labels": {
            "app.kubernetes.io/version": "1.0.0", "app.kubernetes.io/component": "workspace-controller",
        }},
        "spec": {"replicas": 1, "selector": {}, "template": {"spec": {"containers": [
            {"name": "c", "args": ["--x", format!("--node-provisioner={mode}")]},
        ]}}},
        "status": {"readyReplicas": 1},
    }))
}

#[test]
fn each_definition_that_the_settings_need_is_looked_at() {
    let version = env!("CARGO_PKG_VERSION");
    let of = |mode: &str, drop: &str, old: &str, part_of: &str| {
        let mut facts = healthy();
        facts.release.as_mut().unwrap().version = version.to_owned();
        facts.deployments.push(controller(mode));
        for deployment in &mut facts.deployments {
            let labels = deployment.metadata.labels.get_or_insert_default();
            labels.insert("app.kubernetes.io/version".to_owned(), version.to_owned());
        }
        let mut all = kaito_api::crd::all();
        all.retain(|one| one.metadata.name.as_deref() != Some(drop));
        for one in &mut all {
            let labels = one.metadata.labels.get_or_insert_default();
            labels.insert("app.kubernetes.io/part-of".to_owned(), part_of.to_owned());
            if one.metadata.name.as_deref() == Some(old) {
                one.spec.versions[0].schema = None;
            }
        }
        facts.definitions = Some(all);
        let report = examine(&facts, now());
        let kinds = kinds(&report).into_iter();
        kinds
            .map(|(kind, subject)| format!("{kind} {subject}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (machines, claims) = ("machines.karpenter.sh", "nodeclaims.karpenter.sh");
    let (workspaces, classes) = ("workspaces.kaito.sh", "kaitonodeclasses.kaito.sh");
    for mode in ["machine", "nodeclaim", "byo"] {
        assert_eq!(of(mode, "", "", "kaito"), "");
        for (name, needed_by) in [
            (workspaces, &["machine", "nodeclaim", "byo"][..]),
            (classes, &["machine", "nodeclaim", "byo"]),
            (machines, &["machine"]),
            (claims, &["nodeclaim"]),
        ] {
            let expected = |kind: &str| match needed_by.contains(&mode) {
                true => format!("{kind} {name}"),
                false => String::new(),
            };
            assert_eq!(of(mode, name, "", "kaito"), expected("noDefinition"), "{mode}");
            assert_eq!(
                of(mode, "", name, "kaito"),
                expected("definitionVersion"),
                "{mode}"
            );
        }
    }
    // That of a Karpenter has another schema.
    assert_eq!(of("nodeclaim", "", claims, "karpenter"), "");
}
