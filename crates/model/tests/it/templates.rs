//! Chat templates, byte for byte as transformers renders them (`tools/record_templates.py`).

use std::path::Path;

use model::ChatTemplate;
use model::chat::Conversation;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Case {
    name: String,
    template: String,
    messages: Vec<Value>,
    tools: Option<Vec<Value>>,
    arguments: Map<String, Value>,
    /// Absent where transformers raises.
    rendered: Option<String>,
}

#[test]
fn renderings_match_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/templates.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut different = Vec::new();
    for case in &cases {
        let template =
            ChatTemplate::parse(case.template.clone(), "<s>".to_owned(), "</s>".to_owned()).unwrap();
        let conversation = Conversation {
            messages: case.messages.clone(),
            tools: case.tools.clone(),
            add_generation_prompt: true,
            chat_template_kwargs: case.arguments.clone(),
        };
        let rendered = template.render(&conversation);
        if rendered.as_ref().ok() != case.rendered.as_ref() {
            different.push(format!(
                "{}\n  theirs {:?}\n  ours   {rendered:?}",
                case.name, case.rendered
            ));
        }
    }
    assert!(cases.len() > 30);
    assert!(
        different.is_empty(),
        "{} of {}:\n{}",
        different.len(),
        cases.len(),
        different.join("\n")
    );
}
