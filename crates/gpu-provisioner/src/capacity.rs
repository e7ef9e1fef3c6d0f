//! The loop that surveys the subscription: it reads instance types and quotas slowly, and publishes what they say.
//!
//! Nothing waits for it. Without the rights to read them, nothing is published, and everything else works as before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloudprovider::{ErrorClass, Survey, SurveyList};
use jiff::{SignedDuration, Timestamp};
use kaito_api::capacity::CapacityRecord;
use nodeclaim_plan::capacity;
use operator_runtime::{ConfigMapName, ConfigMapPublisher, Runtime, clock};
use telemetry::{CollectedGauge, Counter, Metrics};
use tokio_util::sync::CancellationToken;

use crate::caches::CacheSource;
use crate::tracked_cloud::TrackedCloud;

/// Age at which an unchanged record is written again, so that its readers see that it still holds.
const CONFIRMED_EVERY: SignedDuration = SignedDuration::from_mins(30);
/// Pause after a record that could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(30);

/// Surveys the subscription and publishes the record.
pub(crate) struct CapacitySurveyor {
    cloud: Arc<TrackedCloud>,
    source: CacheSource,
    publisher: ConfigMapPublisher,
    reads: Counter<2>,
    shared: Arc<Mutex<Surveyed>>,
}

/// The knowledge of the loop, which the metrics show.
#[derive(Debug, Default)]
struct Surveyed {
    survey: Survey,
    /// The record that holds now.
    record: CapacityRecord,
    /// The record that was published last.
    published: CapacityRecord,
}

impl CapacitySurveyor {
    /// Registers the metrics.
    pub(crate) fn new(
        cloud: &Arc<TrackedCloud>,
        source: &CacheSource,
        cluster: &str,
        config_map: &ConfigMapName,
        runtime: &Runtime,
        metrics: &Metrics,
    ) -> Self {
        let shared = Arc::new(Mutex::new(Surveyed {
            survey: Survey::new(cluster),
            ..Surveyed::default()
        }));
        let shown = Arc::clone(&shared);
        metrics.collect(move || gauges(&lock(&shown)));
        Self {
            cloud: Arc::clone(cloud),
            source: source.clone(),
            publisher: ConfigMapPublisher::new(runtime, config_map),
            reads: metrics.counter(
                "kaito_capacity_reads",
                "Reads of the lists of instance types and quotas, by list and result.",
                ["list", "result"],
            ),
            shared,
        }
    }

    /// Surveys until the token is canceled.
    pub(crate) async fn run(self, token: CancellationToken) {
        loop {
            let pause = tokio::select! {
                () = token.cancelled() => return,
                pause = self.step() => pause,
            };
            tokio::select! {
                () = token.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.cloud.quota_refused() => lock(&self.shared).survey.on_quota_refused(clock::steady()),
            }
        }
    }

    /// Reads the lists that are due, and publishes the record. Returns the time until the next step.
    async fn step(&self) -> Duration {
        // Each list once: a read that fails is due later.
        for _ in SurveyList::ALL {
            let due = lock(&self.shared).survey.due(clock::steady());
            match due {
                Some(list) => self.read(list).await,
                None => break,
            }
        }
        let is_written = self.publish().await;
        let pause = lock(&self.shared).survey.pause(clock::steady());
        let pause = Duration::try_from(pause).unwrap_or(WRITE_AGAIN);
        if is_written { pause } else { pause.min(WRITE_AGAIN) }
    }

    async fn read(&self, list: SurveyList) {
        let provider = self.cloud.provider();
        let (class, reported) = match list {
            SurveyList::Types => {
                let answer = provider.offered_types().await;
                let class = answer.as_ref().err().map(|error| error.class);
                (class, lock(&self.shared).survey.on_types(clock::steady(), answer))
            }
            SurveyList::Quotas => {
                let answer = provider.quotas().await;
                let class = answer.as_ref().err().map(|error| error.class);
                (
                    class,
                    lock(&self.shared).survey.on_quotas(clock::steady(), answer),
                )
            }
        };
        let result = class.map_or("ok", ErrorClass::label);
        self.reads.inc([list.label(), result]);
        if let Some(error) = reported {
            tracing::warn!(
                list = list.label(),
                class = error.class.label(),
                %error,
                "failed to read quota or instance types; nodes are asked for without them"
            );
        }
    }

