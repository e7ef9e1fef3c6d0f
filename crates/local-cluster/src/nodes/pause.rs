//! The image of the first container of every pod: one program that does nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};
use oci_image::{Image, Layout, Platform};

/// Writes the image's layout to `to`; its tag is `1`.
pub(super) fn write_image(program: &Path, to: &Path) -> Result<()> {
    let file = File::open(program).with_context(|| format!("failed to open {}", program.display()))?;
    let size = file.metadata()?.len();
    let layout = Layout::create(to)?;
    let layer = layout.layer(1, |layer| layer.file("pause", true, size, file))?;
    let image = Image {
        platform: Platform::here(),
        layers: vec![layer],
        entrypoint: vec!["/pause".to_owned()],
        user: "65535:65535".to_owned(),
        annotations: BTreeMap::new(),
    };
    layout.image(&image, "1")?;
    Ok(())
}
