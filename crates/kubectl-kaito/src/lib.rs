//! `kubectl kaito`: what there is, what a model needs and costs, whether a manifest would be taken, and where a
//! Workspace stands.
//!
//! Reads and prints; changes nothing anywhere. Everything but `explain` works without a cluster, with the catalog that
//! is part of the program, or with that of a registry. What it says is decided by `preset_catalog` and `lint`.

mod args;
mod documents;
mod explain;
mod findings;
mod output;
mod plan;
mod plan_json;
mod presets;
mod presets_json;
mod source;

use std::io::Write as _;
use std::process::ExitCode;

pub use args::Args;
use args::{Command, PresetsCommand};
use source::Source;

/// What a command found.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What is printed on the standard output.
    pub(crate) text: String,
    /// Something is wrong with what was looked at, or it does not fit.
    pub(crate) findings: bool,
}

impl Answer {
    pub(crate) const fn fine(text: String) -> Self {
        Self {
            text,
            findings: false,
        }
    }
}

/// Runs the command. The exit code is 0 when all is well, 1 when there are findings, and 2 when the question cannot be
/// answered: wrong usage, a file that cannot be read, a server that does not answer.
pub async fn run(args: Args) -> ExitCode {
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match answer(args).await {
        // A reader that has seen enough, such as `head`, is no error.
        Ok(answer) => {
            let _ = std::io::stdout().lock().write_all(answer.text.as_bytes());
            ExitCode::from(u8::from(answer.findings))
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn answer(args: Args) -> anyhow::Result<Answer> {
    match args.command {
        Command::Presets(PresetsCommand::List(list)) => {
            presets::list(&Source::of(&args.registry)?, &list).await
        }
        Command::Presets(PresetsCommand::Show(show)) => {
            presets::show(&Source::of(&args.registry)?, &show).await
        }
        Command::Plan(plan) => plan::run(&Source::of(&args.registry)?, &plan).await,
        Command::Lint(lint) => findings::run(&Source::of(&args.registry)?, &lint).await,
        Command::Explain(explain) => explain::run(&explain).await,
    }
}
