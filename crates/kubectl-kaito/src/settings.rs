//! The settings of an engine, from the ConfigMap in the file of a Workspace.

use preset_catalog::engine_config::EngineConfig;
use serde_json::Value;

use crate::documents;
use crate::output::printable;

/// Settings of the ConfigMap that the Workspace names, if it is in the file, and a line about it.
pub(crate) fn of(workspace: &Value, documents: &[Value]) -> anyhow::Result<(EngineConfig, String)> {
    let named = lint::config_of(workspace).filter(|_| !workspace["tuning"].is_object());
    let Some(name) = named else {
        return Ok(Default::default());
    };
    let Some(config_map) = documents::config_map(documents, workspace, name) else {
        let line = format!(
            "ConfigMap {} is not in the file, so its settings are not considered.\n",
            printable(name)
        );
        return Ok((EngineConfig::default(), line));
    };
    let config = lint::engine_config(workspace, config_map).map_err(anyhow::Error::msg)?;
    let effect = match config.options.to_string() {
        text if text.is_empty() => "nothing but the context".to_owned(),
        text => text,
    };
    let line = format!(
        "Settings of ConfigMap {} that change the size: {effect}.\n",
        printable(name)
    );
    Ok((config, line))
}
