//! The survey of a subscription: instance types and quotas of the region, and the times at which they are read.
//!
//! It is a value without I/O or clock. Nothing waits for it, and failures end in not knowing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::error::{ErrorClass, ProviderError};

/// Time from one read of the instance types to the next.
const TYPES_EVERY: SignedDuration = SignedDuration::from_hours(24);
/// Time from one read of the quotas to the next.
const QUOTAS_EVERY: SignedDuration = SignedDuration::from_mins(10);
/// Time after which instance types are forgotten that cannot be read again.
const TYPES_LAST: SignedDuration = SignedDuration::from_hours(72);
/// The same of quotas.
const QUOTAS_LAST: SignedDuration = SignedDuration::from_hours(1);
/// First pause after a failed read; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: SignedDuration = SignedDuration::from_mins(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// Pause after a read that a limit of our own kept back without a time.
const LIMITED: SignedDuration = SignedDuration::from_secs(30);
/// Least time from one read of the quotas to one for a refusal. It also lets refusals in a burst share a read.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_secs(60);

/// An instance type that the cloud lists in the region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferedType {
    /// Name.
    pub name: String,
    /// Family whose quota it counts in. Letter case may differ from that of the quota.
    pub family: String,
    /// Virtual processors of a node.
    pub vcpus: u32,
    /// GPUs of a node.
    pub gpus: u32,
    /// Zones in which the subscription may create it.
    pub zones: Vec<String>,
    /// The cloud's word for the reason why the subscription may create none in the region; `None` if it may.
    pub restriction: Option<String>,
}

/// Limit and use of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Most virtual processors.
    pub limit: u64,
    /// Virtual processors in use.
    pub used: u64,
}

/// The quotas of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// The region.
    pub region: String,
    /// Of all families together, without spot nodes.
    pub on_demand: Option<Quota>,
    /// Of all spot nodes together.
    pub spot: Option<Quota>,
    /// By family, in lower case.
    pub families: BTreeMap<String, Quota>,
}

/// One of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SurveyList {
    /// The instance types.
    Types,
    /// The quotas.
    Quotas,
}

impl SurveyList {
    /// Both lists, in the order in which they are read.
    pub const ALL: [Self; 2] = [Self::Types, Self::Quotas];

    /// Stable word for metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Types => "instance_types",
            Self::Quotas => "quotas",
        }
    }
}

/// One list: what was read last, and when it is read next.
#[derive(Clone, Debug)]
struct Listed<T> {
    found: Option<(Timestamp, T)>,
    next: Timestamp,
    failures: u32,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            found: None,
            next: Timestamp::MIN,
            failures: 0,
        }
    }
}

/// The knowledge about a subscription, and the schedule of its reads.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    types: Listed<Vec<OfferedType>>,
    quotas: Listed<Quotas>,
    /// Seconds that are added to the pauses, so that clusters of one subscription do not ask together.
    spread: SignedDuration,
}

