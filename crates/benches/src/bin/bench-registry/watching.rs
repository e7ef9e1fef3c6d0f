//! Many subscribers of `WatchPresets` while the catalog is reloaded: does memory stay flat?
//!
//! One in ten subscribers never reads, as a hung client would.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::future::try_join_all;
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use preset_registry_api::v1::{GetCatalogStatusRequest, WatchPresetsRequest, WatchPresetsResponse};
use tokio::sync::watch;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::Server;

/// Streams of one connection, below what the server allows.
const STREAMS: usize = 50;
/// One of this many subscribers never reads.
const HUNG: usize = 10;
/// Time limit until a reload has reached all subscribers.
const LIMIT: Duration = Duration::from_secs(30);

/// Measures memory and the time in which a reload reaches every subscriber.
pub(crate) async fn measure(subscribers: usize, reloads: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    write(directory.path(), 0)?;
    let server = Server::registry(Some(directory.path())).await?;
    let mut status = server.connect().await?;
    println!(
        "\nWatchPresets, {subscribers} subscribers of which one in {HUNG} never reads, {reloads} reloads"
    );
    report(&server, "no subscribers")?;
    let (reading, hung) = subscribe(&server, subscribers).await?;
    let first = version(&mut status).await?;
    reach(&reading, &first).await?;
    report(&server, "all have the snapshot")?;
    let mut took = Vec::new();
    for reload in 1..=reloads {
        let before = version(&mut status).await?;
        let started = Instant::now();
        write(directory.path(), reload)?;
        let now = changed(&mut status, &before).await?;
        reach(&reading, &now).await?;
        took.push(started.elapsed());
        if reload == reloads.div_ceil(10) || reload == reloads {
            report(&server, &format!("after {reload} reloads"))?;
        }
    }
    took.sort_unstable();
    let at = |percent: usize| {
        took.get(took.len() * percent / 100)
            .map_or(0.0, Duration::as_secs_f64)
            * 1e3
    };
    println!(
        "file written to last subscriber  p50 {:7.1} ms  p99 {:7.1} ms",
        at(50),
        at(99)
    );
    drop((reading, hung));
    tokio::time::sleep(Duration::from_secs(2)).await;
    report(&server, "all have left")
}

type Seen = watch::Receiver<String>;

async fn subscribe(
    server: &Server,
    count: usize,
) -> Result<(Vec<Seen>, Vec<Streaming<WatchPresetsResponse>>)> {
    let connections = try_join_all((0..count.div_ceil(STREAMS)).map(|_| server.connect())).await?;
    let (mut reading, mut hung) = (Vec::new(), Vec::new());
    for index in 0..count {
        let mut client = connections[index / STREAMS].clone();
        let stream = client
            .watch_presets(WatchPresetsRequest::default())
            .await?
            .into_inner();
        if index % HUNG == 0 {
            hung.push(stream);
        } else {
            let (tell, seen) = watch::channel(String::new());
            tokio::spawn(read(stream, tell));
            reading.push(seen);
        }
    }
    Ok((reading, hung))
}

async fn read(mut stream: Streaming<WatchPresetsResponse>, tell: watch::Sender<String>) {
    while let Ok(Some(message)) = stream.message().await {
        if tell.send(message.catalog_version).is_err() {
            return;
        }
    }
}

/// Waits until all subscribers have received this version.
async fn reach(subscribers: &[Seen], version: &str) -> Result<()> {
    let all = subscribers.iter().map(|seen| {
        let mut seen = seen.clone();
        async move { seen.wait_for(|seen| seen == version).await.map(drop) }
    });
    tokio::time::timeout(LIMIT, try_join_all(all))
        .await
        .context("a reload does not reach everybody")?
        .context("a stream has ended")?;
    Ok(())
}

async fn version(client: &mut PresetRegistryClient<Channel>) -> Result<String> {
    let status = client.get_catalog_status(GetCatalogStatusRequest {}).await?;
    Ok(status.into_inner().catalog_version)
}

/// The version after this one.
async fn changed(client: &mut PresetRegistryClient<Channel>, before: &str) -> Result<String> {
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        let now = version(client).await?;
        if now != before {
            return Ok(now);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bail!("a changed file is not read")
}

/// Twenty presets that differ from those of every other number.
fn write(directory: &Path, number: usize) -> Result<()> {
    let entries: String = (0..20)
        .map(|index| {
            format!(
                "- {{hub_id: acme/model-{index}, license: mit, architecture: LlamaForCausalLM, weights: {}.5Gi, \
                 max_context_tokens: 4096, kv_bytes_per_token: 1024}}\n",
                number + 1
            )
        })
        .collect();
    let unfinished = directory.join(".presets.yaml");
    std::fs::write(&unfinished, entries)?;
    std::fs::rename(unfinished, directory.join("presets.yaml"))?;
    Ok(())
}

fn report(server: &Server, when: &str) -> Result<()> {
    println!("memory           {:9.1} MB  {when}", server.rss_mb()?);
    Ok(())
}
