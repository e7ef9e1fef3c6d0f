//! Pod specs: names, ports, mounts, probes and resources that fit together.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kaito_api::quantity::ceil_units;

use crate::containers::containers;
use crate::findings::{Findings, repeated};
use crate::{names, security};

/// Checks one pod spec.
pub(super) fn check(spec: &PodSpec, found: &mut Findings) {
    found.unless(!spec.containers.is_empty(), || "no containers".to_owned());
    let volumes: Vec<&str> = spec
        .volumes
        .iter()
        .flatten()
        .map(|volume| volume.name.as_str())
        .collect();
    for name in &volumes {
        found.unless(names::is_label(name), || format!("volume name {name:?}"));
    }
    for name in repeated(volumes.iter()) {
        found.unless(false, || format!("volume {name} twice"));
    }
    for name in repeated(containers(spec).map(|container| container.name.as_str())) {
        found.unless(false, || format!("container {name} twice"));
    }
    let declared = serving(spec).flat_map(|container| container.ports.iter().flatten());
    let ports: Vec<i32> = declared.map(|port| port.container_port).collect();
    for container in containers(spec) {
        found.at(format!("container {}", container.name), |found| {
            check_container(container, &volumes, &ports, found)
        });
    }
    check_ports_together(spec, found);
    security::check(spec, found);
}

fn check_container(container: &Container, volumes: &[&str], ports: &[i32], found: &mut Findings) {
    found.unless(names::is_label(&container.name), || {
        "the name must be a DNS label".to_owned()
    });
    found.unless(
        container
            .image
            .as_deref()
            .is_some_and(|image| !image.trim().is_empty()),
        || "no image".to_owned(),
    );
    check_mounts(container, volumes, found);
    check_env(container, found);
    check_ports(container, found);
    check_resources(container, found);
    for (kind, probe) in [
        ("startupProbe", &container.startup_probe),
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
    ] {
        if let Some(probe) = probe {
            found.at(kind, |found| check_probe(probe, container, ports, found));
        }
    }
}

fn check_mounts(container: &Container, volumes: &[&str], found: &mut Findings) {
    let mounts = || container.volume_mounts.iter().flatten();
    for mount in mounts() {
        found.unless(volumes.contains(&mount.name.as_str()), || {
            format!("mounts unknown volume {:?}", mount.name)
        });
        found.unless(!mount.mount_path.is_empty(), || {
            format!("mounts {} nowhere", mount.name)
        });
    }
    for path in repeated(mounts().map(|mount| mount.mount_path.as_str())) {
        found.unless(false, || format!("mounts {path} twice"));
    }
}

fn check_env(container: &Container, found: &mut Findings) {
    let names = || {
        container
            .env
            .iter()
            .flatten()
            .map(|variable| variable.name.as_str())
    };
    for name in names() {
        found.unless(crate::names::is_variable(name), || {
            format!("environment variable {name:?}")
        });
    }
    for name in repeated(names()) {
        found.unless(false, || format!("environment variable {name} twice"));
    }
}

fn check_ports(container: &Container, found: &mut Findings) {
    for port in container.ports.iter().flatten() {
        found.unless((1..=65535).contains(&port.container_port), || {
            format!("port {}", port.container_port)
        });
        let name = port.name.as_deref();
        found.unless(name.is_none_or(names::is_port_name), || {
            format!("port name {name:?}")
        });
    }
}

/// Containers that run together: all except init containers that end.
fn serving(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    let init = spec.init_containers.iter().flatten();
    let sidecars = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(sidecars)
}

fn check_ports_together(spec: &PodSpec, found: &mut Findings) {
    let ports = || serving(spec).flat_map(|container| container.ports.iter().flatten());
    for name in repeated(ports().filter_map(|port| port.name.as_deref())) {
        found.unless(false, || format!("port name {name} twice"));
    }
    for (port, _) in
        repeated(ports().map(|port| (port.container_port, port.protocol.as_deref().unwrap_or("TCP"))))
    {
        found.unless(false, || format!("port {port} twice"));
    }
}

/// `ports` are those of all containers that serve: a sidecar may answer the probes of another container.
fn check_probe(probe: &Probe, container: &Container, ports: &[i32], found: &mut Findings) {
    let ways = [
        probe.exec.is_some(),
        probe.grpc.is_some(),
        probe.http_get.is_some(),
        probe.tcp_socket.is_some(),
    ];
    found.unless(ways.iter().filter(|way| **way).count() == 1, || {
        "needs exactly one way to probe".to_owned()
    });
    let by_http = probe.http_get.as_ref().map(|action| action.port.clone());
    let by_tcp = probe.tcp_socket.as_ref().map(|action| action.port.clone());
    let by_grpc = probe.grpc.as_ref().map(|action| IntOrString::Int(action.port));
    for port in by_http.into_iter().chain(by_tcp).chain(by_grpc) {
        let exists = match &port {
            IntOrString::Int(number) => ports.contains(number),
            IntOrString::String(name) => {
                let mut own = container.ports.iter().flatten();
                own.any(|declared| declared.name.as_ref() == Some(name))
            }
        };
        found.unless(exists, || format!("probes undeclared port {port:?}"));
    }
}

fn check_resources(container: &Container, found: &mut Findings) {
    let Some(resources) = &container.resources else {
        return;
    };
    let empty = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&empty);
    let requests = resources.requests.as_ref().unwrap_or(&empty);
    for (name, quantity) in limits.iter().chain(requests) {
        check_quantity(name, quantity, found);
    }
    for (name, request) in requests {
        let Some(limit) = limits.get(name) else { continue };
        let fits = ceil_units(&request.0) <= ceil_units(&limit.0);
        found.unless(fits, || {
            format!("requests {} {name} over the limit of {}", request.0, limit.0)
        });
    }
    // The scheduler counts devices by their limit; the API server refuses a request alone.
    for name in requests
        .keys()
        .chain(limits.keys())
        .filter(|name| name.contains('/'))
    {
        let (request, limit) = (requests.get(name), limits.get(name));
        let same = limit.is_some() && (request.is_none() || request == limit);
        found.unless(same, || format!("request and limit of {name} differ"));
    }
}

/// Checks a resource and its quantity.
pub(super) fn check_quantity(name: &str, quantity: &Quantity, found: &mut Findings) {
    found.unless(names::is_qualified(name), || format!("resource name {name:?}"));
    found.unless(ceil_units(&quantity.0).is_some(), || {
        format!("quantity {:?} of {name}", quantity.0)
    });
}
