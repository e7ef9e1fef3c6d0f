//! Grammars of every kind: refusals, ends of completions, and matching texts.

use std::collections::HashMap;

use model::sampling::SamplingParams;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::*;
use crate::grammar::test_support::{END_TOKEN, KINDS, VOCAB_SIZE, generate, parts, wait};
use crate::grammar::{CallableFunction, JsonConstraint, JsonOptions, Marker, ToolCallGrammar};
use crate::tool_calls::{ParsedPart, ToolCallFormat, ToolCallParser};

fn schema(schema: Value) -> Constraint {
    let options = JsonOptions {
        strict: true,
        ..JsonOptions::default()
    };
    Constraint::Json(JsonConstraint { schema, options })
}

fn lenient(schema: Value) -> Constraint {
    let options = JsonOptions::default();
    Constraint::Json(JsonConstraint { schema, options })
}

fn regex(pattern: &str) -> Constraint {
    Constraint::Regex(pattern.to_owned())
}

fn grammar(text: &str) -> Constraint {
    Constraint::Grammar(text.to_owned())
}

type Matches<'a> = &'a dyn Fn(&str) -> bool;

#[test]
fn completions_match_their_constraint() {
    let (compiler, tokenizer) = parts("sentencepiece");
    let is_date =
        |text: &str| text.len() == 10 && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    let cases: [(Constraint, Matches<'_>); 7] = [
        (regex("(yes|no)"), &|text| ["yes", "no"].contains(&text)),
        (regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), &is_date),
        (
            Constraint::Choice(vec!["a \"b\"\n".to_owned(), "é\u{7f}".to_owned(), "a".to_owned()]),
            &|text| ["a \"b\"\n", "é\u{7f}", "a"].contains(&text),
        ),
        (Constraint::JsonObject, &|text| {
            serde_json::from_str::<HashMap<String, IgnoredAny>>(text).is_ok()
        }),
        (grammar("start: \"a\" start \"b\" | \"c\""), &|text| {
            let depth = text.find('c').unwrap();
            text == format!("{}c{}", "a".repeat(depth), "b".repeat(depth))
        }),
        (grammar("root ::= item{2}\nitem ::= [xy] | \"z\""), &|text| {
            text.len() == 2 && text.bytes().all(|byte| b"xyz".contains(&byte))
        }),
        (schema(json!({"type": "string", "format": "date"})), &|text| {
            is_date(text.trim_matches('"'))
        }),
    ];
    for (constraint, matches) in cases {
        let start = wait(compiler.matcher(&constraint)).unwrap();
        for seed in 0..20 {
            let settings = SamplingParams {
                temperature: 0.7,
                ..SamplingParams::default()
            };
            let found = generate(&mut start.clone(), &tokenizer, &settings, seed).unwrap();
            if let Some(text) = found {
                assert!(matches(&text), "{constraint:?}: {text:?}");
            }
        }
    }
}

#[test]
fn a_completion_ends_with_its_grammar() {
    let (compiler, tokenizer) = parts("byte-level");
    let mut matcher = wait(compiler.matcher(&regex("x|xz"))).unwrap();
    let id = |text: &str| tokenizer.token_to_id(text).unwrap();
    let possible = |matcher: &mut Matcher, avoided: &[u32]| {
        let mut logits = vec![0.0; VOCAB_SIZE];
        matcher.mask(&mut logits, avoided).unwrap();
        let left = (0..VOCAB_SIZE as u32).filter(|token| logits[*token as usize] == 0.0);
        left.collect::<Vec<_>>()
    };
    assert_eq!(possible(&mut matcher, &[]), [id("x")]);
    assert!(!matcher.accept(id("x")).unwrap());
    assert_eq!(possible(&mut matcher, &[]), [END_TOKEN, id("z")]);
    // An end token is avoided while another token is allowed.
    assert_eq!(possible(&mut matcher, &[END_TOKEN]), [id("z")]);
    let mut other = matcher.clone();
    assert!(matcher.accept(id("z")).unwrap());
    assert_eq!(possible(&mut other, &[id("z")]), [END_TOKEN]);
    assert!(other.accept(END_TOKEN).unwrap());
    // A model that gives allowed tokens no probability samples another one.
    let mut stuck = wait(compiler.matcher(&regex("x"))).unwrap();
    stuck.prepare_mask().unwrap();
    assert!(
        stuck
            .accept(id("z"))
            .unwrap_err()
            .to_string()
            .contains("no allowed token has a probability")
    );
}

