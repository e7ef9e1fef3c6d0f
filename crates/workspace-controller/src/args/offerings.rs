//! Flags about the offerings of nodes.

use kaito_api::AllowedOfferings;
use kaito_api::allowed_offerings::{CAPACITY_TYPES_FORM, ZONES_FORM};

/// Capacity types and zones of the nodes of Workspaces whose annotations name none.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Offerings")]
pub struct OfferingArgs {
    /// Capacity types in the order in which they are tried, such as spot,on-demand. Unset asks for on-demand alone.
    #[arg(long, env = "NODE_CAPACITY_TYPES", value_name = "TYPES", value_parser = capacity_types)]
    pub node_capacity_types: Option<CommaList>,
    /// Zones in the order in which they are tried, such as eastus2-1,eastus2-2. Unset leaves it to the cloud.
    #[arg(long, env = "NODE_ZONES", value_name = "ZONES", value_parser = zones)]
    pub node_zones: Option<CommaList>,
}

/// Words that were separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommaList(pub Vec<String>);

impl OfferingArgs {
    /// Returns what the nodes may have.
    pub(super) fn allowed(&self) -> AllowedOfferings {
        let words = |list: &Option<CommaList>| list.clone().unwrap_or_default().0;
        AllowedOfferings {
            capacity_types: words(&self.node_capacity_types),
            zones: words(&self.node_zones),
        }
    }
}

fn capacity_types(text: &str) -> Result<CommaList, String> {
    let types = AllowedOfferings::parse_capacity_types(text).map(CommaList);
    types.ok_or_else(|| format!("must be {CAPACITY_TYPES_FORM}"))
}

fn zones(text: &str) -> Result<CommaList, String> {
    let zones = AllowedOfferings::parse_zones(text).map(CommaList);
    zones.ok_or_else(|| format!("must be {ZONES_FORM}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::Args;

    #[test]
    fn the_written_order_is_kept() {
        let of = |flags: &[&str]| {
            let args = Args::try_parse_from([&["workspace-controller"], flags].concat());
            args.map(|args| args.offerings.allowed())
                .map_err(|error| error.to_string())
        };
        assert_eq!(of(&[]).unwrap(), Default::default());
        let both = of(&[
            "--node-capacity-types=spot,on-demand",
            "--node-zones=eastus-2,eastus-1",
        ])
        .unwrap();
        assert_eq!(both.capacity_types, ["spot", "on-demand"]);
        assert_eq!(both.zones, ["eastus-2", "eastus-1"]);
        for (wrong, must) in [
            (
                "--node-capacity-types=cheap",
                "must be spot, on-demand or reserved",
            ),
            ("--node-zones=a b", "must be up to 8 different zones"),
        ] {
            assert!(of(&[wrong]).unwrap_err().contains(must), "{wrong}");
        }
    }
}
