//! Scripted faults: responses that differ from the usual ones.

use serde::{Deserialize, Serialize};

use crate::errors::Named;
use crate::pattern;

/// Kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the request it is named after")]
pub enum Verb {
    Get,
    List,
    Put,
    Delete,
    Abort,
    Operation,
    Cluster,
    Skus,
    Usages,
    Token,
}

/// One scripted fault. The first rule that matches a request and is not used up applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Kind of the requests; `None` for all except those for tokens.
    #[serde(default)]
    pub verb: Option<Verb>,
    /// Pattern of pools; `*` matches any characters. `None` for all.
    #[serde(default)]
    pub pool: Option<String>,
    /// Matching requests that pass before it applies.
    #[serde(default)]
    pub skip: u32,
    /// Number of times that it applies; `None` for ever.
    #[serde(default)]
    pub count: Option<u32>,
    /// Effect on the request.
    pub action: Action,
}

impl FaultRule {
    /// A rule for every pool that applies once.
    #[must_use]
    pub fn once(verb: Verb, action: Action) -> Self {
        Self {
            verb: Some(verb),
            pool: None,
            skip: 0,
            count: Some(1),
            action,
        }
    }

    /// The same rule for pools that match a pattern.
    #[must_use]
    pub fn on(mut self, pool: &str) -> Self {
        self.pool = Some(pool.to_owned());
        self
    }

    /// The same rule, this many times.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }
}

/// Effect of a fault on a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Refuses it with an error of the catalog.
    Respond {
        /// The error.
        error: Named,
        /// `Retry-After` in seconds, instead of the catalog's.
        #[serde(default)]
        retry_after: Option<u64>,
        /// Carries out the request nevertheless.
        #[serde(default)]
        apply: bool,
    },
    /// Sends exactly this response.
    Raw {
        /// HTTP status.
        status: u16,
        /// Text of the body.
        #[serde(default)]
        body: String,
    },
    /// Makes the operation that it starts fail.
    FailOperation {
        /// The error of the operation.
        error: Named,
    },
    /// Makes the operation that it starts never end.
    StickOperation,
    /// Drops the connection without a response.
    DropConnection {
        /// Carries out the request nevertheless.
        #[serde(default)]
        apply: bool,
    },
    /// Sends no response.
    NeverAnswer {
        /// Carries out the request nevertheless.
        #[serde(default)]
        apply: bool,
    },
    /// Delays it. Later rules may apply to it too.
    Delay {
        /// Delay in milliseconds.
        millis: u64,
    },
}

impl Action {
    /// A refusal with an error of the catalog.
    #[must_use]
    pub fn respond(error: Named) -> Self {
        Self::Respond {
            error,
            retry_after: None,
            apply: false,
        }
    }
}

/// The rules, and how many requests each has matched.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<(u64, FaultRule, u32)>,
    next_id: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, rule: FaultRule) -> u64 {
        self.next_id += 1;
        self.rules.push((self.next_id, rule, 0));
        self.next_id
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.rules.len();
        self.rules.retain(|(known, ..)| *known != id);
        self.rules.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn list(&self) -> Vec<(u64, FaultRule)> {
        self.rules
            .iter()
            .map(|(id, rule, _)| (*id, rule.clone()))
            .collect()
    }

    /// Effects on a request, in order: any number of delays, then at most one other action.
    pub(crate) fn strike(&mut self, verb: Verb, pool: Option<&str>) -> Vec<Action> {
        let mut actions = Vec::new();
        for (_, rule, met) in &mut self.rules {
            if !rule.fits(verb, pool) {
                continue;
            }
            *met += 1;
            let acts = *met > rule.skip
                && rule
                    .count
                    .is_none_or(|count| *met <= rule.skip.saturating_add(count));
            if !acts {
                continue;
            }
            actions.push(rule.action.clone());
            if !matches!(rule.action, Action::Delay { .. }) {
                break;
            }
        }
        actions
    }
}

impl FaultRule {
    fn fits(&self, verb: Verb, pool: Option<&str>) -> bool {
        let verb_fits = self.verb.map_or(verb != Verb::Token, |wanted| wanted == verb);
        let pool_fits = self
            .pool
            .as_ref()
            .is_none_or(|wanted| pool.is_some_and(|name| pattern::fits(wanted, name)));
        verb_fits && pool_fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_acts_from_the_nth_time_as_often_as_told() {
        let mut faults = Faults::default();
        let stick = Action::StickOperation;
        faults.add(FaultRule {
            skip: 1,
            ..FaultRule::once(Verb::Put, stick).on("a*").times(2)
        });
        let mut strike = |verb, pool| faults.strike(verb, Some(pool)).len();
        assert_eq!(strike(Verb::Put, "b"), 0);
        assert_eq!(strike(Verb::Get, "a1"), 0);
        assert_eq!(
            [
                strike(Verb::Put, "a1"),
                strike(Verb::Put, "a1"),
                strike(Verb::Put, "a2")
            ],
            [0, 1, 1]
        );
        assert_eq!(strike(Verb::Put, "a1"), 0);
    }

    #[test]
    fn delays_come_before_the_one_other_action() {
        let mut faults = Faults::default();
        for action in [
            Action::Delay { millis: 1 },
            Action::StickOperation,
            Action::respond(Named::Internal),
        ] {
            faults.add(FaultRule::once(Verb::Put, action));
        }
        assert_eq!(
            faults.strike(Verb::Put, None),
            [Action::Delay { millis: 1 }, Action::StickOperation]
        );
        assert_eq!(faults.strike(Verb::Put, None), [Action::respond(Named::Internal)]);
    }

    #[test]
    fn rules_read_as_json() {
        let rule: FaultRule = serde_json::from_str(
            r#"{"verb":"put","pool":"ws*","action":{"kind":"respond","error":"quota_sync"}}"#,
        )
        .unwrap();
        assert_eq!(rule.count, None);
        assert_eq!(rule.action, Action::respond(Named::QuotaSync));
        assert!(
            serde_json::from_str::<FaultRule>(r#"{"action":{"kind":"respond","error":"nonsense"}}"#).is_err()
        );
    }
}
