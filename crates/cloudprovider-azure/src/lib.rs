//! AKS agent pools through Azure Resource Manager: an adapter of [`cloudprovider::CloudProvider`].
//!
//! Maps Azure's texts and types to the port's and keeps within Azure's request budgets. Decides nothing about
//! pools, waits for no operation and repeats no request, save once when an access token was refused.

mod args;
mod arm;
mod config;
mod credential;
mod endpoint;
mod error;
pub mod gate;
mod provider;
mod transport;
mod wire;

pub use args::{ArgsError, AzureArgs};
pub use config::{AzureConfig, ConnectError, Settings};
pub use endpoint::{Endpoint, EndpointError};
pub use provider::AzureProvider;
