//! A chat with a small real model in the terminal: `cargo xtask demo -- --chat`.
//!
//! Starts the model server on a free port of loopback, and speaks to it over HTTP as any client does. Each line is a message;
//! the end of the input ends both. Where the input is no terminal, only answers are printed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use inference_server::Args;
use model::example;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Name of the model in requests.
const NAME: &str = "smollm2";

/// Lets you talk to SmolLM2-135M-Instruct, or another model.
#[derive(Debug, Parser)]
#[command(name = "demo-chat")]
struct Chat {
    /// Directory of another model in the Hugging Face layout.
    #[arg(long)]
    weights_dir: Option<PathBuf>,
    /// How the weights are kept in memory.
    #[arg(long, default_value = "bf16")]
    dtype: String,
    /// 0 is the likeliest answer, more is more varied.
    #[arg(long, default_value_t = 0.7)]
    temperature: f32,
    /// Most tokens of an answer; what the server allows without it.
    #[arg(long)]
    max_tokens: Option<u32>,
    /// Further flags of `inference-server`.
    #[arg(last = true)]
    server: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let chat = Chat::parse();
    // Fails only when a provider was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = server_args(&chat)?;
    let listener = inference_server::bind(&args).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let mut server = tokio::spawn(inference_server::serve(args, listener, stop.clone()));
    let talking = async {
        ready(&url).await?;
        Session::new(url.clone(), &chat).talk().await
    };
    tokio::select! {
        // The server knows better why it is gone than those who miss it.
        biased;
        ended = &mut server => {
            ended.context("the server broke off")??;
            bail!("the server ended");
        }
        talked = talking => {
            stop.cancel();
            let ended = server.await.context("the server broke off")?;
            ended.and(talked)
        }
    }
}

fn server_args(chat: &Chat) -> anyhow::Result<Args> {
    let dir = match &chat.weights_dir {
        Some(dir) => dir.clone(),
        None => {
            // A failed line on the terminal is nobody's loss.
            let say = |what: &str| drop(writeln!(std::io::stderr(), "{what}"));
            example::smollm2(&example::cache(), &say)?.dir
        }
    };
    let fixed = [
        "inference-server".to_owned(),
        format!("--weights-dir={}", dir.display()),
        format!("--served-model-name={NAME}"),
        format!("--dtype={}", chat.dtype),
        "--bind-address=127.0.0.1".to_owned(),
        "--port=0".to_owned(),
        "--drain-seconds=1".to_owned(),
    ];
    Ok(Args::try_parse_from(fixed.iter().chain(&chat.server))?)
}

/// Waits until the model is loaded.
async fn ready(url: &str) -> anyhow::Result<()> {
    loop {
        let response = reqwest::get(format!("{url}/health"))
            .await
            .context("the server does not answer")?;
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
    /// Somebody is looking.
    watched: bool,
}

impl Session {
    fn new(url: String, chat: &Chat) -> Self {
        Self {
            client: Client::new(),
            url,
            messages: Vec::new(),
            temperature: chat.temperature,
            max_tokens: chat.max_tokens,
            watched: std::io::stdin().is_terminal(),
        }
    }

    /// Answers line after line, until there are no more.
    async fn talk(&mut self) -> anyhow::Result<()> {
        let mut lines = lines();
        if self.watched {
            print(&format!(
                "The server is at {0} (a page at {0}/ui, OpenAI's API at {0}/v1).\n\
                 /new begins a new conversation, Ctrl-C stops an answer, Ctrl-D ends.\n",
                self.url
            ))?;
        }
        loop {
            if self.watched {
                print("\nyou> ")?;
            }
            let line = tokio::select! {
                line = lines.recv() => line,
                // Nothing is being answered that could be stopped instead.
                _ = tokio::signal::ctrl_c() => None,
            };
            let Some(line) = line else {
                return if self.watched { print("\n") } else { Ok(()) };
            };
            match line.trim() {
                "" => {}
                "/new" => self.messages.clear(),
                text => self.exchange(text).await?,
            }
        }
    }

    /// One message and its answer, which become part of the conversation unless the server refuses.
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
        let response = request.send().await.context("the server does not answer")?;
        if !response.status().is_success() {
            let reply: Value = response.json().await.unwrap_or_default();
            self.messages.pop();
            let message = reply.pointer("/error/message").and_then(Value::as_str);
            let message = message.unwrap_or("the server refused it");
            return print(&format!("{message} (/new begins a new conversation)\n"));
        }
        let (mut answer, mut pieces) = (String::new(), 0);
        let began = Instant::now();
        let take = |piece: &str| {
            answer.push_str(piece);
            pieces += 1;
            print(piece)
        };
        tokio::select! {
            streamed = stream(response, take) => streamed?,
            // Whoever leaves is forgotten by the server before its next step.
            _ = tokio::signal::ctrl_c() => {}
        }
        print("\n")?;
        if self.watched {
            let speed = f64::from(pieces) / began.elapsed().as_secs_f64().max(1e-3);
            print(&format!("({pieces} pieces, {speed:.0} a second)\n"))?;
        }
        self.messages
            .push(json!({"role": "assistant", "content": answer}));
        Ok(())
    }
}

/// Hands the pieces of a streamed answer out as they come.
async fn stream(
    mut response: reqwest::Response,
    mut take: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut rest = Vec::new();
    while let Some(bytes) = response.chunk().await.context("the answer broke off")? {
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Some(data) = line.strip_prefix(b"data: ") else {
                continue;
            };
            // The last line is no JSON.
            let chunk: Value = serde_json::from_slice(data).unwrap_or_default();
            let piece = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str);
            if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                take(piece)?;
            }
        }
    }
    Ok(())
}

/// Lines of the input, read on a thread of their own: reading cannot be broken off.
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
