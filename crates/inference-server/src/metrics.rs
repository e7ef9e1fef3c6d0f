//! The metrics of the server. Those that vLLM or upstream KAITO have too keep those names: dashboards and autoscalers use them.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use telemetry::{Buckets, Counter, Gauge, Histogram, InfoGauge};

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
    time_per_token: Histogram<0>,
    prefix_queries: Counter<0>,
    prefix_hits: Counter<0>,
    cache_config: InfoGauge,
    loras: InfoGauge,
    request: Histogram<0>,
    queued: Histogram<0>,
    step: Histogram<0>,
    step_tokens: Counter<0>,
    constrained: Counter<1>,
}

impl Metrics {
    /// Registers all metrics and shows those that have label values with zeros: a series that appears later looks like a jump.
    ///
    /// Every metric has vLLM's labels: dashboards select by the name of the model, and by the engine, of which there is one.
    pub(crate) fn new(
        registry: &telemetry::Metrics,
        model_name: &str,
        finish_reasons: &[&'static str],
        constraint_kinds: &[&'static str],
    ) -> Self {
        let registry = &registry.with_labels(&[("model_name", model_name), ("engine", "0")]);
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
            &metrics.prefix_queries,
            &metrics.prefix_hits,
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
        let histogram = |name, help| registry.histogram_with(name, help, [], Buckets::COMPLETIONS);
        Self {
            running: gauge(
                "vllm:num_requests_running",
                "Requests that are in the running batch",
            ),
            waiting: gauge("vllm:num_requests_waiting", "Requests that wait to be admitted"),
            cache_use: gauge(
                "vllm:kv_cache_usage_perc",
                "Fraction of the KV cache that running requests have filled, 0 to 1",
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
                "vllm:inter_token_latency_seconds",
                "Time from one token to the next",
            ),
            time_per_token: histogram(
                "vllm:request_time_per_output_token_seconds",
                "Mean time from one token to the next, of each finished request",
            ),
            prefix_queries: counter(
                "vllm:prefix_cache_queries",
                "Prompt tokens that were looked up in the prefix cache",
            ),
            prefix_hits: counter(
                "vllm:prefix_cache_hits",
                "Prompt tokens that were found in the prefix cache",
            ),
            cache_config: registry.info("vllm:cache_config_info", "Settings of the KV cache, as labels"),
            loras: registry.info(
                "vllm:lora_requests_info",
                "Adapters of running and waiting requests, as labels; the number is the Unix time of the last step",
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

    pub(crate) fn time_per_token(&self, mean: Duration) {
        self.time_per_token.observe([], mean);
    }

    pub(crate) fn prefix_queried(&self, tokens: usize) {
        self.prefix_queries.add([], tokens as u64);
    }

    pub(crate) fn prefix_hit(&self, tokens: usize) {
        self.prefix_hits.add([], tokens as u64);
    }

    /// Shows the size of the cache. A block is one position here: nothing is allocated in larger units.
    pub(crate) fn cache_config(&self, positions: usize) {
        let labels = [
            ("block_size", "1".to_owned()),
            ("num_gpu_blocks", positions.to_string()),
            ("cache_dtype", "float32".to_owned()),
            ("enable_prefix_caching", "True".to_owned()),
        ];
        self.cache_config.set(&labels, 1.0);
    }

    pub(crate) fn adapters(&self, max: usize, running: &BTreeSet<&str>, waiting: &BTreeSet<&str>) {
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(",");
        let labels = [
            ("max_lora", max.to_string()),
            ("running_lora_adapters", list(running)),
            ("waiting_lora_adapters", list(waiting)),
        ];
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.loras
            .set(&labels, now.map_or(0.0, |since| since.as_secs_f64()));
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
