//! The command lines of the controllers, the scheduler and the node simulator.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{ClusterOptions, Tier, home::Home, services};
use crate::assets::{Assets, Tool};
use crate::process::ProcessSpec;

const STAGES: &str = include_str!("stages.yaml");

pub(super) fn parts(assets: &Assets, home: &Home, options: &ClusterOptions) -> Result<Vec<ProcessSpec>> {
    let mut parts = vec![
        controller_manager(assets, home, options.node_silence)?,
        scheduler(assets, home)?,
    ];
    if options.tier == Tier::RealNodes {
        parts.extend(services::parts(assets, home)?);
    } else {
        fs::write(home.stages(), stages(options))
            .context("failed to write the stages of the node simulator")?;
        parts.push(kwok(assets, home, options.node_silence)?);
    }
    Ok(parts)
}

fn controller_manager(assets: &Assets, home: &Home, node_silence: Duration) -> Result<ProcessSpec> {
    let pki = home.pki();
    Ok(with_kubeconfig(Tool::KubeControllerManager, assets, home)?
        .args([
            format!(
                "--service-account-private-key-file={}",
                pki.join("sa.key").display()
            ),
            format!("--root-ca-file={}", pki.join("ca.crt").display()),
            format!("--node-monitor-grace-period={}s", node_silence.as_secs()),
        ])
        .args([
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
            "--allocate-node-cidrs=false",
            "--node-monitor-period=1s",
            // Without these a lost node of a small cluster is tainted and its pods stay.
            "--node-eviction-rate=10",
            "--secondary-node-eviction-rate=10",
            // What is measured here is our controllers: these must not be the slow part.
            "--kube-api-qps=100",
            "--kube-api-burst=200",
        ]))
}

fn scheduler(assets: &Assets, home: &Home) -> Result<ProcessSpec> {
    Ok(with_kubeconfig(Tool::KubeScheduler, assets, home)?.args(["--leader-elect=false", "--secure-port=0"]))
}

fn kwok(assets: &Assets, home: &Home, node_silence: Duration) -> Result<ProcessSpec> {
    Ok(with_kubeconfig(Tool::Kwok, assets, home)?
        // It would read the user's own configuration otherwise.
        .env("HOME", home.dir())
        .args([
            format!("--config={}", home.stages().display()),
            // It renews a lease when a quarter of it is over.
            format!("--node-lease-duration-seconds={}", node_silence.as_secs() * 5 / 2),
        ])
        .args([
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            // Room for tens of thousands of pods; nothing ever listens on these addresses.
            "--cidr=10.244.0.0/16",
            "--node-ip=10.224.0.4",
        ]))
}

fn with_kubeconfig(tool: Tool, assets: &Assets, home: &Home) -> Result<ProcessSpec> {
    let kubeconfig = home.kubeconfig_of(tool.name());
    Ok(ProcessSpec::new(tool.name(), assets.path(tool)?)
        .args([format!("--kubeconfig={}", kubeconfig.display())]))
}

/// The stages with the delays filled in.
fn stages(options: &ClusterOptions) -> String {
    let text = |duration: Duration| duration.as_millis().to_string();
    STAGES
        .replace("POD_START_MILLISECONDS", &text(options.pod_start))
        .replace("JOB_DURATION_MILLISECONDS", &text(options.job_duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delay_is_filled_in() {
        let text = stages(&ClusterOptions::new(Tier::WithNodes));
        assert!(text.contains("durationMilliseconds: 2000"));
        assert!(!text.contains("MILLISECONDS"));
    }
}
