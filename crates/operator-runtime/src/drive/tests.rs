//! The loop: who is worked on when, and what failures and ends cost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use plan::{Finalizer, Kind, NoCloud, Plan};
use serde_json::json;
use telemetry::{Metrics, Outcome};
use tokio::time::sleep;

use super::*;
use crate::cache::Cache;
use crate::error::Class;
use crate::queue::{Trigger, queue};
use crate::testing::{Log, lines, serve, written};

type Script = Box<dyn Fn(usize) -> Result<Plan<NoCloud>, Error> + Send + Sync>;

/// Answers the n-th look as the script says, after a second.
struct Scripted {
    script: Script,
    looks: Arc<Mutex<Vec<(String, Instant)>>>,
    at_once: AtomicUsize,
    most_at_once: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
}

impl Reconciler for Scripted {
    const KIND: Kind = Kind::ConfigMap;
    type Object = ConfigMap;
    type Observed = Plan<NoCloud>;
    type Cloud = NoCloud;

    async fn observe(&self, object: Arc<ConfigMap>) -> Result<Plan<NoCloud>, Error> {
        let look = {
            let mut looks = self.looks.lock().unwrap();
            looks.push((Key::of(&*object).name, Instant::now()));
            looks.len()
        };
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        sleep(Duration::from_secs(1)).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        (self.script)(look)
    }

    fn plan(&self, _now: Timestamp, observed: &Plan<NoCloud>) -> Plan<NoCloud> {
        observed.clone()
    }

    async fn call(&self, _object: &ConfigMap, call: NoCloud) -> Result<Option<Duration>, Error> {
        match call {}
    }

    fn gone(&self, _key: &Key) {
        self.gone.fetch_add(1, Ordering::SeqCst);
    }
}

