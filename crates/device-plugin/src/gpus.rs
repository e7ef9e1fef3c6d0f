//! The GPUs of a node, as a file describes them.

use std::path::Path;

use crate::api::Device;

/// The GPUs of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gpus {
    /// All of them.
    pub total: u32,
    /// The first ones, which work.
    pub healthy: u32,
}

impl Gpus {
    /// Reads the file. An absent or damaged one describes a node without GPUs.
    #[must_use]
    pub fn read(file: &Path) -> Self {
        std::fs::read_to_string(file)
            .ok()
            .and_then(|text| Self::parse(&text))
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let (total, healthy) = text.trim().split_once(' ')?;
        Some(Self {
            total: total.parse().ok()?,
            healthy: healthy.trim().parse().ok()?,
        })
    }

    /// The list that the kubelet gets.
    pub(crate) fn devices(self) -> Vec<Device> {
        (0..self.total)
            .map(|number| Device {
                id: format!("GPU-{number}"),
                health: if number < self.healthy {
                    "Healthy"
                } else {
                    "Unhealthy"
                }
                .to_owned(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_all_and_healthy_ones() {
        assert_eq!(Gpus::parse("4 3\n"), Some(Gpus { total: 4, healthy: 3 }));
        assert_eq!(Gpus::parse("four"), None);
        let health: Vec<String> = Gpus { total: 2, healthy: 1 }
            .devices()
            .into_iter()
            .map(|device| device.health)
            .collect();
        assert_eq!(health, ["Healthy", "Unhealthy"]);
    }
}
