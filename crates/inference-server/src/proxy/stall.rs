//! Reading of an engine's metrics for progress. Pure.

/// Counters that grow while vLLM computes.
const COUNTERS: [&str; 3] = [
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    "vllm:request_success_total",
];

/// Returns the sum of the counters in the Prometheus text format; `None` if there is none.
pub(super) fn tokens(metrics: &str) -> Option<u64> {
    let of_line = |line: &str| -> Option<f64> {
        let name = line.split(['{', ' ']).next()?;
        if !COUNTERS.contains(&name) {
            return None;
        }
        let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
        (value.is_finite() && value >= 0.0).then_some(value)
    };
    let mut values = metrics.lines().filter_map(of_line).peekable();
    values.peek()?;
    Some(values.sum::<f64>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_tokens_are_summed() {
        let text = "# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{engine=\"0\",model_name=\"a b\"} 12.0\n\
            vllm:prompt_tokens_total{engine=\"1\"} 3\nvllm:generation_tokens_total 1e3\nvllm:num_requests_running 9\n\
            vllm:request_success_total{} NaN\n";
        assert_eq!(tokens(text), Some(1015));
        assert_eq!(tokens("up 1\n"), None);
    }
}
