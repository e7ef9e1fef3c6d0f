//! Startup, liveness and readiness probes of a model server.

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::paths;

/// Seconds between two probes.
const PERIOD: u32 = 10;
/// Timeout of a request, in seconds: every processor of the node may be busy.
const HEALTH_TIMEOUT: i32 = 5;
/// Timeout of a script, in seconds: it starts a Python interpreter.
const SCRIPT_TIMEOUT: i32 = 5;

/// Adds the probes of a server, which `/health` at the API's port answers: itself, or the front before it.
pub(crate) fn http(container: Container, readiness_timeout: u32, scheme: Option<&str>) -> Container {
    let health = || health(scheme);
    Container {
        startup_probe: Some(Probe {
            failure_threshold: Some(failures(readiness_timeout)),
            ..health()
        }),
        liveness_probe: Some(Probe {
            failure_threshold: Some(3),
            ..health()
        }),
        readiness_probe: Some(health()),
        ..container
    }
}

/// Adds the probes of one pod of a group. Only the leader serves requests, and a pod that lost the others must restart
/// at once.
pub(crate) fn group(container: Container, leader: &str, port: i32, readiness_timeout: u32) -> Container {
    let ready = || script("readiness", leader, &format!("--vllm-port={port}"));
    Container {
        startup_probe: Some(Probe {
            failure_threshold: Some(failures(readiness_timeout)),
            ..ready()
        }),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(60),
            failure_threshold: Some(1),
            termination_grace_period_seconds: Some(1),
            ..script("liveness", leader, &format!("--ray-port={}", paths::RAY_PORT))
        }),
        readiness_probe: Some(Probe {
            failure_threshold: Some(1),
            ..ready()
        }),
        ..container
    }
}

fn failures(readiness_timeout: u32) -> i32 {
    i32::try_from(readiness_timeout.div_ceil(PERIOD).max(1)).unwrap_or(i32::MAX)
}

fn health(scheme: Option<&str>) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/health".to_owned()),
            port: IntOrString::Int(paths::HTTP_PORT),
            scheme: scheme.map(str::to_owned),
            ..HTTPGetAction::default()
        }),
        period_seconds: i32::try_from(PERIOD).ok(),
        timeout_seconds: Some(HEALTH_TIMEOUT),
        ..Probe::default()
    }
}

fn script(check: &str, leader: &str, port: &str) -> Probe {
    let leader = format!("--leader-address={leader}");
    let command = [
        "python3",
        "/workspace/vllm/multi-node-health-check.py",
        check,
        &leader,
        port,
    ];
    Probe {
        exec: Some(ExecAction {
            command: Some(command.map(str::to_owned).to_vec()),
        }),
        period_seconds: i32::try_from(PERIOD).ok(),
        timeout_seconds: Some(SCRIPT_TIMEOUT),
        ..Probe::default()
    }
}
