//! Requests for upgrades, and the time that the administrator chooses for them.

use jiff::SignedDuration;
use kaito_api::labels;
use plan::{Kind, ObjectRef};
use serde_json::json;
use workspace_plan::{AutomaticUpgrades, UpgradeWindow, Upgrades};

use crate::rng::Rng;
use crate::world::World;

/// A user asks for the upgrade of one model, or takes the request back.
pub(super) fn request(world: &mut World, rng: &mut Rng) {
    let all = world.api.list(Kind::Workspace);
    let all: Vec<ObjectRef> = all.map(|(key, _)| key.clone()).collect();
    let Some(key) = rng.pick(&all) else { return };
    let value = match rng.below(4) {
        0 => serde_json::Value::Null,
        number => json!(number.to_string()),
    };
    world.scribble(
        key,
        &json!({"metadata": {"annotations": {labels::UPGRADE: value}}}),
    );
}

/// The administrator chooses another time of upgrades.
pub(super) fn choose(world: &mut World, rng: &mut Rng) {
    let start = rng.pick(&["00:00", "12:00"]).and_then(|start| start.parse().ok());
    let (Ok(days), Some(start)) = ("Mon,Wed,Thu,Fri,Sun".parse(), start) else {
        return;
    };
    let hours = *rng.pick(&[1, 24]).unwrap_or(&24);
    let automatic = Upgrades::Automatic(AutomaticUpgrades {
        window: UpgradeWindow::new(days, start, SignedDuration::from_hours(hours)),
        timeout: SignedDuration::from_mins(30),
    });
    world.upgrades(if rng.permille(200) {
        Upgrades::Manual
    } else {
        automatic
    });
}
