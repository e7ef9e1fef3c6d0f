//! Rules of each kind, besides metadata.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaimVolumeSource, PodTemplateSpec, Service, Volume,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kaito_api::{Claim, labels};

use crate::findings::{Findings, repeated};
use crate::{metadata, names, pods};
use plan::manifest::Manifest;

/// Checks one object.
pub(super) fn check(manifest: &Manifest, found: &mut Findings) {
    match manifest {
        Manifest::Machine(machine) => check_claim(&machine.clone().into(), found),
        Manifest::NodeClaim(claim) => check_claim(&claim.clone().into(), found),
        Manifest::ConfigMap(map) => check_config_map(map, found),
        Manifest::NetworkPolicy(policy) => check_network_policy(policy, found),
        Manifest::ControllerRevision(revision) => {
            found.unless(!revision.data.0.is_null(), || "there is no data".to_owned())
        }
        Manifest::Service(service) => check_service(service, found),
        Manifest::Deployment(object) => {
            check_workload(
                Some(&object.spec.selector),
                &object.spec.template,
                &["Always"],
                found,
            );
        }
        Manifest::StatefulSet(object) => {
            check_workload(
                Some(&object.spec.selector),
                &with_claims(object, found),
                &["Always"],
                found,
            );
            let service = object.spec.service_name.as_deref();
            found.unless(service.is_none_or(names::is_service_name), || {
                "serviceName".to_owned()
            });
        }
        Manifest::Job(object) => match &object.spec {
            Some(spec) => check_workload(None, &spec.template, &["Never", "OnFailure"], found),
            None => found.unless(false, || "no spec".to_owned()),
        },
    }
}

