//! A client of registries, by the OCI distribution specification.
//!
//! One [`Registry`] works for one repository. It finds the credentials that open it, answers challenges, follows redirects
//! without taking credentials along, retries transient failures, and checks the digest of every blob.

mod auth;
mod azure;
mod challenge;
mod check;
mod client;
mod credentials;
mod download;
mod manifest;
mod reference;
mod upload;

pub(crate) use client::{Registry, RegistrySettings};
pub(crate) use reference::{Target, parse};
pub(crate) use upload::{Blob, Content};
