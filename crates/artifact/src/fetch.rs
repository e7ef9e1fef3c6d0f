//! `fetch`: URLs to files.
//!
//! A file appears under its name only when it is complete and its checksum, if any, is right. Until then it is
//! a hidden file, with notes beside it, from which a restarted container goes on.

mod download;
mod job;
mod parts;
mod request;
mod source;
mod web;

pub use web::{Limits, RemoteFile, Web};

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;

use crate::args::{Common, Fetch};
use crate::error::{Error, Result};
use crate::guard::Guard;
use crate::progress::{Count, Reporter, say};
use crate::retry::Retry;

/// Files fetched at the same time; their requests share the connections.
const FILES: usize = 4;

/// Fetches everything, or fails with the first thing that cannot be had.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn run(args: &Fetch, common: &Common) -> Result<String> {
    let sources = source::sources(&args.urls)?;
    let guard = Arc::new(Guard {
        allow_http: args.allow_http,
        allow_private: args.allow_private,
        allowed_hosts: args.allow_host.clone(),
    });
    for source in &sources {
        guard.check(&source.url)?;
    }
    std::fs::create_dir_all(&args.to).map_err(Error::local("create", &args.to))?;
    let count = Arc::new(Count::default());
    let requester = request::Requester {
        client: crate::http::client(&guard, common.ca_file.as_deref(), crate::http::Use::Web)?,
        guard,
        permits: Semaphore::new(usize::from(args.connections)),
        credentials: None,
    };
    let fetcher = download::Fetcher {
        requester,
        directory: args.to.clone(),
        retry: Retry {
            attempts: common.attempts,
            first: common.retry_delay,
        },
        part_bytes: args.part_bytes,
        connections: usize::from(args.connections),
        max_bytes: common.max_bytes,
        count: Arc::clone(&count),
        reserved: Default::default(),
    };
    let _reporter = Reporter::start("fetched", count);
    let files: Vec<String> = futures::stream::iter(&sources)
        .map(|source| fetcher.file(source))
        .buffer_unordered(FILES)
        .try_collect()
        .await?;
    for line in &files {
        say(line);
    }
    Ok(format!("fetched {} files to {}", files.len(), args.to.display()))
}
