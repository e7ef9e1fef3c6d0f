//! The preset registry: a gRPC service with every model preset.
//!
//! Serves the built-in catalog, the presets of users' files over it and, if configured, models of a hub. It decides nothing
//! about clusters and uses no cloud. It uses the API server to check its callers, and to publish the catalog for admission
//! and the authority of its certificate.

mod access;
mod args;
mod authority;
mod beat;
mod call;
mod callers;
mod catalog_delta;
mod catalog_store;
mod connection;
mod deadline;
mod hub;
mod invalid;
mod own_certificate;
mod paging;
mod program;
mod publish;
mod resource_query;
mod server;
mod service;
mod users;
mod watch;

pub use args::{AccessArgs, AdmissionArgs, Args, HubArgs, TlsArgs};
pub use authority::AuthorityOptions;
pub use callers::TokenOptions;
pub use connection::ConnectionTimes;
pub use hub::{HubError, HubOptions};
pub use program::run;
pub use publish::PublishOptions;
pub use server::{PresetServer, ServeError, ServerOptions};
