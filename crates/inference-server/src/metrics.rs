//! The metrics of the server, under the names that vLLM has: dashboards and scalers know them.

use std::time::Duration;

use telemetry::{Counter, Gauge, Histogram};

use crate::engine::Reason;
use crate::grammar::Constraint;

/// Everything that is counted; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) registry: telemetry::Metrics,
    running: Gauge<0>,
    waiting: Gauge<0>,
    cache: Gauge<0>,
    load: Gauge<0>,
    fetched: Gauge<0>,
    to_fetch: Gauge<0>,
    prompt_tokens: Counter<0>,
    generated_tokens: Counter<0>,
    ended: Counter<1>,
    cancelled: Counter<0>,
    rejected: Counter<0>,
    first_token: Histogram<0>,
    next_token: Histogram<0>,
    whole: Histogram<0>,
    queued: Histogram<0>,
    step: Histogram<0>,
    step_tokens: Counter<0>,
    constrained: Counter<1>,
}

impl Metrics {
    pub(crate) fn new(registry: &telemetry::Metrics) -> Self {
        let metrics = Self {
            running: registry.gauge("vllm:num_requests_running", "Requests that generate", []),
            waiting: registry.gauge("vllm:num_requests_waiting", "Requests that wait", []),
            cache: registry.gauge(
                "vllm:kv_cache_usage_perc",
                "Share of the cache that is promised, 0 to 1",
                [],
            ),
            load: registry.gauge(
                "kaito_model_load_progress",
                "Share of the weights that is loaded, 0 to 1",
                [],
            ),
            fetched: registry.gauge(
                "kaito_model_fetched_bytes",
                "Bytes received from the model hub",
                [],
            ),
            to_fetch: registry.gauge(
                "kaito_model_to_fetch_bytes",
                "Bytes of the model's files on the hub; 0 when it is not asked",
                [],
            ),
            prompt_tokens: registry.counter("vllm:prompt_tokens", "Tokens of prompts", []),
            generated_tokens: registry.counter("vllm:generation_tokens", "Tokens generated", []),
            ended: registry.counter(
                "vllm:request_success",
                "Answers given, by why they ended",
                ["finished_reason"],
            ),
            cancelled: registry.counter("kaito_requests_cancelled", "Requests whose caller went away", []),
            rejected: registry.counter(
                "kaito_ratelimit_rejected",
                "Requests refused because too many waited",
                [],
            ),
            first_token: registry.histogram(
                "vllm:time_to_first_token_seconds",
                "From request to first token",
                [],
            ),
            next_token: registry.histogram("vllm:time_per_output_token_seconds", "From token to token", []),
            whole: registry.histogram(
                "vllm:e2e_request_latency_seconds",
                "From request to last token",
                [],
            ),
            queued: registry.histogram(
                "vllm:request_queue_time_seconds",
                "From request to its first step",
                [],
            ),
            step: registry.histogram("kaito_step_seconds", "One step of the model", []),
            step_tokens: registry.counter("kaito_step_tokens", "Tokens computed, of prompts and answers", []),
            constrained: registry.counter(
                "kaito_constrained_requests",
                "Requests whose answers have a prescribed form, by its kind",
                ["kind"],
            ),
            registry: registry.clone(),
        };
        metrics.begin();
        metrics
    }

    /// Shows everything from the start, with zeros: a series that appears later looks like a jump.
    fn begin(&self) {
        let gauges = [
            &self.running,
            &self.waiting,
            &self.cache,
            &self.load,
            &self.fetched,
            &self.to_fetch,
        ];
        for gauge in gauges {
            gauge.set([], 0.0);
        }
        let counters = [
            &self.prompt_tokens,
            &self.generated_tokens,
            &self.cancelled,
            &self.rejected,
            &self.step_tokens,
        ];
        for counter in counters {
            counter.add([], 0);
        }
        for reason in [Reason::Stop, Reason::Length, Reason::Failed] {
            self.ended.add([reason.as_str()], 0);
        }
        for kind in Constraint::KINDS {
            self.constrained.add([kind], 0);
        }
    }

    pub(crate) fn load(&self, running: usize, waiting: usize, cache: f64) {
        self.running.set([], running as f64);
        self.waiting.set([], waiting as f64);
        self.cache.set([], cache);
    }

    pub(crate) fn loaded(&self, share: f32) {
        self.load.set([], f64::from(share));
    }

    pub(crate) fn fetched(&self, received: u64, total: u64) {
        self.fetched.set([], received as f64);
        self.to_fetch.set([], total as f64);
    }

    pub(crate) fn queued(&self, took: Duration) {
        self.queued.observe([], took);
    }

    pub(crate) fn first_token(&self, took: Duration) {
        self.first_token.observe([], took);
    }

    pub(crate) fn next_token(&self, took: Duration) {
        self.next_token.observe([], took);
    }

    pub(crate) fn step(&self, took: Duration, tokens: usize) {
        self.step.observe([], took);
        self.step_tokens.add([], tokens as u64);
    }

    pub(crate) fn ended(&self, reason: Reason, prompt: usize, generated: usize, took: Duration) {
        self.ended.inc([reason.as_str()]);
        self.prompt_tokens.add([], prompt as u64);
        self.generated_tokens.add([], generated as u64);
        self.whole.observe([], took);
    }

    pub(crate) fn constrained(&self, kind: &'static str) {
        self.constrained.inc([kind]);
    }

    pub(crate) fn cancelled(&self) {
        self.cancelled.inc([]);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.inc([]);
    }
}
