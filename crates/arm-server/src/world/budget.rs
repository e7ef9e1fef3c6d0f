//! Request budgets of the service: 60 reads and one more a second, 20 PUTs a pool and one more a minute. Those of Azure
//! Resource Manager: 200 writes and as many deletions, and ten more of each a second.

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

/// The budget that a request exceeds, with the seconds to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// The service's.
    Service(u64),
    /// Azure Resource Manager's, of the whole subscription.
    Subscription(u64),
}

impl Budgets {
    /// Takes one request, or returns the budget that is spent.
    pub(super) fn take(&mut self, now: Duration, verb: Verb, pool: Option<&str>) -> Result<(), Spent> {
        if let Some(key) = of_manager(verb) {
            self.spend(now, key.to_owned(), 200.0, 10.0)
                .map_err(Spent::Subscription)?;
        }
        let (key, burst, per_second) = match verb {
            Verb::Put => (format!("put/{}", pool.unwrap_or_default()), 20.0, 1.0 / 60.0),
            Verb::Operation => ("operation".to_owned(), 200.0, 2.0),
            Verb::Token => return Ok(()),
            // Another provider, with the reads of Azure Resource Manager itself.
            Verb::Skus | Verb::Usages => {
                return self
                    .spend(now, "compute".to_owned(), 250.0, 25.0)
                    .map_err(Spent::Subscription);
            }
            _ => ("other".to_owned(), 60.0, 1.0),
        };
        self.spend(now, key, burst, per_second).map_err(Spent::Service)
    }

    /// Requests that Azure Resource Manager permits, as its headers show.
    pub(super) fn left(&self, verb: Verb) -> Option<u32> {
        let bucket = self.0.get(of_manager(verb)?)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 200")]
        let left = bucket.tokens.max(0.0) as u32;
        Some(left)
    }

    fn spend(&mut self, now: Duration, key: String, burst: f64, per_second: f64) -> Result<(), u64> {
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

fn of_manager(verb: Verb) -> Option<&'static str> {
    match verb {
        Verb::Put | Verb::Abort => Some("writes"),
        Verb::Delete => Some("deletes"),
        _ => None,
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
        assert_eq!(budgets.take(now, Verb::Put, Some("a")), Err(Spent::Service(61)));
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

    #[test]
    fn writes_of_all_pools_share_the_budget_of_the_subscription() {
        let mut budgets = Budgets::default();
        let now = Duration::from_secs(5);
        assert_eq!(budgets.left(Verb::Put), None);
        for number in 0..200 {
            assert_eq!(budgets.take(now, Verb::Put, Some(&format!("p{number}"))), Ok(()));
        }
        assert_eq!(budgets.left(Verb::Put), Some(0));
        assert_eq!(
            budgets.take(now, Verb::Put, Some("q")),
            Err(Spent::Subscription(1))
        );
        assert_eq!(budgets.take(now, Verb::Delete, Some("q")), Ok(()));
        assert_eq!(budgets.left(Verb::Delete), Some(199));
    }
}
