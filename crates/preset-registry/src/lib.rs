//! The preset registry: a gRPC service that knows every model preset.
//!
//! Serves the built-in catalog, the presets of users' files over it, and where it is told to, what a model hub
//! says. It decides nothing about clusters and never speaks to a cloud; to the API server only where it is told to publish
//! the catalog for admission.

mod args;
mod call;
mod connection;
mod deadline;
mod delta;
mod hub;
mod library;
mod paging;
mod plan;
mod program;
mod publish;
mod server;
mod service;
mod users;
mod watch;

pub use args::{AdmissionArgs, Args, HubArgs, TlsArgs};
pub use hub::{BadEndpoint, HubError, HubOptions};
pub use program::run;
pub use publish::{BadPlace, Place, PublishOptions};
pub use server::{PresetServer, ServeError, ServerOptions};
