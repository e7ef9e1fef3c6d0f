//! Workspaces that name capacity types and zones.

use crate::case::Cases;
use crate::case::Expect::{Accepted, Refused};
use crate::workspaces::*;

/// Capacity types and zones in annotations.
pub(crate) fn offerings() -> Cases {
    let types = |text: &str| annotated(inference(), "capacity-types", text);
    let zones = |text: &str| annotated(inference(), "zones", text);
    let no_types = Refused("must be spot, on-demand or reserved, or several of them");
    let no_zones = Refused("must be up to 8 different zones");
    let mut cases = vec![
        (annotated(tuning(), "capacity-types", "spot"), Accepted),
        (annotated(template(), "zones", "2"), Accepted),
        (annotated(types("spot,on-demand"), "zones", "1"), Accepted),
    ];
    let known = ["spot", "on-demand,spot", " reserved , spot,on-demand ", ""];
    cases.extend(known.map(|text| (types(text), Accepted)));
    let wrong = [
        "Spot",
        "cheap",
        "spot,",
        ",",
        "spot,spot",
        "spot on-demand",
        "spot;on-demand",
        "spot,on-demand,reserved,spot",
    ];
    cases.extend(wrong.map(|text| (types(text), no_types)));
    let known = [
        "1",
        "2,1,3",
        "eastus2-1 , eastus2-2",
        "us-east-1a",
        "1,2,3,4,5,6,7,8",
        "",
    ];
    cases.extend(known.map(|text| (zones(text), Accepted)));
    let wrong = ["1,", "1,1", "-1", "a b", "zone/1", "1,2,3,4,5,6,7,8,9"];
    cases.extend(wrong.map(|text| (zones(text), no_zones)));
    cases
}
