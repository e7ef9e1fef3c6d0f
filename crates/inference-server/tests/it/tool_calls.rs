//! Tool calls, with models that generate a script.

use serde_json::{Value, json};

use crate::scripted::{self, Piece};
use crate::server::Server;

/// A template that prints messages with their calls, and functions with the marker of the format.
fn template(mark: &str) -> String {
    let messages = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}\n{% endfor %}";
    format!("{messages}{{% if tools %}}use {mark} for {{{{ tools | length }}}}{{% endif %}}")
}

fn request(more: &Value) -> Value {
    let function = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let mut body = json!({
        "messages": [{"role": "user", "content": "weather?"}], "temperature": 0,
        "tools": [function("weather"), function("clock")],
    });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

async fn server(mark: &str, script: &[Piece]) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    scripted::write(dir.path(), &template(mark), script);
    let server = Server::start(&[&format!("--weights-dir={}", dir.path().display())]).await;
    (server, dir)
}

/// Returns content, calls and finish reason of a completion, which must be the same whole and in chunks.
async fn complete(server: &Server, body: &Value) -> (Value, Vec<(String, String)>, String) {
    let (status, whole) = server.ask("/v1/chat/completions", body).await;
    assert_eq!(status, 200, "{whole}");
    let choice = &whole["choices"][0];
    let call = |call: &Value| {
        assert_eq!(call["type"], "function");
        let part = |name: &str| call["function"][name].as_str().unwrap().to_owned();
        (part("name"), part("arguments"))
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let calls: Vec<_> = list(&choice["message"]["tool_calls"]).iter().map(call).collect();
    let reason = choice["finish_reason"].as_str().unwrap().to_owned();
    let content = choice["message"]["content"].clone();

    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    let chunks = server.stream("/v1/chat/completions", &streamed).await;
    let (mut text, mut pieces) = (String::new(), Vec::new());
    for chunk in &chunks {
        let delta = &chunk["choices"][0]["delta"];
        text.push_str(delta["content"].as_str().unwrap_or_default());
        for piece in list(&delta["tool_calls"]) {
            assert_eq!(piece["index"], pieces.len());
            pieces.push(call(&piece));
        }
    }
    assert_eq!(
        (text.as_str(), &pieces),
        (content.as_str().unwrap_or_default(), &calls)
    );
    let last = &chunks.last().unwrap()["choices"][0]["finish_reason"];
    assert_eq!(last, reason.as_str());
    (content, calls, reason)
}

fn weather() -> (String, String) {
    ("weather".to_owned(), r#"{"city": "Oslo", "at": 7}"#.to_owned())
}

#[tokio::test]
async fn tagged_calls_are_parsed() {
    let script = [
        Piece("One moment.\n", false),
        Piece("<tool_call>", false),
        Piece("\n{\"name\": \"weather\", \"argu", false),
        Piece("ments\": {\"city\": \"Oslo\", \"at\": 7}}\n", false),
        Piece("</tool_call>", false),
    ];
    let (server, _dir) = server("<tool_call>", &script).await;
    let called = complete(&server, &request(&json!({}))).await;
    assert_eq!(
        called,
        (json!("One moment."), vec![weather()], "tool_calls".to_owned())
    );
    // Without functions, or if they must not be called, it is text.
    for more in [json!({"tools": null}), json!({"tool_choice": "none"})] {
        let (content, calls, reason) = complete(&server, &request(&more)).await;
        let text = content.as_str().unwrap();
        assert!(
            text.contains("<tool_call>") && text.ends_with("</tool_call>"),
            "{text}"
        );
        assert_eq!((calls.len(), reason.as_str()), (0, "stop"));
    }
    // A call that was cut off stays text.
    let (content, calls, reason) = complete(&server, &request(&json!({"max_tokens": 3}))).await;
    assert!(content.as_str().unwrap().contains("<tool_call>"), "{content}");
    assert_eq!((calls.len(), reason.as_str()), (0, "length"));
    let (_, reply) = server
        .ask(
            "/v1/chat/completions",
            &request(&json!({"n": 2, "logprobs": true})),
        )
        .await;
    let id = |choice: usize| {
        reply["choices"][choice]["message"]["tool_calls"][0]["id"]
            .as_str()
            .unwrap()
    };
    assert!(id(0) != id(1) && id(0).len() == 24);
    assert_eq!(
        reply["choices"][0]["logprobs"]["content"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

#[tokio::test]
async fn markers_that_are_special_tokens_are_recognized() {
    let mistral = [
        Piece("[TOOL_CALLS]", true),
        Piece("weather", false),
        Piece("[ARGS]", true),
        Piece("{\"city\": \"Oslo\", \"at\": 7}", false),
    ];
    let llama = [
        Piece("<|python_tag|>", true),
        Piece(
            "{\"name\": \"weather\", \"parameters\": {\"city\": \"Oslo\",",
            false,
        ),
        Piece(" \"at\": 7}}", false),
    ];
    for (mark, script) in [("[TOOL_CALLS]", &mistral[..]), ("<|python_tag|>", &llama)] {
        let (server, _dir) = server(mark, script).await;
        let called = complete(&server, &request(&json!({}))).await;
        assert_eq!(
            called,
            (Value::Null, vec![weather()], "tool_calls".to_owned()),
            "{mark}"
        );
        let (content, ..) = complete(&server, &request(&json!({"tools": []}))).await;
        assert!(!content.as_str().unwrap().contains(mark), "{content}");
    }
}

#[tokio::test]
async fn functions_reach_the_template_as_they_were_sent() {
    let server = Server::start(&["--chat-template={{ tools | tojson }}"]).await;
    let tools = r#"[{"type": "function", "function": {"name": "b", "description": "a"}}]"#;
    let body = json!({"messages": [{"role": "user", "content": "x"}], "tools": serde_json::from_str::<Value>(tools).unwrap()});
    let (_, reply) = server.ask("/tokenize", &body).await;
    let (_, text) = server
        .ask("/detokenize", &json!({"tokens": reply["tokens"]}))
        .await;
    assert_eq!(text, json!({"prompt": tools}), "{reply}");
}

#[tokio::test]
async fn arguments_of_earlier_calls_reach_the_template_as_objects() {
    let server =
        Server::start(&["--chat-template={{ messages[1].tool_calls[0].function.arguments.city }}!"]).await;
    let calls = |arguments: Value| json!([{"id": "1", "type": "function", "function": {"name": "weather", "arguments": arguments}}]);
    for arguments in [json!("{\"city\": \"fox\"}"), json!({"city": "fox"})] {
        let messages = json!([
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": null, "tool_calls": calls(arguments)},
            {"role": "tool", "tool_call_id": "1", "content": "rain"},
        ]);
        let (_, reply) = server.ask("/tokenize", &json!({"messages": messages})).await;
        let (_, text) = server
            .ask("/detokenize", &json!({"tokens": reply["tokens"]}))
            .await;
        assert_eq!(text, json!({"prompt": "fox!"}), "{reply}");
    }
}