/// The pods as the controller makes them: with a volume for each template of a claim.
fn with_claims(object: &StatefulSet, found: &mut Findings) -> PodTemplateSpec {
    let mut template = object.spec.template.clone();
    let spec = template.spec.get_or_insert_default();
    for claim in object.spec.volume_claim_templates.iter().flatten() {
        let requests = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
        found.unless(requests.is_some_and(|all| all.contains_key("storage")), || {
            "a claim for a volume without a size".to_owned()
        });
        let name = claim.metadata.name.clone().unwrap_or_default();
        spec.volumes.get_or_insert_default().push(Volume {
            name: name.clone(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: format!("{name}-0"),
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    template
}

fn check_workload(
    selector: Option<&LabelSelector>,
    template: &PodTemplateSpec,
    restart: &[&str],
    found: &mut Findings,
) {
    let labels = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.clone())
        .unwrap_or_default();
    if let Some(selector) = selector {
        check_selector(selector, &labels, found);
    }
    if let Some(metadata) = &template.metadata {
        metadata::check(metadata, found);
    }
    let Some(spec) = &template.spec else {
        found.unless(false, || "the template has no spec".to_owned());
        return;
    };
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    found.unless(restart.contains(&policy), || {
        format!("restartPolicy {policy} is not allowed here")
    });
    pods::check(spec, found);
}

fn check_selector(selector: &LabelSelector, labels: &BTreeMap<String, String>, found: &mut Findings) {
    let wanted = selector.match_labels.clone().unwrap_or_default();
    let empty = wanted.is_empty() && selector.match_expressions.iter().flatten().next().is_none();
    found.unless(!empty, || "the selector is empty".to_owned());
    for (key, value) in wanted {
        found.unless(labels.get(&key) == Some(&value), || {
            format!("the selector requires {key}={value}, which the template lacks")
        });
    }
}

fn check_service(service: &Service, found: &mut Findings) {
    let Some(spec) = &service.spec else {
        found.unless(false, || "no spec".to_owned());
        return;
    };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let headless = spec.cluster_ip.as_deref() == Some("None");
    found.unless(headless || !ports.is_empty(), || "no ports".to_owned());
    for port in ports {
        found.unless((1..=65535).contains(&port.port), || format!("port {}", port.port));
        let name = port.name.as_deref();
        found.unless(name.is_some() || ports.len() == 1, || {
            format!("port {} has no name", port.port)
        });
        found.unless(name.is_none_or(names::is_label), || format!("port name {name:?}"));
    }
    for name in repeated(ports.iter().map(|port| port.name.clone())) {
        found.unless(ports.len() == 1, || format!("port name {name:?} twice"));
    }
    let key = |port: &k8s_openapi::api::core::v1::ServicePort| (port.port, port.protocol.clone());
    for (port, _) in repeated(ports.iter().map(key)) {
        found.unless(false, || format!("port {port} twice"));
    }
}

// An empty selector would close the ports of every pod of the namespace.
fn check_network_policy(policy: &NetworkPolicy, found: &mut Findings) {
    let selector = policy.spec.as_ref().and_then(|spec| spec.pod_selector.as_ref());
    let labels = selector.and_then(|selector| selector.match_labels.as_ref());
    found.unless(labels.is_some_and(|labels| !labels.is_empty()), || {
        "the selector is empty".to_owned()
    });
}

fn check_config_map(map: &ConfigMap, found: &mut Findings) {
    let text = map.data.iter().flatten().map(|(key, value)| (key, value.len()));
    let bytes = map
        .binary_data
        .iter()
        .flatten()
        .map(|(key, value)| (key, value.0.len()));
    let entries: Vec<(&String, usize)> = text.chain(bytes).collect();
    for (key, _) in &entries {
        found.unless(names::is_config_key(key), || format!("key {key:?}"));
    }
    for key in repeated(entries.iter().map(|(key, _)| *key)) {
        found.unless(false, || format!("key {key} in data and binaryData"));
    }
    let size: usize = entries.iter().map(|(_, size)| size).sum();
    found.unless(size <= 1 << 20, || "more than 1 MiB".to_owned());
}

fn check_claim(claim: &Claim, found: &mut Findings) {
    for requirement in claim.requirements() {
        let key = requirement.key;
        found.unless(names::is_qualified(key), || format!("requirement key {key:?}"));
        let values = requirement.values.len();
        let good = match requirement.operator {
            "In" | "NotIn" => values > 0,
            "Exists" | "DoesNotExist" => values == 0,
            "Gt" | "Lt" | "Gte" | "Lte" => values == 1,
            _ => false,
        };
        found.unless(good, || {
            format!("requirement {key} {} with {values} values", requirement.operator)
        });
    }
    for taint in claim.taints().iter().chain(claim.startup_taints()) {
        found.unless(names::is_qualified(&taint.key), || {
            format!("taint key {:?}", taint.key)
        });
        let value = taint.value.as_deref().unwrap_or_default();
        found.unless(names::is_label_value(value), || format!("taint value {value:?}"));
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        found.unless(effects.contains(&taint.effect.as_str()), || {
            format!("taint effect {:?}", taint.effect)
        });
    }
    for (name, quantity) in claim.requests().into_iter().flatten() {
        pods::check_quantity(name, quantity, found);
    }
    if let Some(class) = claim.node_class() {
        for (field, text) in [
            ("group", &class.group),
            ("kind", &class.kind),
            ("name", &class.name),
        ] {
            found.unless(!text.is_empty(), || format!("nodeClassRef.{field} is empty"));
        }
        check_domains(claim, found);
    }
}

// Of these domains Karpenter's definition allows only the keys that provisioners know.
fn check_domains(claim: &Claim, found: &mut Findings) {
    const KNOWN: [&str; 6] = [
        labels::INSTANCE_TYPE,
        labels::OS,
        labels::ARCH,
        labels::ZONE,
        labels::CAPACITY_TYPE,
        labels::NODE_POOL,
    ];
    for requirement in claim.requirements() {
        let domain = requirement.key.split_once('/').map_or("", |(domain, _)| domain);
        let restricted = ["kubernetes.io", "k8s.io", "karpenter.sh"]
            .iter()
            .any(|end| domain.ends_with(end));
        found.unless(!restricted || KNOWN.contains(&requirement.key), || {
            format!("requirement key {} is restricted", requirement.key)
        });
    }
}
