//! Calls of the simulated provisioner to the simulated cloud: kept within limits by the product's own [`RateLimiter`], and
//! recorded by its own [`InstanceTracker`]. No request takes time, so no two are sent at once.

use std::time::Duration;

use cloudprovider::{
    CloudCall, ErrorClass, InstanceTracker, ProviderError, RateLimiter, Recorded, RequestKind,
};
use jiff::{SignedDuration, Timestamp};

use crate::cloud::{Cloud, budgets};
use crate::controllers::{Fuse, Halt};

/// Pause after a call whose result the next plan looks at.
const SOON: SignedDuration = SignedDuration::from_millis(100);

/// Knowledge of a provisioner about the cloud, and its limits.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The cloud as it knows it.
    pub tracker: InstanceTracker,
    /// Limits on requests; none in most runs.
    pub limiter: Option<RateLimiter>,
}

impl Caller {
    /// Carries out one call at a time of the tracker's clock; the program may die before it records the answer. Returns the
    /// time until the next plan, if that may differ.
    ///
    /// # Errors
    /// `Crashed`.
    pub fn carry_out(
        &mut self,
        now: Timestamp,
        call: &CloudCall,
        cloud: &mut Cloud,
        fuse: &mut Fuse,
    ) -> Result<Option<SignedDuration>, Halt> {
        let recorded = self.send(now, call, cloud, fuse)?;
        if let Some(read) = &recorded.follow_up {
            let read = self.send(now, read, cloud, fuse)?.result;
            return Ok(pause_after(recorded.and(read), true));
        }
        // A failed read is repeated when the plan says so; a failed write is looked at soon.
        let is_read = matches!(call, CloudCall::Read { .. } | CloudCall::ReadOperation { .. });
        Ok(pause_after(recorded.result, !is_read))
    }

    /// Lists every instance.
    ///
    /// # Errors
    /// The cloud's, or that of a limit.
    pub fn list(&mut self, now: Timestamp, cloud: &mut Cloud) -> Result<Vec<String>, ProviderError> {
        let all = self.limited(RequestKind::List, now, cloud, Cloud::list)?;
        Ok(self.tracker.on_list(now, all))
    }

    fn send(
        &mut self,
        now: Timestamp,
        call: &CloudCall,
        cloud: &mut Cloud,
        fuse: &mut Fuse,
    ) -> Result<Recorded, Halt> {
        Ok(match call {
            CloudCall::Read { name } => {
                let answer = self.limited(RequestKind::Get, now, cloud, |cloud| cloud.get(name));
                self.tracker.on_read(now, name, answer)
            }
            CloudCall::Create(spec) => {
                let kind = RequestKind::Put(&spec.name);
                let answer = self.limited(kind, now, cloud, |cloud| cloud.create(spec));
                fuse.burn()?;
                self.tracker.on_create(now, spec, answer)
            }
            CloudCall::Delete { name, version } => {
                let delete = |cloud: &mut Cloud| cloud.delete(name, version.as_deref());
                let answer = self.limited(RequestKind::Delete, now, cloud, delete);
                fuse.burn()?;
                self.tracker.on_delete((now, now), name, answer)
            }
            CloudCall::Abort { name } => {
                let answer = self.limited(RequestKind::Abort, now, cloud, |cloud| cloud.abort(name));
                fuse.burn()?;
                self.tracker.on_abort(now, name, answer)
            }
            CloudCall::ReadOperation { name, url } => {
                let answer = self.limited(RequestKind::Operation, now, cloud, |cloud| cloud.operation(url));
                self.tracker.on_operation(name, answer)
            }
        })
    }

    /// Sends a request if the limits permit it.
    fn limited<T>(
        &mut self,
        kind: RequestKind<'_>,
        now: Timestamp,
        cloud: &mut Cloud,
        send: impl FnOnce(&mut Cloud) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let Some(limiter) = &mut self.limiter else {
            return send(cloud);
        };
        let now = Duration::try_from(now.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
        let permit = limiter.acquire(kind, now)?;
        let answer = send(cloud);
        if let Some(left) = cloud.left(kind) {
            limiter.cap(&permit, left, now);
        }
        let refusal = answer.as_ref().err();
        let is_wide = refusal.is_some_and(|error| error.code == budgets::OF_SUBSCRIPTION);
        limiter.report(permit, refusal, is_wide, now);
        answer
    }
}

/// Returns the time until the next plan after a result.
fn pause_after(result: Result<bool, ProviderError>, looks_after_failure: bool) -> Option<SignedDuration> {
    match result {
        Ok(news) => news.then_some(SOON),
        Err(error) if error.class == ErrorClass::LocallyLimited => error.retry_after.or(Some(SOON)),
        Err(_) => looks_after_failure.then_some(SOON),
    }
}