    /// Publishes the record if it says something new, or was not confirmed for long. Returns false if a write failed.
    async fn publish(&self) -> bool {
        let claims = self.source.claims.all();
        let now = clock::steady();
        let (record, is_news) = {
            let mut surveyed = lock(&self.shared);
            let record = match surveyed.survey.known(now) {
                Some((types, quotas, read_at)) => {
                    capacity::record(types, quotas, &claims, by_api_server(read_at))
                }
                None => CapacityRecord::default(),
            };
            surveyed.record = record.clone();
            let is_news = is_news(&surveyed.published, &record);
            (record, is_news)
        };
        if !is_news {
            return true;
        }
        match self.publisher.publish(&record.data()).await {
            Ok(is_written) => {
                if is_written {
                    let instance_types = record.instance_types.len();
                    tracing::info!(
                        region = record.region,
                        instance_types,
                        "published quota and restrictions"
                    );
                }
                lock(&self.shared).published = record;
                true
            }
            Err(error) => {
                tracing::warn!(error = %operator_runtime::Chain(&error), "failed to publish quota and restrictions");
                false
            }
        }
    }
}

/// Returns true if the record is to be written: it differs, or the published one was not confirmed for long.
fn is_news(published: &CapacityRecord, record: &CapacityRecord) -> bool {
    let times = published.read_at.as_ref().zip(record.read_at.as_ref());
    let is_old = times.is_some_and(|(old, new)| new.0.duration_since(old.0) >= CONFIRMED_EVERY);
    is_old || !published.says_the_same(record)
}

/// The time by the API server's clock, which readers compare it with.
fn by_api_server(at: Timestamp) -> Timestamp {
    at.saturating_add(clock::ahead_of_steady()).unwrap_or(at)
}

fn gauges(surveyed: &Surveyed) -> Vec<CollectedGauge> {
    let record = &surveyed.record;
    let all = [("all", record.on_demand), ("spot", record.spot)];
    let all = all
        .into_iter()
        .filter_map(|(name, quota)| Some((name.to_owned(), quota?)));
    let families = record.families.iter().map(|(name, quota)| (name.clone(), *quota));
    let series = all.chain(families).flat_map(|(family, quota)| {
        [("limit", quota.limit), ("used", quota.used)].map(|(kind, vcpus)| {
            let labels = vec![("family", family.clone()), ("kind", kind.to_owned())];
            #[expect(clippy::cast_precision_loss, reason = "quotas are far below 2^52")]
            (labels, vcpus as f64)
        })
    });
    let read = SurveyList::ALL.into_iter().filter_map(|list| {
        let at = surveyed.survey.read_at(list)?;
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        let seconds = at.as_second() as f64;
        Some((vec![("list", list.label().to_owned())], seconds))
    });
    vec![
        CollectedGauge {
            name: "kaito_quota_vcpus",
            help: "Virtual processors that a quota of the region permits, and those in use, by family; `all` and `spot` are over all families",
            series: series.collect(),
        },
        CollectedGauge {
            name: "kaito_capacity_read_timestamp_seconds",
            help: "Time of the last read of instance types or quotas that succeeded",
            series: read.collect(),
        },
    ]
}

fn lock(shared: &Mutex<Surveyed>) -> MutexGuard<'_, Surveyed> {
    // Every update leaves the value whole, so a panic elsewhere does not spoil it.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kaito_api::capacity::VcpuQuota;

    use super::*;

    fn record(minutes: i64, used: u64) -> CapacityRecord {
        let quota = VcpuQuota { limit: 96, used };
        CapacityRecord {
            region: "eastus2".to_owned(),
            read_at: Some(Time(Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes))),
            families: [("F".to_owned(), quota)].into(),
            spot: Some(VcpuQuota { limit: 3, used: 0 }),
            ..CapacityRecord::default()
        }
    }

    #[test]
    fn an_unchanged_record_is_written_again_after_a_while() {
        assert!(is_news(&CapacityRecord::default(), &record(0, 0)));
        assert!(!is_news(&CapacityRecord::default(), &CapacityRecord::default()));
        assert!(!is_news(&record(0, 0), &record(29, 0)));
        assert!(is_news(&record(0, 0), &record(30, 0)));
        assert!(is_news(&record(0, 0), &record(1, 24)));
        assert!(
            is_news(&record(0, 0), &CapacityRecord::default()),
            "it is withdrawn"
        );
    }

    #[test]
    fn quotas_are_shown_by_family() {
        let surveyed = Surveyed {
            record: record(0, 24),
            ..Surveyed::default()
        };
        let [quotas, read] = <[CollectedGauge; 2]>::try_from(gauges(&surveyed)).unwrap_or_else(|_| panic!());
        let shown: Vec<String> = quotas
            .series
            .iter()
            .map(|(labels, value)| format!("{}/{} {value}", labels[0].1, labels[1].1))
            .collect();
        assert_eq!(shown, ["spot/limit 3", "spot/used 0", "F/limit 96", "F/used 24"]);
        assert!(read.series.is_empty());
    }
}
