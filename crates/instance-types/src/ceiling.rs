//! Ceilings of nodes and of their list price, as the administrator sets them. The planner and the policies enforce them.

use std::str::FromStr;

use crate::price;

/// A price in US dollars per hour, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsdPerHour(u64);

impl UsdPerHour {
    /// Returns the price in millionths of a US dollar.
    #[must_use]
    pub fn micros(self) -> u64 {
        self.0
    }
}

impl FromStr for UsdPerHour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        price::micros(text)
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

    /// Returns true if a price is limited.
    #[must_use]
    pub fn limit_price(&self) -> bool {
        self.workspace.usd_per_hour.is_some() || self.namespace.usd_per_hour.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_dollars_with_cents() {
        let micros = |text: &str| text.parse().map(UsdPerHour::micros);
        assert_eq!(micros("25"), Ok(25_000_000));
        assert_eq!(micros("7.5"), Ok(7_500_000));
        assert_eq!(micros("7.05"), Ok(7_050_000));
        assert_eq!(micros("0"), Ok(0));
        for wrong in ["", "-1", "1.", ".5", "$3", "1e3", "99999999999999999999"] {
            assert!(wrong.parse::<UsdPerHour>().is_err(), "{wrong}");
        }
    }
}
