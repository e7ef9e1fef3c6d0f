//! `status --watch`: the tree or the list again, at each change that a watch of the API server shows.
//!
//! Nothing is polled. On a terminal the clock is redrawn each second; elsewhere each change is one line.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use tokio::time::Interval;

use super::listing;
use super::text;
use super::view::StatusView;
use super::watching::{WatchScope, Watching};
use crate::answer::Answer;
use crate::args::{Format, StatusArgs};
use crate::cluster::ClusterAccess;
use crate::screen::Screen;

/// Changes that come together are shown together.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Time between two drawings of the clock.
const TICK: Duration = Duration::from_secs(1);

/// Follows changes until the end of the program, or until the named Workspace is settled.
pub(super) async fn run(access: &ClusterAccess, args: &StatusArgs) -> anyhow::Result<Answer> {
    let scope = WatchScope {
        workspace: args.workspace.clone(),
        all_namespaces: args.all_namespaces,
        // A list of Workspaces shows no pods.
        pods: args.workspace.is_some(),
    };
    let mut watching = Watching::start(access, &scope);
    let screen = Screen::of_stdout();
    let mut drawn = Drawn::new(screen, args.read.output);
    watching.changed(DEBOUNCE).await?;
    let mut tick = tokio::time::interval(TICK);
    loop {
        let now = Timestamp::now();
        let Some(name) = &args.workspace else {
            drawn.list(&watching, args, &access.namespace, now)?;
            next(&mut watching, &mut tick, screen).await?;
            continue;
        };
        let Some(facts) = watching.facts().pop() else {
            let missing = format!("Workspace {}/{name} does not exist.", access.namespace);
            if drawn.is_blank() {
                bail!(missing);
            }
            return Ok(Answer {
                text: format!("{missing}\n"),
                findings: true,
            });
        };
        let view = StatusView::of(&facts, now);
        drawn.tree(&view, now)?;
        if view.is_settled() {
            let findings = !view.is_settled_well();
            return Ok(Answer {
                text: String::new(),
                findings,
            });
        }
        next(&mut watching, &mut tick, screen).await?;
    }
}

/// Waits for a change, or on a terminal for the clock.
async fn next(watching: &mut Watching, tick: &mut Interval, screen: Screen) -> anyhow::Result<()> {
    tokio::select! {
        changed = watching.changed(DEBOUNCE) => changed,
        _ = tick.tick(), if screen.size.is_some() => Ok(()),
    }
}

/// The last drawing.
struct Drawn {
    screen: Screen,
    format: Format,
    rows: usize,
    lines: BTreeMap<String, String>,
}

impl Drawn {
    fn new(screen: Screen, format: Format) -> Self {
        Self {
            screen,
            format,
            rows: 0,
            lines: BTreeMap::new(),
        }
    }

    fn is_blank(&self) -> bool {
        self.rows == 0 && self.lines.is_empty()
    }

    fn tree(&mut self, view: &StatusView, now: Timestamp) -> anyhow::Result<()> {
        if self.draws() {
            return self.redraw(&text::tree(view, self.screen));
        }
        let line = match self.format {
            Format::Table => text::line(view),
            Format::Json | Format::Yaml => text::change(view)?,
        };
        self.say(&view.name, line, now)
    }

    fn list(
        &mut self,
        watching: &Watching,
        args: &StatusArgs,
        namespace: &str,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let rows = listing::rows(&watching.workspaces(), watching.claims().as_deref(), now);
        if self.draws() {
            let table = listing::table(&rows, args.all_namespaces, namespace, watching.notes());
            return self.redraw(&table);
        }
        let mut names = HashSet::new();
        for row in &rows {
            let name = format!("{}/{}", row.namespace, row.name);
            let line = match self.format {
                Format::Table => listing::line(row),
                Format::Json | Format::Yaml => listing::change(row)?,
            };
            self.say(&name, line, now)?;
            names.insert(name);
        }
        let gone: Vec<String> = self
            .lines
            .keys()
            .filter(|name| !names.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            if self.format == Format::Table {
                self.say(&name, format!("{name} deleted"), now)?;
            }
            self.lines.remove(&name);
        }
        Ok(())
    }

    fn draws(&self) -> bool {
        self.screen.size.is_some() && self.format == Format::Table
    }

    /// Draws over what was drawn last.
    fn redraw(&mut self, text: &str) -> anyhow::Result<()> {
        let height = self
            .screen
            .size
            .map_or(usize::MAX, |(_, rows)| usize::from(rows.max(2)) - 1);
        let lines: Vec<&str> = text.lines().take(height).collect();
        let up = match self.rows {
            0 => String::new(),
            rows => format!("\u{1b}[{rows}A\u{1b}[J"),
        };
        self.rows = lines.len();
        print(&format!("{up}{}\n", lines.join("\n")))
    }

    /// Prints a line if it differs from the last one about the same Workspace.
    fn say(&mut self, name: &str, line: String, now: Timestamp) -> anyhow::Result<()> {
        if self.lines.get(name) == Some(&line) {
            return Ok(());
        }
        let shown = match self.format {
            Format::Table => format!("{} {line}\n", now.strftime("%H:%M:%SZ")),
            Format::Json | Format::Yaml => format!("{line}\n"),
        };
        self.lines.insert(name.to_owned(), line);
        print(&shown)
    }
}

/// Writes to standard output at once. A closed pipe ends the watch.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
