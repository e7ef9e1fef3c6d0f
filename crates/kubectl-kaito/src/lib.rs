//! `kubectl kaito`: lists presets, plans nodes and cost, lints manifests and explains Workspaces.
//!
//! The plugin is read-only. All commands except `explain` work without a cluster, with the built-in catalog or with a
//! registry's. `preset_catalog` and `lint` decide the results; this crate only formats them.

mod answer;
mod args;
mod commit;
mod documents;
mod explain;
mod findings;
mod output;
mod plan;
mod plan_json;
mod plan_sums;
mod presets;
mod presets_json;
mod registry_access;
mod retired;
mod settings;
mod several;
mod source;

use std::io::Write as _;
use std::process::ExitCode;

use answer::Answer;
pub use args::Args;
use args::{Command, PresetsCommand};
use source::PresetSource;

/// Runs the command. The exit code is 0 on success, 1 with findings, and 2 on failure: wrong usage, an unreadable file, an
/// unreachable server.
pub async fn run(args: Args) -> ExitCode {
    // The call fails only if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match answer(args).await {
        // A closed pipe, such as `head`, is not an error.
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
            presets::list(&PresetSource::of(&args.registry).await?, &list).await
        }
        Command::Presets(PresetsCommand::Show(show)) => {
            presets::show(&PresetSource::of(&args.registry).await?, &show).await
        }
        Command::Plan(plan) => plan::run(&PresetSource::of(&args.registry).await?, &plan).await,
        Command::Lint(lint) => findings::run(&PresetSource::of(&args.registry).await?, &lint).await,
        Command::Explain(explain) => explain::run(&explain).await,
    }
}
