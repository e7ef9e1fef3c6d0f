//! `chat`: one answer of a model, or a conversation with it.
//!
//! `conversation` and `events` do no I/O, `server` asks the pod through the API server.

mod conversation;
mod events;
mod server;

use std::io::{IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, bail};
use kaito_api::Workspace;
use tokio::sync::mpsc;

use crate::answer::Answer;
use crate::args::ChatArgs;
use crate::output::printable;
use crate::readiness;
use crate::screen::{Screen, Tone};
use conversation::{Conversation, HELP, Line};
use events::Piece;
use server::ModelServer;

/// Word of the command line for standard input.
const STDIN: &str = "-";

/// Asks the model. It is a finding if the Workspace does not answer.
pub(crate) async fn run(args: &ChatArgs) -> anyhow::Result<Answer> {
    let access = args.cluster.connect().await?;
    let workspace = access.workspace(&args.workspace).await?;
    if let Some(why) = readiness::refusal(&workspace) {
        // Standard output is for answers.
        let _ = write!(std::io::stderr().lock(), "{why}");
        return Ok(Answer {
            text: String::new(),
            findings: true,
        });
    }
    let prompt = prompt(args)?;
    let server = ModelServer::new(&access, &workspace, args.key_from_secret.as_deref()).await?;
    let model = model(&server.models().await?, args.model.as_deref())?;
    let screen = Screen::of_stdout();
    if let Some(prompt) = prompt {
        let mut talk = Conversation::new(model, args);
        let mut printer = Printer::new(screen);
        let end = answer(&server, &mut talk, prompt, &mut printer).await?;
        if end.as_deref() == Some("length") {
            say("the answer is cut: it has as many tokens as --max-tokens or the context allows");
        }
        return Ok(Answer::fine(String::new()));
    }
    greet(&workspace, &model);
    let talk = Conversation::new(model, args);
    converse(&server, talk, screen).await?;
    Ok(Answer::fine(String::new()))
}

/// The one prompt; `None` asks for a conversation.
fn prompt(args: &ChatArgs) -> anyhow::Result<Option<String>> {
    let text = match args.prompt.as_deref() {
        Some(STDIN) => read_stdin()?,
        Some(prompt) => prompt.to_owned(),
        None if std::io::stdin().is_terminal() => return Ok(None),
        None => read_stdin()?,
    };
    if text.trim().is_empty() {
        bail!("the prompt must not be empty");
    }
    Ok(Some(text))
}

fn read_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .context("failed to read standard input")?;
    Ok(text)
}

/// Finds the model that is asked among those that are served.
fn model(served: &[String], wanted: Option<&str>) -> anyhow::Result<String> {
    let found = match wanted {
        None => served.first(),
        Some(wanted) => served.iter().find(|name| *name == wanted),
    };
    found.cloned().with_context(|| {
        let names = printable(&served.join(", "));
        format!(
            "unknown model {}; the Workspace serves {names}",
            wanted.unwrap_or_default()
        )
    })
}

fn greet(workspace: &Workspace, model: &str) {
    let (namespace, name) = (workspace.namespace(), workspace.name());
    let model = printable(model);
    say(&format!(
        "{model} of Workspace {namespace}/{name}. /help lists commands, Ctrl-D ends."
    ));
}

/// Reads prompts from the terminal until its end.
async fn converse(server: &ModelServer<'_>, mut talk: Conversation, screen: Screen) -> anyhow::Result<()> {
    let mut lines = lines();
    loop {
        ask_for_line(screen)?;
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(line) = line else {
            return newline();
        };
        let prompt = match Line::of(&line) {
            Line::Prompt(prompt) => prompt,
            Line::Exit => return Ok(()),
            other => {
                command(&mut talk, other);
                continue;
            }
        };
        let mut printer = Printer::new(screen);
        tokio::select! {
            ended = answer(server, &mut talk, prompt, &mut printer) => match ended {
                Ok(Some(end)) if end == "length" => say("(cut: the answer has as many tokens as are allowed)"),
                Ok(_) => {}
                Err(error) if error.downcast_ref::<std::io::Error>().is_some() => return Err(error),
                // The next prompt may do better.
                Err(error) => say(&format!("error: {error:#}")),
            },
            _ = tokio::signal::ctrl_c() => newline()?,
        }
        talk.answered(printer.take_text());
    }
}

