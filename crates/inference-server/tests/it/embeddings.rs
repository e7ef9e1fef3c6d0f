//! Texts as vectors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use model::{Decoder, OutputMode, Precision, Segment, Spec, TensorStore, Tokenizer};
use serde_json::{Value, json};

use crate::server::{Server, data};

fn vectors(reply: &Value) -> Vec<Vec<f64>> {
    let data = reply["data"].as_array().unwrap_or_else(|| panic!("{reply}"));
    data.iter()
        .enumerate()
        .map(|(index, entry)| {
            assert_eq!(
                (&entry["object"], &entry["index"]),
                (&json!("embedding"), &json!(index))
            );
            let numbers = entry["embedding"].as_array().unwrap();
            numbers.iter().map(|number| number.as_f64().unwrap()).collect()
        })
        .collect()
}

/// Returns the mean of the last hidden states with length 1, computed with the model itself.
fn expected(text: &str) -> Vec<f64> {
    let dir = data("llama");
    let store = TensorStore::open(&dir).unwrap();
    let decoder = Decoder::load(Spec::open(&dir).unwrap(), &store, Precision::Auto, &[], &|_| {}).unwrap();
    let tokens = Tokenizer::open(&dir).unwrap().encode(text, true).unwrap();
    let mut cache = decoder.cache(128);
    let mut segments = [Segment {
        tokens: &tokens,
        cache: &mut cache,
        output: OutputMode::HiddenStates,
    }];
    let states = decoder.forward(&mut segments).unwrap().remove(0);
    let width = decoder.spec().hidden_size;
    let sum: Vec<f64> = (0..width)
        .map(|column| states.chunks(width).map(|state| f64::from(state[column])).sum())
        .collect();
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    sum.iter().map(|value| value / length).collect()
}

#[tokio::test]
async fn a_text_is_the_mean_of_its_states() {
    // Pieces of five tokens, so that a text takes several steps.
    let server = Server::start(&["--step-tokens=5"]).await;
    let texts = ["the quick brown fox jumps over the lazy dog", "a", "the quick"];
    let ask = async |more: Value| {
        let mut body = json!({"model": "tiny", "input": texts});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        server.ask("/v1/embeddings", &body).await
    };
    let (status, reply) = ask(json!({})).await;
    assert_eq!(
        (status, &reply["object"], &reply["model"]),
        (200, &json!("list"), &json!("tiny"))
    );
    let found = vectors(&reply);
    for (text, vector) in texts.iter().zip(&found) {
        let expected = expected(text);
        assert_eq!(vector.len(), expected.len());
        let worst = vector
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(worst < 1e-6, "{text}: {worst}");
    }
    assert_eq!(
        reply["usage"]["prompt_tokens"], reply["usage"]["total_tokens"],
        "{reply}"
    );
    assert_eq!(vectors(&ask(json!({"input": "a"})).await.1), found[1..2]);
    let tokens = server.ask("/tokenize", &json!({"prompt": texts[2]})).await.1["tokens"].clone();
    assert_eq!(vectors(&ask(json!({"input": tokens})).await.1), found[2..]);
    assert_eq!(
        vectors(&ask(json!({"input": [tokens, tokens]})).await.1),
        [&found[2..], &found[2..]].concat()
    );

    let (_, packed) = ask(json!({"encoding_format": "base64"})).await;
    for (entry, vector) in packed["data"].as_array().unwrap().iter().zip(&found) {
        let bytes = STANDARD.decode(entry["embedding"].as_str().unwrap()).unwrap();
        let numbers = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|four| f64::from(f32::from_le_bytes(*four)));
        assert!(numbers.zip(vector).all(|(a, b)| (a - b).abs() < 1e-7));
    }

    // Concurrently with completions, and after one that cached keys and values of the same text.
    let chat = json!({"prompt": texts[0], "max_tokens": 30, "ignore_eos": true});
    server.ask("/v1/completions", &chat).await;
    let (replies, _) = futures::join!(
        join_all((0..6).map(|_| ask(json!({})))),
        join_all((0..3).map(|_| server.ask("/v1/completions", &chat)))
    );
    for (_, reply) in replies {
        assert_eq!(vectors(&reply), found);
    }
}

#[tokio::test]
async fn adapters_change_vectors() {
    let adapters = format!("--adapters-dir={}", data("adapters").display());
    let server = Server::start(&[&adapters, "--adapter-mode=request"]).await;
    let ask = async |model: &str| {
        let body = json!({"model": model, "input": "the quick"});
        vectors(&server.ask("/v1/embeddings", &body).await.1)
    };
    assert_ne!(ask("tiny").await, ask("first").await);
}

#[tokio::test]
async fn errors_name_their_parameter() {
    let server = Server::start(&[]).await;
    for (body, field) in [
        (json!({}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": 3}), "input"),
        (json!({"input": ["a", 1]}), "input"),
        (json!({"input": [1, 100_000]}), "input"),
        (json!({"input": "a ".repeat(300)}), "input"),
        (json!({"input": "a", "dimensions": 8}), "dimensions"),
        (
            json!({"input": "a", "encoding_format": "int8"}),
            "encoding_format",
        ),
    ] {
        let (status, reply) = server.ask("/v1/embeddings", &body).await;
        assert_eq!(
            (status, reply["error"]["param"].as_str()),
            (400, Some(field)),
            "{reply}"
        );
    }
    let (status, _) = server
        .ask("/v1/embeddings", &json!({"input": "a", "model": "other"}))
        .await;
    assert_eq!(status, 404);
}
