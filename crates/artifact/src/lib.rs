//! Moves payloads between the web, registries and directories, inside the pods of a Workspace.
//!
//! | command | what it does |
//! |---|---|
//! | `fetch` | downloads URLs to files, from public addresses only |
//! | `pull` | puts `/data` of an image, or the titled files of an artifact, into a directory |
//! | `copy` | copies an adapter from a volume, so that its strength can be written |
//! | `check-push` | asks a registry whether an image may be pushed |
//! | `push` | waits for the end of a tuning, packs its result into an image and pushes it |
//! | `await-push` | waits for a `push` in another container of the pod |
//! | `push-weights` | packs the weights of a model into an image and pushes it |
//! | `publish` | pushes an image that lies in an OCI layout |
//!
//! Each exits with 0 on success. Otherwise it prints one sentence, which is also the container's termination message, and
//! exits with the code of [`Error::exit_code`].
//!
//! The registry client is our own, over `egress` and the types of `oci-spec`. `oci-client` 0.18 takes no identity tokens,
//! resumes no broken transfers, does not retry, and does not bound the size of a manifest.
//!
//! ```text
//! program ─┬─► fetch ──────────────────┬─► egress (addresses that may be reached, downloads)
//!          ├─► pull ────┬─► registry ──┘
//!          ├─► push ────┤
//!          └─► publish ─┘
//! ```

mod args;
mod check_push;
mod copy;
mod error;
mod fetch;
mod marker;
mod outcome;
mod program;
mod progress;
mod publish;
mod pull;
mod push;
mod push_weights;
mod refused;
mod registry;
mod strength;
mod weights;

pub use args::Args;
pub use error::{Error, NoResult, Result};
pub use program::run;
