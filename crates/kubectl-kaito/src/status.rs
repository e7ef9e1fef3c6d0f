//! `status`: one Workspace as a tree of phases, or a list of Workspaces.
//!
//! `facts` reads the cluster, `view` decides what is shown without I/O, `text` draws it, and `watch` repeats it at each
//! change.

mod facts;
mod listing;
mod phases;
mod text;
mod view;
mod watch;
mod watching;

use jiff::Timestamp;

use crate::answer::Answer;
use crate::args::{Format, StatusArgs};
use crate::cluster::ClusterAccess;
use crate::output::serialized;
use crate::screen::Screen;

pub(crate) use facts::{WorkspaceFacts, of_workspace};
pub(crate) use listing::bill_among;
pub(crate) use view::{StatusView, message_and_remedy, state_word};
pub(crate) use watching::{WatchScope, Watching};

/// Describes one Workspace or all. It is a finding if one is not ready.
pub(crate) async fn run(args: &StatusArgs) -> anyhow::Result<Answer> {
    let access = args.read.cluster.connect().await?;
    if args.watch {
        return watch::run(&access, args).await;
    }
    let now = Timestamp::now();
    let Some(name) = &args.workspace else {
        return list(&access, args, now).await;
    };
    let facts = WorkspaceFacts::read(&access, name).await?;
    let view = StatusView::of(&facts, now);
    let text = match args.read.output {
        Format::Table => text::tree(&view, Screen::of_stdout()),
        format => serialized(format, &serde_json::to_value(&view)?)?,
    };
    Ok(Answer {
        text,
        findings: !view.is_settled_well(),
    })
}

async fn list(access: &ClusterAccess, args: &StatusArgs, now: Timestamp) -> anyhow::Result<Answer> {
    let mut notes = Vec::new();
    let (workspaces, claims) = access.workspaces(args.all_namespaces, &mut notes).await?;
    let rows = listing::rows(&workspaces, claims.as_deref(), now);
    let text = match args.read.output {
        Format::Table => listing::table(&rows, args.all_namespaces, &access.namespace, &notes),
        format => serialized(format, &serde_json::to_value(&rows)?)?,
    };
    Ok(Answer {
        text,
        findings: rows.iter().any(|row| !row.is_well),
    })
}
