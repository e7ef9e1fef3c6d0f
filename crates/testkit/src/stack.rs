//! The whole system on this machine: a real control plane, the Helm chart, a server that implements Azure's ARM protocol,
//! and our programs. The programs are processes under the chart's own ServiceAccounts.

mod helm;
mod options;
mod own_types;
mod programs;

use std::time::Duration;

use anyhow::Result;

pub use helm::{Helm, NAMESPACE};
pub use options::StackOptions;
pub use programs::{AUTHORITY, ArmEndpoint, Programs, REGISTRY_HOST};

use crate::{Running, TestEnv};

const READY: Duration = Duration::from_secs(60);

/// The chart and all programs on one cluster. Dropping it kills the programs; the cluster is the caller's.
#[derive(Debug)]
pub struct Stack {
    /// Command lines of the programs, to start them again.
    pub programs: Programs,
    /// The simulated cloud.
    pub arm: Running,
    /// The preset registry.
    pub registry: Running,
    /// The workspace controller.
    pub controller: Running,
    /// The gpu-provisioner.
    pub provisioner: Running,
}

impl Stack {
    /// Installs the chart and starts everything.
    ///
    /// # Errors
    /// When something is not built or does not come up; the reason names it.
    pub async fn start(env: &TestEnv, options: StackOptions) -> Result<Self> {
        let claims = format!("nodeProvisioner={}", options.node_provisioner);
        Helm::of(env).await?.install_with(&[&claims]).await?;
        let programs = Programs::prepare(env, options).await?;
        let stack = Self {
            arm: programs.start_arm(env)?,
            registry: programs.start_registry(env)?,
            controller: programs.start_controller(env)?,
            provisioner: programs.start_provisioner(env)?,
            programs,
        };
        stack.await_ready(env).await?;
        Ok(stack)
    }

    /// Waits until every program itself listens on its ports. A response from a port may be another program's.
    ///
    /// # Errors
    /// When one of them ends or takes too long.
    pub async fn await_ready(&self, env: &TestEnv) -> Result<()> {
        let ports = self.programs.ports();
        env.eventually("all programs to listen", READY, async || {
            let programs = [&self.arm, &self.registry, &self.controller, &self.provisioner];
            for (program, ports) in programs.into_iter().zip(&ports) {
                program.ensure_listening(ports)?;
            }
            Ok(())
        })
        .await
    }

    /// Fails, with the end of its log, if a program has ended.
    ///
    /// # Errors
    /// When one has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        self.arm.ensure_running()?;
        self.registry.ensure_running()?;
        self.controller.ensure_running()?;
        self.provisioner.ensure_running()
    }
}
