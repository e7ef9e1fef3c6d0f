//! On-demand list prices of nodes. The cloud's bill decides.
//!
//! They count for spot nodes too. A spot price moves, so a ceiling by it could be exceeded without a purchase. And a Workspace
//! that may have either could move from spot to on-demand capacity past its ceiling.

use kaito_api::Claim;

use crate::settings::Settings;

/// Price of one node in millionths of a US dollar per hour; `None` if it is unknown.
pub(crate) fn of(settings: &Settings, instance_type: &str) -> Option<u64> {
    let known = settings.instance_types.lookup(settings.cloud, instance_type)?;
    known.list_price.as_ref().map(|price| price.usd_micros_per_hour)
}

/// Price of the claim's node; `None` if it is unknown.
pub(crate) fn of_claim(settings: &Settings, claim: &Claim) -> Option<u64> {
    of(settings, claim.instance_type()?)
}

/// Formats a price, such as `$3.67/h`.
pub(crate) fn shown(usd_micros: u64) -> String {
    format!("${}/h", instance_types::dollars(usd_micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_found_and_shown() {
        assert_eq!(shown(3_673_000), "$3.67/h");
        let settings = crate::testing::settings();
        assert_eq!(of(&settings, "standard_nc24ads_a100_v4"), Some(3_673_000));
        assert_eq!(of(&settings, "Standard_D4s_v99"), None);
    }
}
