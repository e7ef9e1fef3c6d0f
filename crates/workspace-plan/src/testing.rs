//! Values for unit tests.

use instance_types::{Catalog, Cloud};

use crate::settings::{NodeLimit, ProvisionerMode, Settings};

/// Settings of an installation without ceilings.
pub(crate) fn settings() -> Settings {
    Settings {
        mode: ProvisionerMode::Machine,
        node_claims: render::NodeClaimOptions::default(),
        offerings: Default::default(),
        cloud: Cloud::Azure,
        instance_types: Catalog::embedded().unwrap().clone().into(),
        node_image_family: "ubuntu".to_owned(),
        max_nodes: NodeLimit::default(),
        ceilings: Default::default(),
        tuning_node_retention: Default::default(),
        engine: Default::default(),
        retired_types: Default::default(),
        upgrades: Default::default(),
        images: render::Images::of_registry("registry.example.com/kaito", "0.1.0"),
        downloads: render::Downloads::default(),
        outgoing: render::Outgoing::default(),
        serving: render::Serving::default(),
        image_volumes: true,
        isolation: Default::default(),
    }
}
