//! Every endpoint.

use serde_json::{Value, json};

use crate::server::Server;

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}

fn text_of(reply: &Value) -> &str {
    reply["choices"][0]["message"]["content"].as_str().unwrap()
}

#[tokio::test]
async fn the_server_describes_itself() {
    let server = Server::start(&[]).await;
    let json = async |path: &str| server.get(path).await.json::<Value>().await.unwrap();
    assert_eq!(json("/").await, json!({"message": "Server is running"}));
    assert_eq!(json("/health").await, json!({"status": "Healthy"}));
    let models = json("/v1/models").await;
    assert_eq!(
        (&models["data"][0]["id"], &models["data"][0]["owned_by"]),
        (&json!("tiny"), &json!("kaito"))
    );
    assert_eq!(models["data"][0]["max_model_len"], 128);
    assert_eq!(json("/v1/models/tiny").await, models["data"][0]);
    assert_eq!(json("/v1/models/a/b").await["error"]["code"], "model_not_found");
    let accept = |value: &'static str| {
        let request = server.client.get(format!("{}/metrics", server.url));
        request.header("accept", value).send()
    };
    let metrics: Value = accept("application/json").await.unwrap().json().await.unwrap();
    assert_eq!(metrics["gpu_info"], Value::Null);
    assert!(
        metrics["cpu_info"]["memory"]["total"]
            .as_str()
            .unwrap()
            .ends_with(" GB")
    );
    assert!(metrics["cpu_info"]["total_cores"].as_u64().unwrap() > 0);
    let page = server.get("/ui").await;
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("script-src 'sha256-")
            && !policy.contains("unsafe"),
        "{policy}"
    );
    let page = page.text().await.unwrap();
    assert!(page.contains("<title>Chat</title>") && !page.contains("http://") && !page.contains("https://"));
    let openmetrics = accept("application/openmetrics-text").await.unwrap();
    assert!(openmetrics.text().await.unwrap().ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_are_those_of_the_present_vllm() {
    let server = Server::start(&[]).await;
    let body = json!({"prompt": "the quick brown fox", "max_tokens": 4, "ignore_eos": true});
    assert_eq!(server.ask("/v1/completions", &body).await.0, 200);
    let response = server.get("/metrics").await;
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = response.text().await.unwrap();
    let labels = "model_name=\"tiny\",engine=\"0\"";
    for line in [
        "# TYPE vllm:request_success_total counter".to_owned(),
        format!("vllm:request_success_total{{{labels},finished_reason=\"length\"}} 1"),
        format!("vllm:inter_token_latency_seconds_count{{{labels}}} 3"),
        format!("vllm:request_time_per_output_token_seconds_count{{{labels}}} 1"),
        format!("vllm:prefix_cache_hits_total{{{labels}}} 0"),
        format!("vllm:e2e_request_latency_seconds_bucket{{{labels},le=\"2560.0\"}} 1"),
    ] {
        assert!(
            text.lines().any(|other| other == line),
            "{line} is missing in {text}"
        );
    }
    assert!(
        text.contains("vllm:cache_config_info{model_name=\"tiny\",engine=\"0\",block_size=\"1\""),
        "{text}"
    );
    assert!(!text.contains("time_per_output_token_seconds_count{le") && !text.contains("# EOF"));
}

#[tokio::test]
async fn errors_of_the_transport_have_the_shape_of_the_api() {
    let server = Server::start(&[]).await;
    let error = async |response: reqwest::Response| {
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["error"]["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(
        error(server.get("/v1/nothing").await).await,
        (404, "unknown_url".to_owned())
    );
    let wrong = server.get("/v1/chat/completions").await;
    assert_eq!(error(wrong).await, (405, "method_not_supported".to_owned()));
    let large = server.client.post(format!("{}/v1/completions", server.url));
    let large = large.body(vec![b' '; (8 << 20) + 1]).send().await.unwrap();
    assert_eq!(error(large).await, (413, "request_too_large".to_owned()));
    // The tokenizer never sees a text that cannot fit.
    let long = json!({"prompt": "a ".repeat(1 << 20)});
    let (status, reply) = server.ask("/v1/completions", &long).await;
    assert_eq!(
        (status, &reply["error"]["code"]),
        (400, &json!("context_length_exceeded"))
    );
}

#[tokio::test]
async fn prompts_are_echoed_with_their_log_probabilities() {
    let server = Server::start(&[]).await;
    let body = json!({"prompt": "the quick", "temperature": 0, "max_tokens": 3, "logprobs": 2, "echo": true});
    let (status, both) = server.ask("/v1/completions", &body).await;
    assert_eq!(status, 200, "{both}");
    let text = both["choices"][0]["text"].as_str().unwrap().to_owned();
    let lists = &both["choices"][0]["logprobs"];
    let count = usize::try_from(both["usage"]["total_tokens"].as_u64().unwrap()).unwrap();
    for list in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(lists[list].as_array().unwrap().len(), count, "{list}: {lists}");
    }
    assert!(lists["token_logprobs"][0].is_null() && lists["top_logprobs"][0].is_null());
    assert!(lists["token_logprobs"][1].as_f64().unwrap() < 0.0);

    // Evaluations ask for a whole text as the prompt, and for nothing new.
    let (_, tokens) = server.ask("/tokenize", &json!({"prompt": "the quick"})).await;
    let mut alone = json!({"prompt": tokens["tokens"], "max_tokens": 0, "logprobs": 2, "echo": true});
    let (status, reply) = server.ask("/v1/completions", &alone).await;
    assert_eq!(
        (status, &reply["usage"]["completion_tokens"]),
        (200, &json!(0)),
        "{reply}"
    );
    let prompt = tokens["tokens"].as_array().unwrap().len();
    let scores = reply["choices"][0]["logprobs"]["token_logprobs"]
        .as_array()
        .unwrap();
    assert_eq!(scores, &lists["token_logprobs"].as_array().unwrap()[..prompt]);
    alone["echo"] = false.into();
    assert_eq!(server.ask("/v1/completions", &alone).await.0, 400);

    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    let chunks = server.stream("/v1/completions", &streamed).await;
    let pieces: String = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap())
        .collect();
    assert_eq!(pieces, text);
    let scores: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["token_logprobs"].as_array())
        .flatten()
        .collect();
    assert_eq!(scores.len(), count);
    let many = json!({"prompt": vec!["a"; 32], "max_tokens": 1});
    assert_eq!(
        server.ask("/v1/completions", &many).await.1["choices"]
            .as_array()
            .unwrap()
            .len(),
        32
    );
}