impl Survey {
    /// Creates a survey that reads both lists at once. The name of the cluster spreads the later reads.
    #[must_use]
    pub fn new(cluster: &str) -> Self {
        let seed = cluster
            .bytes()
            .fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 120);
        Self {
            spread: SignedDuration::from_secs(seed),
            ..Self::default()
        }
    }

    /// The list that is due.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<SurveyList> {
        SurveyList::ALL.into_iter().find(|list| self.next(*list) <= now)
    }

    /// Time until the next read, or until something is forgotten.
    #[must_use]
    pub fn pause(&self, now: Timestamp) -> SignedDuration {
        let reads = SurveyList::ALL.into_iter().map(|list| self.next(list));
        let ends = self.quotas.found.iter().map(|(at, _)| after(*at, QUOTAS_LAST));
        let next = reads.chain(ends).filter(|at| *at > now).min();
        next.map_or(LIMITED, |next| next.duration_since(now))
    }

    /// Records the answer to a read of the instance types. Returns the error that is to be reported: the first in a row.
    pub fn on_types(
        &mut self,
        now: Timestamp,
        answer: Result<Vec<OfferedType>, ProviderError>,
    ) -> Option<ProviderError> {
        self.types.on_answer(now, answer, TYPES_EVERY, self.spread)
    }

    /// Records the answer to a read of the quotas. Returns the error that is to be reported: the first in a row.
    pub fn on_quotas(
        &mut self,
        now: Timestamp,
        answer: Result<Quotas, ProviderError>,
    ) -> Option<ProviderError> {
        self.quotas.on_answer(now, answer, QUOTAS_EVERY, self.spread)
    }

    /// Reads the quotas soon: the cloud has refused a launch for one of them.
    pub fn on_quota_refused(&mut self, now: Timestamp) {
        // A cloud that does not show its quotas is not asked more often.
        if let Some((read_at, _)) = self.quotas.found.as_ref().filter(|_| self.quotas.failures == 0) {
            let soon = after(*read_at, AFTER_REFUSAL).max(after(now, LIMITED));
            self.quotas.next = self.quotas.next.min(soon);
        }
    }

    /// Returns instance types, quotas, and the time at which the quotas were read. `None` if either is missing or old.
    #[must_use]
    pub fn known(&self, now: Timestamp) -> Option<(&[OfferedType], &Quotas, Timestamp)> {
        let (types_at, types) = self.types.found.as_ref()?;
        let (quotas_at, quotas) = self.quotas.found.as_ref()?;
        let holds = after(*types_at, TYPES_LAST) > now && after(*quotas_at, QUOTAS_LAST) > now;
        holds.then_some((types, quotas, *quotas_at))
    }

    /// Time of the last read that succeeded.
    #[must_use]
    pub fn read_at(&self, list: SurveyList) -> Option<Timestamp> {
        match list {
            SurveyList::Types => self.types.found.as_ref().map(|(at, _)| *at),
            SurveyList::Quotas => self.quotas.found.as_ref().map(|(at, _)| *at),
        }
    }

    fn next(&self, list: SurveyList) -> Timestamp {
        match list {
            SurveyList::Types => self.types.next,
            SurveyList::Quotas => self.quotas.next,
        }
    }
}

