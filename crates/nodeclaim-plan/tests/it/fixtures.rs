//! Objects that tests start with, and ways to vary them.

use std::sync::Arc;

use cloudprovider::{
    CallKind, CallOutcome, CloudCall, ErrorClass, Instance, InstanceLookup, InstanceState, LaunchLimits,
    Ownership, ProviderError, RefusedOfferings,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kaito_api::{Claim, ClaimKind, Machine, NodeClaim};
use kube::Resource as _;
use nodeclaim_plan::{Observed, ObservedNode, Settings};
use plan::{Plan, Write};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) const NAME: &str = "ws0a1b2c3d4";
pub(crate) const UID: &str = "7d1f4a52-0c3e-4b0a-9d57-6b8f1f0c2a11";
pub(crate) const PROVIDER_ID: &str = "azure:///subscriptions/s/resourceGroups/mc_g/providers/Microsoft.Compute/virtualMachineScaleSets/aks-ws0a1b2c3d4-12345678-vmss/virtualMachines/0";
pub(crate) const NODE: &str = "aks-ws0a1b2c3d4-12345678-vmss000000";

pub(crate) fn t(seconds: i64) -> Timestamp {
    "2026-01-05T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(crate) fn parse<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn machine() -> Machine {
    parse(json!({
        "apiVersion": "karpenter.sh/v1alpha5",
        "kind": "Machine",
        "metadata": {
            "name": NAME,
            "uid": UID,
            "generation": 1,
            "resourceVersion": "10",
            "creationTimestamp": t(-60).to_string(),
            "finalizers": ["karpenter.sh/termination"],
            "labels": {
                "karpenter.sh/provisioner-name": "default",
                "kaito.sh/workspace": "w",
                "kaito.sh/workspacenamespace": "default",
                "apps": "phi-4",
            },
        },
        "spec": {
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
                {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            ],
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
            "resources": {"requests": {"storage": "80Gi"}},
        },
    }))
}

/// The same request as a claim of this kind.
pub(crate) fn of_kind(kind: ClaimKind, claim: &Claim) -> Claim {
    let Claim::Machine(machine) = claim else {
        panic!("already a NodeClaim")
    };
    match kind {
        ClaimKind::Machine => claim.clone(),
        ClaimKind::NodeClaim => {
            let spec = &machine.spec;
            let wish = json!({
                "metadata": machine.metadata,
                "spec": {
                    "nodeClassRef": {"group": "kaito.sh", "kind": "KaitoNodeClass", "name": "default"},
                    "requirements": spec.requirements, "taints": spec.taints, "startupTaints": spec.startup_taints,
                    "resources": spec.resources,
                },
            });
            parse::<NodeClaim>(wish).into()
        }
    }
}

/// Returns the claim after a JSON merge patch.
pub(crate) fn patched(claim: &Claim, body: &Value) -> Claim {
    match claim {
        Claim::Machine(machine) => merged(&**machine, body).into(),
        Claim::NodeClaim(claim) => merged(&**claim, body).into(),
    }
}

/// Returns the claim with the whole status that a planner gives it.
pub(crate) fn with_status(claim: &Claim, status: &Value) -> Claim {
    match claim {
        Claim::Machine(machine) => Machine {
            status: Some(parse(status.clone())),
            ..Machine::clone(machine)
        }
        .into(),
        Claim::NodeClaim(claim) => NodeClaim {
            status: Some(parse(status.clone())),
            ..NodeClaim::clone(claim)
        }
        .into(),
    }
}

/// The mark of an instance that was made for a claim.
pub(crate) fn ours(claim_uid: &str) -> Ownership {
    Ownership::Ours {
        claim_uid: claim_uid.to_owned(),
    }
}

/// Settings with limits like those of a real cloud.
pub(crate) fn settings() -> Settings {
    Settings {
        launch_limits: LaunchLimits {
            name_max: 12,
            disk_gib: 30..=2048,
            image_families: &["ubuntu", "azurelinux"],
            zones: &["1", "2", "3"],
            region: "eastus".to_owned(),
        },
        ..Settings::default()
    }
}

pub(crate) fn instance(state: InstanceState) -> Instance {
    Instance {
        name: NAME.into(),
        instance_type: Some("Standard_NC24ads_A100_v4".into()),
        state,
        owner: ours(UID),
        version: Some("e1".into()),
        ..Instance::default()
    }
}

pub(crate) fn upstream_instance(state: InstanceState) -> Instance {
    let labels = [
        ("karpenter.sh/nodepool", "kaito"),
        ("kaito.sh/creation-timestamp", "2026-01-05T09-59-00Z"),
        ("kaito.sh/workspace", "w"),
        ("kaito.sh/workspacenamespace", "default"),
    ];
    let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    Instance {
        owner: Ownership::Upstream,
        labels,
        ..instance(state)
    }
}

