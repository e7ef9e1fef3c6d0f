//! `/v1/responses`.

use serde_json::{Value, json};

use crate::scripted::{self, Piece};
use crate::server::Server;

const MESSAGES: &str =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if tools %}<tool_call>{% endif %}";

async fn server(template: &str, script: &[Piece]) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    scripted::write(dir.path(), template, script);
    let server = Server::start(&[&format!("--weights-dir={}", dir.path().display())]).await;
    (server, dir)
}

/// Returns the events of a stream. Each has its name and its number.
async fn events(server: &Server, body: &Value) -> Vec<Value> {
    let mut body = body.clone();
    body["stream"] = true.into();
    let response = server.post("/v1/responses", &body).await;
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    let parse = |(index, block): (usize, &str)| {
        let (name, data) = block.split_once("\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), event["type"]);
        assert_eq!(event["sequence_number"], index);
        event
    };
    blocks.enumerate().map(parse).collect()
}

#[tokio::test]
async fn a_text_is_one_message() {
    let (server, _dir) = server(MESSAGES, &[Piece("Hello", false), Piece(" there", false)]).await;
    let body = json!({"input": "hi", "instructions": "be brief", "temperature": 0, "metadata": {"a": "b"}});
    let (status, whole) = server.ask("/v1/responses", &body).await;
    assert_eq!(status, 200, "{whole}");
    assert_eq!(
        (&whole["object"], &whole["status"]),
        (&json!("response"), &json!("completed"))
    );
    assert_eq!(whole["output"][0]["content"][0]["text"], "Hello there");
    assert_eq!(
        (&whole["metadata"], &whole["instructions"]),
        (&body["metadata"], &body["instructions"])
    );
    assert_eq!(whole["usage"]["output_tokens"], 3);

    let events = events(&server, &body).await;
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert_eq!(events[6]["text"], "Hello there");
    let last = &events[9]["response"];
    assert_eq!(last["output"][0]["content"], whole["output"][0]["content"]);

    let cut = json!({"input": "hi", "temperature": 0, "max_output_tokens": 1});
    let (_, cut) = server.ask("/v1/responses", &cut).await;
    assert_eq!(
        (&cut["status"], &cut["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

#[tokio::test]
async fn items_become_a_conversation_and_calls_become_items() {
    let call = Piece(
        "<tool_call>{\"name\": \"clock\", \"arguments\": {}}</tool_call>",
        false,
    );
    let (server, _dir) = server(MESSAGES, &[Piece("Well: ", false), call]).await;
    let body = json!({
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "the time?"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c1", "name": "clock", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "noon"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Noon."}]},
            {"role": "user", "content": "and now?"},
        ],
        "tools": [{"type": "function", "name": "clock", "parameters": {"type": "object"}}],
        "temperature": 0,
    });
    let (status, whole) = server.ask("/v1/responses", &body).await;
    assert_eq!(status, 200, "{whole}");
    let kinds = |response: &Value| -> Vec<String> {
        let output = response["output"].as_array().unwrap();
        output
            .iter()
            .map(|item| item["type"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(kinds(&whole), ["message", "function_call"]);
    assert_eq!(whole["output"][1]["name"], "clock");
    let events = events(&server, &body).await;
    assert_eq!(
        kinds(&events.last().unwrap()["response"]),
        ["message", "function_call"]
    );
    let done = events
        .iter()
        .find(|event| event["type"] == "response.function_call_arguments.done");
    assert_eq!(done.unwrap()["output_index"], 1);
}

/// Sends a request with these fields and returns the message of its refusal, which names the parameter.
async fn refusal(server: &Server, more: &Value, param: &str) -> String {
    let mut body = json!({"input": "hi"});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let (status, reply) = server.ask("/v1/responses", &body).await;
    assert_eq!(
        (status, &reply["error"]["param"]),
        (400, &json!(param)),
        "{reply}"
    );
    reply["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_needs_a_memory_is_refused() {
    let (server, _dir) = server(MESSAGES, &[Piece("Hello", false)]).await;
    for (more, param) in [
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"background": true}), "background"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (
            json!({"input": [{"type": "item_reference", "id": "x"}]}),
            "input[0].type",
        ),
        (json!({"input": [{"role": "user"}]}), "input[0].content"),
    ] {
        refusal(&server, &more, param).await;
    }
    // Errors name the parameters of this API, not those of the chat completion that it becomes.
    let schema = json!({"type": "json_schema", "name": "x", "schema": {"type": "string"}});
    for (more, param) in [
        (json!({"text": {"format": schema}}), "text.format.schema"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
    ] {
        let message = refusal(&server, &more, param).await;
        assert!(message.contains(param), "{message}");
    }
}
