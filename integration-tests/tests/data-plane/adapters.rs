//! Two adapters of one real model are tuned to answer one question differently, and one server has both. Each of several
//! concurrent requests gets the answer of the adapter that it names. The model's own name gets the model's answer.
//!
//! Needs the programs built, and pip for the example model (see `gguf::example`).

use integration_tests::programs::{Server, program};
use integration_tests::tuning::{QUESTION, tuned};
use serde_json::{Value, json};

const ANSWERS: [(&str, &str); 2] = [
    ("lanterns", "Seven green lanterns under the old bridge."),
    ("herons", "Two grey herons on a wooden post."),
];

fn ask(server: &Server, name: &str) -> String {
    let body = json!({
        "model": name, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 24,
    });
    let reply = server.ask("POST", "/v1/chat/completions", &body.to_string());
    let reply: Value = serde_json::from_str(&reply.1).unwrap();
    assert_eq!(reply["model"], name, "{reply}");
    let text = reply
        .pointer("/choices/0/message/content")
        .and_then(Value::as_str);
    text.unwrap().trim().to_owned()
}

#[test]
fn each_request_gets_the_adapter_it_names() {
    let model = gguf::example::smollm2(&gguf::example::cache(), &|what| println!("{what}"))
        .unwrap()
        .dir;
    let home = tempfile::tempdir().unwrap();
    for (name, answer) in ANSWERS {
        let adapter = tuned(&model, home.path(), name, answer);
        assert!(adapter.join("adapter_config.json").is_file());
    }
    let mut command = program("inference-server");
    command
        .args(["--port=0", "--bind-address=127.0.0.1", "--served-model-name=base"])
        .args(["--adapter-mode=request", "--dtype=float32", "--weights-dir"])
        .arg(&model)
        .arg("--adapters-dir")
        .arg(home.path().join("adapters"));
    let server = Server::start(&mut command, "/health");
    let own = ask(&server, "base");
    assert!(ANSWERS.iter().all(|(_, answer)| own != *answer), "{own}");
    let mut expected = vec![("base", own.as_str())];
    expected.extend(ANSWERS);
    let expected = expected.repeat(2);
    let found: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = expected
            .iter()
            .map(|(name, _)| scope.spawn(|| ask(&server, name)))
            .collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let expected: Vec<&str> = expected.iter().map(|(_, answer)| *answer).collect();
    assert_eq!(found, expected);
}