pub(crate) fn foreign_instance(state: InstanceState) -> Instance {
    Instance {
        owner: Ownership::Foreign,
        ..instance(state)
    }
}

/// Returns a Node as the cloud starts it.
pub(crate) fn new_node() -> Node {
    parse(json!({
        "metadata": {
            "name": NODE,
            "uid": "node-uid",
            "resourceVersion": "20",
            "labels": {
                "agentpool": NAME,
                "kubernetes.azure.com/agentpool": NAME,
                "kubernetes.io/os": "linux",
                "kaito.sh/workspace": "w",
            },
        },
        "spec": {"providerID": PROVIDER_ID, "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]},
        "status": {
            "capacity": {"cpu": "24", "memory": "226Gi", "nvidia.com/gpu": "1", "hugepages-1Gi": "0"},
            "allocatable": {"cpu": "23", "memory": "210Gi", "nvidia.com/gpu": "1"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }))
}

/// Returns a Node after registration and initialization.
pub(crate) fn node() -> Node {
    let mut node = new_node();
    let labels = node.metadata.labels.as_mut().unwrap();
    labels.extend(machine().metadata.labels.unwrap());
    for key in ["karpenter.sh/registered", "karpenter.sh/initialized"] {
        labels.insert(key.into(), "true".into());
    }
    node.metadata.finalizers = Some(vec!["karpenter.sh/termination".into()]);
    node.metadata.owner_references = Some(parse(json!([{
        "apiVersion": "karpenter.sh/v1alpha5", "kind": "Machine", "name": NAME, "uid": UID, "blockOwnerDeletion": true,
    }])));
    node
}

/// The plan for a Node by the knowledge about its claim and its instance.
pub(crate) fn orphan_plan(node: &Node, claim_exists: bool, instance: &InstanceLookup) -> Plan<CloudCall> {
    nodeclaim_plan::orphan::plan_node(&ObservedNode {
        node: Arc::new(node.clone()),
        claim_exists,
        instance: instance.clone(),
    })
}

pub(crate) fn pod(name: &str) -> Pod {
    parse(json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
        "spec": {"nodeName": NODE, "containers": [], "terminationGracePeriodSeconds": 600},
        "status": {"phase": "Running"},
    }))
}

pub(crate) fn error(class: ErrorClass, code: &str, message: &str) -> ProviderError {
    let request_id = Some("req-1".into());
    ProviderError {
        class,
        code: code.into(),
        message: message.into(),
        retry_after: None,
        request_id,
    }
}

pub(crate) fn outcome(kind: CallKind, at: Timestamp, error: Option<ProviderError>) -> CallOutcome {
    let failures = u32::from(error.is_some());
    CallOutcome {
        at,
        kind,
        error,
        failures,
        repeats: 0,
        operation_url: None,
    }
}

/// One observation, with what is needed to plan for it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) observed: Observed,
    pub(crate) settings: Settings,
    pub(crate) now: Timestamp,
}

impl Case {
    pub(crate) fn new(instance: InstanceLookup) -> Self {
        let observed = Observed {
            claim: machine().into(),
            instance,
            nodes: vec![],
            pods: vec![],
            attachments: vec![],
            last_call: None,
            deferral: None,
            read_at: None,
            state_since: None,
            failure: None,
            has_name_conflict: false,
            launches_held: false,
            full: None,
            class: None,
            near_classes: Vec::new(),
            refused: RefusedOfferings::default(),
            deletion_held_until: None,
            repair: nodeclaim_plan::RepairAnswer::NotAsked,
        };
        Self {
            observed,
            settings: Settings::default(),
            now: t(0),
        }
    }

    pub(crate) fn absent(reads: u32) -> Self {
        Self::new(InstanceLookup::Absent { reads })
    }

    pub(crate) fn found(instance: Instance) -> Self {
        Self::new(InstanceLookup::Found(Arc::new(instance)))
    }

    pub(crate) fn machine(mut self, change: impl FnOnce(&mut Machine)) -> Self {
        let Claim::Machine(machine) = &mut self.observed.claim else {
            panic!("no Machine")
        };
        change(Arc::make_mut(machine));
        self
    }

    /// Returns the same case with a NodeClaim.
    pub(crate) fn of_a_node_claim(mut self) -> Self {
        self.observed.claim = of_kind(ClaimKind::NodeClaim, &self.observed.claim);
        self
    }

    pub(crate) fn metadata(mut self, change: impl FnOnce(&mut ObjectMeta)) -> Self {
        change(self.observed.claim.meta_mut());
        self
    }

    pub(crate) fn annotated(self, key: &str, value: &str) -> Self {
        self.metadata(|metadata| {
            drop(
                metadata
                    .annotations
                    .get_or_insert_default()
                    .insert(key.into(), value.into()),
            )
        })
    }

