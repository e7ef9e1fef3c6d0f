//! Histories of automatic upgrades.

use proptest::prelude::*;

use super::*;
use crate::upgrades::UpgradeWindow;

const BEGIN: &str = "2026-01-03T02:00:00Z";

/// Open on Saturdays and Sundays from 02:00 for four hours. An upgrade fails after one.
fn settings() -> AutomaticUpgrades {
    AutomaticUpgrades {
        window: UpgradeWindow::new(
            "Sat,Sun".parse().unwrap(),
            "02:00".parse().unwrap(),
            SignedDuration::from_hours(4),
        ),
        timeout: SignedDuration::from_hours(1),
    }
}

fn after(seconds: i64) -> Timestamp {
    let begin: Timestamp = BEGIN.parse().unwrap();
    begin + SignedDuration::from_secs(seconds)
}

fn request(name: &str, recorded: i64) -> TurnRequest {
    TurnRequest {
        namespace: "ns".to_owned(),
        workspace: name.to_owned(),
        recorded: Some(after(recorded - 1_000_000)),
    }
}

fn unfinished(name: &str, began: Timestamp) -> UnfinishedUpgrade {
    UnfinishedUpgrade {
        namespace: "ns".to_owned(),
        workspace: name.to_owned(),
        uid: format!("uid-{name}"),
        began,
    }
}

#[test]
fn the_oldest_goes_first_once_the_queue_is_filled() {
    let (settings, mut queue) = (settings(), UpgradeQueue::default());
    let mut ask = |name, recorded, now| queue.request(&settings, &request(name, recorded), &[], after(now));
    assert_eq!(ask("new", 2, 0), Turn::Waits(Some(after(30))));
    assert_eq!(ask("old", 1, 5), Turn::Waits(Some(after(30))));
    assert_eq!(ask("new", 2, 30), Turn::Waits(Some(after(4 * 3600))));
    assert_eq!(ask("old", 1, 30), Turn::Yours);
    assert_eq!(ask("old", 1, 31), Turn::Yours, "a refused write is tried again");
    assert_eq!(
        ask("new", 2, 31),
        Turn::Waits(Some(after(331))),
        "its mark may be on its way"
    );
    assert_eq!(ask("new", 2, 400), Turn::Waits(Some(after(4 * 3600))));
    assert!(queue.withdraw("ns", "other").is_empty());
    let wakes = queue.withdraw("ns", "old");
    assert_eq!(wakes.len(), 1, "{wakes:?}");
    assert_eq!(
        queue.request(&settings, &request("new", 2), &[], after(401)),
        Turn::Yours
    );
}

#[test]
fn a_restart_knows_the_one_that_is_under_way() {
    let (settings, mut queue) = (settings(), UpgradeQueue::default());
    let one = [unfinished("one", after(0))];
    let mut ask =
        |name, all: &[UnfinishedUpgrade], now| queue.request(&settings, &request(name, 1), all, after(now));
    assert_eq!(ask("two", &one, 100), Turn::Waits(Some(after(3600))));
    assert_eq!(ask("two", &one, 3600), Turn::Stopped);
    // The one that failed may be upgraded to something else, although the other waits for longer.
    assert_eq!(ask("two", &one, 3601), Turn::Stopped);
    assert_eq!(ask("one", &one, 3600), Turn::Waits(Some(after(3630))));
    assert_eq!(ask("one", &one, 3630), Turn::Yours);
}

#[test]
fn nothing_begins_outside_the_window() {
    let (settings, mut queue) = (settings(), UpgradeQueue::default());
    let mut ask = |now| queue.request(&settings, &request("one", 1), &[], after(now));
    assert_eq!(ask(-60), Turn::Closed(Some(after(0))));
    let (hour, day) = (3600, 24 * 3600);
    assert_eq!(ask(4 * hour), Turn::Closed(Some(after(day))));
    assert_eq!(ask(2 * day), Turn::Closed(Some(after(7 * day))));
}

/// One event of a random history.
#[derive(Clone, Debug)]
enum Happening {
    /// Seconds pass.
    Pass(i64),
    /// One asks, and writes its mark if it is its turn.
    Ask(usize),
    /// The caches show everything.
    Show,
    /// The model serves, and its mark goes.
    Serve(usize),
    /// One waits no more.
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Happening>> {
    let step = prop_oneof![
        2 => (1_i64..40_000).prop_map(Happening::Pass),
        2 => (1_i64..60).prop_map(Happening::Pass),
        8 => (0_usize..4).prop_map(Happening::Ask),
        3 => Just(Happening::Show),
        3 => (0_usize..4).prop_map(Happening::Serve),
        1 => (0_usize..4).prop_map(Happening::Leave),
    ];
    proptest::collection::vec(step, 1..120)
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The caches show a mark late, but before its turn is held no longer.
    #[test]
    fn one_at_a_time_within_the_window_and_none_after_a_failed_one(steps in steps()) {
        let (settings, mut queue) = (settings(), UpgradeQueue::default());
        let (mut now, mut shown) = (after(-3600), after(-3600));
        let (mut real, mut cached): (Vec<UnfinishedUpgrade>, Vec<UnfinishedUpgrade>) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Happening::Pass(seconds) => {
                    now += SignedDuration::from_secs(seconds);
                    if now.duration_since(shown) >= SignedDuration::from_mins(2) {
                        cached.clone_from(&real);
                        shown = now;
                    }
                }
                Happening::Ask(index) => {
                    let name = NAMES[index];
                    let turn = queue.request(&settings, &request(name, 1), &cached, now);
                    if turn == Turn::Yours {
                        prop_assert!(settings.window.is_open(now), "{now}");
                        let other = real.iter().find(|upgrade| upgrade.workspace != name);
                        prop_assert_eq!(other, None, "{} at {}", name, now);
                        real = vec![unfinished(name, now)];
                    }
                    if let Some(first) = cached.iter().filter(|upgrade| upgrade.workspace != name).map(|upgrade| upgrade.began).min() {
                        let has_failed = first + settings.timeout <= now;
                        prop_assert_eq!(turn == Turn::Stopped, has_failed);
                    }
                }
                Happening::Show => cached.clone_from(&real),
                Happening::Serve(index) => {
                    // A reconcile sees its own mark before it removes it.
                    if cached == real {
                        real.retain(|upgrade| upgrade.workspace != NAMES[index]);
                    }
                }
                Happening::Leave(index) => {
                    queue.withdraw("ns", NAMES[index]);
                }
            }
        }
    }
}
