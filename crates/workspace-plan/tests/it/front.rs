//! The front, keys, certificates and resources that annotations choose.

use plan::{Kind, Write};
use serde_json::{Value, json};

use crate::case::{Case, check};

const FRONT: &str = "kaito.sh/front";
const KEYS: &str = "kaito.sh/api-keys-secret";
const ORIGINS: &str = "kaito.sh/cors-origins";
const STALL: &str = "kaito.sh/stall-seconds";
const TLS: &str = "kaito.sh/tls-secret";

/// The object of a kind that the plan applies.
#[track_caller]
fn applied(case: &Case, kind: Kind) -> Value {
    let writes = case.plan().writes;
    let mut manifests = writes.iter().filter_map(|write| match write {
        Write::Apply(manifest) if manifest.kind() == kind => Some(manifest.to_value()),
        _ => None,
    });
    manifests.next_back().expect("an applied object")
}

fn pod(case: &Case) -> Value {
    applied(case, Kind::Deployment)["spec"]["template"]["spec"].clone()
}

#[test]
fn annotations_win_over_the_installation() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1);
    assert_eq!(pod(&case)["initContainers"][1]["name"], "front");
    assert_eq!(applied(&case, Kind::Service)["spec"]["ports"][0]["port"], 80);
    let alone = case.clone().annotated(FRONT, "disabled");
    assert_eq!(pod(&alone)["initContainers"][1], Value::Null);

    case.settings.serving.front = false;
    case.settings.serving.api_keys_secret = Some("all".to_owned());
    let case = case
        .annotated(FRONT, "enabled")
        .annotated(KEYS, "mine")
        .annotated(TLS, "cert");
    let secrets: Vec<Value> = pod(&case)["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| volume["secret"].get("secretName").cloned())
        .collect();
    assert_eq!(secrets, [json!("mine"), json!("cert")]);
    let ports = applied(&case, Kind::Service)["spec"]["ports"].clone();
    assert_eq!(
        (&ports[0]["name"], &ports[0]["port"]),
        (&json!("https"), &json!(443))
    );
}

#[test]
fn origins_and_stall_seconds_are_the_choice_of_a_workspace() {
    let mut case = Case::serving("phi-4").with_nodes(1, 1);
    case.settings.serving.cors_origins = vec!["https://all.example.com".to_owned()];
    let flags = |case: &Case| -> Vec<String> {
        let args = pod(case)["initContainers"][1]["args"].clone();
        let args: Vec<String> = serde_json::from_value(args).unwrap();
        let ours = |arg: &String| arg.starts_with("--cors-origin") || arg.starts_with("--stall-seconds");
        args.into_iter().filter(ours).collect()
    };
    assert_eq!(flags(&case), ["--cors-origin=https://all.example.com"]);
    let own = case
        .clone()
        .annotated(ORIGINS, "https://a.example.com, http://localhost:3000")
        .annotated(STALL, "120");
    assert_eq!(
        flags(&own),
        [
            "--cors-origin=https://a.example.com",
            "--cors-origin=http://localhost:3000",
            "--stall-seconds=120"
        ]
    );
    assert_eq!(flags(&case.annotated(ORIGINS, "none")), [""; 0]);
    for (annotation, value, problem) in [
        (ORIGINS, "https://a.example.com/", "must be origins such as"),
        (STALL, "0", "must be a number of seconds from 1 to 999999"),
    ] {
        let wrong = Case::serving("phi-4").annotated(annotation, value);
        let starts = format!("False/InvalidSpec: annotation {annotation} is {value:?} and {problem}");
        check(&wrong, "ResourceReady", &starts, &[]);
    }
    let alone = Case::serving("phi-4")
        .annotated(FRONT, "disabled")
        .annotated(ORIGINS, "*");
    check(
        &alone,
        "ResourceReady",
        "False/InvalidSpec: origins need the front",
        &[],
    );
}

#[test]
fn keys_without_a_front_are_refused() {
    let case = Case::serving("phi-4")
        .annotated(FRONT, "disabled")
        .annotated(KEYS, "mine");
    check(
        &case,
        "ResourceReady",
        "False/InvalidSpec: API keys and certificates need the front",
        &[],
    );
    let wrong = Case::serving("phi-4").annotated(TLS, "Not_a_name");
    let starts = "False/InvalidSpec: annotation kaito.sh/tls-secret is \"Not_a_name\" and must be the name of a Secret";
    check(&wrong, "ResourceReady", starts, &[]);
}

#[test]
fn resources_are_spelled_as_the_server_spells_them() {
    let case = Case::serving("phi-4")
        .annotated("kaito.sh/cpu", "2000m")
        .annotated("kaito.sh/memory", "65536Mi")
        .with_nodes(1, 1);
    assert_eq!(
        pod(&case)["containers"][0]["resources"],
        json!({
            "requests": {"cpu": "2", "memory": "64Gi", "nvidia.com/gpu": "1"},
            "limits": {"memory": "64Gi", "nvidia.com/gpu": "1"},
        })
    );
}
