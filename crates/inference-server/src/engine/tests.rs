//! The engine with a tiny model.

use std::path::Path;

use clap::Parser as _;
use model::sampling::SamplingParams;

use super::*;
use crate::load::LoadedModel;
use crate::settings::Backend;

/// Returns the tiny model.
fn model() -> LoadedModel {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data/llama");
    let weights = format!("--weights-dir={}", weights.display());
    let args = crate::Args::parse_from(["inference-server", &weights, "--threads=2"]);
    let Backend::Model(settings) = args.settings().unwrap().backend else {
        panic!("expected a model");
    };
    let metrics = Metrics::new(&telemetry::Metrics::new(), "tiny", &[], &[]);
    crate::load::load(&settings.load, &metrics, &|_| {}).unwrap()
}

fn request(prompt: &[u32], max_tokens: usize) -> Request {
    Request {
        prompt: prompt.to_vec(),
        adapter: None,
        scope: CacheScope::default(),
        embedding: false,
        sampling: SamplingParams {
            temperature: 0.0,
            ..SamplingParams::default()
        },
        seed: 0,
        max_tokens,
        min_tokens: 0,
        stop: Vec::new(),
        end_tokens: Vec::new(),
        visible_special_tokens: Vec::new(),
        log_probs: None,
        prompt_log_probs: None,
        grammar: None,
    }
}

async fn finish(mut events: UnboundedReceiver<CompletionEvent>) -> Option<(Finish, Vec<CompletionEvent>)> {
    let mut before = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            CompletionEvent::Finish(finish) => return Some((finish, before)),
            event => before.push(event),
        }
    }
    None
}

#[tokio::test]
async fn a_bad_sequence_ends_alone() {
    let model = model();
    let good = request(&[5, 6, 7], 20);
    let bad = request(&[u32::MAX], 20);
    let good = model.engine.submit(good).await.unwrap();
    let bad = model.engine.submit(bad).await.unwrap();
    let (good, bad) = tokio::join!(finish(good), finish(bad));
    assert_eq!(good.unwrap().0.generated, 20);
    assert_eq!(bad.unwrap().0.reason, FinishReason::Failed);
    assert!(!model.engine.ended().is_cancelled());
}

#[tokio::test]
async fn the_end_of_the_thread_is_reported() {
    let model = model();
    // The validation of requests excludes an empty prompt, for which the arithmetic has no meaning.
    let events = model.engine.submit(request(&[], 1)).await.unwrap();
    assert!(finish(events).await.is_none());
    model.engine.ended().cancelled().await;
    let refused = model.engine.submit(request(&[5], 1)).await;
    assert_eq!(refused.unwrap_err(), SubmitError::Stopped);
}

#[tokio::test]
async fn prefixes_are_shared_within_a_scope_only() {
    let model = model();
    let prompt: Vec<u32> = (4..44).collect();
    let cached = async |scope: u64| {
        let request = Request {
            scope: CacheScope(scope),
            ..request(&prompt, 1)
        };
        let events = model.engine.submit(request).await.unwrap();
        finish(events).await.unwrap().0.cached
    };
    assert_eq!(cached(1).await, 0);
    assert_eq!(cached(2).await, 0);
    assert_eq!((cached(1).await, cached(2).await), (39, 39));
}

#[tokio::test]
async fn prompts_are_scored_as_completions_are() {
    let model = model();
    let generated = Request {
        log_probs: Some(2),
        ..request(&[5, 6, 7], 10)
    };
    let (_, events) = finish(model.engine.submit(generated).await.unwrap())
        .await
        .unwrap();
    let mut prompt = vec![5, 6, 7];
    let mut expected = Vec::new();
    for event in events {
        let CompletionEvent::Token(token) = event else {
            panic!("expected tokens");
        };
        prompt.push(token.id);
        expected.push(token.log_probs.unwrap());
    }
    let scored = Request {
        prompt_log_probs: Some(2),
        ..request(&prompt, 0)
    };
    let (end, events) = finish(model.engine.submit(scored).await.unwrap()).await.unwrap();
    assert_eq!((end.reason, end.generated), (FinishReason::Length, 0));
    let [CompletionEvent::Prompt(log_probs)] = events.as_slice() else {
        panic!("expected one event: {events:?}");
    };
    assert_eq!(log_probs.len(), prompt.len() - 1);
    assert_eq!(log_probs[2..], expected);
}

#[tokio::test]
async fn a_thread_that_stalls_is_noticed_until_it_continues() {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/data/llama");
    let spec = model::Spec::open(&weights).unwrap();
    let store = model::TensorStore::open(&weights).unwrap();
    let decoder = model::Decoder::load(spec, &store, model::Precision::F32, &[], &|_| {}).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    // The only thread waits, so the engine computes nothing.
    pool.spawn(move || {
        let _ = blocked.recv();
    });
    let mut stalled = self::model();
    stalled.engine = Engine::start(
        AdaptedModel {
            decoder,
            loras: Vec::new(),
        },
        Arc::clone(&stalled.tokenizer),
        pool,
        SchedulerLimits {
            sequences: 1,
            queue: 1,
            step_tokens: 8,
            cache: 64,
        },
        Metrics::new(&telemetry::Metrics::new(), "tiny", &[], &[]),
    )
    .unwrap();
    let engine = stalled.engine.clone();
    let phase = crate::load::SharedPhase::new();
    phase.set(crate::load::ServerPhase::Ready(Arc::new(stalled)));
    let metrics = Metrics::new(&telemetry::Metrics::new(), "tiny", &[], &[]);
    let limit = std::time::Duration::from_millis(50);
    let app = crate::api::App::new(phase, metrics, limit);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, crate::api::router(app)).await.unwrap() });
    let health = async || reqwest::get(&url).await.unwrap().status().as_u16();

    let _ = rustls::crypto::ring::default_provider().install_default();
    assert_eq!(health().await, 200);
    let submitting = tokio::spawn({
        let engine = engine.clone();
        async move { finish(engine.submit(request(&[5, 6], 3)).await.unwrap()).await }
    });
    tokio::time::sleep(limit * 3).await;
    assert_eq!(health().await, 500);
    release.send(()).unwrap();
    assert_eq!(submitting.await.unwrap().unwrap().0.generated, 3);
    assert_eq!(health().await, 200);
}
