//! Every built-in preset on two instance types: vLLM's own parser accepts the command line, and it names only files of the
//! base image.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rendered::{self, CommandLine};

/// Chat templates of the base image for tools, and their directory there.
const TEMPLATES: [&str; 7] = [
    "tool-chat-deepseekr1.jinja",
    "tool-chat-deepseekv3.jinja",
    "tool-chat-gemma4.jinja",
    "tool-chat-hermes.jinja",
    "tool-chat-llama3.1-json.jinja",
    "tool-chat-mistral.jinja",
    "tool-chat-phi4-mini.jinja",
];
const TEMPLATES_DIR: &str = "/workspace/chat_templates/";
/// Prefix of the parser's answers; vLLM prints other lines as well.
const ANSWER: &str = "RESULT ";

#[test]
fn templates_are_files_of_the_base_image() {
    for line in rendered::all() {
        for arg in &line.args {
            if let Some(template) = arg.strip_prefix("--chat-template=") {
                let name = template.strip_prefix(TEMPLATES_DIR).unwrap_or_default();
                assert!(TEMPLATES.contains(&name), "{}: {arg}", line.name);
            }
        }
    }
}

#[test]
fn the_engines_own_parser_accepts_every_command_line() {
    let Some(python) = crate::python() else { return };
    let home = tempfile::tempdir().unwrap();
    for name in TEMPLATES {
        std::fs::write(home.path().join(name), "{{ messages }}").unwrap();
    }
    let mut lines = rendered::all();
    let several = lines.iter().filter(|line| line.nodes > 1).count();
    println!("{} command lines, {several} of several nodes", lines.len());
    assert!(lines.len() > 100 && several > 0);
    // A parser that accepts anything would prove nothing.
    let mut wrong = rendered::of("phi-4").remove(0);
    wrong.args.push("--no-such-flag=1".to_owned());
    lines.push(wrong);
    let errors = errors(&python, &lines, home.path());
    assert_eq!(errors.len(), lines.len());
    let mut refused: Vec<(&str, &str)> = lines
        .iter()
        .zip(&errors)
        .filter(|(_, error)| !error.is_empty())
        .map(|(line, error)| (line.name.as_str(), error.as_str()))
        .collect();
    let (_, unknown) = refused.pop().expect("the unknown flag is refused");
    assert!(unknown.contains("no-such-flag"), "{unknown}");
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Asks the parser; the error of each command line, empty for none.
fn errors(python: &OsStr, lines: &[CommandLine], templates: &Path) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vllm/parse.py");
    let mut parser = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = parser.stdin.take().unwrap();
    let questions: String = lines
        .iter()
        .map(|line| {
            let args: Vec<String> = line
                .args
                .iter()
                .map(|arg| arg.replace(TEMPLATES_DIR, &format!("{}/", templates.display())))
                .collect();
            format!("{}\n", serde_json::to_string(&args).unwrap())
        })
        .collect();
    let writer = std::thread::spawn(move || input.write_all(questions.as_bytes()));
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "the parser ended with {}", output.status);
    writer.join().unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix(ANSWER))
        .map(|answer| serde_json::from_str(answer).unwrap())
        .collect()
}
