//! `kubectl kaito`: lists presets, plans nodes and cost, lints manifests, follows and explains Workspaces.
//!
//! Only `deploy` writes, and only `chat` and a forwarded port reach pods. `presets`, `plan` and `lint` work without a cluster, with the built-in catalog or with a
//! registry's; `preset_catalog` and `lint` decide their results. The other commands read the cluster of the kubeconfig once
//! or by watches, and compute what they show without I/O.

mod answer;
mod args;
mod chat;
mod cluster;
mod commit;
mod completion;
mod dashboard;
mod deploy;
mod doctor;
mod documents;
mod endpoint;
mod estimates;
mod explain;
mod explain_json;
mod findings;
mod ladder;
mod logs;
mod manifest;
mod money;
mod offerings;
mod output;
mod own_types;
mod plan;
mod plan_json;
mod plan_subject;
mod plan_sums;
mod pod_step;
mod presets;
mod presets_json;
mod quota;
mod readiness;
mod registry_access;
mod retired;
mod screen;
mod settings;
mod several;
mod source;
mod start_history;
mod status;
mod top;
mod tunnel;

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
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns true if the reader of standard output, such as `head`, has ended.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn answer(args: Args) -> anyhow::Result<Answer> {
    money::use_types(own_types::load(&args.registry.instance_type_tables)?);
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
        Command::Status(status) => Box::pin(status::run(&status)).await,
        Command::Top(top) => top::run(&top).await,
        Command::Endpoint(endpoint) => endpoint::run(&endpoint).await,
        Command::Chat(chat) => Box::pin(chat::run(&chat)).await,
        Command::Dashboard(dashboard) => Box::pin(dashboard::run(&dashboard)).await,
        Command::Logs(logs) => logs::run(&logs).await,
        Command::Deploy(deploy) => deploy::run(&PresetSource::of(&args.registry).await?, &deploy).await,
        Command::Completion(completion) => Ok(completion::script(completion.shell)),
        Command::Complete { words } => Ok(completion::answers(&words)),
        Command::Doctor(doctor) => Box::pin(doctor::run(&doctor)).await,
    }
}
