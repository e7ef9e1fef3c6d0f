//! Ceilings of nodes and of their list price, for one Workspace and for all of a namespace.

use std::str::FromStr;

use kaito_api::conditions::WorkspaceReason;

use crate::price;
use crate::problem::Problem;

/// A price in US dollars per hour, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsdPerHour(u64);

impl FromStr for UsdPerHour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, cents) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let parsed = || {
            let cents: u64 = format!("{cents:0<2}").parse().ok()?;
            let whole: u64 = whole.parse().ok()?;
            whole
                .checked_mul(1_000_000)?
                .checked_add(cents.checked_mul(10_000)?)
        };
        let good = is_number(whole) && is_number(cents) && cents.len() <= 2;
        let micros = if good { parsed() } else { None };
        micros
            .map(Self)
            .ok_or_else(|| "must be US dollars per hour, such as 25 or 7.50".to_owned())
    }
}

/// Ceiling of nodes and of their price; `None` is no ceiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Number of nodes.
    pub nodes: Option<u32>,
    /// List price of all nodes.
    pub usd_per_hour: Option<UsdPerHour>,
}

/// Ceilings of each Workspace and of each namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Ceiling of one Workspace.
    pub workspace: Ceiling,
    /// Ceiling of all Workspaces of one namespace together.
    pub namespace: Ceiling,
}

impl Ceilings {
    /// Returns true if nothing is limited.
    #[must_use]
    pub fn are_off(&self) -> bool {
        *self == Self::default()
    }

    fn limit_price(&self) -> bool {
        self.workspace.usd_per_hour.is_some() || self.namespace.usd_per_hour.is_some()
    }

    /// Returns the reason for which a Workspace may not have nodes of this cost beside `others`.
    pub(crate) fn refuse(
        &self,
        namespace: &str,
        instance_type: &str,
        needs: Cost,
        others: Cost,
    ) -> Option<CeilingRefusal> {
        let refusal = |cause| CeilingRefusal {
            instance_type: instance_type.to_owned(),
            needs,
            cause,
        };
        if self.limit_price() && needs.is_unpriced {
            return Some(refusal(Cause::Unpriced));
        }
        if let Some(exceeded) = self.workspace.exceeded(needs, Cost::default()) {
            return Some(refusal(Cause::Workspace(exceeded)));
        }
        let exceeded = self.namespace.exceeded(needs, others)?;
        Some(refusal(Cause::Namespace(namespace.to_owned(), exceeded)))
    }
}

impl Ceiling {
    fn exceeded(self, needs: Cost, others: Cost) -> Option<Exceeded> {
        let nodes = self
            .nodes
            .filter(|limit| others.nodes.saturating_add(needs.nodes) > *limit);
        if let Some(limit) = nodes {
            return Some(Exceeded::Nodes {
                left: limit.saturating_sub(others.nodes),
                limit,
            });
        }
        let UsdPerHour(limit) = self.usd_per_hour?;
        let left = limit.saturating_sub(others.usd_micros);
        (needs.usd_micros > left).then_some(Exceeded::Price { left, limit })
    }
}

/// Nodes and their list price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    nodes: u32,
    usd_micros: u64,
    /// Marks nodes of an unknown price.
    is_unpriced: bool,
}

impl Cost {
    /// Cost of this many nodes of one price.
    pub(crate) fn of(nodes: usize, usd_micros_each: Option<u64>) -> Self {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        Self {
            nodes,
            usd_micros: usd_micros_each
                .unwrap_or_default()
                .saturating_mul(u64::from(nodes)),
            is_unpriced: usd_micros_each.is_none() && nodes > 0,
        }
    }

    /// Adds one node.
    pub(crate) fn add(&mut self, usd_micros: u64) {
        self.nodes = self.nodes.saturating_add(1);
        self.usd_micros = self.usd_micros.saturating_add(usd_micros);
    }
}