#[tokio::test]
async fn unsupported_parameters_are_refused_and_a_developer_is_the_system() {
    let server = Server::start(&[]).await;
    for (name, value) in [
        ("use_beam_search", json!(true)),
        ("bad_words", json!(["a"])),
        ("prompt_logprobs", json!(1)),
        ("truncate_prompt_tokens", json!(5)),
    ] {
        for path in ["/v1/chat/completions", "/v1/completions"] {
            let mut body = json!({"messages": user("hi"), "prompt": "hi", "max_tokens": 2});
            body[name] = value.clone();
            let (status, reply) = server.ask(path, &body).await;
            assert_eq!((status, &reply["error"]["param"]), (400, &json!(name)), "{path}");
        }
    }
    let count = async |role: &str| {
        let messages = json!([{"role": role, "content": "be brief"}, {"role": "user", "content": "hi"}]);
        server.ask("/tokenize", &json!({"messages": messages})).await.1["tokens"].clone()
    };
    assert_eq!(count("developer").await, count("system").await);
}

#[tokio::test]
async fn a_chat_completion_is_the_same_whole_and_in_chunks() {
    let server = Server::start(&[]).await;
    let mut request =
        json!({"model": "tiny", "messages": user("the quick brown fox"), "temperature": 0, "max_tokens": 12});
    let (status, whole) = server.ask("/v1/chat/completions", &request).await;
    assert_eq!(status, 200, "{whole}");
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["choices"][0]["message"]["role"], "assistant");
    let reason = whole["choices"][0]["finish_reason"].as_str().unwrap();
    assert!(reason == "length" || reason == "stop");
    let usage = &whole["usage"];
    assert!(usage["completion_tokens"].as_u64().unwrap() <= 12);
    assert_eq!(
        usage["total_tokens"].as_u64().unwrap(),
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
    );

    request["stream"] = true.into();
    request["stream_options"] = json!({"include_usage": true});
    let chunks = server.stream("/v1/chat/completions", &request).await;
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let pieces = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(pieces.collect::<String>(), text_of(&whole));
    let [.., last, with_usage] = chunks.as_slice() else {
        panic!("{chunks:?}")
    };
    assert_eq!(last["choices"][0]["finish_reason"], reason);
    assert_eq!(
        with_usage["usage"]["completion_tokens"],
        usage["completion_tokens"]
    );
    assert_eq!(with_usage["choices"], json!([]));
}

