//! Each key once, never twice at a time, not before it is due.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const DEBOUNCE: Duration = Duration::from_millis(50);

fn key(name: &str) -> Key {
    Key::cluster(name)
}

async fn none_within(queue: &WorkQueue, delay: Duration) -> bool {
    tokio::time::timeout(delay, queue.next()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn keys_within_the_debounce_are_one() {
    let (enqueuer, queue) = super::queue(DEBOUNCE);
    let began = Instant::now();
    for _ in 0..5 {
        enqueuer.enqueue(key("a"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(queue.next().await, key("a"));
    // Counted from the first: a busy object must not be put off for ever.
    assert!(began.elapsed() >= DEBOUNCE && began.elapsed() < DEBOUNCE + Duration::from_millis(5));
    queue.done(key("a"), None);
    assert!(none_within(&queue, Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_worked_on_waits_for_its_end() {
    let (enqueuer, queue) = super::queue(DEBOUNCE);
    enqueuer.enqueue(key("a"));
    assert_eq!(queue.next().await, key("a"));
    enqueuer.enqueue(key("a"));
    assert!(none_within(&queue, Duration::from_secs(60)).await);
    queue.done(key("a"), None);
    assert_eq!(queue.next().await, key("a"));
}

#[tokio::test(start_paused = true)]
async fn who_was_served_goes_behind_those_who_wait() {
    let (enqueuer, queue) = super::queue(Duration::ZERO);
    enqueuer.enqueue(key("a"));
    let a = queue.next().await;
    // Its own write is seen while it is worked on, and before the other one came.
    enqueuer.enqueue(a.clone());
    tokio::time::sleep(Duration::from_millis(5)).await;
    enqueuer.enqueue(key("z"));
    tokio::time::sleep(Duration::from_millis(5)).await;
    queue.done(a, None);
    assert_eq!(queue.next().await, key("z"));
    assert_eq!(queue.next().await, key("a"));
}

#[tokio::test(start_paused = true)]
async fn new_objects_are_first_in_their_namespace_and_once_only() {
    let (enqueuer, queue) = super::queue(Duration::ZERO);
    let in_namespace = |namespace: &str, name: &str| Key::namespaced(namespace, name);
    for name in ["old-1", "old-2", "young"] {
        enqueuer.enqueue(in_namespace("a", name));
    }
    enqueuer.enqueue(in_namespace("b", "old"));
    tokio::time::sleep(Duration::from_millis(5)).await;
    // It waits already, and goes before those that wait longer.
    enqueuer.enqueue_new(in_namespace("a", "young"));
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(queue.next().await.to_string());
    }
    assert_eq!(order, ["a/young", "b/old", "a/old-1"]);
    queue.done(in_namespace("a", "young"), Some(Duration::ZERO));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(queue.depth(), 2);
    assert_eq!(queue.next().await.to_string(), "a/old-2", "it is known now");
    assert_eq!(queue.next().await.to_string(), "a/young");
}

#[tokio::test(start_paused = true)]
async fn a_requeue_is_kept_and_a_new_key_is_sooner() {
    let (enqueuer, queue) = super::queue(DEBOUNCE);
    enqueuer.enqueue(key("a"));
    let a = queue.next().await;
    let began = Instant::now();
    queue.done(a, Some(Duration::from_secs(30)));
    let a = queue.next().await;
    // Timers have a resolution of a millisecond.
    assert!(began.elapsed().abs_diff(Duration::from_secs(30)) < Duration::from_millis(2));
    let began = Instant::now();
    queue.done(a, Some(Duration::from_secs(30)));
    enqueuer.enqueue(key("a"));
    queue.next().await;
    assert!(began.elapsed().abs_diff(DEBOUNCE) < Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn a_key_from_elsewhere_wakes_a_waiting_worker() {
    let (enqueuer, queue) = super::queue(Duration::ZERO);
    let waiting = tokio::spawn(async move { queue.next().await });
    tokio::time::sleep(Duration::from_secs(5)).await;
    enqueuer.enqueue(key("pool"));
    assert_eq!(waiting.await.unwrap(), key("pool"));
}

#[tokio::test(start_paused = true)]
async fn depth_counts_what_is_due() {
    let (enqueuer, queue) = super::queue(Duration::ZERO);
    enqueuer.enqueue(key("a"));
    enqueuer.enqueue(key("b"));
    enqueuer.enqueue_after(key("c"), Duration::from_secs(9));
    assert_eq!(queue.depth(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_with_many_keys_delays_another_by_one() {
    let (enqueuer, queue) = super::queue(Duration::ZERO);
    for number in 0..500 {
        enqueuer.enqueue(Key::namespaced("a", format!("m{number}")));
    }
    for _ in 0..3 {
        assert_eq!(queue.next().await.namespace.as_deref(), Some("a"));
    }
    enqueuer.enqueue(Key::namespaced("b", "w"));
    enqueuer.enqueue(Key::namespaced("b", "later"));
    enqueuer.enqueue(key("cluster"));
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.push(queue.next().await.namespace.unwrap_or_default());
    }
    assert_eq!(taken, ["b", "", "a", "b", "a"]);
}

#[derive(Clone, Debug)]
enum Op {
    Add(u8, u64),
    Take,
    Done(u8, Option<u64>),
    Pass(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0_u8..9, 0_u64..100).prop_map(|(key, after)| Op::Add(key, after)),
        Just(Op::Take),
        (0_u8..9, proptest::option::of(0_u64..100)).prop_map(|(key, after)| Op::Done(key, after)),
        (0_u64..50).prop_map(Op::Pass),
    ];
    proptest::collection::vec(op, 0..80)
}

/// Keys in two namespaces, and one without.
fn spread(id: u8) -> Key {
    match id % 3 {
        0 => key(&id.to_string()),
        namespace => Key::namespaced(namespace.to_string(), id.to_string()),
    }
}

proptest! {
    #[test]
    fn no_key_is_lost_doubled_or_early(ops in ops()) {
        let start = Instant::now();
        let (mut entries, mut now) = (Entries::default(), start);
        let mut working = HashSet::new();
        let mut wanted = HashSet::new();
        let mut passed_over = HashMap::<Option<String>, usize>::new();
        for op in ops {
            let at = |ms| now + Duration::from_millis(ms);
            match op {
                Op::Add(id, after) => {
                    let rank = if after % 2 == 0 { Rank::New } else { Rank::Known };
                    entries.add(spread(id), at(after), rank);
                    wanted.insert(spread(id));
                }
                Op::Take => {
                    let due = entries.next_at().is_some_and(|first| first <= now);
                    let taken = entries.take(now);
                    prop_assert_eq!(taken.is_some(), due);
                    if let Some(taken) = taken {
                        let is_due = |of: &Option<String>| {
                            entries.namespaces.get(of).is_some_and(|keys| keys.first().unwrap().0 <= now)
                        };
                        passed_over.retain(|namespace, _| *namespace != taken.namespace && is_due(namespace));
                        for namespace in entries.namespaces.keys().filter(|namespace| **namespace != taken.namespace) {
                            if is_due(namespace) {
                                let passed = passed_over.entry(namespace.clone()).or_default();
                                *passed += 1;
                                prop_assert!(*passed < 3, "one of three namespaces waits for the others once");
                            }
                        }
                        prop_assert!(wanted.remove(&taken));
                        prop_assert!(working.insert(taken));
                    }
                }
                Op::Done(id, after) => {
                    let id = spread(id);
                    if working.remove(&id) {
                        if after.is_some() {
                            wanted.insert(id.clone());
                        }
                        entries.done(id, after.map(at), now);
                    }
                }
                Op::Pass(ms) => now += Duration::from_millis(ms),
            }
            let ordered = entries.namespaces.values().map(|keys| keys.new.len() + keys.known.len());
            let ordered: usize = ordered.sum();
            prop_assert_eq!(ordered, entries.waiting.len());
            let held = entries.waiting.len() + entries.working.values().flatten().count();
            prop_assert_eq!(held, wanted.len());
        }
    }
}
