//! `dashboard`: a page on this machine that shows Workspaces, nodes and cost as they change.
//!
//! `view` decides what is shown without I/O, from the same facts as `status`; `page` serves it. Only the API server's watches say what
//! is new.

mod page;
mod view;

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::answer::Answer;
use crate::args::DashboardArgs;
use crate::status::{WatchScope, Watching};
use page::Page;
use view::FleetView;

/// Changes within this time are shown together.
const WINDOW: Duration = Duration::from_millis(250);

/// Serves the page until the program is stopped.
pub(crate) async fn run(args: &DashboardArgs) -> anyhow::Result<Answer> {
    let access = args.cluster.connect().await?;
    let scope = WatchScope {
        workspace: None,
        all_namespaces: args.all_namespaces,
        pods: true,
    };
    let name = match args.all_namespaces {
        true => "all namespaces".to_owned(),
        false => format!("namespace {}", access.namespace),
    };
    let mut watching = Watching::start(&access, &scope);
    // Errors of the first lists end the program before an address is printed.
    watching.changed(WINDOW).await?;
    let (sender, pictures) = watch::channel(picture(&watching, &name)?);
    let page = Page::bind(args.port).await?;
    announce(&page.url())?;
    let mut serving = std::pin::pin!(page.serve(pictures));
    loop {
        tokio::select! {
            changed = watching.changed(WINDOW) => changed?,
            served = &mut serving => {
                served?;
                return Ok(Answer::fine(String::new()));
            }
        }
        sender.send_replace(picture(&watching, &name)?);
    }
}

/// The state as one line of JSON.
fn picture(watching: &Watching, scope: &str) -> anyhow::Result<String> {
    let view = FleetView::of(watching, scope, Timestamp::now());
    serde_json::to_string(&view).context("failed to write JSON")
}

fn announce(url: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{url}")?;
    out.flush()?;
    let _ = writeln!(
        std::io::stderr().lock(),
        "The address has a secret, so keep it. Ctrl-C ends."
    );
    Ok(())
}
