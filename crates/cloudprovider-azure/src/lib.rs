//! AKS agent pools through Azure Resource Manager: an adapter of [`cloudprovider::CloudProvider`].
//!
//! It maps Azure's texts and types to those of the port and keeps within Azure's request limits. It decides nothing
//! about pools, waits for no operation and repeats no request, except once after an access token was refused.

mod agent_pool;
mod args;
mod arm;
mod compute;
mod config;
mod credential;
mod endpoint;
mod error;
mod limiter;
mod provider;
mod spot;
mod transport;
mod wire;

pub use args::{ArgsError, AzureArgs};
pub use config::{AzureConfig, ConnectError, Settings};
pub use endpoint::{Endpoint, EndpointError};
pub use provider::AzureProvider;
