//! Runs a command, within its time, until it is done or somebody ends it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serve::{ListenError, StopSignals};

use crate::args::{Args, Command};
use crate::error::{Error, Result};
use crate::progress::say;
use crate::{fetch, pull, push};

/// The kubelet keeps this much.
const TERMINATION_BYTES: usize = 4096;

/// Carries the command out; the exit status, see [`Error::exit_code`].
pub async fn run(args: Args) -> u8 {
    let outcome = match StopSignals::listen() {
        Ok(signals) => tokio::select! {
            outcome = command(&args) => outcome,
            signal = signals.first() => Err(Error::Stopped(signal)),
        },
        Err(ListenError { source, .. }) => Err(
            Error::local("listen to signals of", Path::new("the system"))(source),
        ),
    };
    let (code, line, termination) = match outcome {
        Ok(done) => (0, done.line, done.result),
        Err(error) => (
            error.exit_code(),
            format!("error: {error}"),
            Some(error.to_string()),
        ),
    };
    say(&line);
    if let Some(text) = termination {
        record(&args.common.termination_log, &text);
    }
    code
}

/// What a person and what Kubernetes is told.
struct Done {
    line: String,
    /// The image that was pushed, by digest.
    result: Option<String>,
}

async fn command(args: &Args) -> Result<Done> {
    let common = &args.common;
    let quiet = |line| Done { line, result: None };
    match &args.command {
        Command::Fetch(fetch) => within(common.timeout, fetch::run(fetch, common)).await.map(quiet),
        Command::Pull(pull) => within(common.timeout, pull::run(pull, common)).await.map(quiet),
        Command::Push(push) => {
            push::wait(push).await?;
            let image = within(common.timeout, push::run(push, common)).await?;
            Ok(Done {
                line: format!("pushed {image}"),
                result: Some(image),
            })
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| {
        Error::TooMuch(format!(
            "not done after {} s, which is all the time there is (--timeout)",
            limit.as_secs()
        ))
    };
    tokio::time::timeout(limit, work).await.map_err(late)?
}

/// Leaves the outcome where the kubelet looks; outside a container there is no such file, and none is made.
fn record(path: &Path, text: &str) {
    let mut end = text.len().min(TERMINATION_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(path) else {
        return;
    };
    if let Err(error) = file.write_all(text.get(..end).unwrap_or(text).as_bytes()) {
        say(&format!("cannot write {}: {error}", path.display()));
    }
}
