//! `check-push`: the right to push, tried before hours of work whose result would be pushed.

use std::time::Duration;

use crate::args::{CheckPush, Common};
use crate::error::Result;
use crate::refused::Refused;
use crate::registry::{Registry, RegistrySettings};

/// Longest silence of a registry, which receives nothing here.
const SILENCE: Duration = Duration::from_secs(30);

/// Returns a line that says that the image may be pushed.
///
/// # Errors
/// The registry refuses, or cannot be reached.
pub(crate) async fn run(args: &CheckPush, common: &Common) -> Result<String> {
    let target = crate::push::tagged(&args.reference)?;
    let reference = target.reference.clone();
    let mut settings: RegistrySettings = args.access.settings(common);
    settings.http.read_timeout = SILENCE;
    let mut client = Registry::open(target, settings, "pull,push", &[]).await?;
    match client.check_push().await {
        Ok(()) => Ok(format!(
            "registry {} permits a push to {}",
            reference.registry(),
            reference.repository()
        )),
        Err(error) => Err(Refused::by(&client, args.secret.as_deref()).explain(error)),
    }
}
