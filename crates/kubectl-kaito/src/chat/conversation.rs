//! A conversation: what was said, and what a line of a terminal means.

use serde::Serialize;
use serde_json::{Value, json};

use crate::args::ChatArgs;

/// Commands of a conversation, for people.
pub(super) const HELP: &str = "/new      forget the conversation\n\
                               /system   show the instructions; with a text, replace them and forget the conversation\n\
                               /exit     end, as Ctrl-D does; Ctrl-C stops an answer\n\
                               /help     show this\n";

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

/// Settings of all requests, and the messages so far.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    model: String,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    system: Option<String>,
    messages: Vec<Message>,
}

/// Meaning of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Prompt(String),
    Empty,
    New,
    /// Replace the instructions, or show them.
    System(Option<String>),
    Exit,
    Help,
    Unknown(String),
}

impl Line {
    pub(super) fn of(line: &str) -> Self {
        let line = line.trim();
        let Some(command) = line.strip_prefix('/') else {
            return match line {
                "" => Self::Empty,
                prompt => Self::Prompt(prompt.to_owned()),
            };
        };
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        match name {
            "new" => Self::New,
            "system" => Self::System((!rest.is_empty()).then(|| rest.to_owned())),
            "exit" | "quit" => Self::Exit,
            "help" | "?" => Self::Help,
            // A path, or a comment of a program, is a prompt.
            _ if name.is_empty() || name.contains(['/', '*']) => Self::Prompt(line.to_owned()),
            _ => Self::Unknown(name.to_owned()),
        }
    }
}

impl Conversation {
    pub(super) fn new(model: String, args: &ChatArgs) -> Self {
        Self {
            model,
            max_tokens: args.max_tokens,
            temperature: args.temperature,
            system: args.system.clone(),
            messages: Vec::new(),
        }
    }

    /// Body of the request for an answer to this prompt.
    pub(super) fn request(&mut self, prompt: String) -> Value {
        self.say("user", prompt);
        let system = self.system.iter().map(|text| Message {
            role: "system",
            content: text.clone(),
        });
        let messages: Vec<Message> = system.chain(self.messages.iter().cloned()).collect();
        let mut body = json!({"model": self.model, "messages": messages, "stream": true});
        if let Some(tokens) = self.max_tokens {
            body["max_tokens"] = json!(tokens);
        }
        if let Some(temperature) = self.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    /// Keeps the answer. Without any text the prompt is forgotten, so that it can be asked again.
    pub(super) fn answered(&mut self, text: String) {
        if text.is_empty() {
            self.messages.pop();
        } else {
            self.say("assistant", text);
        }
    }

    pub(super) fn forget(&mut self) {
        self.messages.clear();
    }

    pub(super) fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    pub(super) fn replace_system(&mut self, text: String) {
        self.system = Some(text);
        self.forget();
    }

    fn say(&mut self, role: &'static str, content: String) {
        self.messages.push(Message { role, content });
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn conversation(flags: &[&str]) -> Conversation {
        let words = [&["kubectl-kaito", "chat", "w"][..], flags].concat();
        match Args::try_parse_from(words).unwrap().command {
            Command::Chat(args) => Conversation::new("m".to_owned(), &args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_request_has_all_that_was_said() {
        let mut talk = conversation(&["--system", "be brief", "--max-tokens", "8", "--temperature", "0"]);
        talk.request("a".to_owned());
        talk.answered("b".to_owned());
        let body = talk.request("c".to_owned());
        let expected = json!({
            "model": "m", "stream": true, "max_tokens": 8, "temperature": 0.0,
            "messages": [
                {"role": "system", "content": "be brief"}, {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},
            ],
        });
        assert_eq!(body, expected);
        // Nothing was answered: the prompt is not said twice.
        talk.answered(String::new());
        assert_eq!(talk.request("c".to_owned())["messages"], expected["messages"]);
        talk.replace_system("be long".to_owned());
        assert_eq!(talk.system(), Some("be long"));
        let body = talk.request("d".to_owned());
        assert_eq!(body["messages"][0]["content"], "be long");
        assert_eq!(body["messages"].as_array().map(Vec::len), Some(2));
        let plain = conversation(&[]).request("a".to_owned());
        assert_eq!(
            plain,
            json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "a"}]})
        );
    }

    #[test]
    fn a_line_is_a_prompt_or_a_command() {
        let prompt = |text: &str| Line::Prompt(text.to_owned());
        for (line, meaning) in [
            (" What? \n", prompt("What?")),
            ("\n", Line::Empty),
            ("/new", Line::New),
            ("/system", Line::System(None)),
            ("/system  be brief ", Line::System(Some("be brief".to_owned()))),
            ("/quit", Line::Exit),
            ("/?", Line::Help),
            ("/etc/hosts has what?", prompt("/etc/hosts has what?")),
            ("// why?", prompt("// why?")),
            ("/nwe", Line::Unknown("nwe".to_owned())),
        ] {
            assert_eq!(Line::of(line), meaning, "{line}");
        }
    }
}
