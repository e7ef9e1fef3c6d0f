//! `GetPreset`, as often as a number of lookups in flight allows.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use preset_registry_api::v1::GetPresetRequest;
use preset_registry_api::v1::preset_registry_client::PresetRegistryClient;
use tonic::transport::Channel;

use crate::Server;
use crate::bare::NAME;

/// The requests of one round.
pub(crate) struct Load {
    pub(crate) time: Duration,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
}

/// The figures of a round.
struct Round {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// Rounds with both servers in turn, and the ratio of their best.
pub(crate) async fn compare(load: &Load, rounds: usize) -> Result<()> {
    let (bare, registry) = (Server::bare().await?, Server::registry(None).await?);
    println!(
        "GetPreset, {} in flight over {} connections, rounds of {} s",
        load.in_flight,
        load.connections,
        load.time.as_secs()
    );
    let mut best = [0.0_f64; 2];
    for _ in 0..rounds {
        for (index, (name, server)) in [("bare tonic", &bare), ("preset-registry", &registry)]
            .into_iter()
            .enumerate()
        {
            let round = run(server, load).await?;
            println!(
                "{name:<16} {:9.0} lookups/s  p50 {:7.3} ms  p99 {:7.3} ms",
                round.per_second,
                round.p50.as_secs_f64() * 1e3,
                round.p99.as_secs_f64() * 1e3
            );
            best[index] = best[index].max(round.per_second);
        }
    }
    let [bare_best, registry_best] = best;
    println!(
        "registry : bare  {:9.2} x the bare server's best round",
        registry_best / bare_best
    );
    println!(
        "memory           {:9.1} MB preset-registry  {:7.1} MB bare",
        registry.rss_mb()?,
        bare.rss_mb()?
    );
    Ok(())
}

async fn run(server: &Server, load: &Load) -> Result<Round> {
    let clients = try_join_all((0..load.connections).map(|_| server.connect())).await?;
    let started = Instant::now();
    let until = started + load.time;
    let workers = (0..load.in_flight).map(|index| {
        let client = clients[index % clients.len()].clone();
        async move { tokio::spawn(lookups(client, until)).await? }
    });
    let mut took: Vec<Duration> = try_join_all(workers).await?.concat();
    let elapsed = started.elapsed();
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    Ok(Round {
        per_second: took.len() as f64 / elapsed.as_secs_f64(),
        p50: at(50),
        p99: at(99),
    })
}

async fn lookups(mut client: PresetRegistryClient<Channel>, until: Instant) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        client
            .get_preset(GetPresetRequest {
                name: NAME.to_owned(),
            })
            .await?;
        took.push(asked.elapsed());
    }
    Ok(took)
}