#[test]
fn unsupported_constraints_are_refused_with_a_reason() {
    let (compiler, _) = parts("byte-level");
    let cases = [
        (schema(json!({"type": "object", "not": {}})), "\"not\""),
        (schema(json!({"type": "string", "format": "no-such"})), "no-such"),
        (lenient(json!({"type": "objekt"})), "objekt"),
        (
            lenient(json!({"type": "string", "pattern": "("})),
            "unclosed group",
        ),
        (lenient(json!({"$ref": "#/$defs/none"})), "not found"),
        (
            lenient(json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})),
            "no token of the model fits",
        ),
        (regex("("), "unclosed group"),
        (regex(r"a(?=b)"), "look-around"),
        (regex(r"(a)\1"), "backreferences"),
        (grammar("start: x"), "unknown name"),
        (grammar("start: start"), "no token of the model fits"),
        (grammar(""), "start"),
        (grammar("%import common.NOTHING"), "NOTHING"),
        (grammar("start: %json {}"), "`%json`"),
    ];
    for (constraint, problem) in cases {
        let found = wait(compiler.matcher(&constraint)).unwrap_err().to_string();
        assert!(
            found.contains(problem) && !found.contains("panic"),
            "{constraint:?}: {found}"
        );
    }
    // A schema that is not strict ignores unsupported keywords.
    wait(compiler.matcher(&lenient(json!({"type": "object", "not": {}})))).unwrap();
}