struct Rig {
    cache: Cache<ConfigMap>,
    trigger: Trigger,
    token: CancellationToken,
    runtime: Runtime,
    log: Log,
    looks: Arc<Mutex<Vec<(String, Instant)>>>,
    most_at_once: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
    driving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

fn object(name: &str, version: u64) -> ConfigMap {
    let meta =
        json!({ "name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string() });
    serde_json::from_value(json!({ "metadata": meta })).unwrap()
}

fn rig(names: &[&str], concurrency: usize, script: Script) -> Rig {
    let (client, log) = serve(|_| Some(written(9)));
    let runtime = Runtime::new(client, "tester", &Metrics::new());
    let cache = Cache::of(names.iter().map(|name| object(name, 1)));
    let (trigger, work) = queue(Duration::from_millis(50));
    let (looks, most_at_once, gone) = (Arc::default(), Arc::default(), Arc::default());
    let reconciler = Scripted {
        script,
        looks: Arc::clone(&looks),
        at_once: AtomicUsize::new(0),
        most_at_once: Arc::clone(&most_at_once),
        gone: Arc::clone(&gone),
    };
    let drive = Drive {
        reconciler,
        store: cache.store(),
        caches: Caches::new().with(&cache.store()),
        work,
        settings: DriveSettings { concurrency },
    };
    let token = CancellationToken::new();
    let (ground, end) = (runtime.clone(), token.clone());
    let driving = tokio::spawn(async move { drive.run(&ground, end).await });
    Rig {
        cache,
        trigger,
        token,
        runtime,
        log,
        looks,
        most_at_once,
        gone,
        driving,
    }
}

impl Rig {
    fn enqueue(&self, name: &str) {
        self.trigger.enqueue(Key::namespaced("ns", name));
    }

    fn looks(&self) -> usize {
        self.looks.lock().unwrap().len()
    }

    fn outcomes(&self, outcome: Outcome) -> u64 {
        self.runtime.metrics.reconciles.count("ConfigMap", outcome)
    }
}

fn quiet() -> Script {
    Box::new(|_| Ok(Plan::default()))
}

#[tokio::test(start_paused = true)]
async fn objects_run_beside_each_other_and_none_beside_itself() {
    let names = ["a", "b", "c", "d", "e"];
    let rig = rig(&names, 3, quiet());
    names.iter().for_each(|name| rig.enqueue(name));
    sleep(Duration::from_millis(500)).await;
    assert_eq!((rig.looks(), rig.most_at_once.load(Ordering::SeqCst)), (3, 3));
    sleep(Duration::from_secs(10)).await;
    assert_eq!((rig.looks(), rig.most_at_once.load(Ordering::SeqCst)), (5, 3));

    rig.most_at_once.store(0, Ordering::SeqCst);
    for _ in 0..20 {
        rig.enqueue("a");
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(rig.most_at_once.load(Ordering::SeqCst), 1);
    assert_eq!(rig.outcomes(Outcome::Quiet), rig.looks() as u64);
    assert!(lines(&rig.log).is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_success_forgets_them() {
    let script: Script = Box::new(|look| match look {
        1..=3 | 5 => Err(Error::other(Class::Transient, "asking", "down")),
        4 => Ok(Plan {
            requeue: Some(Duration::from_secs(100)),
            ..Plan::default()
        }),
        _ => Ok(Plan::default()),
    });
    let rig = rig(&["a"], 1, script);
    rig.enqueue("a");
    sleep(Duration::from_secs(300)).await;
    let times: Vec<Instant> = rig.looks.lock().unwrap().iter().map(|(_, at)| *at).collect();
    let gaps: Vec<f64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64() - 1.0)
        .collect();
    for (gap, wanted) in gaps.iter().zip([0.5, 1.0, 2.0, 100.0, 0.5]) {
        assert!((gap - wanted).abs() <= wanted / 4.0 + 0.01, "{gaps:?}");
    }
    assert_eq!((rig.outcomes(Outcome::Failed), times.len()), (4, 6));
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_pass() {
    let script: Script = Box::new(|look| {
        if look == 1 {
            panic!("a bug")
        } else {
            Ok(Plan::default())
        }
    });
    let rig = rig(&["a", "b"], 2, script);
    rig.enqueue("a");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.looks(), 2);
    assert_eq!(rig.runtime.metrics.errors.get(["ConfigMap", "bug"]), 1);
    assert_eq!(rig.outcomes(Outcome::Abandoned), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_without_an_object_is_forgotten() {
    let rig = rig(&[], 1, quiet());
    rig.enqueue("a");
    sleep(Duration::from_secs(60)).await;
    assert_eq!((rig.looks(), rig.gone.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pass_waits_for_the_echo_of_the_last_ones_writes() {
    let script: Script = Box::new(|look| {
        let finalizer = if look == 1 {
            Finalizer::Ensure("f")
        } else {
            Finalizer::Leave
        };
        Ok(Plan {
            finalizer,
            ..Plan::default()
        })
    });
    let mut rig = rig(&["a"], 1, script);
    rig.enqueue("a");
    sleep(Duration::from_secs(2)).await;
    assert_eq!((rig.looks(), lines(&rig.log).len()), (1, 1));
    // The server said version 9, the store still shows 1.
    rig.enqueue("a");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.looks(), 1);
    rig.cache
        .apply(Event::Apply(DeserializeGuard(Ok(object("a", 9)))));
    sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.looks(), 2);
    assert!(rig.runtime.metrics.postponed.get(["ConfigMap"]) >= 5);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_catches_up_does_not_stop_the_work() {
    let script: Script = Box::new(|_| {
        Ok(Plan {
            finalizer: Finalizer::Ensure("f"),
            ..Plan::default()
        })
    });
    let rig = rig(&["a"], 1, script);
    rig.enqueue("a");
    sleep(Duration::from_secs(2)).await;
    rig.enqueue("a");
    sleep(Duration::from_secs(8)).await;
    assert_eq!(rig.looks(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_what_is_under_way_and_begins_nothing() {
    let rig = rig(&["a", "b"], 1, quiet());
    rig.enqueue("a");
    rig.enqueue("b");
    sleep(Duration::from_millis(500)).await;
    rig.token.cancel();
    rig.driving.await.unwrap().unwrap();
    assert_eq!(
        (
            rig.looks.lock().unwrap().len(),
            rig.runtime.metrics.reconciles.count("ConfigMap", Outcome::Quiet)
        ),
        (1, 1)
    );
}
