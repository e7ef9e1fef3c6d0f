//! Grammars of every kind: what is refused, where answers end, and that they fit.

use std::collections::HashMap;

use model::sampling::SamplingParams;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::*;
use crate::grammar::test_support::{END, KINDS, VOCABULARY, answer, parts, wait};
use crate::grammar::{Calls, Function, Json, Mark, Reading};
use crate::tool_calls::{Form, Part, Reader};

fn schema(schema: Value) -> Constraint {
    let reading = Reading {
        strict: true,
        ..Reading::default()
    };
    Constraint::Json(Json { schema, reading })
}

fn lenient(schema: Value) -> Constraint {
    let reading = Reading::default();
    Constraint::Json(Json { schema, reading })
}

fn regex(pattern: &str) -> Constraint {
    Constraint::Regex(pattern.to_owned())
}

fn grammar(text: &str) -> Constraint {
    Constraint::Grammar(text.to_owned())
}

type Fits<'a> = &'a dyn Fn(&str) -> bool;

#[test]
fn answers_are_texts_of_their_form() {
    let (compiler, tokenizer) = parts("sentencepiece");
    let is_date =
        |text: &str| text.len() == 10 && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    let cases: [(Constraint, Fits<'_>); 7] = [
        (regex("(yes|no)"), &|text| ["yes", "no"].contains(&text)),
        (regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), &is_date),
        (
            Constraint::Choice(vec!["a \"b\"\n".to_owned(), "é\u{7f}".to_owned(), "a".to_owned()]),
            &|text| ["a \"b\"\n", "é\u{7f}", "a"].contains(&text),
        ),
        (Constraint::Object, &|text| {
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
    for (constraint, fits) in cases {
        let beginning = wait(compiler.matcher(&constraint)).unwrap();
        for seed in 0..20 {
            let settings = SamplingParams {
                temperature: 0.7,
                ..SamplingParams::default()
            };
            let found = answer(&mut beginning.clone(), &tokenizer, &settings, seed).unwrap();
            if let Some(text) = found {
                assert!(fits(&text), "{constraint:?}: {text:?}");
            }
        }
    }
}

#[test]
fn an_answer_ends_where_its_form_does() {
    let (compiler, tokenizer) = parts("byte-level");
    let mut matcher = wait(compiler.matcher(&regex("x|xz"))).unwrap();
    let id = |text: &str| tokenizer.token_to_id(text).unwrap();
    let possible = |matcher: &mut Matcher, avoided: &[u32]| {
        let mut logits = vec![0.0; VOCABULARY];
        matcher.restrict(&mut logits, avoided).unwrap();
        let left = (0..VOCABULARY as u32).filter(|token| logits[*token as usize] == 0.0);
        left.collect::<Vec<_>>()
    };
    assert_eq!(possible(&mut matcher, &[]), [id("x")]);
    assert!(!matcher.take(id("x")).unwrap());
    assert_eq!(possible(&mut matcher, &[]), [END, id("z")]);
    // What ends an answer is avoided as long as something else may come.
    assert_eq!(possible(&mut matcher, &[END]), [id("z")]);
    let mut other = matcher.clone();
    assert!(matcher.take(id("z")).unwrap());
    assert_eq!(possible(&mut other, &[id("z")]), [END]);
    assert!(other.take(END).unwrap());
    // A model that finds all that fits impossible picks something else.
    let mut stuck = wait(compiler.matcher(&regex("x"))).unwrap();
    stuck.prepare().unwrap();
    assert!(
        stuck
            .take(id("z"))
            .unwrap_err()
            .to_string()
            .contains("finds no token that fits")
    );
}

#[test]
fn what_can_not_be_carried_out_is_refused_with_a_reason() {
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
    // What is not said to be strict does without what cannot be carried out.
    wait(compiler.matcher(&lenient(json!({"type": "object", "not": {}})))).unwrap();
}

/// Each of these is made to take long or to need much memory; all have to end, either way, and so does an answer.
#[test]
fn hostile_forms_stay_within_bounds() {
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
        let made = wait(compiler.matcher(&constraint));
        let ended = made.map(|mut matcher| answer(&mut matcher, &tokenizer, &SamplingParams::default(), 1));
        let problem = match ended {
            Ok(Ok(_)) => continue,
            Ok(Err(stuck)) => stuck.to_string(),
            Err(refusal) => refusal.to_string(),
        };
        assert!(!problem.contains("panic"), "{constraint:?}: {problem}");
    }
}

#[test]
fn required_calls_are_read_as_calls() {
    let parameters = json!({
        "type": "object", "properties": {"at": {"$ref": "#/$defs/hour"}}, "required": ["at"],
        "additionalProperties": false, "$defs": {"hour": {"type": "integer", "minimum": 0, "maximum": 23}},
    });
    let function = |name: &str, parameters: Option<&Value>| Function {
        name: name.to_owned(),
        parameters: parameters.cloned(),
        strict: true,
    };
    for kind in KINDS {
        let (compiler, tokenizer) = parts(kind);
        let special = Mark::Token(tokenizer.token_to_id("<|call|>").unwrap());
        let close = Mark::Text("</tool_call>");
        for (form, marks, several) in [
            (Form::Tagged, vec![Mark::Text("<tool_call>"), close.clone()], true),
            (Form::Tagged, vec![special.clone(), close], false),
            (Form::Marked("<|call|>"), vec![special], true),
            (Form::Bare, Vec::new(), false),
        ] {
            let functions = vec![function("clock", None), function("alarm", Some(&parameters))];
            let calls = Calls {
                form,
                marks: marks.clone(),
                functions,
                several,
            };
            let beginning = wait(compiler.matcher(&Constraint::Calls(calls))).unwrap();
            for seed in 0..10 {
                let text = answer(
                    &mut beginning.clone(),
                    &tokenizer,
                    &SamplingParams::default(),
                    seed,
                )
                .unwrap()
                .unwrap();
                // A special token is left out of texts unless they are written with it, as answers are.
                let text = match (&marks[..], form) {
                    ([Mark::Token(_), _], _) => format!("<tool_call>{text}"),
                    ([Mark::Token(_)], _) => format!("<|call|>{text}"),
                    _ => text,
                };
                let mut reader = Reader::new(form, vec!["clock".to_owned(), "alarm".to_owned()], true);
                let mut found = reader.push(&text);
                found.extend(reader.finish());
                assert!(!found.is_empty() && (several || found.len() == 1), "{text}");
                for part in found {
                    let Part::Call(call) = part else { panic!("{text}") };
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
