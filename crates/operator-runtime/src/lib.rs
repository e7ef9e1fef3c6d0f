//! The runtime that the controllers share: caches, work queue, reconcile loop, leader election and the frame of a
//! program.
//!
//! The only crate that writes to the API server, but for two ConfigMaps of `preset-registry`. It knows no domain, except for the
//! files of instance types. A [`Reconciler`] says what belongs to an object and what is to be done about it.
//!
//! One object's way: `watch.rs` → `queue.rs` → `controller.rs` → `reconcile.rs` (observe, plan, execute) →
//! `execute.rs` → `apply.rs`.

mod api_writer;
mod apply;
mod backoff;
mod cache;
mod cache_writer;
mod caches;
mod client;
pub mod clock;
mod config_map_name;
mod controller;
mod cooldown;
pub mod crd_gate;
mod election;
mod error;
mod events;
mod execute;
mod fence;
mod finalizer;
mod health;
mod instance_type_args;
mod key;
pub mod leader;
pub mod live;
mod metrics;
mod publish;
mod queue;
mod reconcile;
mod reconciled_object;
mod reconciler;
mod release;
mod run;
mod runtime;
mod state_revision;
mod watch;

pub use cache::{Cache, Index};
pub use cache_writer::{CacheWriter, Change, Watched};
pub use caches::Caches;
pub use client::{ClientArgs, connect, install_tls_provider};
pub use config_map_name::{BadConfigMapName, ConfigMapName};
pub use controller::{Controller, ControllerSettings};
pub use error::{Chain, Error};
pub use health::{Health, HealthArgs};
pub use instance_type_args::InstanceTypeArgs;
pub use key::Key;
pub use leader::{LeaderArgs, Leadership};
pub use publish::ConfigMapPublisher;
pub use queue::{Enqueuer, WorkQueue, queue};
pub use reconciler::Reconciler;
pub use run::Tasks;
pub use runtime::Runtime;
pub use watch::Watch;

#[cfg(test)]
mod testing;