impl<T> Listed<T> {
    fn on_answer(
        &mut self,
        now: Timestamp,
        answer: Result<T, ProviderError>,
        every: SignedDuration,
        spread: SignedDuration,
    ) -> Option<ProviderError> {
        let error = match answer {
            Ok(found) => {
                self.found = Some((now, found));
                self.failures = 0;
                self.next = after(after(now, every), spread);
                return None;
            }
            Err(error) => error,
        };
        let asked = error.retry_after.unwrap_or_default();
        if error.class == ErrorClass::LocallyLimited {
            self.next = after(now, asked.clamp(LIMITED, LONGEST_PAUSE));
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_PAUSE.saturating_mul(1_i32 << self.failures.min(7).saturating_sub(1));
        self.next = after(after(now, doubled.min(LONGEST_PAUSE).max(asked)), spread);
        Some(error).filter(|_| self.failures == 1)
    }
}

fn after(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.saturating_add(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn error(class: ErrorClass) -> ProviderError {
        ProviderError::new(class, "Code", "text")
    }

    fn read(survey: &mut Survey, minutes: i64) {
        survey.on_types(at(minutes), Ok(vec![OfferedType::default()]));
        survey.on_quotas(at(minutes), Ok(Quotas::default()));
    }

    #[test]
    fn types_are_read_once_a_day_and_quotas_often() {
        let mut survey = Survey::new("");
        assert_eq!(survey.due(at(0)), Some(SurveyList::Types));
        survey.on_types(at(0), Ok(Vec::new()));
        assert_eq!(
            (survey.due(at(0)), survey.known(at(0))),
            (Some(SurveyList::Quotas), None)
        );
        survey.on_quotas(at(0), Ok(Quotas::default()));
        assert!(survey.known(at(0)).is_some());
        assert_eq!(
            (survey.due(at(9)), survey.pause(at(9))),
            (None, SignedDuration::from_mins(1))
        );
        assert_eq!(survey.due(at(10)), Some(SurveyList::Quotas));
        survey.on_quotas(at(24 * 60 - 1), Ok(Quotas::default()));
        assert_eq!(survey.due(at(24 * 60)), Some(SurveyList::Types));
    }

    #[test]
    fn the_first_failure_is_reported_and_the_pauses_grow() {
        let mut survey = Survey::new("");
        let refused = error(ErrorClass::Unauthorized);
        let mut now = at(0);
        for (first, pause) in [
            (true, 1),
            (false, 2),
            (false, 4),
            (false, 8),
            (false, 16),
            (false, 32),
            (false, 60),
            (false, 60),
        ] {
            let reported = survey.on_quotas(now, Err(refused.clone()));
            assert_eq!(reported.is_some(), first);
            let next = survey.quotas.next.duration_since(now);
            assert_eq!(next, SignedDuration::from_mins(pause));
            now = survey.quotas.next;
        }
        // A refusal does not hurry what cannot be read.
        survey.on_quota_refused(now);
        assert_eq!(survey.quotas.next, now);
        survey.on_quotas(now, Ok(Quotas::default()));
        assert_eq!(
            survey.on_quotas(now, Err(refused.clone())),
            Some(refused),
            "a new row of failures"
        );
    }

    #[test]
    fn a_limit_of_our_own_is_no_failure() {
        let mut survey = Survey::new("");
        let limited = error(ErrorClass::LocallyLimited);
        for _ in 0..9 {
            assert_eq!(survey.on_types(at(0), Err(limited.clone())), None);
            assert_eq!(survey.types.next, after(at(0), LIMITED));
        }
    }

    #[test]
    fn what_was_read_lasts_for_a_while_and_is_then_unknown() {
        let mut survey = Survey::new("");
        read(&mut survey, 0);
        let broken = error(ErrorClass::Transient);
        survey.on_quotas(at(10), Err(broken.clone()));
        assert!(survey.known(at(59)).is_some());
        assert_eq!(survey.known(at(60)), None);
        read(&mut survey, 61);
        assert_eq!(survey.known(at(62)).map(|(_, _, read_at)| read_at), Some(at(61)));
        // Quotas without types say nothing.
        for hours in 1..=73 {
            survey.on_quotas(at(61 + 60 * hours), Ok(Quotas::default()));
            survey.on_types(at(61 + 60 * hours), Err(broken.clone()));
            assert_eq!(survey.known(at(61 + 60 * hours)).is_some(), hours < 72, "{hours}");
        }
    }

    #[test]
    fn a_refusal_hurries_the_quotas_once() {
        let mut survey = Survey::new("");
        survey.on_quota_refused(at(0));
        assert_eq!(survey.due(at(0)), Some(SurveyList::Types), "nothing is known yet");
        read(&mut survey, 0);
        survey.on_quota_refused(at(0));
        survey.on_quota_refused(at(0));
        assert_eq!(survey.quotas.next, at(1));
        survey.on_quota_refused(at(5));
        assert_eq!(survey.quotas.next, at(1), "it is not put off");
        read(&mut survey, 6);
        survey.on_quota_refused(at(8));
        assert_eq!(survey.quotas.next, after(at(8), LIMITED));
    }

    #[test]
    fn clusters_ask_at_different_times() {
        let next = |cluster: &str| {
            let mut survey = Survey::new(cluster);
            read(&mut survey, 0);
            survey.quotas.next
        };
        assert_eq!(next("s/g/a"), next("s/g/a"));
        assert_ne!(next("s/g/a"), next("s/g/b"));
        assert!(next("s/g/a") < at(12));
    }
}
