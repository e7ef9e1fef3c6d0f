//! The plugin asks a model through the API server: with a key, over TLS, once and in a conversation.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use installation::{Installation, LIMIT};
use k8s_openapi::api::core::v1::Secret;
use kaito_api::Workspace;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::{serving, shared};

const NAME: &str = "asked";
const QUESTION: &str = "What is the capital of France?";
const KEYS: &str = "chat-keys";

/// A command that ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// Fails unless the command ended with this code and each stream contains these words.
    #[track_caller]
    fn ensure(&self, code: i32, out: &str, err: &str) -> Result<()> {
        ensure!(
            self.code == Some(code) && self.out.contains(out) && self.err.contains(err),
            "expected {code}, {out} and {err}, got {:?}: {}\n{}",
            self.code,
            self.out,
            self.err
        );
        Ok(())
    }
}

fn plugin(system: &Installation, namespace: &str, args: &[&str]) -> Result<Command> {
    let mut command = Command::new(testkit::program_path("kubectl-kaito")?);
    command.args(args).args(["--namespace", namespace]);
    prepared(system, &mut command);
    Ok(command)
}

fn prepared(system: &Installation, command: &mut Command) {
    command
        .env("KUBECONFIG", system.env.cluster().kubeconfig())
        .env("NO_PROXY", "*")
        .env_remove("KAITO_API_KEY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
}

async fn said(mut command: Command, input: &str) -> Result<Said> {
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("no input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await??;
    Ok(Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

/// Secrets with two keys, and with a certificate that no authority signed.
async fn create_secrets(system: &Installation, namespace: &str) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed([format!("{NAME}.{namespace}.svc")])?;
    let secret = |name: &str, kind: &str, data: Value| -> Result<Secret> {
        let object = json!({"metadata": {"name": name}, "type": kind, "stringData": data});
        Ok(serde_json::from_value(object)?)
    };
    let tls = json!({"tls.crt": certified.cert.pem(), "tls.key": certified.signing_key.serialize_pem()});
    let secrets: Api<Secret> = Api::namespaced(system.client().await?, namespace);
    for secret in [
        secret(KEYS, "Opaque", json!({"keys": "# the team's\nfirst\nsecond\n"}))?,
        secret("chat-tls", "kubernetes.io/tls", tls)?,
    ] {
        secrets.create(&PostParams::default(), &secret).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_model_with_keys_and_tls_is_asked_through_the_api_server() -> Result<()> {
    let Some(system) = shared::operator().await? else {
        return Ok(());
    };
    let namespace = system.namespace().await?;
    create_secrets(&system, &namespace).await?;
    let mut workspace = serving::workspace(NAME)?;
    let annotations = [
        ("kaito.sh/api-keys-secret".to_owned(), KEYS.to_owned()),
        ("kaito.sh/tls-secret".to_owned(), "chat-tls".to_owned()),
    ];
    workspace.metadata.annotations = Some(annotations.into());
    let workspaces: Api<Workspace> = Api::namespaced(system.client().await?, &namespace);
    workspaces.create(&PostParams::default(), &workspace).await?;

    let chat = async |flags: &[&str], input: &str| -> Result<Said> {
        let args = [&["chat", NAME, "--temperature", "0"][..], flags].concat();
        said(plugin(&system, &namespace, &args)?, input).await
    };
    let early = chat(&[QUESTION], "").await?;
    early.ensure(1, "", "does not answer: it is ")?;
    ensure!(
        early.out.is_empty() && early.err.contains("kubectl kaito status"),
        "{}",
        early.err
    );
    system
        .condition(&namespace, NAME, "WorkspaceReady", "True")
        .await?;

    let key = ["--key-from-secret", KEYS];
    let keyless = chat(&[QUESTION], "").await?;
    keyless.ensure(2, "", &format!("say --key-from-secret {KEYS}"))?;
    let short = ["--max-tokens", "24"];
    let answered = chat(&[&key[..], &short, &[QUESTION]].concat(), "").await?;
    answered.ensure(0, "Paris", "")?;
    // The prompt of a script; a key of one's own.
    let mut command = plugin(
        &system,
        &namespace,
        &["chat", NAME, "--temperature", "0", "--max-tokens", "24"],
    )?;
    command.env("KAITO_API_KEY", "second");
    said(command, QUESTION).await?.ensure(0, &answered.out, "")?;
    let mut command = plugin(&system, &namespace, &["chat", NAME, QUESTION])?;
    command.env("KAITO_API_KEY", "third");
    said(command, "").await?.ensure(2, "", "does not know this key")?;

    let cut = chat(&[&key[..], &["--max-tokens", "1", "-"]].concat(), QUESTION).await?;
    cut.ensure(0, "", "the answer is cut")?;
    let unknown = chat(&[&key[..], &["--model", "support", QUESTION]].concat(), "").await?;
    unknown.ensure(2, "", "the Workspace serves smollm2-135m-instruct")?;
    let absent = chat(&["--key-from-secret", "absent", QUESTION], "").await?;
    absent.ensure(2, "", "failed to read Secret")?;

    an_answer_comes_in_pieces(&system, &namespace).await?;
    a_conversation_remembers(&system, &namespace).await?;
    system.delete(&namespace, NAME).await
}

/// The first words are there while the model still writes.
async fn an_answer_comes_in_pieces(system: &Installation, namespace: &str) -> Result<()> {
    let args = [
        "chat",
        NAME,
        "--key-from-secret",
        KEYS,
        "--max-tokens",
        "300",
        "Tell me a long story.",
    ];
    let mut child = plugin(system, namespace, &args)?.spawn()?;
    let mut out = child.stdout.take().context("no output")?;
    let mut first = [0; 64];
    let count = tokio::time::timeout(LIMIT, out.read(&mut first)).await??;
    ensure!(count > 0 && child.try_wait()?.is_none(), "the answer came whole");
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, out.read_to_end(&mut rest)).await??;
    ensure!(rest.len() > count, "{count} bytes, then {}", rest.len());
    ensure!(child.wait().await?.success(), "the plugin failed");
    Ok(())
}

/// A terminal, which `script` plays.
async fn a_conversation_remembers(system: &Installation, namespace: &str) -> Result<()> {
    let program = testkit::program_path("kubectl-kaito")?;
    let line = format!(
        "{} chat {NAME} --namespace {namespace} --key-from-secret {KEYS} --temperature 0 --max-tokens 24",
        program.display()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    prepared(system, &mut command);
    let input = format!("{QUESTION}\n/system Answer in one word.\n/system\n/nonsense\n/exit\n");
    let ended = said(command, &input).await?;
    for part in [
        "smollm2-135m-instruct of Workspace",
        "Paris",
        "A new conversation begins",
        "Answer in one word.",
        "unknown command /nonsense",
    ] {
        ended.ensure(0, part, "")?;
    }
    Ok(())
}

/// A port of this machine leads to the pod, for clients that know no Kubernetes.
pub(crate) async fn ensure_forwarded(system: &Installation, namespace: &str, name: &str) -> Result<()> {
    let args = ["endpoint", name, "--port-forward"];
    let mut child = plugin(system, namespace, &args)?.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let address = tokio::time::timeout(LIMIT, lines.next_line()).await??;
    let address = address.context("the plugin ended")?;
    let address = address.strip_prefix("http://").context(address.clone())?;
    // Two connections, one after the other.
    for path in ["/health", "/v1/models"] {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        tokio::time::timeout(LIMIT, stream.read_to_string(&mut response)).await??;
        ensure!(response.starts_with("HTTP/1.1 200"), "{path}: {response}");
        ensure!(
            path == "/health" || response.contains("smollm2-135m-instruct"),
            "{response}"
        );
    }
    child.kill().await?;
    Ok(())
}
