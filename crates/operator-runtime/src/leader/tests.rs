//! Two replicas and one lease, on a server that keeps it.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::testing::{Seen, refusal, serve};

/// The lease as the server keeps it, and whether the server answers.
#[derive(Debug, Default)]
struct Kept {
    lease: Option<Value>,
    version: u64,
    silent: bool,
}

impl Kept {
    fn answer(&mut self, seen: &Seen) -> Option<(u16, Value)> {
        if self.silent {
            return None;
        }
        if seen.path.contains("clusterroles") {
            return Some(refusal(404));
        }
        Some(match (seen.method.as_str(), &self.lease) {
            ("GET", None) => refusal(404),
            ("GET", Some(lease)) => (200, lease.clone()),
            ("POST", Some(_)) => refusal(409),
            ("PUT", Some(lease))
                if lease["metadata"]["resourceVersion"] != seen.body["metadata"]["resourceVersion"] =>
            {
                refusal(409)
            }
            _ => (200, self.keep(seen.body.clone())),
        })
    }

    fn keep(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }
}

fn server() -> (Runtime, Arc<Mutex<Kept>>) {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let keeper = Arc::clone(&kept);
    let (client, _log) = serve(move |seen| keeper.lock().unwrap().answer(seen));
    (runtime(client), kept)
}

/// A replica of its own: it shares nothing but the server with others.
fn runtime(client: kube::Client) -> Runtime {
    Runtime::new(client, "l", &telemetry::Metrics::new(), crate::Health::default())
}

fn args() -> LeaderArgs {
    LeaderArgs {
        leader_elect: true,
        leader_election_namespace: None,
        lease_duration_seconds: 15,
    }
}

fn gate() -> Gate {
    serve::Readiness::new().gate("release")
}

async fn lead(replica: &Runtime) -> Leadership {
    acquire(&args(), replica, &gate(), &CancellationToken::new())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_handed_on_at_once() {
    let (client, _kept) = server();
    let first = lead(&client).await;
    let end = CancellationToken::new();
    let until = end.clone();
    let working = tokio::spawn(first.hold(async move {
        until.cancelled().await;
        Ok(())
    }));
    let candidate = runtime(client.client.clone());
    let second = tokio::spawn(async move { lead(&candidate).await });
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!second.is_finished(), "the first renews");
    let began = Instant::now();
    end.cancel();
    working.await.unwrap().unwrap();
    second.await.unwrap();
    assert!(began.elapsed() <= RETRY, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_silent_leader_is_replaced_after_it_has_stopped() {
    let (client, kept) = server();
    let first = lead(&client).await;
    kept.lock().unwrap().silent = true;
    let began = Instant::now();
    let error = first.hold(std::future::pending()).await.unwrap_err();
    let stopped = began.elapsed();
    assert!(error.to_string().contains("renewed in time"));
    assert!(stopped <= Duration::from_secs(11), "{stopped:?}");
    assert!(
        client.fence.permit().is_none(),
        "a leader that has stopped writes nothing"
    );
    kept.lock().unwrap().silent = false;
    let began = Instant::now();
    lead(&runtime(client.client.clone())).await;
    assert!(
        began.elapsed() >= Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn writes_are_allowed_while_the_lease_is_renewed() {
    let (replica, _kept) = server();
    assert!(replica.fence.permit().is_none(), "not elected yet");
    let leadership = lead(&replica).await;
    let fence = replica.fence.clone();
    let work = async move {
        let first = fence.permit().unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let later = fence.permit().unwrap();
        assert!(later.left.unwrap() <= Duration::from_secs(10), "{later:?}");
        assert_ne!(first.token, later.token, "each renewal has another token");
        Ok(())
    };
    leadership.hold(work).await.unwrap();
    assert!(replica.fence.permit().is_none(), "the lease is released");
}

/// Puts an earlier lease in place, as a restore of etcd does.
fn restore(kept: &Mutex<Kept>, version: u64) {
    let mut kept = kept.lock().unwrap();
    kept.version = version;
    let lease = kept.lease.clone().unwrap();
    kept.keep(lease);
}

#[tokio::test(start_paused = true)]
async fn a_restored_etcd_ends_the_leader() {
    let (replica, kept) = server();
    let leadership = lead(&replica).await;
    let restored = Arc::clone(&kept);
    let error = leadership
        .hold(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            restore(&restored, 3);
            std::future::pending().await
        })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("older state"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_restored_etcd_ends_a_candidate() {
    let (replica, kept) = server();
    let leader = tokio::spawn(lead(&replica).await.hold(std::future::pending()));
    let candidate = runtime(replica.client.clone());
    let waiting =
        tokio::spawn(async move { acquire(&args(), &candidate, &gate(), &CancellationToken::new()).await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    restore(&kept, 3);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("older state"), "{error}");
    assert!(leader.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_ends_the_work() {
    let (client, kept) = server();
    let first = lead(&client).await;
    {
        let mut kept = kept.lock().unwrap();
        let mut lease = kept.lease.clone().unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        kept.keep(lease);
    }
    let error = first.hold(std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("another replica"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hiccups_costs_no_leadership() {
    let (client, kept) = server();
    let first = lead(&client).await;
    let flaky = tokio::spawn(async move {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(13)).await;
            // Another writer changes the object, so that the next renewal conflicts.
            let mut kept = kept.lock().unwrap();
            let lease = kept.lease.clone().unwrap();
            kept.keep(lease);
        }
        Ok(())
    });
    first.hold(async move { flaky.await? }).await.unwrap();
}

#[tokio::test]
async fn without_election_everybody_leads() {
    let (client, kept) = server();
    let args = LeaderArgs {
        leader_elect: false,
        ..args()
    };
    let leadership = acquire(&args, &client, &gate(), &CancellationToken::new())
        .await
        .unwrap()
        .unwrap();
    assert!(client.fence.permit().is_some());
    leadership.hold(async { Ok(()) }).await.unwrap();
    assert!(kept.lock().unwrap().lease.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_candidate_can_be_told_to_end() {
    let (client, _kept) = server();
    let _first = lead(&client).await;
    let token = CancellationToken::new();
    token.cancel();
    let second = runtime(client.client.clone());
    assert!(
        acquire(&args(), &second, &gate(), &token)
            .await
            .unwrap()
            .is_none()
    );
    assert!(second.fence.permit().is_none());
}

#[test]
fn election_can_be_switched_off() {
    use clap::Parser;
    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        leader: LeaderArgs,
    }
    for (args, wanted) in [
        (vec!["p"], true),
        (vec!["p", "--leader-elect"], true),
        (vec!["p", "--leader-elect=false"], false),
        (vec!["p", "--leader-elect", "false"], false),
    ] {
        assert_eq!(Program::parse_from(&args).leader.leader_elect, wanted, "{args:?}");
    }
}
