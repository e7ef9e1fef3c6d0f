//! The metrics of the server. Those that vLLM or upstream KAITO have too keep those names: dashboards and autoscalers use them.

use std::time::Duration;

use telemetry::{Counter, Gauge, Histogram};

/// All metrics. Clones share the values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) registry: telemetry::Metrics,
    running: Gauge<0>,
    waiting: Gauge<0>,
    cache_use: Gauge<0>,
    load_progress: Gauge<0>,
    downloaded: Gauge<0>,
    download_size: Gauge<0>,
    prompt_tokens: Counter<0>,
    generated_tokens: Counter<0>,
    finished: Counter<1>,
    canceled: Counter<0>,
    rejected: Counter<0>,
    first_token: Histogram<0>,
    next_token: Histogram<0>,
    request: Histogram<0>,
    queued: Histogram<0>,
    step: Histogram<0>,
    step_tokens: Counter<0>,
    constrained: Counter<1>,
}

impl Metrics {
    /// Registers all metrics and shows those that have label values with zeros: a series that appears later looks like a jump.
    pub(crate) fn new(
        registry: &telemetry::Metrics,
        finish_reasons: &[&'static str],
        constraint_kinds: &[&'static str],
    ) -> Self {
        let metrics = Self::register(registry);
        let gauges = [
            &metrics.running,
            &metrics.waiting,
            &metrics.cache_use,
            &metrics.load_progress,
            &metrics.downloaded,
            &metrics.download_size,
        ];
        for gauge in gauges {
            gauge.set([], 0.0);
        }
        let counters = [
            &metrics.prompt_tokens,
            &metrics.generated_tokens,
            &metrics.canceled,
            &metrics.rejected,
            &metrics.step_tokens,
        ];
        for counter in counters {
            counter.add([], 0);
        }
        for reason in finish_reasons {
            metrics.finished.add([*reason], 0);
        }
        for kind in constraint_kinds {
            metrics.constrained.add([*kind], 0);
        }
        metrics
    }

    /// Registers the metrics. The registry adds the period to a help text, and `_total` to a counter.
    fn register(registry: &telemetry::Metrics) -> Self {
        let gauge = |name, help| registry.gauge(name, help, []);
        let counter = |name, help| registry.counter(name, help, []);
        let histogram = |name, help| registry.histogram(name, help, []);
        Self {
            running: gauge(
                "vllm:num_requests_running",
                "Requests that are in the running batch",
            ),
            waiting: gauge("vllm:num_requests_waiting", "Requests that wait to be admitted"),
            cache_use: gauge(
                "vllm:kv_cache_usage_perc",
                "Fraction of the KV cache that is reserved, 0 to 1",
            ),
            load_progress: gauge(
                "kaito_model_load_progress_ratio",
                "Fraction of the weights that is loaded, 0 to 1",
            ),
            downloaded: gauge(
                "kaito_model_downloaded_bytes",
                "Bytes that were received from the model hub",
            ),
            download_size: gauge(
                "kaito_model_download_size_bytes",
                "Bytes of the model's files on the hub; 0 if nothing is downloaded",
            ),
            prompt_tokens: counter("vllm:prompt_tokens", "Prompt tokens of finished requests"),
            generated_tokens: counter("vllm:generation_tokens", "Generated tokens of finished requests"),
            finished: registry.counter(
                "vllm:request_success",
                "Requests that finished, by reason",
                ["finished_reason"],
            ),
            canceled: counter(
                "kaito_requests_canceled",
                "Requests whose client disconnected before they finished",
            ),
            rejected: counter(
                "kaito_ratelimit_rejected",
                "Requests that were refused because the queue was full",
            ),
            first_token: histogram(
                "vllm:time_to_first_token_seconds",
                "Time from a request to its first token",
            ),
            next_token: histogram(
                "vllm:time_per_output_token_seconds",
                "Time from one token to the next",
            ),
            request: histogram(
                "vllm:e2e_request_latency_seconds",
                "Time from a request to its last token",
            ),
            queued: histogram(
                "vllm:request_queue_time_seconds",
                "Time from a request to its first step",
            ),
            step: histogram("kaito_step_duration_seconds", "Time of one step of the model"),
            step_tokens: counter(
                "kaito_step_tokens",
                "Tokens that steps computed, of prompts and completions",
            ),
            constrained: registry.counter(
                "kaito_structured_output_requests",
                "Requests with structured output, by kind of constraint",
                ["kind"],
            ),
            registry: registry.clone(),
        }
    }

    pub(crate) fn load(&self, running: usize, waiting: usize, cache_use: f64) {
        self.running.set([], running as f64);
        self.waiting.set([], waiting as f64);
        self.cache_use.set([], cache_use);
    }

    pub(crate) fn load_progress(&self, fraction: f32) {
        self.load_progress.set([], f64::from(fraction));
    }

    pub(crate) fn downloaded(&self, received: u64, total: u64) {
        self.downloaded.set([], received as f64);
        self.download_size.set([], total as f64);
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

    pub(crate) fn finished(&self, reason: &'static str, prompt: usize, generated: usize, took: Duration) {
        self.finished.inc([reason]);
        self.prompt_tokens.add([], prompt as u64);
        self.generated_tokens.add([], generated as u64);
        self.request.observe([], took);
    }

    pub(crate) fn constrained(&self, kind: &'static str) {
        self.constrained.inc([kind]);
    }

    pub(crate) fn canceled(&self) {
        self.canceled.inc([]);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.inc([]);
    }
}
