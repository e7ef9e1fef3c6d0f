//! Lines in the container's log.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egress::TransferCount;

/// Pause between two lines about a transfer.
const INTERVAL: Duration = Duration::from_secs(5);

/// Prints a line. A failure has nowhere else to go.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn line(count: &TransferCount, verb: &str, before: u64, time: Duration) -> String {
    let moved = count.moved();
    let speed = moved.saturating_sub(before) as f64 / time.as_secs_f64().max(0.001);
    let total = match count.expected() {
        0 => String::new(),
        total => format!(" of {}", bytes(total as f64)),
    };
    format!("{verb} {}{total} ({}/s)", bytes(moved as f64), bytes(speed))
}

/// Prints the progress of a transfer until it is dropped.
#[derive(Debug)]
pub(crate) struct Reporter(tokio::task::JoinHandle<()>);

impl Reporter {
    pub(crate) fn start(verb: &'static str, count: Arc<TransferCount>) -> Self {
        Self(tokio::spawn(async move {
            let mut before = 0;
            loop {
                let began = Instant::now();
                tokio::time::sleep(INTERVAL).await;
                say(&line(&count, verb, before, began.elapsed()));
                before = count.moved();
            }
        }))
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A number of bytes with a unit.
pub(crate) fn bytes(amount: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = amount;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{amount:.digits$} {}", units.get(unit).unwrap_or(&"B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1023.0), "1023 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(5e15), "4547.5 TiB");
    }

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let count = TransferCount::default();
        count.add(2048);
        assert_eq!(
            line(&count, "fetched", 1024, Duration::from_secs(1)),
            "fetched 2.0 KiB (1.0 KiB/s)"
        );
        count.expect(4096);
        assert_eq!(
            line(&count, "fetched", 2048, Duration::from_secs(1)),
            "fetched 2.0 KiB of 4.0 KiB (0 B/s)"
        );
    }
}
