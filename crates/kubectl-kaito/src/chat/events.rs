//! Pieces of a streamed answer, from the bytes of `text/event-stream`.

use anyhow::{bail, ensure};
use serde_json::Value;

/// Largest length of one line.
const LONGEST: usize = 1 << 20;

/// One piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text of the answer.
    Text(String),
    /// Text of the reasoning before it.
    Reasoning(String),
    /// The answer is whole; `length` is a limit of tokens.
    End(String),
    /// The server sends nothing more.
    Done,
}

/// Bytes that are not a whole line yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    rest: Vec<u8>,
}

impl Events {
    /// Adds bytes and returns the pieces that they complete.
    ///
    /// # Errors
    /// Fails if the server reports an error, or a line is no event of a completion.
    pub(super) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Piece>> {
        self.rest.extend_from_slice(bytes);
        let mut pieces = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            // Comments, names and ids of events carry nothing for us.
            if let Some(data) = line.trim_end().strip_prefix("data:") {
                pieces.extend(pieces_of(data.trim())?);
            }
        }
        ensure!(
            self.rest.len() <= LONGEST,
            "the server sent a line that is too long"
        );
        Ok(pieces)
    }
}

fn pieces_of(data: &str) -> anyhow::Result<Vec<Piece>> {
    if data == "[DONE]" {
        return Ok(vec![Piece::Done]);
    }
    let Ok(event) = serde_json::from_str::<Value>(data) else {
        bail!("expected an event of a completion, got {data}");
    };
    if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
        bail!("{}", message_of(error));
    }
    let choice = &event["choices"][0];
    let text = |name: &str| {
        let text = choice["delta"][name].as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    // vLLM has renamed the field.
    let reasoning = text("reasoning_content").or_else(|| text("reasoning"));
    let end = choice["finish_reason"].as_str().map(str::to_owned);
    let pieces = [
        reasoning.map(Piece::Reasoning),
        text("content").map(Piece::Text),
        end.map(Piece::End),
    ];
    Ok(pieces.into_iter().flatten().collect())
}

/// The words of an error of OpenAI's API.
pub(super) fn message_of(error: &Value) -> String {
    let message = error["message"].as_str().or(error.as_str());
    message.map_or_else(|| error.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": a comment\n\
        data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\r\n\r\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"Pariß\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{}}\n\n\
        data: [DONE]\n\n";

    #[test]
    fn bytes_may_be_cut_anywhere() {
        let expected = [
            Piece::Reasoning("hm".to_owned()),
            Piece::Text("Pariß".to_owned()),
            Piece::End("length".to_owned()),
            Piece::Done,
        ];
        for size in 1..STREAM.len() {
            let mut events = Events::default();
            let mut pieces = Vec::new();
            for part in STREAM.as_bytes().chunks(size) {
                pieces.extend(events.push(part).unwrap());
            }
            assert_eq!(pieces, expected, "{size}");
        }
    }

    #[test]
    fn errors_end_the_answer() {
        let error = |text: &str| Events::default().push(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            error("data: {\"error\": {\"message\": \"no room\"}}\n"),
            "no room"
        );
        assert_eq!(error("data: {\"error\": \"plain\"}\n"), "plain");
        assert!(error("data: nonsense\n").contains("nonsense"));
        assert!(error(&"x".repeat(LONGEST + 1)).contains("too long"));
    }
}
