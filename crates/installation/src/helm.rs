//! `helm` with the chart and the values of an installation.

use anyhow::Result;
use testkit::{Helm, NAMESPACE};

use crate::{Installation, chart};

impl Installation {
    /// Runs `helm` with the chart and the values of this installation, and waits until all pods are ready.
    ///
    /// # Errors
    /// When `helm` fails; the error describes the operator's pods.
    pub async fn helm(&self, command: &[&str], more: &[&str]) -> Result<()> {
        let (chart, values) = (chart::address(), self.env.cluster().dir().join("values.yaml"));
        let rest = [
            &chart,
            "--plain-http",
            "--namespace",
            NAMESPACE,
            "--values",
            chart::text(&values)?,
            "--wait",
            "--timeout",
            "4m",
        ];
        self.helm_run(&[command, &rest, more].concat()).await
    }

    /// Runs `helm`.
    ///
    /// # Errors
    /// When `helm` fails; the error describes the operator's pods.
    pub async fn helm_run(&self, args: &[&str]) -> Result<()> {
        if let Err(error) = Helm::of(&self.env).await?.run(args).await {
            return Err(error.context(self.describe(NAMESPACE).await));
        }
        Ok(())
    }
}
