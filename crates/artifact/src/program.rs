//! Runs a command within its time, until it ends or a signal arrives.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serve::StopSignals;

use crate::args::{Args, Command};
use crate::error::{Error, Result};
use crate::progress::say;
use crate::{check_push, copy, fetch, outcome, publish, pull, push, push_weights, weights};

/// Bytes of a termination message that the kubelet keeps.
const TERMINATION_BYTES: usize = 4096;

/// Runs the command and returns the exit status of [`Error::exit_code`].
pub async fn run(args: Args) -> u8 {
    let outcome = match StopSignals::listen() {
        Ok(signals) => tokio::select! {
            outcome = command(&args) => outcome,
            signal = signals.first() => Err(Error::Stopped(signal)),
        },
        Err(error) => Err(error.into()),
    };
    let (code, line, termination) = match outcome {
        Ok(done) => (0, done.line, done.result),
        Err(error) => {
            let text = error.sentence();
            (error.exit_code(), format!("error: {text}"), Some(text))
        }
    };
    say(&line);
    if let Some(text) = termination {
        record(&args.common.termination_log, &text);
    }
    code
}

/// A line for the log, and a result for Kubernetes.
struct Done {
    line: String,
    /// The image that was pushed, by digest, or facts about weights as JSON.
    result: Option<String>,
}

async fn command(args: &Args) -> Result<Done> {
    let common = &args.common;
    let quiet = |line| Done { line, result: None };
    match &args.command {
        Command::Fetch(fetch) => within(common.timeout, fetch::run(fetch, common)).await.map(quiet),
        Command::Weights(args) => {
            let fetched = within(common.timeout, weights::run(args, common)).await?;
            Ok(Done {
                line: fetched.line,
                result: Some(fetched.result),
            })
        }
        Command::Pull(pull) => within(common.timeout, pull::run(pull, common)).await.map(quiet),
        Command::Copy(args) => {
            let args = args.clone();
            let copied = tokio::task::spawn_blocking(move || copy::run(&args));
            let copied = async { copied.await.map_err(|error| Error::task(&error))? };
            within(common.timeout, copied).await.map(quiet)
        }
        Command::CheckPush(args) => within(common.timeout, check_push::run(args, common))
            .await
            .map(quiet),
        Command::Push(push) => {
            let image = Box::pin(async {
                push::wait(push).await?;
                within(common.timeout, push::run(push, common)).await
            });
            let image = match &push.outcome {
                Some(file) => outcome::stored(file, image).await?,
                None => image.await?,
            };
            Ok(pushed(image))
        }
        Command::AwaitPush(args) => outcome::wait(args, common).await.map(pushed),
        Command::PushWeights(args) => within(common.timeout, push_weights::run(args, common))
            .await
            .map(pushed),
        Command::Publish(publish) => within(common.timeout, publish::run(publish, common))
            .await
            .map(pushed),
    }
}

fn pushed(image: String) -> Done {
    Done {
        line: format!("pushed {image}"),
        result: Some(image),
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::Deadline(limit);
    tokio::time::timeout(limit, work).await.map_err(late)?
}

/// Writes the outcome to the file that the kubelet reads. Outside a container there is no such file, and none is created.
fn record(path: &Path, text: &str) {
    let mut end = text.len().min(TERMINATION_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(path) else {
        return;
    };
    if let Err(error) = file.write_all(text.get(..end).unwrap_or(text).as_bytes()) {
        say(&format!("failed to write {}: {error}", path.display()));
    }
}
