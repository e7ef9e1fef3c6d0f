//! The loop: order, concurrency, and the cost of failures and shutdown.

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
use crate::cache_writer::CacheWriter;
use crate::queue::{Enqueuer, queue};
use crate::testing::{Log, lines, serve, written};

type Script = Box<dyn Fn(usize) -> Result<Plan<NoCloud>, Error> + Send + Sync>;

/// Answers the n-th observation as the script says, after a second.
struct Scripted {
    script: Script,
    observations: Arc<Mutex<Vec<(String, Instant)>>>,
    at_once: AtomicUsize,
    most_at_once: Arc<AtomicUsize>,
    deleted: Arc<AtomicUsize>,
}

impl Reconciler for Scripted {
    const KIND: Kind = Kind::ConfigMap;
    type Object = ConfigMap;
    type Observed = Plan<NoCloud>;
    type Cloud = NoCloud;

    async fn observe(&self, object: Arc<ConfigMap>) -> Result<Plan<NoCloud>, Error> {
        let nth = {
            let mut observations = self.observations.lock().unwrap();
            observations.push((Key::of(&*object).name, Instant::now()));
            observations.len()
        };
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        sleep(Duration::from_secs(1)).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        (self.script)(nth)
    }

    fn plan(&self, _now: Timestamp, observed: &Plan<NoCloud>) -> Plan<NoCloud> {
        observed.clone()
    }

    async fn call(&self, _object: &ConfigMap, call: NoCloud) -> Result<Option<Duration>, Error> {
        match call {}
    }

    fn on_deleted(&self, _key: &Key) {
        self.deleted.fetch_add(1, Ordering::SeqCst);
    }
}

struct Rig {
    cache: CacheWriter<ConfigMap>,
    enqueuer: Enqueuer,
    token: CancellationToken,
    runtime: Runtime,
    log: Log,
    observations: Arc<Mutex<Vec<(String, Instant)>>>,
    most_at_once: Arc<AtomicUsize>,
    deleted: Arc<AtomicUsize>,
    running: tokio::task::JoinHandle<()>,
}

