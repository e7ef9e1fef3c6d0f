//! The clock of the simulated cloud: wakes when a change is due and passes nodes to the booter.

use std::time::Duration;

use crate::app::App;
use crate::boot::Booter;

/// Longest sleep, so that a missed due time is noticed soon.
const LONGEST: Duration = Duration::from_secs(5);

/// Runs until the server stops.
pub(crate) async fn run(app: App, booter: Option<Booter>) {
    loop {
        let (tasks, due, now) = {
            let mut inner = app.lock();
            let now = app.now();
            inner.world.advance(now);
            (inner.world.node_tasks(now), inner.world.next_due(), now)
        };
        if let Some(booter) = &booter {
            tasks.into_iter().for_each(|task| booter.start(task, &app));
        }
        let pause = due.map_or(LONGEST, |due| due.saturating_sub(now).min(LONGEST));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.changed().notified() => {}
            () = app.stop().cancelled() => return,
        }
    }
}
