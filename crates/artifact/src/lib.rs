//! Moves payloads between the web, registries and directories, inside the pods of a Workspace.
//!
//! | command | what it does |
//! |---|---|
//! | `fetch` | downloads URLs to files, and never from an address that a pod must not be talked into reaching |
//! | `pull` | puts `/data` of an image, or the titled files of an artifact, into a directory |
//! | `push` | waits until tuning is done, packs its result into an image and pushes it |
//!
//! Each ends with 0 when all is done. Otherwise it prints one sentence, which is also the container's
//! termination message, and ends with the code of [`Error::exit_code`].
//!
//! Another program that fetches as a part of its work uses [`Web`].
//!
//! The registry client is our own, over `reqwest` and the types of `oci-spec`. `oci-client` 0.18 was looked at:
//! it neither takes identity tokens, nor goes on with broken transfers, nor waits and tries again, nor bounds
//! what it reads of a manifest.
//!
//! ```text
//! program ─┬─► fetch ──┬─► http ──► guard (which addresses may be reached)
//!          ├─► pull ───┤   retry
//!          └─► push ───┴─► registry ──► http
//! ```

mod args;
mod error;
mod fetch;
mod guard;
mod http;
mod marker;
mod program;
mod progress;
mod pull;
mod push;
mod registry;
mod retry;

pub use args::Args;
pub use error::{Error, Result};
pub use fetch::{Limits, RemoteFile, Web};
pub use program::run;
