//! The clocks of the process: one that follows the API server's, and one that never steps.
//!
//! A process has one API server, so it has one clock of it. The client reads the date of every response.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::HeaderMap;
use http::header::DATE;
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use plan::clock::ServerClock;

static CLOCKS: LazyLock<Clocks> = LazyLock::new(|| {
    let wall = Timestamp::now();
    Clocks {
        started: Instant::now(),
        wall,
        server: Mutex::new(ServerClock::new(wall)),
    }
});

struct Clocks {
    started: Instant,
    /// Time of this machine's clock when the process started.
    wall: Timestamp,
    server: Mutex<ServerClock>,
}

impl Clocks {
    fn server(&self) -> MutexGuard<'_, ServerClock> {
        // Every update leaves the clock whole, so a panic elsewhere does not spoil it.
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the API server's time. Deadlines that are counted from times in objects are compared with it.
#[must_use]
pub fn now() -> Timestamp {
    let clocks = &*CLOCKS;
    clocks.server().at(clocks.started.elapsed())
}

/// Returns a time that never steps, whatever the clocks of this machine and of the API server do. It orders events of
/// this process.
#[must_use]
pub fn steady() -> Timestamp {
    let clocks = &*CLOCKS;
    clocks
        .wall
        .saturating_add(clocks.started.elapsed())
        .unwrap_or(clocks.wall)
}

/// Returns the API server's time less the [`steady`] one.
#[must_use]
pub fn ahead_of_steady() -> SignedDuration {
    let clocks = &*CLOCKS;
    clocks.server().ahead_of(clocks.wall)
}

/// Takes in the date of a response.
pub(crate) fn read(headers: &HeaderMap) {
    let date = headers.get(DATE).and_then(|value| value.to_str().ok());
    if let Some(date) = date.and_then(|text| DateTimeParser::new().parse_timestamp(text).ok()) {
        let clocks = &*CLOCKS;
        clocks.server().observe(date, clocks.started.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_a_response_moves_the_clock_and_not_the_steady_one() {
        let before = steady();
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Fri, 01 Jan 2100 00:00:00 GMT".parse().unwrap());
        read(&headers);
        let year = |time: Timestamp| time.strftime("%Y").to_string();
        assert_eq!(year(now()), "2100");
        assert_ne!(year(steady()), "2100");
        assert!(steady() >= before);
        let sum = steady().saturating_add(ahead_of_steady()).unwrap();
        assert!(now().duration_since(sum).abs() < SignedDuration::from_secs(1));
        headers.insert(DATE, "soon".parse().unwrap());
        read(&headers);
        assert_eq!(year(now()), "2100");
    }
}
