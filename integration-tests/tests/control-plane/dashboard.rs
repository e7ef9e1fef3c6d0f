//! The page of `kubectl kaito dashboard` on a real API server, by HTTP and, where one is installed, in a browser.
//!
//! `KAITO_SCREENSHOTS=DIRECTORY` keeps pictures of the page.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::plugin::plugin;
use crate::world::{self, LIMIT, World};

/// Browsers without a window, as Debian and Ubuntu name them.
const BROWSERS: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

/// The plugin, and the address that it printed.
struct Dashboard {
    child: Child,
    address: String,
    path: String,
}

impl Dashboard {
    async fn start(world: &World, kubeconfig: &Path) -> Result<Self> {
        let mut child = plugin(world, kubeconfig, &["dashboard"])?;
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no output")?;
        let url = timeout(LIMIT, BufReader::new(out).lines().next_line()).await??;
        let url = url.context("the plugin ended")?;
        let rest = url.strip_prefix("http://").context(url.clone())?;
        let (address, path) = rest.split_once('/').context(url.clone())?;
        Ok(Self {
            child,
            address: address.to_owned(),
            path: format!("/{path}"),
        })
    }

    async fn get(&self, path: &str, host: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        Ok(stream)
    }

    async fn pictures(&self) -> Result<Pictures> {
        let stream = self.get(&format!("{}events", self.path), &self.address).await?;
        Ok(Pictures(BufReader::new(stream).lines()))
    }
}

/// Pictures that the page receives.
struct Pictures(Lines<BufReader<TcpStream>>);

impl Pictures {
    /// Waits for a picture in which the Workspace is as wanted.
    async fn until(&mut self, name: &str, is_wanted: impl Fn(Option<&Value>) -> bool) -> Result<Value> {
        let wanted = async {
            while let Some(line) = self.0.next_line().await? {
                let Some(data) = line.strip_prefix("data: ") else {
                    continue;
                };
                let picture: Value = serde_json::from_str(data)?;
                let cards = picture["workspaces"].as_array().context("no Workspaces")?;
                if is_wanted(cards.iter().find(|card| card["name"] == name)) {
                    return Ok(picture);
                }
            }
            anyhow::bail!("the stream ended")
        };
        timeout(LIMIT, wanted)
            .await
            .with_context(|| format!("{name} is not as wanted"))?
    }
}

#[tokio::test]
async fn the_page_shows_workspaces_in_several_states_as_they_change() -> Result<()> {
    let world = world::shared().await?;
    let served = world.apply(&world.inference("served")).await?;
    let mut stuck = world.inference("stuck");
    stuck["inference"]["config"] = json!("absent");
    let stuck = world.apply(&stuck).await?;
    let missing = Some("ConfigMapNotFound");
    world.ready(&served).await?;
    world.condition(&stuck, "ResourceReady", "False", missing).await?;

    let mut dashboard = Dashboard::start(&world, &world.env.cluster().kubeconfig()).await?;
    let mut foreign = String::new();
    let mut stream = dashboard.get(&dashboard.path, "rebound.example").await?;
    stream.read_to_string(&mut foreign).await?;
    ensure!(
        foreign.starts_with("HTTP/1.1 421") && !foreign.contains("served"),
        "{foreign}"
    );

    let mut pictures = dashboard.pictures().await?;
    let picture = pictures.until(&served, |card| card.is_some()).await?;
    let cards = &picture["workspaces"];
    ensure!(
        cards[0]["name"] == "stuck" && cards[0]["tone"] == "bad",
        "{picture}"
    );
    let problem = &cards[0]["problems"][0];
    ensure!(
        problem["reason"] == "ConfigMapNotFound"
            && problem["remedy"].as_str().is_some_and(|text| !text.is_empty()),
        "{picture}"
    );
    ensure!(
        cards[1]["tone"] == "good" && cards[1]["state"] == "Ready",
        "{picture}"
    );
    ensure!(picture["nodes"][0]["usdMicrosPerHour"] == 3_673_000, "{picture}");
    ensure!(
        picture["totals"]["attention"] == 1 && picture["totals"]["well"] == 1,
        "{picture}"
    );

    // The page sends no further request: the watch of the API server brings what is new.
    let new = world.apply(&world.inference("arrived")).await?;
    pictures
        .until(&new, |card| card.is_some_and(|card| card["tone"] == "busy"))
        .await?;
    pictures
        .until(&new, |card| card.is_some_and(|card| card["state"] == "Ready"))
        .await?;
    in_a_browser(&dashboard).await?;
    world.delete(&new).await?;
    pictures.until(&new, |card| card.is_none()).await?;

    dashboard.child.kill().await?;
    world.delete(&stuck).await?;
    world.delete(&served).await
}

/// The page as a browser draws it.
async fn in_a_browser(dashboard: &Dashboard) -> Result<()> {
    let Some(browser) = browser() else {
        ensure!(
            std::env::var_os("KAITO_REQUIRE_BROWSER").is_none(),
            "no browser is installed"
        );
        said("SKIPPED: no browser is installed, so the page is not drawn");
        return Ok(());
    };
    let url = format!("http://{}{}", dashboard.address, dashboard.path);
    let dom = drawn(&browser, &["--dump-dom"], &url).await?;
    for part in [
        "need attention",
        "ConfigMapNotFound: ",
        "What to do: ",
        "✓ load, first answer",
        "Standard_NC24ads_A100_v4",
        "$7.35",
    ] {
        ensure!(dom.contains(part), "{part} is missing: {dom}");
    }
    let Some(directory) = std::env::var_os("KAITO_SCREENSHOTS").map(PathBuf::from) else {
        return Ok(());
    };
    for (name, more) in [
        ("light", None),
        ("dark", Some("--blink-settings=preferredColorScheme=0")),
    ] {
        let file = directory.join(format!("dashboard-{name}.png"));
        let screenshot = format!("--screenshot={}", file.display());
        let flags = ["--hide-scrollbars", "--window-size=1100,980", &screenshot];
        let flags = [&flags[..], more.as_slice()].concat();
        drawn(&browser, &flags, &url).await?;
    }
    Ok(())
}

async fn drawn(browser: &Path, flags: &[&str], url: &str) -> Result<String> {
    let mut command = Command::new(browser);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server"])
        .args(flags)
        .arg(url)
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await??;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = BROWSERS
        .iter()
        .flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    candidates.into_iter().find(|file| file.is_file())
}

#[allow(clippy::print_stderr, reason = "a test that is skipped has to say so")]
fn said(line: &str) {
    eprintln!("{line}");
}
