//! Makers of accelerators by their names in messages.

use instance_types::Vendor;

const NAMES: [(Vendor, &str); 3] = [
    (Vendor::Nvidia, "nvidia"),
    (Vendor::Amd, "amd"),
    (Vendor::Aws, "aws"),
];

pub(crate) fn name(vendor: Vendor) -> &'static str {
    NAMES
        .iter()
        .find(|(other, _)| *other == vendor)
        .map_or("", |(_, name)| name)
}

pub(crate) fn of(name: &str) -> Option<Vendor> {
    NAMES
        .iter()
        .find(|(_, other)| *other == name)
        .map(|(vendor, _)| *vendor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vendor_has_a_name() {
        for vendor in [Vendor::Nvidia, Vendor::Amd, Vendor::Aws] {
            assert_eq!(of(name(vendor)), Some(vendor));
        }
        assert_eq!(of(""), None);
    }
}
