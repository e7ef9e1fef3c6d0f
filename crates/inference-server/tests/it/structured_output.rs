//! Structured output of a model with random weights.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::server::{Server, data};

const CHAT: &str = "/v1/chat/completions";
const PLAIN: &str = "/v1/completions";

/// Starts the tiny model with a longer context.
async fn server(flags: &[&str]) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(data("llama")).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = dir.path().join("config.json");
    let mut fields: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    fields["max_position_embeddings"] = 2048.into();
    std::fs::write(&config, fields.to_string()).unwrap();
    let weights = format!("--weights-dir={}", dir.path().display());
    let flags: Vec<&str> = flags.iter().copied().chain([&*weights]).collect();
    (Server::start(&flags).await, dir)
}

fn body(more: &Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": "say it"}], "max_tokens": 400, "seed": 3});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

fn schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["size", "name"],
        "properties": {"size": {"type": "integer", "minimum": 1, "maximum": 40}, "name": {"enum": ["fox", "dog"]}},
    })
}

fn format() -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "animal", "strict": true, "schema": schema()}})
}

fn is_animal(text: &str) -> bool {
    let value: Value = serde_json::from_str(text).unwrap();
    let size = value["size"]
        .as_i64()
        .is_some_and(|size| (1..=40).contains(&size));
    let name = ["fox", "dog"].contains(&value["name"].as_str().unwrap());
    size && name && value.as_object().unwrap().len() == 2
}

/// Returns text and finish reason of a completion, which must be the same whole and in chunks.
async fn complete(server: &Server, more: &Value) -> (String, String) {
    let mut body = body(more);
    let (status, whole) = server.ask(CHAT, &body).await;
    assert_eq!(status, 200, "{body} {whole}");
    let choice = &whole["choices"][0];
    let text = choice["message"]["content"].as_str().unwrap();
    body["stream"] = true.into();
    let chunks = server.stream(CHAT, &body).await;
    let pieces = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(pieces.collect::<String>(), text);
    let reason = &chunks.last().unwrap()["choices"][0]["finish_reason"];
    assert_eq!(reason, &choice["finish_reason"]);
    (text.to_owned(), reason.as_str().unwrap().to_owned())
}

type Matches<'a> = &'a dyn Fn(&str) -> bool;

