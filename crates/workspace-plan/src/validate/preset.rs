//! The preset that the Workspace names.

use kaito_api::PresetSpec;
use kaito_api::conditions::WorkspaceReason;
use preset_catalog::Preset;

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

fn unknown(name: &str, near: &[String]) -> Problem {
    let mut near = near.to_vec();
    near.sort();
    let hint = if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(", "))
    };
    Problem::new(
        WorkspaceReason::PresetUnknown,
        format!("there is no preset {name}{hint}"),
    )
}
