//! Illness of machines that the cloud does not show.

use crate::rng::Rng;
use crate::world::World;

/// A Node gets ill, or all do, or one recovers, or the cloud takes spot capacity back.
pub(super) fn sicken(world: &mut World, rng: &mut Rng) {
    let Some(pool) = rng.pick(&world.own_instances()).cloned() else {
        return;
    };
    match rng.below(8) {
        0..=2 => world.silence(&pool, true),
        3 => world.silence(&pool, false),
        4 => world.lose_gpus(&pool, 1),
        5 => {
            for pool in world.own_instances() {
                world.silence(&pool, true);
            }
        }
        6 => world.reclaim(&pool, true),
        _ => world.reclaim(&pool, false),
    }
}

/// Mends the machines if more than one is ill. A single one is replaced; of several none is, until an administrator finds the
/// cause.
pub(super) fn mend(world: &mut World) {
    if world.kubelet.unhealthy() > 1 {
        world.kubelet.mend();
    }
}
