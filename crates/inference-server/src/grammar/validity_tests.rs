//! For any logits and any sampling, a completion under a schema is JSON that matches the schema.

use model::sampling::SamplingParams;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::constraint::{Constraint, JsonConstraint};
use super::schema::JsonOptions;
use super::test_support::{KINDS, generate, parts, wait};

/// Sampling settings, from greedy to random.
fn settings() -> impl Strategy<Value = SamplingParams> {
    (0..4_usize, 0.0_f32..2.0, 1_usize..50, 0.1_f32..1.0).prop_map(|(kind, temperature, top_k, share)| {
        SamplingParams {
            temperature,
            top_k: if kind == 1 { top_k } else { 0 },
            top_p: if kind == 2 { share } else { 1.0 },
            min_p: if kind == 3 { share } else { 0.0 },
            repetition_penalty: 0.5 + share,
            ..SamplingParams::default()
        }
    })
}

/// Schemas with the keywords that `matches` below knows.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "null"})),
        (-50_i64..50, 0_i64..100)
            .prop_map(|(least, more)| json!({"type": "integer", "minimum": least, "maximum": least + more})),
        (0_u64..4, 0_u64..6).prop_map(
            |(least, more)| json!({"type": "string", "minLength": least, "maxLength": least + more})
        ),
        prop::collection::vec("[a-z \"\\\\é🦀]{0,6}", 1..4).prop_map(|texts| json!({"enum": texts})),
        Just(json!({"const": {"a": [1, null, "x"]}})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let named = prop::collection::btree_map("[a-z é\"]{1,5}", (inner.clone(), any::<bool>()), 1..4);
        prop_oneof![
            named.prop_map(|fields| {
                let required: Vec<&String> = fields.iter().filter(|field| field.1.1).map(|field| field.0).collect();
                let properties: Map<String, Value> =
                    fields.iter().map(|(name, (schema, _))| (name.clone(), schema.clone())).collect();
                json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
            }),
            (inner.clone(), 0_u64..3, 0_u64..3).prop_map(|(items, least, more)| {
                json!({"type": "array", "items": items, "minItems": least, "maxItems": least + more})
            }),
            prop::collection::vec(inner, 1..3).prop_map(|schemas| json!({"anyOf": schemas})),
        ]
    })
    .prop_flat_map(|schema| (Just(schema), any::<bool>()))
    .prop_map(|(schema, is_referred)| match is_referred {
        true => json!({"$ref": "#/$defs/d", "$defs": {"d": schema}}),
        false => schema,
    })
}

/// Reports whether a value matches a schema. Definitions stand beside the reference.
fn matches(schema: &Value, value: &Value) -> bool {
    let number = |name: &str, default: i64| schema.get(name).and_then(Value::as_i64).unwrap_or(default);
    let within = |found: i64, least: &str, most: &str| {
        (number(least, i64::MIN)..=number(most, i64::MAX)).contains(&found)
    };
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        return options.iter().any(|option| matches(option, value));
    }
    if schema.get("$ref").is_some() {
        return matches(&schema["$defs"]["d"], value);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.contains(value);
    }
    if let Some(only) = schema.get("const") {
        return only == value;
    }
    match (schema["type"].as_str().unwrap(), value) {
        ("boolean", Value::Bool(_)) | ("null", Value::Null) => true,
        // The parser does not read `-0` as an `i64`.
        ("integer", Value::Number(found)) => found
            .as_f64()
            .is_some_and(|found| found.fract() == 0.0 && within(found as i64, "minimum", "maximum")),
        ("string", Value::String(text)) => within(text.chars().count() as i64, "minLength", "maxLength"),
        ("array", Value::Array(list)) => {
            within(list.len() as i64, "minItems", "maxItems")
                && list.iter().all(|item| matches(&schema["items"], item))
        }
        ("object", Value::Object(map)) => {
            let required = schema["required"].as_array().unwrap();
            let known = |(name, value): (&String, &Value)| {
                schema["properties"]
                    .get(name)
                    .is_some_and(|schema| matches(schema, value))
            };
            required
                .iter()
                .all(|name| map.contains_key(name.as_str().unwrap()))
                && map.iter().all(known)
        }
        _ => false,
    }
}

fn strict(schema: &Value) -> Constraint {
    Constraint::Json(JsonConstraint {
        schema: schema.clone(),
        options: JsonOptions {
            strict: true,
            ..JsonOptions::default()
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn completions_match_the_schema(wanted in schemas(), settings in settings(), seed in any::<u64>(), kind in 0..2_usize) {
        let (compiler, tokenizer) = parts(KINDS[kind]);
        let mut matcher = wait(compiler.matcher(&strict(&wanted))).unwrap();
        let text = generate(&mut matcher, &tokenizer, &settings, seed).unwrap().expect("all of these schemas have an end");
        let value: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert!(matches(&wanted, &value), "{wanted} {text}");
    }
}