    pub(crate) fn deleted_at(self, at: Timestamp) -> Self {
        self.metadata(|metadata| metadata.deletion_timestamp = Some(Time(at)))
    }

    pub(crate) fn node(mut self, node: Node) -> Self {
        self.observed.nodes.push(Arc::new(node));
        self
    }

    pub(crate) fn pod(mut self, pod: Pod) -> Self {
        self.observed.pods.push(Arc::new(pod));
        self
    }

    pub(crate) fn last(mut self, call: CallOutcome) -> Self {
        self.observed.last_call = Some(call);
        self
    }

    pub(crate) fn failure(mut self, error: ProviderError) -> Self {
        self.observed.failure = Some(error);
        self
    }

    pub(crate) fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    pub(crate) fn plan(&self) -> Plan<CloudCall> {
        let plan = nodeclaim_plan::plan(self.now, &self.observed, &self.settings);
        assert_eq!(plan_check::check(&plan), []);
        plan
    }

    /// Stores the status and the annotations that a plan gives the claim.
    pub(crate) fn store(self, plan: &Plan<CloudCall>) -> Self {
        let mut case = self;
        for write in &plan.writes {
            let Write::Patch(patch) = write else { continue };
            if patch.target.kind == plan::Kind::from(case.observed.claim.claim_kind()) {
                case.observed.claim = patched(&case.observed.claim, &patch.body);
            }
        }
        if let Some(status) = &plan.status {
            case.observed.claim = with_status(&case.observed.claim, status);
        }
        case
    }

    pub(crate) fn stored(self) -> Self {
        let plan = self.plan();
        self.store(&plan)
    }
}

/// Returns the object after a JSON merge patch.
pub(crate) fn merged<T: serde::Serialize + DeserializeOwned>(object: &T, body: &Value) -> T {
    let mut value = serde_json::to_value(object).unwrap();
    merge(&mut value, body);
    parse(value)
}

fn merge(value: &mut Value, body: &Value) {
    let Value::Object(body) = body else {
        return value.clone_from(body);
    };
    if !value.is_object() {
        *value = json!({});
    }
    let map = value.as_object_mut().unwrap();
    for (key, change) in body {
        if change.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Returns the conditions of a planned status: `Launched/Registered/Initialized/Ready` as `status:reason`.
pub(crate) fn conditions(plan: &Plan<CloudCall>) -> String {
    let text = |c: &Value| format!("{}:{}", word(c, "status"), word(c, "reason"));
    listed(plan).iter().map(text).collect::<Vec<_>>().join(" ")
}

fn word(condition: &Value, key: &str) -> String {
    condition[key].as_str().unwrap_or_default().to_owned()
}

fn listed(plan: &Plan<CloudCall>) -> Vec<Value> {
    let status = plan.status.clone().unwrap_or_default();
    status["conditions"].as_array().cloned().unwrap_or_default()
}

/// Returns the message of one planned condition.
pub(crate) fn message(plan: &Plan<CloudCall>, kind: &str) -> String {
    let all = listed(plan);
    let found = all.iter().find(|condition| condition["type"] == kind);
    found
        .map(|condition| word(condition, "message"))
        .unwrap_or_default()
}

/// Returns the writes and the call of a plan in short.
pub(crate) fn deeds(plan: &Plan<CloudCall>) -> String {
    let write = |write: &Write| match write {
        Write::Apply(manifest) => format!("apply {}", manifest.kind().as_str()),
        Write::Delete(delete) => format!("delete {} {}", delete.target.kind.as_str(), delete.target.name),
        Write::Patch(patch) => format!("patch {} {}", patch.target.kind.as_str(), patch.target.name),
        Write::Evict(evict) => format!("evict {}", evict.name),
    };
    let call = plan.cloud.as_ref().map(|call| match call {
        CloudCall::Delete {
            version: Some(version),
            ..
        } => format!("cloud delete {version}"),
        CloudCall::ReadOperation { url, .. } => format!("cloud operation {url}"),
        call => format!("cloud {}", call.kind().label()),
    });
    plan.writes
        .iter()
        .map(write)
        .chain(call)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns the seconds until the next look that a plan asks for.
pub(crate) fn requeue(plan: &Plan<CloudCall>) -> Option<u64> {
    plan.requeue.map(|after| after.as_secs())
}

/// The next look is after this pause, or up to a quarter later.
#[track_caller]
pub(crate) fn assert_pause(plan: &Plan<CloudCall>, seconds: u64) {
    let after = plan.requeue.unwrap().as_secs_f64();
    let pause = std::time::Duration::from_secs(seconds).as_secs_f64();
    assert!((pause..pause * 1.25).contains(&after), "{after} is not {pause}");
}
