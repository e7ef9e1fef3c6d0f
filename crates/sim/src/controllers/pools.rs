//! Calls of the simulated provisioner to the simulated cloud, recorded by the product's own [`InstanceTracker`].

use cloudprovider::{CloudCall, InstanceTracker, Recorded};
use jiff::Timestamp;

use crate::cloud::Cloud;
use crate::controllers::{Fuse, Halt};

/// Carries out one call; the program may die before it records the answer. Returns true if the next plan may differ.
///
/// # Errors
/// `Crashed`.
pub fn carry_out(
    tracker: &mut InstanceTracker,
    now: Timestamp,
    call: &CloudCall,
    cloud: &mut Cloud,
    fuse: &mut Fuse,
) -> Result<bool, Halt> {
    let recorded = send(tracker, now, call, cloud, fuse)?;
    if let Some(read) = &recorded.follow_up {
        let read = send(tracker, now, read, cloud, fuse)?.result;
        return Ok(recorded.and(read).unwrap_or(true));
    }
    // A failed read is repeated when the plan says so; a failed write is looked at soon.
    let is_read = matches!(call, CloudCall::Read { .. } | CloudCall::ReadOperation { .. });
    Ok(recorded.result.unwrap_or(!is_read))
}

fn send(
    tracker: &mut InstanceTracker,
    now: Timestamp,
    call: &CloudCall,
    cloud: &mut Cloud,
    fuse: &mut Fuse,
) -> Result<Recorded, Halt> {
    Ok(match call {
        CloudCall::Read { name } => tracker.on_read(now, name, cloud.get(name)),
        CloudCall::Create(spec) => {
            let answer = cloud.create(spec);
            fuse.burn()?;
            tracker.on_create(now, spec, answer)
        }
        CloudCall::Delete { name, version } => {
            let answer = cloud.delete(name, version.as_deref());
            fuse.burn()?;
            tracker.on_delete((now, now), name, answer)
        }
        CloudCall::Abort { name } => {
            let answer = cloud.abort(name);
            fuse.burn()?;
            tracker.on_abort(now, name, answer)
        }
        CloudCall::ReadOperation { name, url } => tracker.on_operation(name, cloud.operation(url)),
    })
}