#[tokio::test]
async fn content_may_be_parts_and_ids_come_back() {
    let server = Server::start(&[]).await;
    let parts = json!([{"role": "user", "content": [{"type": "text", "text": "the quick"}, {"type": "text", "text": " brown fox"}]}]);
    let body = |messages: Value| json!({"messages": messages, "temperature": 0, "max_tokens": 5});
    let (_, plain) = server
        .ask("/v1/chat/completions", &body(user("the quick brown fox")))
        .await;
    let url = format!("{}/v1/chat/completions", server.url);
    let response = server
        .client
        .post(url)
        .header("x-request-id", "mine")
        .json(&body(parts))
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine");
    let reply: Value = response.json().await.unwrap();
    assert_eq!(
        (reply["id"].as_str(), text_of(&reply)),
        (Some("mine"), text_of(&plain))
    );
    assert_eq!(server.get("/").await.headers()["x-request-id"].len(), 32);
}

#[tokio::test]
async fn completions_take_text_tokens_and_several_prompts() {
    let server = Server::start(&[]).await;
    let (_, tokens) = server.ask("/tokenize", &json!({"prompt": "the quick"})).await;
    let ids = tokens["tokens"].clone();
    assert_eq!(
        tokens["count"].as_u64().unwrap() as usize,
        ids.as_array().unwrap().len()
    );
    let (_, back) = server.ask("/detokenize", &json!({"tokens": ids})).await;
    assert_eq!(back, json!({"prompt": "the quick"}));

    let ask = async |prompt: Value, more: Value| {
        let mut body = json!({"prompt": prompt, "temperature": 0, "max_tokens": 6});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        server.ask("/v1/completions", &body).await.1
    };
    let one = ask(json!("the quick"), json!({})).await;
    let text = one["choices"][0]["text"].as_str().unwrap();
    assert_eq!(ask(ids.clone(), json!({})).await["choices"][0]["text"], text);
    let several = ask(json!(["the quick", "lazy dog"]), json!({"n": 2})).await;
    let texts: Vec<&str> = several["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["text"].as_str().unwrap())
        .collect();
    assert_eq!((texts.len(), texts[0], texts[1]), (4, text, text));
    assert_eq!(texts[2], texts[3]);
    let echoed = ask(json!("the quick"), json!({"echo": true})).await;
    assert_eq!(echoed["choices"][0]["text"], format!("the quick{text}"));

    let body = json!({"prompt": "the quick", "temperature": 0, "max_tokens": 6, "stream": true});
    let chunks = server.stream("/v1/completions", &body).await;
    let streamed: String = chunks
        .iter()
        .map(|chunk| chunk["choices"][0]["text"].as_str().unwrap())
        .collect();
    assert_eq!(streamed, text);
}

#[tokio::test]
async fn a_stop_string_ends_the_text_and_a_seed_repeats_it() {
    let server = Server::start(&[]).await;
    let ask = async |more: Value| {
        let mut body = json!({"prompt": "the quick brown", "max_tokens": 24, "ignore_eos": true});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        server.ask("/v1/completions", &body).await.1["choices"][0].clone()
    };
    let full = ask(json!({"temperature": 0})).await;
    let text: Vec<char> = full["text"].as_str().unwrap().chars().collect();
    assert_eq!(full["finish_reason"], "length");
    let stop: String = text[5..8].iter().collect();
    let before = full["text"].as_str().unwrap().split(&stop).next().unwrap();
    let stopped = ask(json!({"temperature": 0, "stop": [stop]})).await;
    assert_eq!(
        (stopped["text"].as_str(), stopped["finish_reason"].as_str()),
        (Some(before), Some("stop"))
    );

    let drawn = async |seed: i64| ask(json!({"temperature": 2, "seed": seed})).await["text"].clone();
    assert_eq!(drawn(7).await, drawn(7).await);
    assert_ne!(drawn(7).await, drawn(8).await);
}

#[tokio::test]
async fn log_probabilities_are_returned() {
    let server = Server::start(&[]).await;
    let body = json!({"messages": user("hi"), "temperature": 0, "max_tokens": 3, "logprobs": true, "top_logprobs": 2});
    let (_, reply) = server.ask("/v1/chat/completions", &body).await;
    let content = reply["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert!(!content.is_empty());
    for entry in content {
        let top = entry["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 2);
        // With temperature 0 the most likely token is sampled.
        assert_eq!(
            (&top[0]["token"], &top[0]["logprob"]),
            (&entry["token"], &entry["logprob"])
        );
        assert!(
            top[0]["logprob"].as_f64() >= top[1]["logprob"].as_f64()
                && entry["logprob"].as_f64().unwrap() <= 0.0
        );
    }
    let body = json!({"prompt": "hi", "temperature": 0, "max_tokens": 3, "logprobs": 1});
    let (_, reply) = server.ask("/v1/completions", &body).await;
    let lists = &reply["choices"][0]["logprobs"];
    let length = lists["tokens"].as_array().unwrap().len();
    assert!(
        length > 0
            && lists["token_logprobs"].as_array().unwrap().len() == length
            && lists["text_offset"][0] == 0
    );
}

#[tokio::test]
async fn errors_name_their_parameter() {
    let server = Server::start(&["--max-context-tokens=64"]).await;
    let chat = |more: Value| {
        let mut body = json!({"messages": user("hi"), "max_tokens": 2});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let cases = [
        (chat(json!({"messages": null})), 400, "messages"),
        (chat(json!({"messages": "hi"})), 400, "messages"),
        (
            chat(json!({"messages": [{"content": "hi"}]})),
            400,
            "messages[0].role",
        ),
        (
            chat(json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})),
            400,
            "messages[0].content",
        ),
        (chat(json!({"temperature": 3})), 400, "temperature"),
        (chat(json!({"temperature": "hot"})), 400, "temperature"),
        (chat(json!({"top_p": -1})), 400, "top_p"),
        (chat(json!({"n": 0})), 400, "n"),
        (chat(json!({"n": 100})), 400, "n"),
        (chat(json!({"max_tokens": 0})), 400, "max_tokens"),
        (chat(json!({"max_tokens": 100})), 400, "messages"),
        (chat(json!({"stop": [1]})), 400, "stop"),
        (chat(json!({"stream": "yes"})), 400, "stream"),
        (
            chat(json!({"stream_options": {"include_usage": 1}})),
            400,
            "stream_options.include_usage",
        ),
        (
            chat(json!({"logprobs": true, "top_logprobs": 21})),
            400,
            "top_logprobs",
        ),
        (chat(json!({"logit_bias": {"a": 1}})), 400, "logit_bias"),
        (chat(json!({"tools": {}})), 400, "tools"),
        (chat(json!({"model": "other"})), 404, "model"),
    ];
    for (body, status, field) in cases {
        let (found, reply) = server.ask("/v1/chat/completions", &body).await;
        assert_eq!(
            (found, reply["error"]["param"].as_str()),
            (status, Some(field)),
            "{body} {reply}"
        );
        assert!(reply["error"]["message"].as_str().unwrap().len() > field.len());
    }
    for (path, body, field) in [
        ("/v1/completions", json!({}), "prompt"),
        ("/v1/completions", json!({"prompt": []}), "prompt"),
        ("/v1/completions", json!({"prompt": [1, 999]}), "prompt"),
        ("/v1/completions", json!({"prompt": "a ".repeat(300)}), "prompt"),
        ("/v1/completions", json!({"prompt": "a", "suffix": "b"}), "suffix"),
        ("/tokenize", json!({}), "prompt"),
        ("/detokenize", json!({"tokens": [-1]}), "tokens"),
        ("/detokenize", json!({"tokens": [100_000]}), "tokens"),
    ] {
        let (status, reply) = server.ask(path, &body).await;
        assert_eq!(
            (status, reply["error"]["param"].as_str()),
            (400, Some(field)),
            "{path} {body} {reply}"
        );
    }
    let broken = server
        .client
        .post(format!("{}/v1/completions", server.url))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(broken.status(), 400);
    let large = server
        .client
        .post(format!("{}/v1/completions", server.url))
        .body(vec![b' '; 9 << 20])
        .send()
        .await;
    assert!(large.is_err() || large.unwrap().status() == 413);
    assert_eq!(server.get("/v1/nothing").await.status(), 404);
    assert_eq!(server.get("/v1/completions").await.status(), 405);
}

/// Returns the header that lists ignored parameters, after a request that must succeed.
async fn ignored(server: &Server, path: &str, body: &Value) -> Option<String> {
    let response = server.post(path, body).await;
    assert_eq!(response.status(), 200, "{path} {body}");
    let list = response.headers().get("x-ignored-parameters")?;
    Some(list.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn parameters_without_effect_are_accepted_and_listed() {
    let server = Server::start(&[]).await;
    let format = json!({"type": "text", "strictness": 1});
    let cases = [
        (
            "/v1/chat/completions",
            json!({"messages": user("hi"), "max_tokens": 2}),
            None,
        ),
        (
            "/v1/chat/completions",
            json!({
                "messages": user("hi"), "max_tokens": 2, "user": "me", "metadata": {"a": 1}, "temprature": 0.1,
                "stream": true, "stream_options": {"include_usage": true, "include_obfuscation": false},
                "response_format": format,
            }),
            Some(
                "user, metadata, temprature, stream_options.include_obfuscation, response_format.strictness",
            ),
        ),
        (
            "/v1/chat/completions",
            json!({
                "messages": user("hi"), "max_tokens": 2, "tool_choice": "required",
                "tools": [{"type": "function", "function": {"name": "f", "description": "d", "x": 1}}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {}}},
            }),
            Some("tools[0].function.x"),
        ),
        (
            "/v1/completions",
            json!({"prompt": "a", "max_tokens": 2, "user": null}),
            Some("user"),
        ),
        (
            "/v1/embeddings",
            json!({"input": "a", "user": "me"}),
            Some("user"),
        ),
        (
            "/tokenize",
            json!({"prompt": "a", "\u{e9}\n": 1}),
            Some("\\u{e9}\\n"),
        ),
        (
            "/chat",
            json!({"prompt": "a", "clean_up_tokenization_spaces": true, "generate_kwargs": {"max_length": 9, "length_penalty": 2}}),
            Some("clean_up_tokenization_spaces, generate_kwargs.length_penalty"),
        ),
    ];
    for (path, body, expected) in cases {
        assert_eq!(ignored(&server, path, &body).await.as_deref(), expected, "{body}");
    }
}

#[tokio::test]
async fn a_wrong_type_is_reported_with_its_path() {
    let server = Server::start(&[]).await;
    for (more, param, message) in [
        (
            json!({"temperature": "hot"}),
            "temperature",
            "`temperature` must be a number, not string \"hot\"",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": "yes"}}}),
            "response_format.json_schema.strict",
            "`response_format.json_schema.strict` must be a boolean, not string \"yes\"",
        ),
        (
            json!({"messages": [{"role": "user", "content": "hi"}, {"role": 7}]}),
            "messages[1].role",
            "`messages[1].role` must be a string, not integer `7`",
        ),
    ] {
        let mut body = json!({"messages": user("hi"), "max_tokens": 2});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (status, reply) = server.ask("/v1/chat/completions", &body).await;
        let error =
            json!({"message": message, "type": "invalid_request_error", "param": param, "code": null});
        assert_eq!((status, reply), (400, json!({"error": error})));
    }
    let (status, reply) = server
        .ask(
            "/chat",
            &json!({"prompt": "a", "generate_kwargs": {"top_k": "x"}}),
        )
        .await;
    let detail = "`generate_kwargs.top_k` must be an integer, not string \"x\"";
    assert_eq!((status, reply), (400, json!({"detail": detail})));
}

#[tokio::test]
async fn the_first_api_still_works() {
    let server = Server::start(&[]).await;
    let kwargs = json!({"do_sample": false, "max_length": 40});
    let (status, full) = server
        .ask(
            "/chat",
            &json!({"prompt": "the quick", "return_full_text": true, "generate_kwargs": kwargs}),
        )
        .await;
    assert_eq!(status, 200, "{full}");
    let full = full["Result"].as_str().unwrap();
    assert!(full.starts_with("the quick"));
    let (_, tokens) = server.ask("/tokenize", &json!({"prompt": full})).await;
    assert!(
        tokens["count"].as_u64().unwrap() <= 41,
        "prompt and answer have max_length tokens together"
    );
    // A plain prompt is a turn of the user.
    let body = json!({"messages": user("the quick"), "temperature": 0, "top_k": 10, "max_tokens": 40});
    let answer = server.ask("/v1/chat/completions", &body).await.1;
    let (_, turn) = server
        .ask(
            "/chat",
            &json!({"prompt": "the quick", "generate_kwargs": kwargs}),
        )
        .await;
    assert_eq!(turn["Result"], text_of(&answer));
    let (_, several) = server
        .ask(
            "/chat",
            &json!({"prompt": "a", "return_full_text": true,
                    "generate_kwargs": {"num_return_sequences": 2, "max_length": 9}}),
        )
        .await;
    let first = several["Result"].as_str().unwrap();
    assert!(first.starts_with('a') && first[1..].contains('a'), "{first}");
    let detail = async |body: Value| server.ask("/chat", &body).await;
    assert_eq!(
        detail(json!({})).await,
        (
            400,
            json!({"detail": "Text generation parameter prompt required"})
        )
    );
    assert_eq!(detail(json!({"prompt": ""})).await.0, 400);
    let (status, reply) = detail(json!({"prompt": "a", "generate_kwargs": {"num_beams": 4}})).await;
    assert!(
        status == 400
            && reply["detail"]
                .as_str()
                .unwrap()
                .contains("generate_kwargs.num_beams"),
        "{reply}"
    );

    let server = Server::start(&["--pipeline=conversational"]).await;
    let (status, reply) = server
        .ask(
            "/chat",
            &json!({"messages": user("hi"), "generate_kwargs": {"max_length": 20}}),
        )
        .await;
    assert!(
        status == 200 && !reply["Result"].as_str().unwrap().contains("generated_text"),
        "{reply}"
    );
    let (status, reply) = server.ask("/chat", &json!({"prompt": "a"})).await;
    assert_eq!(
        (status, reply),
        (
            400,
            json!({"detail": "Conversational parameter messages required"})
        )
    );
}
