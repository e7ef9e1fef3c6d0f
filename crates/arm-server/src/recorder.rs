//! Recorder of requests and responses, for assertions.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::faults::Verb;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// Number of the request, from 1.
    pub seq: u64,
    /// Time of arrival, in milliseconds since the server's start.
    pub at_ms: u64,
    /// HTTP method.
    pub method: String,
    /// Path as the client wrote it.
    pub path: String,
    /// Kind of the request; absent if the path is unknown.
    pub verb: Option<Verb>,
    /// Pool that it names.
    pub pool: Option<String>,
    /// HTTP status of the response; absent before it.
    pub status: Option<u16>,
}

/// Numbers of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests by kind.
    pub by_verb: BTreeMap<Verb, u64>,
    /// PUTs by pool.
    pub puts: BTreeMap<String, u64>,
    /// DELETEs by pool.
    pub deletes: BTreeMap<String, u64>,
    /// Responses by HTTP status.
    pub by_status: BTreeMap<u16, u64>,
}

/// Number of requests that are kept; counters count all.
const KEPT: usize = 50_000;

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    requests: VecDeque<Recorded>,
    counters: Counters,
    seq: u64,
}

impl Recorder {
    /// Records a request; returns its number.
    pub(crate) fn asked(
        &mut self,
        at_ms: u64,
        method: &str,
        path: &str,
        verb: Option<Verb>,
        pool: Option<&str>,
    ) -> u64 {
        self.seq += 1;
        if let Some(verb) = verb {
            *self.counters.by_verb.entry(verb).or_default() += 1;
        }
        let by_pool = match verb {
            Some(Verb::Put) => Some(&mut self.counters.puts),
            Some(Verb::Delete) => Some(&mut self.counters.deletes),
            _ => None,
        };
        if let (Some(counts), Some(pool)) = (by_pool, pool) {
            *counts.entry(pool.to_owned()).or_default() += 1;
        }
        if self.requests.len() >= KEPT {
            self.requests.pop_front();
        }
        let pool = pool.map(str::to_owned);
        let (method, path) = (method.to_owned(), path.to_owned());
        self.requests.push_back(Recorded {
            seq: self.seq,
            at_ms,
            method,
            path,
            verb,
            pool,
            status: None,
        });
        self.seq
    }

    /// Records the response to a request.
    pub(crate) fn answered(&mut self, seq: u64, status: u16) {
        *self.counters.by_status.entry(status).or_default() += 1;
        let first = self.requests.front().map_or(0, |request| request.seq);
        let at = usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX);
        if let Some(request) = self.requests.get_mut(at).filter(|request| request.seq == seq) {
            request.status = Some(status);
        }
    }

    /// Requests after number `since`, oldest first.
    pub(crate) fn since(&self, since: u64) -> Vec<Recorded> {
        self.requests
            .iter()
            .filter(|request| request.seq > since)
            .cloned()
            .collect()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Deletes requests and counts; numbers continue.
    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.counters = Counters::default();
    }
}