fn object(name: &str, version: u64) -> ConfigMap {
    let meta =
        json!({ "name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string() });
    serde_json::from_value(json!({ "metadata": meta })).unwrap()
}

fn rig(names: &[&str], concurrency: usize, script: Script) -> Rig {
    let (client, log) = serve(|_| Some(written(9)));
    let runtime = Runtime::new(client, "tester", &Metrics::new(), crate::Health::default());
    runtime.fence.open();
    let cache = CacheWriter::of(names.iter().map(|name| object(name, 1)));
    let (enqueuer, queue) = queue(Duration::from_millis(50));
    let (observations, most_at_once, deleted) = (Arc::default(), Arc::default(), Arc::default());
    let reconciler = Scripted {
        script,
        observations: Arc::clone(&observations),
        at_once: AtomicUsize::new(0),
        most_at_once: Arc::clone(&most_at_once),
        deleted: Arc::clone(&deleted),
    };
    let controller = Controller {
        reconciler,
        cache: cache.cache(),
        caches: Caches::new().with(&cache.cache()),
        queue,
        settings: ControllerSettings {
            concurrency,
            ..ControllerSettings::default()
        },
    };
    let token = CancellationToken::new();
    let (ground, end) = (runtime.clone(), token.clone());
    let running = tokio::spawn(async move { controller.run(&ground, end).await });
    Rig {
        cache,
        enqueuer,
        token,
        runtime,
        log,
        observations,
        most_at_once,
        deleted,
        running,
    }
}

impl Rig {
    fn enqueue(&self, name: &str) {
        self.enqueuer.enqueue(Key::namespaced("ns", name));
    }

    fn observations(&self) -> usize {
        self.observations.lock().unwrap().len()
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
    assert_eq!(
        (rig.observations(), rig.most_at_once.load(Ordering::SeqCst)),
        (3, 3)
    );
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        (rig.observations(), rig.most_at_once.load(Ordering::SeqCst)),
        (5, 3)
    );

    rig.most_at_once.store(0, Ordering::SeqCst);
    for _ in 0..20 {
        rig.enqueue("a");
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(rig.most_at_once.load(Ordering::SeqCst), 1);
    assert_eq!(rig.outcomes(Outcome::Quiet), rig.observations() as u64);
    assert!(lines(&rig.log).is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_success_forgets_them() {
    let script: Script = Box::new(|nth| match nth {
        1..=3 | 5 => Err(Error::Timeout {
            what: "ask".to_owned(),
        }),
        4 => Ok(Plan {
            requeue: Some(Duration::from_secs(100)),
            ..Plan::default()
        }),
        _ => Ok(Plan::default()),
    });
    let rig = rig(&["a"], 1, script);
    rig.enqueue("a");
    sleep(Duration::from_secs(300)).await;
    let times: Vec<Instant> = rig
        .observations
        .lock()
        .unwrap()
        .iter()
        .map(|(_, at)| *at)
        .collect();
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
async fn a_failed_object_rests_although_others_wake_it() {
    let script: Script = Box::new(|_| {
        Err(Error::Timeout {
            what: "ask".to_owned(),
        })
    });
    let mut rig = rig(&["a"], 1, script);
    for tenth in 0..3000 {
        rig.enqueue("a");
        sleep(Duration::from_millis(100)).await;
        if tenth == 2900 {
            // Each reconcile takes a second; the pauses double from half a second to half a minute.
            assert!((10..=18).contains(&rig.observations()), "{}", rig.observations());
            let mut edited = object("a", 2);
            edited.metadata.annotations = Some([("repaired".to_owned(), String::new())].into());
            rig.cache.apply(Event::Apply(DeserializeGuard(Ok(edited))));
            rig.observations.lock().unwrap().clear();
        }
    }
    // The edit woke it at once.
    assert!(rig.observations() >= 1, "{}", rig.observations());
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_pass() {
    let script: Script = Box::new(|nth| {
        if nth == 1 {
            panic!("a bug")
        } else {
            Ok(Plan::default())
        }
    });
    let rig = rig(&["a", "b"], 2, script);
    rig.enqueue("a");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.observations(), 2);
    assert_eq!(rig.runtime.metrics.errors.get(["ConfigMap", "bug"]), 1);
    assert_eq!(rig.outcomes(Outcome::Abandoned), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_without_an_object_is_forgotten() {
    let rig = rig(&[], 1, quiet());
    rig.enqueue("a");
    sleep(Duration::from_secs(60)).await;
    assert_eq!((rig.observations(), rig.deleted.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pass_waits_for_the_echo_of_the_last_ones_writes() {
    let script: Script = Box::new(|nth| {
        let finalizer = if nth == 1 {
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
    assert_eq!((rig.observations(), lines(&rig.log).len()), (1, 1));
    // The server said version 9, the store still shows 1.
    rig.enqueue("a");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.observations(), 1);
    rig.cache
        .apply(Event::Apply(DeserializeGuard(Ok(object("a", 9)))));
    sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.observations(), 2);
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
    assert_eq!(rig.observations(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_what_is_under_way_and_begins_nothing() {
    let rig = rig(&["a", "b"], 1, quiet());
    rig.enqueue("a");
    rig.enqueue("b");
    sleep(Duration::from_millis(500)).await;
    rig.token.cancel();
    rig.running.await.unwrap();
    assert_eq!(
        (
            rig.observations.lock().unwrap().len(),
            rig.runtime.metrics.reconciles.count("ConfigMap", Outcome::Quiet)
        ),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_without_an_end_is_reported() {
    let started = Started::default();
    let limit = Duration::from_secs(900);
    started.insert(Key::namespaced("ns", "a"));
    tokio::time::advance(Duration::from_secs(899)).await;
    started.insert(Key::namespaced("ns", "b"));
    assert_eq!(started.ended_within(limit), Ok(()));
    tokio::time::advance(Duration::from_secs(2)).await;
    let reason = started.ended_within(limit).unwrap_err();
    assert!(reason.contains("the reconcile of ns/a"), "{reason}");
    started.remove(&Key::namespaced("ns", "a"));
    assert_eq!(started.ended_within(limit), Ok(()));
}