/// Carries out a command of the conversation.
fn command(talk: &mut Conversation, line: Line) {
    match line {
        Line::New => {
            talk.forget();
            say("The conversation is forgotten.");
        }
        Line::System(Some(text)) => {
            talk.replace_system(text);
            say("A new conversation begins with these instructions.");
        }
        Line::System(None) => say(talk.system().unwrap_or("There are no instructions.")),
        Line::Help => say(HELP.trim_end()),
        Line::Unknown(name) => say(&format!(
            "unknown command /{}; /help lists them",
            printable(&name)
        )),
        Line::Empty | Line::Prompt(_) | Line::Exit => {}
    }
}

/// Prints an answer while it is written. Returns the reason for its end.
async fn answer(
    server: &ModelServer<'_>,
    talk: &mut Conversation,
    prompt: String,
    printer: &mut Printer,
) -> anyhow::Result<Option<String>> {
    let mut answering = server.ask(&talk.request(prompt)).await?;
    let mut end = None;
    while let Some(pieces) = answering.next().await? {
        for piece in pieces {
            match piece {
                Piece::Text(text) => printer.text(&text)?,
                Piece::Reasoning(text) => printer.reasoning(&text)?,
                Piece::End(reason) => end = Some(reason),
                Piece::Done => {
                    printer.end()?;
                    return Ok(end);
                }
            }
        }
    }
    printer.end()?;
    // Some servers end without a last event, but none without a reason.
    end.map(Some)
        .context("the pod ended the connection before the end of its answer")
}

/// Lines of standard input, which a thread reads: it may wait for a person.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn ask_for_line(screen: Screen) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "\n{} ", screen.paint(Tone::Good, ">"))?;
    out.flush()?;
    Ok(())
}

fn newline() -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock())?;
    Ok(())
}

/// Says something that is not an answer.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes an answer as it comes.
struct Printer {
    screen: Screen,
    text: String,
    reasons: bool,
}

impl Printer {
    fn new(screen: Screen) -> Self {
        Self {
            screen,
            text: String::new(),
            reasons: false,
        }
    }

    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        if std::mem::take(&mut self.reasons) {
            self.write("\n\n")?;
        }
        self.text.push_str(text);
        self.write(&shown(text, self.screen))
    }

    /// Reasoning is for people only.
    fn reasoning(&mut self, text: &str) -> anyhow::Result<()> {
        if self.screen.size.is_none() {
            return Ok(());
        }
        self.reasons = true;
        self.write(&self.screen.paint(Tone::Dim, &shown(text, self.screen)))
    }

    fn end(&self) -> anyhow::Result<()> {
        if self.text.ends_with('\n') {
            return Ok(());
        }
        self.write("\n")
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }

    fn take_text(self) -> String {
        self.text
    }
}

/// Removes the control characters that a terminal would obey. Files and pipes get the text as it is.
fn shown(text: &str, screen: Screen) -> String {
    if screen.size.is_none() {
        return text.to_owned();
    }
    let allowed = |c: char| !c.is_control() || c == '\n' || c == '\t';
    text.chars().filter(|c| allowed(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_model_is_asked_unless_another_is_named() {
        let served = ["phi-4".to_owned(), "support".to_owned()];
        assert_eq!(model(&served, None).unwrap(), "phi-4");
        assert_eq!(model(&served, Some("support")).unwrap(), "support");
        let error = model(&served, Some("suport")).unwrap_err().to_string();
        assert_eq!(error, "unknown model suport; the Workspace serves phi-4, support");
    }

    #[test]
    fn an_answer_cannot_control_the_terminal() {
        let text = "a\u{1b}[31mb\n\tc\u{9b}d";
        let mut terminal = Screen::PLAIN;
        terminal.size = Some((80, 24));
        assert_eq!(shown(text, terminal), "a[31mb\n\tcd");
        assert_eq!(shown(text, Screen::PLAIN), text);
    }
}
