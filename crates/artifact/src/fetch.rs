//! `fetch`: URLs to files.

mod source;

use std::sync::Arc;
use std::time::Duration;

use egress::{
    Client, DownloadSettings, Downloaded, Downloader, Policy as _, RemoteFile, WebPolicy, without_secrets,
};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::args::{Common, Fetch};
use crate::error::Result;
use crate::progress::{Reporter, bytes, say};

/// Concurrent files. Their requests share the connections.
const FILES: usize = 4;
/// Most redirects of one request, about as many as browsers follow.
const REDIRECTS: usize = 10;
/// Longest silence of a server.
const SILENCE: Duration = Duration::from_secs(60);

/// Fetches all files, or fails with the first failure.
///
/// # Errors
/// See [`Error`](crate::Error).
pub(crate) async fn run(args: &Fetch, common: &Common) -> Result<String> {
    let files = source::files(&args.urls)?;
    let policy = WebPolicy {
        allow_http: args.allow_http,
        allow_private: args.allow_private,
        allowed_hosts: args.allow_host.clone(),
    };
    for file in &files {
        policy.check(&file.url).map_err(egress::Error::from)?;
    }
    let client = Client::new(Arc::new(policy), common.http(SILENCE, REDIRECTS))?;
    let settings = DownloadSettings {
        directory: args.to.clone(),
        retry: common.retry(),
        part_bytes: args.part_bytes,
        connections: usize::from(args.connections),
        max_bytes: common.max_bytes,
    };
    let downloader = Downloader::new(client, None, settings);
    let _reporter = Reporter::start("fetched", downloader.count());
    let from = &downloader;
    let lines: Vec<String> = futures::stream::iter(&files)
        .map(|file| async move { Ok::<_, egress::Error>(line(file, from.file(file).await?)) })
        .buffer_unordered(FILES)
        .try_collect()
        .await?;
    for line in &lines {
        say(line);
    }
    Ok(format!("fetched {} files to {}", lines.len(), args.to.display()))
}

fn line(file: &RemoteFile, downloaded: Downloaded) -> String {
    match downloaded {
        Downloaded::Present => format!("{} exists already, with the right checksum", file.name),
        Downloaded::Fetched { size } => format!(
            "{} from {} ({})",
            file.name,
            without_secrets(&file.url),
            bytes(size as f64)
        ),
    }
}