#[tokio::test]
async fn completions_match_their_constraint() {
    let (server, _dir) = server(&[]).await;
    let pick = |text: &str| ["yes", "no", "may be"].contains(&text);
    let is_date = |text: &str| {
        text.len() == 5 && text.as_bytes()[2] == b'-' && text.replace('-', "").parse::<u32>().is_ok()
    };
    let sum = |text: &str| text.split('+').all(|part| ["a", "b"].contains(&part));
    let cases: [(Value, Matches<'_>); 10] = [
        (json!({"response_format": format()}), &is_animal),
        (json!({"structured_outputs": {"json": schema()}}), &is_animal),
        (json!({"guided_json": schema().to_string()}), &is_animal),
        (
            json!({"structured_outputs": {"choice": ["yes", "no", "may be"]}}),
            &pick,
        ),
        (json!({"guided_choice": ["yes", "no", "may be"]}), &pick),
        (
            json!({"structured_outputs": {"regex": "[0-9]{2}-[0-9]{2}"}}),
            &is_date,
        ),
        (json!({"guided_regex": "^[0-9]{2}-[0-9]{2}$"}), &is_date),
        (
            json!({"structured_outputs": {"grammar": "start: X (\"+\" X){0,3}\nX: \"a\" | \"b\""}}),
            &sum,
        ),
        (
            json!({"guided_grammar": "root ::= x (\"+\" x){0,3}\nx ::= \"a\" | \"b\""}),
            &sum,
        ),
        (
            json!({"structured_outputs": {"json": schema(), "disable_any_whitespace": true}}),
            &|text| is_animal(text) && !text.contains([' ', '\n']),
        ),
    ];
    for (more, matches) in cases {
        for settings in [
            json!({"temperature": 0}),
            json!({"temperature": 1.5, "logprobs": true, "top_logprobs": 2}),
            json!({"temperature": 2, "top_k": 5, "presence_penalty": 1, "min_p": 0.01, "logit_bias": {"7": -100}}),
        ] {
            let mut more = more.clone();
            more.as_object_mut()
                .unwrap()
                .extend(settings.as_object().unwrap().clone());
            let (text, reason) = complete(&server, &more).await;
            assert!(matches(&text) && reason == "stop", "{more} {text} {reason}");
        }
        // The same for several prompts of `/v1/completions`.
        let mut plain = more.clone();
        plain["prompt"] = json!(["one", "two"]);
        plain["n"] = 2.into();
        plain["max_tokens"] = 400.into();
        let (status, reply) = server.ask(PLAIN, &plain).await;
        assert_eq!(status, 200, "{reply}");
        let choices = reply["choices"].as_array().unwrap();
        assert!(
            choices.len() == 4
                && choices
                    .iter()
                    .all(|choice| matches(choice["text"].as_str().unwrap())),
            "{reply}"
        );
    }
    let (text, _) = complete(
        &server,
        &json!({"response_format": {"type": "text"}, "temperature": 0}),
    )
    .await;
    assert_eq!(text, complete(&server, &json!({"temperature": 0})).await.0);
}

#[tokio::test]
async fn limits_stop_strings_and_usage_still_apply() {
    let (server, _dir) = server(&[]).await;
    let constraint = json!({"response_format": format(), "max_tokens": 3});
    let (text, reason) = complete(&server, &constraint).await;
    assert!(text.starts_with('{') && reason == "length", "{text} {reason}");
    let (text, reason) = complete(
        &server,
        &json!({"response_format": format(), "stop": ["\"name\""]}),
    )
    .await;
    assert!(!text.contains("name") && reason == "stop", "{text} {reason}");
    // The grammar could end after one letter, and the request requires four.
    for ignore in [json!({"min_tokens": 4}), json!({"ignore_eos": true})] {
        let mut more = json!({"guided_regex": "z{1,5}", "temperature": 0});
        more.as_object_mut()
            .unwrap()
            .extend(ignore.as_object().unwrap().clone());
        let (text, reason) = complete(&server, &more).await;
        assert!(text.len() >= 4 && reason == "stop", "{text}");
    }
    let long = json!([{"role": "user", "content": "the quick brown fox jumps over the lazy dog"}]);
    let asked = body(&json!({"messages": long, "guided_regex": "z{3}", "logprobs": true, "top_logprobs": 1}));
    let first = server.ask(CHAT, &asked).await.1;
    let reply = server.ask(CHAT, &asked).await.1;
    assert_eq!(first["choices"], reply["choices"]);
    let listed = reply["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(
        (listed.len(), reply["usage"]["completion_tokens"].as_u64()),
        (3, Some(3))
    );
    assert!(
        listed
            .iter()
            .all(|entry| entry["logprob"].as_f64().unwrap() < 0.0)
    );
    assert!(
        reply["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
            > 0,
        "{reply}"
    );
    let text = server.get("/metrics/prometheus").await.text().await.unwrap();
    for count in [
        "kaito_structured_output_requests_total{model_name=\"tiny\",engine=\"0\",kind=\"json_schema\"} 4",
        "kaito_structured_output_requests_total{model_name=\"tiny\",engine=\"0\",kind=\"regex\"} 6",
        "kaito_structured_output_requests_total{model_name=\"tiny\",engine=\"0\",kind=\"tools\"} 0",
    ] {
        assert!(text.contains(count), "{count}: {text}");
    }
}

#[tokio::test]
async fn wrong_constraints_are_refused_before_the_completion() {
    let (server, _dir) = server(&[]).await;
    let json_schema = |schema: Value, strict: bool| json!({"response_format": {"type": "json_schema", "json_schema": {"schema": schema, "strict": strict}}});
    let not = json!({"type": "object", "not": {"required": ["a"]}});
    let nested = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
    let tool = |parameters: Value| json!([{"type": "function", "function": {"name": "f", "parameters": parameters}}]);
    let place = "response_format.json_schema.schema";
    let cases = [
        (
            json!({"response_format": {"type": "xml"}}),
            "response_format.type",
            "json_schema",
        ),
        (json_schema(not.clone(), true), place, "not"),
        (json_schema(json!({"type": "no"}), false), place, "no"),
        (
            json_schema(json!({"$ref": "http://127.0.0.1:1/a"}), false),
            place,
            "nothing is fetched",
        ),
        (json_schema(nested, false), place, "nested more than"),
        (
            json_schema(json!({"description": "a".repeat(200_000)}), false),
            place,
            "bytes",
        ),
        (
            json!({"structured_outputs": {"regex": "("}}),
            "structured_outputs.regex",
            "unclosed",
        ),
        (
            json!({"guided_regex": "(a)\\1"}),
            "guided_regex",
            "backreferences",
        ),
        (
            json!({"guided_grammar": "start: x"}),
            "guided_grammar",
            "unknown name",
        ),
        (
            json!({"guided_choice": ["\u{65e5}"]}),
            "guided_choice",
            "no token",
        ),
        (
            json!({"guided_regex": "a", "guided_json": {}}),
            "guided_regex",
            "`guided_json`",
        ),
        (json!({"tool_choice": "required"}), "tool_choice", "`tools`"),
        (
            json!({"tool_choice": "sometimes", "tools": tool(json!({}))}),
            "tool_choice",
            "required",
        ),
        (
            json!({"tool_choice": {"type": "function", "function": {"name": "g"}}, "tools": tool(json!({}))}),
            "tool_choice",
            "`g`",
        ),
        (
            json!({"tool_choice": "required", "tools": tool(json!({"type": "x"}))}),
            "tools",
            "x",
        ),
        (
            json!({"tool_choice": "required", "tools": tool(json!(1))}),
            "tools[0].function.parameters",
            "object",
        ),
        (
            json!({"tool_choice": "required", "tools": tool(json!({})), "guided_regex": "a"}),
            "tool_choice",
            "guided_regex",
        ),
    ];
    for (more, field, problem) in cases {
        let (status, reply) = server.ask(CHAT, &body(&more)).await;
        let error = &reply["error"];
        assert_eq!((status, error["param"].as_str()), (400, Some(field)), "{reply}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(field) && message.contains(problem), "{message}");
    }
    let (status, reply) = server.ask(CHAT, &body(&json_schema(not, false))).await;
    assert_eq!(status, 200, "{reply}");
}

#[tokio::test]
async fn a_completion_that_cannot_continue_is_an_error() {
    let (server, _dir) = server(&[]).await;
    // The model has a token for `a` and none for the next character.
    for path in [CHAT, PLAIN] {
        let mut body = body(&json!({"guided_regex": "a{3}\u{e9}", "prompt": "x"}));
        let (status, reply) = server.ask(path, &body).await;
        assert_eq!(
            (status, reply["error"]["code"].as_str()),
            (400, Some("constraint_failed")),
            "{reply}"
        );
        body["stream"] = true.into();
        let chunks = server.stream(path, &body).await;
        let last = &chunks.last().unwrap()["error"];
        assert!(
            last["message"].as_str().unwrap().contains("no token"),
            "{chunks:?}"
        );
    }
    // Other requests are not affected.
    assert_eq!(
        complete(&server, &json!({"guided_choice": ["yes"]})).await.0,
        "yes"
    );
}

#[tokio::test]
async fn unconstrained_requests_in_the_same_step_get_the_same_bits() {
    let (server, _dir) = server(&[]).await;
    let free =
        |seed: u64| body(&json!({"seed": seed, "max_tokens": 40, "logprobs": true, "top_logprobs": 3}));
    let mut alone = Vec::new();
    for seed in 0..4 {
        alone.push(server.ask(CHAT, &free(seed)).await.1["choices"].clone());
    }
    let both = (0..8_u64).map(|index| {
        let body = match index % 2 {
            0 => free(index / 2),
            _ => body(&json!({"seed": index, "response_format": format()})),
        };
        let server = &server;
        async move { server.ask(CHAT, &body).await.1["choices"].clone() }
    });
    for (index, choices) in join_all(both).await.into_iter().enumerate() {
        if index % 2 == 0 {
            assert_eq!(choices, alone[index / 2]);
        } else {
            assert!(
                is_animal(choices[0]["message"]["content"].as_str().unwrap()),
                "{choices}"
            );
        }
    }
}

fn tools() -> Value {
    let function = |name: &str, parameters: Value| json!({"type": "function", "function": {"name": name, "parameters": parameters}});
    json!([function("animal", schema()), function("clock", Value::Null)])
}

fn is_call(call: &Value) -> bool {
    let part = |name: &str| call["function"][name].as_str().unwrap();
    match part("name") {
        "animal" => is_animal(part("arguments")),
        "clock" => part("arguments").replace(char::is_whitespace, "") == "{}",
        _ => false,
    }
}

#[tokio::test]
async fn required_tool_calls_are_made_in_every_format() {
    let template = |mark: &str| {
        format!(
            "--chat-template={{% for m in messages %}}{{{{ m.content }}}}{{% endfor %}}{mark}<|assistant|>"
        )
    };
    for mark in ["", "<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"] {
        let (server, _dir) = server(&[&template(mark)]).await;
        for seed in 0..6 {
            let mut asked =
                body(&json!({"seed": seed, "tools": tools(), "tool_choice": "required", "max_tokens": 1500}));
            asked["parallel_tool_calls"] = (seed % 2 == 0).into();
            if seed > 3 {
                asked["tool_choice"] = json!({"type": "function", "function": {"name": "animal"}});
                // It has no effect on calls.
                asked["response_format"] = json!({"type": "json_object"});
            }
            let (status, reply) = server.ask(CHAT, &asked).await;
            assert_eq!(status, 200, "{reply}");
            let choice = &reply["choices"][0];
            let calls = choice["message"]["tool_calls"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            assert!(!calls.is_empty() && calls.iter().all(is_call), "{mark} {reply}");
            assert!(calls.len() == 1 || (seed % 2 == 0 && seed < 4), "{mark} {reply}");
            assert!(seed < 4 || calls[0]["function"]["name"] == "animal");
            assert_eq!(
                (&choice["message"]["content"], &choice["finish_reason"]),
                (&Value::Null, &json!("tool_calls"))
            );
            asked["stream"] = true.into();
            let chunks = server.stream(CHAT, &asked).await;
            let deltas = chunks
                .iter()
                .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array());
            let streamed: Vec<Value> = deltas.flatten().map(|call| call["function"].clone()).collect();
            let whole: Vec<Value> = calls.iter().map(|call| call["function"].clone()).collect();
            assert_eq!(streamed, whole);
        }
    }
}
