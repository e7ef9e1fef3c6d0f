//! The preset that the Workspace names.

use instance_types::did_you_mean;
use kaito_api::PresetSpec;
use kaito_api::conditions::WorkspaceReason;
use preset_catalog::Preset;
use render::Downloads;

use crate::context::PlanContext;
use crate::observed::PresetLookup;
use crate::problem::Problem;

/// Returns the preset, and a note if the registry did not confirm it just now.
pub(super) fn find<'a>(
    context: &PlanContext<'a>,
    wanted: &PresetSpec,
) -> Result<(&'a Preset, Option<Problem>), Problem> {
    let unavailable = |message: &str| Problem::new(WorkspaceReason::PresetRegistryUnavailable, message);
    let (preset, note) = match &context.observed.preset {
        PresetLookup::Found(preset) => (preset, None),
        PresetLookup::Unavailable {
            message,
            last_good: Some(preset),
        } => (preset, Some(unavailable(message))),
        PresetLookup::Unavailable {
            message,
            last_good: None,
        } => return Err(unavailable(message)),
        PresetLookup::Asking => {
            return Err(Problem::new(
                WorkspaceReason::PresetLookupPending,
                format!("waiting for the preset registry's answer about {}", wanted.name),
            ));
        }
        PresetLookup::Unknown { near } => return Err(unknown(&wanted.name, near)),
        PresetLookup::NotNeeded => return Err(unavailable("the preset was not looked up yet")),
    };
    match &preset.deprecated {
        Some(why) => Err(Problem::new(
            WorkspaceReason::PresetDeprecated,
            format!("preset {}: {why}", preset.name),
        )),
        None => Ok((preset, note)),
    }
}

/// Checks that a gated preset comes with a token. A running workload has proved that it needs none.
pub(super) fn check_access(
    context: &PlanContext<'_>,
    preset: &Preset,
    wanted: &PresetSpec,
) -> Result<(), Problem> {
    let hub = &context.settings.downloads.hub;
    // A mirror asks for no token of the hub.
    let is_mirror = hub.trim_end_matches('/') != Downloads::default().hub;
    let has_secret = !wanted.preset_options.model_access_secret.is_empty();
    if !preset.gated || has_secret || is_mirror || context.workload.is_some() {
        return Ok(());
    }
    let cause = format!(
        "preset {} is gated at {hub}, and no Secret with a token is named",
        preset.name
    );
    Err(Problem::new(WorkspaceReason::ModelAccessSecretMissing, cause))
}

fn unknown(name: &str, near: &[String]) -> Problem {
    let hint = did_you_mean::hint(near);
    Problem::new(
        WorkspaceReason::PresetUnknown,
        format!("there is no preset {name}{hint}"),
    )
}
