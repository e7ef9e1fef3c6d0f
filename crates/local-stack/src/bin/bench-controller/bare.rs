//! The same claims, written by nothing but server-side apply: what the API server alone allows.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use kaito_api::Machine;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};

/// Seconds to apply copies of `count` Machines under other names, which no provisioner manages.
pub(crate) async fn claims(client: &Client, count: usize, concurrency: usize) -> Result<f64> {
    let api: Api<Machine> = Api::all(client.clone());
    let written = api.list(&ListParams::default()).await?.items;
    ensure!(written.len() >= count, "only {} Machines to copy", written.len());
    let copies: Vec<Machine> = written.into_iter().take(count).map(copy).collect();
    let started = Instant::now();
    futures::stream::iter(copies)
        .map(|machine| {
            let api = api.clone();
            async move {
                let name = machine.name_any();
                api.patch(&name, &PatchParams::apply("bench"), &Patch::Apply(&machine))
                    .await
                    .map(drop)
            }
        })
        .buffer_unordered(concurrency)
        .try_collect::<()>()
        .await
        .context("a copy was refused")?;
    Ok(started.elapsed().as_secs_f64())
}

fn copy(machine: Machine) -> Machine {
    let mut copy = Machine::new(&format!("bare-{}", machine.name_any()), machine.spec);
    let labels = machine.metadata.labels.into_iter().flatten();
    copy.metadata.labels = Some(
        labels
            .map(|(key, value)| (key.replace("kaito.sh/", "bench.kaito.sh/"), value))
            .collect(),
    );
    copy.metadata.annotations = machine.metadata.annotations;
    copy
}
