//! Every Secret and ServiceAccount that a Workspace can name needs a right of its author.
//!
//! The places come from the schema of the CRD and from the names of annotations, so a new one cannot be forgotten.

use admission_cases::{annotated, inference, template, tuning, with};
use lint::{Linter, Origin};
use serde_json::{Map, Value, json};

use crate::settings;

const NAMED: &str = "named-here";

/// A place in an object: property names, and `[]` for an item of a list.
type Place = Vec<String>;

#[test]
fn every_credential_needs_a_right() {
    let linter = Linter::new(settings()).unwrap();
    let schema = schema();
    let mut places = Vec::new();
    find(&schema, false, &mut Vec::new(), &mut places);
    // Presets, adapters, inputs and outputs name seven; the others are in templates and volumes.
    let outside = places.iter().filter(|place| {
        !place
            .iter()
            .any(|step| step == "volumeSource" || step == "template")
    });
    assert_eq!(outside.count(), 7, "{places:?}");
    assert!(places.len() > 50, "{places:?}");
    for place in &places {
        let mut object = base(place);
        fill(&schema, &mut object, place);
        check(
            &linter,
            &object,
            &place.join("."),
            place.iter().any(|step| step == "volumeSource"),
        );
    }
}

#[test]
fn every_annotation_that_names_a_credential_needs_a_right() {
    let linter = Linter::new(settings()).unwrap();
    let names: Vec<&str> = include_str!("../../../kaito-api/src/labels.rs")
        .split('"')
        .filter_map(|text| text.strip_prefix("kaito.sh/"))
        .filter(|name| is_credential(name))
        .collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        for value in [NAMED.to_owned(), format!(" {NAMED} ")] {
            check(&linter, &annotated(inference(), name, &value), name, false);
        }
    }
}

/// Volumes outside a template that may hold a credential are refused instead.
#[track_caller]
fn check(linter: &Linter<'_>, object: &Value, place: &str, may_be_refused: bool) {
    let refusals = linter.create(object);
    if may_be_refused
        && refusals
            .iter()
            .any(|refusal| refusal.message.contains("a volumeSource must be"))
    {
        return;
    }
    assert_eq!(refusals, [], "{place}: {object}");
    let rights = linter.warnings(object);
    let asked = rights
        .iter()
        .any(|right| right.origin == Origin::AuthorPolicy && right.message.contains(NAMED));
    assert!(asked, "{place} needs no right: {object}");
}

fn schema() -> Value {
    let crd = kaito_api::crd::workspace();
    let version = crd.spec.versions.iter().find(|version| version.storage).unwrap();
    serde_json::to_value(
        version
            .schema
            .as_ref()
            .unwrap()
            .open_api_v3_schema
            .as_ref()
            .unwrap(),
    )
    .unwrap()
}

fn is_credential(name: &str) -> bool {
    let name = name.to_lowercase();
    // A file of a node, for a driver that Kubernetes no longer has.
    name != "secretfile" && (name.contains("secret") || name.contains("account"))
}

/// Collects the places of texts that name a credential: such a field itself, or the `name` inside of one.
fn find(schema: &Value, inside: bool, place: &mut Place, found: &mut Vec<Place>) {
    if inside && schema["type"] == "string" {
        found.push(place.clone());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if place.is_empty() && name == "status" {
            continue;
        }
        place.push(name.clone());
        let is_object = property["type"] == "object";
        find(
            property,
            is_credential(name) || inside && name == "name" && !is_object,
            place,
            found,
        );
        place.pop();
    }
    if let Some(item) = schema.get("items") {
        place.push("[]".to_owned());
        find(item, inside, place, found);
        place.pop();
    }
}

/// A Workspace that is valid once the place is filled.
fn base(place: &[String]) -> Value {
    let has = |name: &str| place.iter().any(|step| step == name);
    let image = if has("volumeSource") {
        json!({})
    } else {
        json!({"image": "i"})
    };
    if has("template") {
        template()
    } else if has("adapters") {
        let source = with(json!({"source": image}), "/source/name", json!("a"));
        with(inference(), "/inference/adapters", json!([source]))
    } else if has("input") {
        with(tuning(), "/tuning/input", image)
    } else if has("output") && has("volumeSource") {
        with(tuning(), "/tuning/output", image)
    } else if has("tuning") {
        tuning()
    } else {
        inference()
    }
}

fn fill(schema: &Value, value: &mut Value, place: &[String]) {
    let Some((step, rest)) = place.split_first() else {
        *value = NAMED.into();
        return;
    };
    if step == "[]" {
        if value.as_array().is_none_or(Vec::is_empty) {
            *value = json!([sample(&schema["items"])]);
        }
        return fill(&schema["items"], &mut value[0], rest);
    }
    let property = &schema["properties"][step];
    if value[step].is_null() {
        value[step] = sample(property);
    }
    fill(property, &mut value[step], rest);
}

/// The least value that the schema accepts.
fn sample(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten();
            let fields = required.filter_map(Value::as_str);
            fields
                .map(|name| (name.to_owned(), sample(&schema["properties"][name])))
                .collect::<Map<_, _>>()
                .into()
        }
        Some("array") => json!([]),
        Some("string") => schema["enum"].get(0).cloned().unwrap_or(json!("x")),
        Some("boolean") => json!(true),
        _ => json!(1),
    }
}
