//! Ceilings of nodes and of their list price, for one Workspace and for all of a namespace.

use instance_types::{Ceiling, Ceilings};
use kaito_api::conditions::WorkspaceReason;

use crate::price;
use crate::problem::Problem;

/// Returns the reason for which a Workspace may not have nodes of this cost beside `others`.
pub(crate) fn refuse(
    ceilings: &Ceilings,
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
    if ceilings.limit_price() && needs.is_unpriced {
        return Some(refusal(Cause::Unpriced));
    }
    if let Some(exceeded) = exceeded(ceilings.workspace, needs, Cost::default()) {
        return Some(refusal(Cause::Workspace(exceeded)));
    }
    let exceeded = exceeded(ceilings.namespace, needs, others)?;
    Some(refusal(Cause::Namespace(namespace.to_owned(), exceeded)))
}

fn exceeded(ceiling: Ceiling, needs: Cost, others: Cost) -> Option<Exceeded> {
    let nodes = ceiling
        .nodes
        .filter(|limit| others.nodes.saturating_add(needs.nodes) > *limit);
    if let Some(limit) = nodes {
        return Some(Exceeded::Nodes {
            left: limit.saturating_sub(others.nodes),
            limit,
        });
    }
    let limit = ceiling.usd_per_hour?.micros();
    let left = limit.saturating_sub(others.usd_micros);
    (needs.usd_micros > left).then_some(Exceeded::Price { left, limit })
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
    fn a_refusal_names_number_price_and_what_is_left() {
        let ceilings = Ceilings {
            workspace: Ceiling {
                nodes: Some(4),
                usd_per_hour: "20".parse().ok(),
            },
            namespace: Ceiling {
                nodes: Some(6),
                usd_per_hour: "30".parse().ok(),
            },
        };
        let cause = |nodes, each, others| {
            let refusal = refuse(&ceilings, "team", "A", Cost::of(nodes, each), others);
            refusal.map(|refusal| refusal.problem().cause)
        };
        let none = Cost::default();
        let check = |found: Option<String>, expected: &str| assert_eq!(found.as_deref(), Some(expected));
        assert_eq!(cause(4, Some(5_000_000), none), None);
        check(
            cause(5, Some(1_000_000), none),
            "5 nodes of A would cost $5.00/h; a Workspace may have 4 nodes",
        );
        check(
            cause(1, Some(21_000_000), none),
            "1 node of A would cost $21.00/h; a Workspace may cost $20.00/h",
        );
        let others = Cost::of(5, Some(5_000_000));
        check(
            cause(2, Some(1_000_000), others),
            "2 nodes of A would cost $2.00/h; namespace team has 1 of 6 nodes left",
        );
        check(
            cause(1, Some(5_010_000), others),
            "1 node of A would cost $5.01/h; namespace team has $5.00/h of $30.00/h left",
        );
        assert_eq!(cause(1, Some(5_000_000), others), None);
        check(
            cause(1, None, none),
            "the price of A is not known, and prices have a ceiling",
        );
    }
}
