//! A client of registries, as the OCI distribution specification describes them.
//!
//! One [`Registry`] works for one repository. It finds the credentials that open it, answers challenges,
//! follows redirects without taking credentials along, waits and tries again where that helps, and believes no
//! byte before its digest is right.

mod auth;
mod challenge;
mod client;
mod credentials;
mod download;
mod manifest;
mod reference;
mod upload;

pub(crate) use client::Registry;
pub(crate) use credentials::Credentials;
pub(crate) use reference::{Target, parse};
pub(crate) use upload::{Blob, Content};