/// Each of these is made to take long or to need much memory. The compilation and a completion must end all the same.
#[test]
fn hostile_constraints_stay_within_bounds() {
    let chain = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let rules = chain(4000, &|rule| format!("\na{rule}: a{}", rule + 1));
    let terminals = chain(3000, &|rule| format!("\nA{rule}: A{} \"x\"", rule + 1));
    let definitions: Map<String, Value> = (0..2000)
        .map(|index| {
            (
                format!("a{index}"),
                json!({"$ref": format!("#/$defs/a{}", index + 1)}),
            )
        })
        .chain([("a2000".to_owned(), json!({"type": "string"}))])
        .collect();
    let fields: Map<String, Value> = (0..1500).map(|index| (format!("p{index}"), json!({}))).collect();
    let doubled = |inner: Value| json!({"allOf": [inner, {"anyOf": [{"minLength": 1}, {"maxLength": 9}]}]});
    let words: Vec<String> = (0..8000).map(|word| format!("{word:x}")).collect();
    let cases = [
        regex("(((a{1,100}){1,100}){1,100}){1,100}"),
        regex("(a?){5000}a{5000}"),
        regex(r"(\w+\s?)*\d{1,1000}(x+x+)+y"),
        regex(r"[\p{L}--[a-z]]{1,100000}"),
        regex("(.*a.{12}|.*b.{12}|.*c.{12})&.*"),
        regex(&words.join("|")),
        grammar(&format!("start: a0{rules}\na4000: \"x\"")),
        grammar(&format!("start: A0{terminals}\nA3000: \"x\"")),
        grammar("start: start start | \"a\" | \"\""),
        grammar("start: (\"a\"{1,1000}){1,1000}"),
        grammar("start: /(.|\\n)*a(.|\\n){20}/ | start start"),
        lenient(json!({"$defs": definitions, "$ref": "#/$defs/a0"})),
        lenient(json!({"type": "array", "minItems": 1_000_000})),
        lenient(json!({"type": "string", "minLength": 1_000_000, "maxLength": 1_000_000_000})),
        lenient(json!({"type": "object", "properties": fields})),
        lenient(json!({"type": "integer", "multipleOf": 9973, "minimum": -999_999_999_999_i64})),
        lenient(json!({"type": "string", "pattern": "^(([a-z]+)+)+$", "minLength": 5000})),
        lenient(json!({"type": "string", "pattern": "(.*a.{20}.*b.{30}){30}", "minLength": 5000})),
        lenient(
            json!({"oneOf": (0..600).map(|i| json!({"required": ["k"], "properties": {"k": {"const": i}}})).collect::<Vec<_>>()}),
        ),
        lenient(
            json!({"patternProperties": {"^a.*b$": {}, "^a.*c$": {}, "^(x+x+)+y$": {}, "^.{40}d.*$": {}}}),
        ),
        lenient((0..20).fold(json!({"type": "string"}), |inner, _| doubled(inner))),
        lenient((0..60).fold(json!({}), |inner, _| json!({"properties": {"a": inner}}))),
    ];
    let (compiler, tokenizer) = parts("byte-level");
    for constraint in cases {
        let compiled = wait(compiler.matcher(&constraint));
        let ended =
            compiled.map(|mut matcher| generate(&mut matcher, &tokenizer, &SamplingParams::default(), 1));
        let problem = match ended {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(!problem.contains("panic"), "{constraint:?}: {problem}");
    }
}

#[test]
fn required_tool_calls_are_parsed_as_calls() {
    let parameters = json!({
        "type": "object", "properties": {"at": {"$ref": "#/$defs/hour"}}, "required": ["at"],
        "additionalProperties": false, "$defs": {"hour": {"type": "integer", "minimum": 0, "maximum": 23}},
    });
    let function = |name: &str, parameters: Option<&Value>| CallableFunction {
        name: name.to_owned(),
        parameters: parameters.cloned(),
        strict: true,
    };
    for kind in KINDS {
        let (compiler, tokenizer) = parts(kind);
        let special = Marker::Token(tokenizer.token_to_id("<|call|>").unwrap());
        let close = Marker::Text("</tool_call>");
        for (format, markers, parallel) in [
            (
                ToolCallFormat::Tagged,
                vec![Marker::Text("<tool_call>"), close.clone()],
                true,
            ),
            (ToolCallFormat::Tagged, vec![special.clone(), close], false),
            (ToolCallFormat::Marked("<|call|>"), vec![special], true),
            (ToolCallFormat::Bare, Vec::new(), false),
        ] {
            let functions = vec![function("clock", None), function("alarm", Some(&parameters))];
            let calls = ToolCallGrammar {
                format,
                markers: markers.clone(),
                functions,
                parallel,
            };
            let start = wait(compiler.matcher(&Constraint::ToolCalls(calls))).unwrap();
            for seed in 0..10 {
                let text = generate(&mut start.clone(), &tokenizer, &SamplingParams::default(), seed)
                    .unwrap()
                    .unwrap();
                // The text of a completion shows this special token, and `generate` does not.
                let text = match (&markers[..], format) {
                    ([Marker::Token(_), _], _) => format!("<tool_call>{text}"),
                    ([Marker::Token(_)], _) => format!("<|call|>{text}"),
                    _ => text,
                };
                let mut parser =
                    ToolCallParser::new(format, vec!["clock".to_owned(), "alarm".to_owned()], true);
                let mut found = parser.push(&text);
                found.extend(parser.finish());
                assert!(!found.is_empty() && (parallel || found.len() == 1), "{text}");
                for part in found {
                    let ParsedPart::ToolCall(call) = part else {
                        panic!("{text}")
                    };
                    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                    let right = match call.name.as_str() {
                        "clock" => arguments == json!({}),
                        _ => arguments["at"].as_i64().is_some_and(|at| (0..24).contains(&at)),
                    };
                    assert!(right, "{text}");
                }
            }
        }
    }
}