/// Reason for which nodes are not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CeilingRefusal {
    instance_type: String,
    needs: Cost,
    cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Unpriced,
    Workspace(Exceeded),
    Namespace(String, Exceeded),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exceeded {
    Nodes { left: u32, limit: u32 },
    Price { left: u64, limit: u64 },
}

impl CeilingRefusal {
    /// The problem to report.
    pub(crate) fn problem(&self) -> Problem {
        let Cost {
            nodes, usd_micros, ..
        } = self.needs;
        let plural = if nodes == 1 { "" } else { "s" };
        let what = format!("{nodes} node{plural} of {}", self.instance_type);
        let costs = match usd_micros {
            0 => what,
            price => format!("{what} would cost {}", price::shown(price)),
        };
        let too_much = |cause| Problem::new(WorkspaceReason::SpendingCeilingExceeded, cause);
        match &self.cause {
            Cause::Unpriced => {
                let cause = format!(
                    "the price of {} is not known, and prices have a ceiling",
                    self.instance_type
                );
                Problem::new(WorkspaceReason::PriceUnknown, cause)
            }
            Cause::Workspace(Exceeded::Nodes { limit, .. }) => {
                too_much(format!("{costs}; a Workspace may have {limit} nodes"))
            }
            Cause::Workspace(Exceeded::Price { limit, .. }) => {
                too_much(format!("{costs}; a Workspace may cost {}", price::shown(*limit)))
            }
            Cause::Namespace(name, Exceeded::Nodes { left, limit }) => too_much(format!(
                "{costs}; namespace {name} has {left} of {limit} nodes left"
            )),
            Cause::Namespace(name, Exceeded::Price { left, limit }) => too_much(format!(
                "{costs}; namespace {name} has {} of {} left",
                price::shown(*left),
                price::shown(*limit)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_dollars_with_cents() {
        assert_eq!("25".parse(), Ok(UsdPerHour(25_000_000)));
        assert_eq!("7.5".parse(), Ok(UsdPerHour(7_500_000)));
        assert_eq!("7.05".parse(), Ok(UsdPerHour(7_050_000)));
        for wrong in ["", "-1", "1.", ".5", "1.234", "$3", "1e3", "99999999999999999999"] {
            assert!(wrong.parse::<UsdPerHour>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_names_number_price_and_what_is_left() {
        let ceilings = Ceilings {
            workspace: Ceiling {
                nodes: Some(4),
                usd_per_hour: Some(UsdPerHour(20_000_000)),
            },
            namespace: Ceiling {
                nodes: Some(6),
                usd_per_hour: Some(UsdPerHour(30_000_000)),
            },
        };
        let refuse = |nodes, each, others| {
            let refusal = ceilings.refuse("team", "A", Cost::of(nodes, each), others);
            refusal.map(|refusal| refusal.problem().cause)
        };
        let none = Cost::default();
        let check = |found: Option<String>, expected: &str| assert_eq!(found.as_deref(), Some(expected));
        assert_eq!(refuse(4, Some(5_000_000), none), None);
        check(
            refuse(5, Some(1_000_000), none),
            "5 nodes of A would cost $5.00/h; a Workspace may have 4 nodes",
        );
        check(
            refuse(1, Some(21_000_000), none),
            "1 node of A would cost $21.00/h; a Workspace may cost $20.00/h",
        );
        let others = Cost::of(5, Some(5_000_000));
        check(
            refuse(2, Some(1_000_000), others),
            "2 nodes of A would cost $2.00/h; namespace team has 1 of 6 nodes left",
        );
        check(
            refuse(1, Some(5_010_000), others),
            "1 node of A would cost $5.01/h; namespace team has $5.00/h of $30.00/h left",
        );
        assert_eq!(refuse(1, Some(5_000_000), others), None);
        check(
            refuse(1, None, none),
            "the price of A is not known, and prices have a ceiling",
        );
    }
}
