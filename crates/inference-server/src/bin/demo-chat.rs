//! A chat with a small real model in the terminal: `cargo xtask demo -- --chat`.
//!
//! Starts the model server on a free port of loopback and uses it over HTTP, like any client. Each line of the input is a message;
//! the end of the input ends the program. If the input is not a terminal, the program prints completions only.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use inference_server::{Args, ServerSettings};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Name of the model in requests.
const NAME: &str = "smollm2";

/// Chats with a model in the terminal.
#[derive(Debug, Parser)]
#[command(name = "demo-chat")]
struct Chat {
    /// Directory of the model in the Hugging Face layout.
    #[arg(long)]
    weights_dir: PathBuf,
    /// Number format of the weights in memory.
    #[arg(long, default_value = "bf16")]
    dtype: String,
    /// Randomness of completions: 0 takes the most likely token.
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// Maximum of tokens of a completion [default: the server's default]
    #[arg(long)]
    max_tokens: Option<u32>,
    /// Further flags of `inference-server`.
    #[arg(last = true)]
    server: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let chat = Chat::parse();
    // This fails only if another provider is installed already, which is fine too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = server_settings(&chat)?;
    let listener = inference_server::bind(&settings).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let mut server = tokio::spawn(inference_server::serve(settings, listener, stop.clone()));
    let chatting = async {
        ready(&url).await?;
        Session::new(url.clone(), &chat).run().await
    };
    tokio::select! {
        // The server's error is the cause, so it comes before the error of the client.
        biased;
        ended = &mut server => {
            ended.context("the server failed")??;
            bail!("the server ended");
        }
        chatted = chatting => {
            stop.cancel();
            let ended = server.await.context("the server failed")?;
            ended.and(chatted)
        }
    }
}

fn server_settings(chat: &Chat) -> anyhow::Result<ServerSettings> {
    let fixed = [
        "inference-server".to_owned(),
        format!("--weights-dir={}", chat.weights_dir.display()),
        format!("--served-model-name={NAME}"),
        format!("--dtype={}", chat.dtype),
        "--bind-address=127.0.0.1".to_owned(),
        "--port=0".to_owned(),
        "--drain-seconds=1".to_owned(),
    ];
    Args::try_parse_from(fixed.iter().chain(&chat.server))?.settings()
}

/// Waits until the model is loaded.
async fn ready(url: &str) -> anyhow::Result<()> {
    loop {
        let response = reqwest::get(format!("{url}/health"))
            .await
            .context("failed to reach the server")?;
        if response.status().is_success() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A conversation.
struct Session {
    client: Client,
    url: String,
    messages: Vec<Value>,
    temperature: f32,
    max_tokens: Option<u32>,
    /// The input is a terminal.
    interactive: bool,
}

impl Session {
    fn new(url: String, chat: &Chat) -> Self {
        Self {
            client: Client::new(),
            url,
            messages: Vec::new(),
            temperature: chat.temperature,
            max_tokens: chat.max_tokens,
            interactive: std::io::stdin().is_terminal(),
        }
    }

    /// Sends every line of the input, until its end.
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut lines = lines();
        if self.interactive {
            print(&format!(
                "The server is at {0} (a page at {0}/ui, OpenAI's API at {0}/v1).\n\
                 /new begins a new conversation, Ctrl-C stops a completion, Ctrl-D ends.\n",
                self.url
            ))?;
        }
        loop {
            if self.interactive {
                print("\nyou> ")?;
            }
            let line = tokio::select! {
                line = lines.recv() => line,
                // No completion is running that Ctrl-C could stop instead.
                _ = tokio::signal::ctrl_c() => None,
            };
            let Some(line) = line else {
                return if self.interactive { print("\n") } else { Ok(()) };
            };
            match line.trim() {
                "" => {}
                "/new" => self.messages.clear(),
                text => self.exchange(text).await?,
            }
        }
    }

    /// Sends one message. It and the completion become part of the conversation unless the server refuses the message.
    async fn exchange(&mut self, text: &str) -> anyhow::Result<()> {
        self.messages.push(json!({"role": "user", "content": text}));
        let body = json!({
            "model": NAME, "messages": self.messages, "stream": true,
            "temperature": self.temperature, "max_tokens": self.max_tokens,
        });
        let request = self
            .client
            .post(format!("{}/v1/chat/completions", self.url))
            .json(&body);
        let response = request.send().await.context("failed to reach the server")?;
        if !response.status().is_success() {
            let body: Value = response.json().await.unwrap_or_default();
            self.messages.pop();
            let message = body.pointer("/error/message").and_then(Value::as_str);
            let message = message.unwrap_or("the server refused the message");
            return print(&format!("{message} (/new begins a new conversation)\n"));
        }
        let (mut completion, mut pieces) = (String::new(), 0);
        let began = Instant::now();
        let take = |piece: &str| {
            completion.push_str(piece);
            pieces += 1;
            print(piece)
        };
        tokio::select! {
            streamed = stream(response, take) => streamed?,
            // The server drops the request when the connection closes.
            _ = tokio::signal::ctrl_c() => {}
        }
        print("\n")?;
        if self.interactive {
            let speed = f64::from(pieces) / began.elapsed().as_secs_f64().max(1e-3);
            print(&format!("({pieces} pieces, {speed:.0} a second)\n"))?;
        }
        self.messages
            .push(json!({"role": "assistant", "content": completion}));
        Ok(())
    }
}

/// Passes the pieces of a streamed completion on as they come.
async fn stream(
    mut response: reqwest::Response,
    mut take: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut rest = Vec::new();
    while let Some(bytes) = response.chunk().await.context("failed to read the stream")? {
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data: ") else {
                continue;
            };
            // The last line, `[DONE]`, is not JSON.
            let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
            let piece = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str);
            if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                take(piece)?;
            }
        }
    }
    Ok(())
}

/// Returns the lines of the input, read on their own thread because a read cannot be canceled.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
