//! The only way to an address that a user, or a server that a user named, may have chosen.
//!
//! | module | what it does |
//! |---|---|
//! | [`address`] | the table of special-purpose addresses |
//! | `policy` | which URLs and addresses a client may reach: any public host ([`WebPolicy`]), or one hub ([`HubPolicy`]) |
//! | `client` | resolves, checks and connects; follows redirects, each checked; sends credentials to one origin only |
//! | `hub` | small files and facts of one server that the operator named |
//! | `download` | large files: in parts, resumed, checked |
//!
//! A program that connects elsewhere, to the API server or a cloud, takes the address from its own configuration and does not
//! need this crate.

pub mod address;
mod chain;
mod client;
mod download;
mod error;
mod hub;
mod policy;
mod retry;
mod token;

pub use chain::Chain;
pub use client::{
    Body, Client, Credentials, Follow, ProxySettings, Request, Settings, chunk, read, status_error,
};
pub use download::{DownloadSettings, Downloaded, Downloader, RemoteFile, TransferCount};
pub use error::{Error, ErrorClass, Result};
pub use hub::Hub;
pub use policy::{BadEndpoint, HubPolicy, Policy, Refusal, WebPolicy, without_secrets};
pub use retry::{Attempts, Retry, Transient};
pub use token::BearerToken;
