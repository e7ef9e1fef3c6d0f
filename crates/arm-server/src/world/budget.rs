//! Request budgets of the service: 60 reads and one more a second, 20 PUTs a pool and one more a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::faults::Verb;

#[derive(Clone, Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

/// The buckets.
#[derive(Debug, Default)]
pub(super) struct Budgets(BTreeMap<String, Bucket>);

impl Budgets {
    /// Takes one request. Returns the seconds to wait if none is left.
    pub(super) fn take(&mut self, now: Duration, verb: Verb, pool: Option<&str>) -> Result<(), u64> {
        let (key, burst, per_second) = match verb {
            Verb::Put => (format!("put/{}", pool.unwrap_or_default()), 20.0, 1.0 / 60.0),
            Verb::Operation => ("operation".to_owned(), 200.0, 2.0),
            Verb::Token => return Ok(()),
            _ => ("other".to_owned(), 60.0, 1.0),
        };
        let bucket = self.0.entry(key).or_insert(Bucket {
            tokens: burst,
            at: now,
        });
        let passed = now.saturating_sub(bucket.at).as_secs_f64();
        *bucket = Bucket {
            tokens: (bucket.tokens + passed * per_second).min(burst),
            at: now,
        };
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::try_from_secs_f64((1.0 - bucket.tokens) / per_second).unwrap_or(Duration::MAX);
        Err(wait.as_secs().saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_are_counted_a_pool_and_the_rest_together() {
        let mut budgets = Budgets::default();
        let now = Duration::from_secs(5);
        for _ in 0..20 {
            assert_eq!(budgets.take(now, Verb::Put, Some("a")), Ok(()));
        }
        assert_eq!(budgets.take(now, Verb::Put, Some("a")), Err(61));
        assert_eq!(budgets.take(now, Verb::Put, Some("b")), Ok(()));
        let reads = (0..100)
            .filter(|_| budgets.take(now, Verb::List, None).is_ok())
            .count();
        assert_eq!(reads, 60);
        assert_eq!(
            budgets.take(now + Duration::from_secs(1), Verb::Delete, None),
            Ok(())
        );
    }
}
