//! Everything kube-shaped that the controllers share: stores, work queue, the drive from trigger to carried-out
//! plan, leader election and the frame of a program.
//!
//! The only crate that writes to the API server. It knows no domain: what an object means, and what is to be
//! done about it, comes from a [`Reconciler`].

pub mod apply;
pub mod backoff;
pub mod cache;
pub mod client;
pub mod crd_gate;
pub mod drive;
mod election;
pub mod error;
pub mod events;
pub mod execute;
mod finalizer;
pub mod key;
pub mod leader;
pub mod live;
mod own_writes;
mod pass;
pub mod queue;
pub mod reconciler;
pub mod run;
pub mod runtime;
pub mod store;
pub mod stores;
mod wire;

pub use backoff::delay;
pub use cache::{Cache, Touched, Watched};
pub use client::{ClientArgs, connect, install_tls_provider};
pub use drive::{Drive, DriveSettings};
pub use error::{Chain, Class, Error};
pub use key::Key;
pub use leader::{LeaderArgs, Leadership};
pub use queue::{Trigger, Work, queue};
pub use reconciler::Reconciler;
pub use run::Tasks;
pub use runtime::Runtime;
pub use store::{Index, Store};
pub use stores::{Caches, Watch};

#[cfg(test)]
mod testing;
