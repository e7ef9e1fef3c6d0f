//! The paths of an engine that clients may use. Pure.

use axum::http::Method;

/// Paths that take `POST`: OpenAI's API, and what vLLM adds to it for clients.
const POST: [&str; 17] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/score",
    "/v1/rerank",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v2/rerank",
    "/score",
    "/rerank",
    "/pooling",
    "/classify",
    "/tokenize",
    "/detokenize",
    "/v1/messages/count_tokens",
];
/// Those that the engine's server answers without its model.
const WITHOUT_MODEL: [&str; 3] = ["/tokenize", "/detokenize", "/v1/messages/count_tokens"];
/// Paths that take `GET`.
const GET: [&str; 2] = ["/v1/models", "/version"];
/// Beginnings of paths that take `GET`: the rest is a name.
const GET_UNDER: [&str; 1] = ["/v1/models/"];

/// Answer to the question if a request is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forwarding {
    Allowed,
    /// The path takes another method.
    OtherMethod,
    /// Clients have no business there, or nothing is there.
    Unknown,
}

/// Decides if a request is forwarded. Paths are compared as sent: one that is spelled in another way is unknown.
pub(super) fn forwarding(method: &Method, path: &str) -> Forwarding {
    let gets = GET.contains(&path)
        || GET_UNDER.iter().any(|start| {
            let rest = path.strip_prefix(start).unwrap_or_default();
            !rest.is_empty() && !rest.split('/').any(|part| matches!(part, "" | "." | ".."))
        });
    let posts = POST.contains(&path);
    match *method {
        Method::GET | Method::HEAD if gets => Forwarding::Allowed,
        Method::POST if posts => Forwarding::Allowed,
        _ if gets || posts => Forwarding::OtherMethod,
        _ => Forwarding::Unknown,
    }
}

/// Reports whether a request makes the engine compute.
pub(super) fn computes(method: &Method, path: &str) -> bool {
    *method == Method::POST && !WITHOUT_MODEL.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_api_is_forwarded() {
        assert!(computes(&Method::POST, "/v1/completions"));
        assert!(!computes(&Method::POST, "/tokenize") && !computes(&Method::GET, "/v1/models"));
        let get = |path: &str| forwarding(&Method::GET, path);
        let post = |path: &str| forwarding(&Method::POST, path);
        for path in ["/v1/models", "/v1/models/a/b", "/version"] {
            assert_eq!(get(path), Forwarding::Allowed, "{path}");
        }
        assert_eq!(post("/v1/chat/completions"), Forwarding::Allowed);
        assert_eq!(get("/v1/chat/completions"), Forwarding::OtherMethod);
        assert_eq!(post("/v1/models"), Forwarding::OtherMethod);
        for path in [
            "/v1/load_lora_adapter",
            "/v1/unload_lora_adapter",
            "/reset_prefix_cache",
            "/sleep",
            "/collective_rpc",
            "/start_profile",
            "/invocations",
            "/server_info",
            "/docs",
            "/openapi.json",
            "/v1/models/",
            "/v1/models/../load_lora_adapter",
            "/v1//chat/completions",
            "//v1/completions",
            "/v1/completions/",
        ] {
            assert_eq!(post(path), Forwarding::Unknown, "{path}");
            assert_eq!(get(path), Forwarding::Unknown, "{path}");
        }
    }
}
