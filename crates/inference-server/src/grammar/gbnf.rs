//! GBNF, the grammars of llama.cpp and xgrammar (`root ::= "a" | [0-9]+`), translated to Lark. Pure.
//!
//! Line ends have no meaning: a rule extends to the name of the next one.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

use llguidance::regex_to_lark;
use serde_json::Value;

use super::error::GrammarError;

/// The first rule.
const ROOT: &str = "root";

#[derive(Clone, Debug, PartialEq, Eq)]
enum GbnfToken {
    Name(String),
    /// `::=`
    Is,
    /// Text that both languages write alike.
    Same(String),
}

/// Reports whether a grammar is GBNF.
pub(super) fn is_gbnf(text: &str) -> bool {
    text.contains("::=")
}

/// Returns the same grammar for Lark.
pub(super) fn to_lark(text: &str) -> Result<String, GrammarError> {
    let tokens = tokens(text)?;
    let is_definition = |at: usize| matches!(tokens.get(at + 1), Some(GbnfToken::Is));
    let mut names: HashMap<&str, String> = HashMap::new();
    for (at, token) in tokens.iter().enumerate() {
        if let (GbnfToken::Name(name), true) = (token, is_definition(at)) {
            let known = names.len();
            let own = if name == ROOT {
                "start".to_owned()
            } else {
                format!("r{known}")
            };
            if names.insert(name, own).is_some() {
                return Err(wrong(format!("`{name}` is defined twice")));
            }
        }
    }
    if !names.contains_key(ROOT) {
        return Err(wrong(format!("unknown rule `{ROOT}`")));
    }
    let mut out = String::new();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            GbnfToken::Is if at == 0 || !matches!(tokens[at - 1], GbnfToken::Name(_)) => {
                return Err(wrong("expected a name before `::=`".to_owned()));
            }
            GbnfToken::Is => out.push(':'),
            GbnfToken::Name(name) => {
                let own = names.get(name.as_str());
                let own = own.ok_or_else(|| wrong(format!("unknown rule `{name}`")))?;
                out.push_str(if is_definition(at) { "\n" } else { " " });
                out.push_str(own);
            }
            GbnfToken::Same(_) if out.is_empty() => {
                return Err(wrong("expected a rule at the beginning".to_owned()));
            }
            GbnfToken::Same(text) => {
                out.push(' ');
                out.push_str(text);
            }
        }
    }
    Ok(out.trim_start().to_owned())
}

/// Returns `text` as a literal of a Lark grammar.
pub(super) fn literal(text: &str) -> String {
    // JSON does not escape this control character, and Lark requires it.
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn wrong(problem: String) -> GrammarError {
    GrammarError::Grammar(problem)
}

fn tokens(text: &str) -> Result<Vec<GbnfToken>, GrammarError> {
    let mut letters = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter.is_whitespace() => {}
            '#' => while letters.next_if(|letter| *letter != '\n').is_some() {},
            '"' => {
                let text = until(&mut letters, '"')?;
                tokens.push(GbnfToken::Same(literal(&unescape(&text)?)));
            }
            '[' => {
                let class = until(&mut letters, ']')?;
                tokens.push(GbnfToken::Same(format!(
                    "/[{}]/",
                    regex_to_lark(&class_letters(&class), "")
                )));
            }
            '{' => {
                let range = until(&mut letters, '}')?;
                let repeat = format!("{{{range}}}");
                // Lark allows no space before these.
                match tokens.last_mut() {
                    Some(GbnfToken::Same(last)) => last.push_str(&repeat),
                    _ => tokens.push(GbnfToken::Same(repeat)),
                }
            }
            '.' => tokens.push(GbnfToken::Same("/(?s:.)/".to_owned())),
            '|' | '(' | ')' | '*' | '+' | '?' => tokens.push(GbnfToken::Same(letter.to_string())),
            ':' => {
                let rest: String = letters.by_ref().take(2).collect();
                if rest != ":=" {
                    return Err(wrong(format!("expected `::=`, not `:{rest}`")));
                }
                tokens.push(GbnfToken::Is);
            }
            _ if is_name(letter) => {
                let mut name = String::from(letter);
                while let Some(letter) = letters.next_if(|letter| is_name(*letter) || *letter == '-') {
                    name.push(letter);
                }
                tokens.push(GbnfToken::Name(name));
            }
            _ => return Err(wrong(format!("unexpected `{letter}`"))),
        }
    }
    Ok(tokens)
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Returns the text before `end`, with its escapes.
fn until(letters: &mut Peekable<Chars<'_>>, end: char) -> Result<String, GrammarError> {
    let mut text = String::new();
    loop {
        match letters.next() {
            Some(letter) if letter == end => return Ok(text),
            Some('\\') => {
                text.push('\\');
                text.extend(letters.next());
            }
            Some(letter) => text.push(letter),
            None => return Err(wrong(format!("expected `{end}` at the end"))),
        }
    }
}

/// Escapes characters that have a meaning in brackets in Lark and none in GBNF.
fn class_letters(class: &str) -> String {
    let mut out = String::new();
    let mut escaped = false;
    for letter in class.chars() {
        if !escaped && matches!(letter, '[' | '&' | '~') {
            out.push('\\');
        }
        escaped = letter == '\\' && !escaped;
        out.push(letter);
    }
    out
}

fn unescape(text: &str) -> Result<String, GrammarError> {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(kind @ ('x' | 'u' | 'U')) => {
                let length = match kind {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits: String = letters.by_ref().take(length).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(code.ok_or_else(|| wrong(format!("`\\{kind}{digits}` must be a character")))?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_translated_to_lark() {
        let cases = [
            (
                "root ::= \"a\" | b-c\nb-c ::= [0-9]+",
                "start: \"a\" | r1\nr1: /[0-9]/ +",
            ),
            (
                "root ::= (\n \"\\x41\\n\" x\n)? # no\nx ::= [^\"\\\\/[]{2,3} .",
                "start: ( \"A\\n\" r1 ) ?\nr1: /[^\"\\\\\\/\\[]/{2,3} /(?s:.)/",
            ),
        ];
        for (text, expected) in cases {
            assert!(is_gbnf(text));
            assert_eq!(to_lark(text).unwrap(), expected);
        }
    }

    #[test]
    fn mistakes_are_reported() {
        for (text, problem) in [
            ("a ::= b", "unknown rule `root`"),
            ("root ::= b", "unknown rule `b`"),
            ("root ::= \"a", "at the end"),
            ("root ::= \"\\ud800\"", "must be a character"),
            ("root ::= a\nroot ::= a", "twice"),
            ("root ::= \"a\" ::= \"b\"", "expected a name"),
            ("root := a", "expected `::=`"),
            ("| root ::= \"a\"", "expected a rule"),
            ("root ::= $", "unexpected"),
        ] {
            let found = to_lark(text).unwrap_err().to_string();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }
}
