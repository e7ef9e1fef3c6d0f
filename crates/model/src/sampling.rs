//! Sampling of the next token from logits.
//!
//! Pure. The random numbers of a sequence come from its seed alone. So a request with a seed gives the same text, whatever other
//! requests run.

use std::cmp::Ordering;
use std::collections::HashMap;

/// Sampling parameters. The defaults keep the model's distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingParams {
    /// Divisor of logits; 0 for greedy decoding.
    pub temperature: f32,
    /// Number of most likely tokens to sample from; 0 for all.
    pub top_k: usize,
    /// Cumulative probability of the most likely tokens to sample from.
    pub top_p: f32,
    /// Least probability of a token, as a share of the most likely one.
    pub min_p: f32,
    /// Divisor of logits of earlier tokens (factor, for negative logits).
    pub repetition_penalty: f32,
    /// Subtracted from the logits of generated tokens.
    pub presence_penalty: f32,
    /// Subtracted from the logits of generated tokens, once for each occurrence.
    pub frequency_penalty: f32,
    /// Added to the logits of single tokens.
    pub bias: Vec<(u32, f32)>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            bias: Vec::new(),
        }
    }
}

/// Sampler of one sequence.
#[derive(Clone, Debug)]
pub struct Sampler {
    settings: SamplingParams,
    random: fastrand::Rng,
    /// Occurrences of tokens: in the prompt, and generated.
    seen: HashMap<u32, (u32, u32)>,
}

impl Sampler {
    /// A sampler of a sequence that begins with `prompt`.
    #[must_use]
    pub fn new(settings: SamplingParams, seed: u64, prompt: &[u32]) -> Self {
        let mut seen: HashMap<u32, (u32, u32)> = HashMap::new();
        if needs_history(&settings) {
            prompt
                .iter()
                .for_each(|token| seen.entry(*token).or_default().0 += 1);
        }
        Self {
            settings,
            random: fastrand::Rng::with_seed(seed),
            seen,
        }
    }

    /// Samples the next token and counts it. `forbidden` tokens are never sampled.
    pub fn sample(&mut self, logits: &mut [f32], forbidden: &[u32]) -> u32 {
        self.adjust(logits);
        for token in forbidden {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        let token = if self.settings.temperature <= 0.0 {
            argmax(logits)
        } else {
            self.draw(logits)
        };
        if needs_history(&self.settings) {
            self.seen.entry(token).or_default().1 += 1;
        }
        token
    }

    fn adjust(&self, logits: &mut [f32]) {
        let settings = &self.settings;
        for (token, (_, generated)) in &self.seen {
            let Some(logit) = logits.get_mut(*token as usize) else {
                continue;
            };
            let penalty = settings.repetition_penalty;
            *logit = if *logit > 0.0 {
                *logit / penalty
            } else {
                *logit * penalty
            };
            if *generated > 0 {
                *logit -= settings.presence_penalty + settings.frequency_penalty * *generated as f32;
            }
        }
        for (token, bias) in &settings.bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
    }

    fn draw(&mut self, logits: &[f32]) -> u32 {
        let candidates = candidates(logits, &self.settings);
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut at = self.random.f32() * total;
        for (token, weight) in &candidates {
            at -= weight;
            if at < 0.0 {
                return *token;
            }
        }
        candidates.first().map_or(0, |(token, _)| *token)
    }
}

fn needs_history(settings: &SamplingParams) -> bool {
    let neutral = SamplingParams::default();
    settings.repetition_penalty != neutral.repetition_penalty
        || settings.presence_penalty != neutral.presence_penalty
        || settings.frequency_penalty != neutral.frequency_penalty
}

/// Returns the token with the highest logit, the first of several. NaN never wins.
#[must_use]
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            best = (token, *logit);
        }
    }
    u32::try_from(best.0).unwrap_or_default()
}

/// Returns candidates with unnormalized probabilities. They are sorted, most likely first, if a limit needs that order.
fn candidates(logits: &[f32], settings: &SamplingParams) -> Vec<(u32, f32)> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| ((logit - max) / settings.temperature).exp();
    let all = (0_u32..)
        .zip(logits)
        .map(|(token, logit)| (token, weight(*logit)));
    let mut kept: Vec<(u32, f32)> = all
        .filter(|(_, weight)| *weight > 0.0 && *weight >= settings.min_p)
        .collect();
    let by_weight = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if settings.top_k > 0 && settings.top_k < kept.len() {
        kept.select_nth_unstable_by(settings.top_k, by_weight);
        kept.truncate(settings.top_k);
    }
    if settings.top_p < 1.0 {
        nucleus(&mut kept, settings.top_p, by_weight);
    } else if settings.top_k > 0 {
        kept.sort_unstable_by(by_weight);
    }
    kept
}

/// Keeps the most likely tokens with the cumulative probability `top_p`, in order.
fn nucleus(
    kept: &mut Vec<(u32, f32)>,
    top_p: f32,
    by_weight: impl Fn(&(u32, f32), &(u32, f32)) -> Ordering + Copy,
) {
    /// Nearly always enough, and sorting a whole vocabulary takes milliseconds.
    const FEW: usize = 512;
    let limit = top_p * kept.iter().map(|(_, weight)| weight).sum::<f32>();
    if kept.len() > FEW {
        kept.select_nth_unstable_by(FEW, by_weight);
        if kept[..FEW].iter().map(|(_, weight)| weight).sum::<f32>() >= limit {
            kept.truncate(FEW);
        }
    }
    kept.sort_unstable_by(by_weight);
    let mut sum = 0.0;
    let needed = kept.iter().take_while(|(_, weight)| {
        let wanted = sum < limit;
        sum += weight;
        wanted
    });
    let count = needed.count().max(1);
    kept.truncate(count);
}

/// Log-probabilities of a token and of alternatives.
#[derive(Clone, Debug, PartialEq)]
pub struct LogProbs {
    /// Log-probability of the token.
    pub chosen: f32,
    /// The most likely tokens with theirs.
    pub top: Vec<(u32, f32)>,
}

/// Returns log-probabilities of `token` and of the `top` most likely tokens, without sampling parameters.
#[must_use]
pub fn log_probs(logits: &[f32], token: u32, top: usize) -> LogProbs {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
    let normal = f64::from(max) + sum.ln();
    let log_prob = |logit: f32| (f64::from(logit) - normal) as f32;
    let mut order: Vec<(u32, f32)> = (0_u32..)
        .zip(logits)
        .filter(|(_, logit)| !logit.is_nan())
        .map(|(token, logit)| (token, *logit))
        .collect();
    let by_logit = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if top > 0 && top < order.len() {
        order.select_nth_unstable_by(top, by_logit);
    }
    order.truncate(top);
    order.sort_unstable_by(by_logit);
    LogProbs {
        chosen: logits
            .get(token as usize)
            .map_or(f32::NEG_INFINITY, |logit| log_prob(*logit)),
        top: order
            .into_iter()
            .map(|(token, logit)| (token, log_prob(logit)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(settings: SamplingParams, logits: &[f32]) -> Vec<usize> {
        let mut sampler = Sampler::new(settings, 1, &[]);
        let mut counts = vec![0; logits.len()];
        (0..4000).for_each(|_| counts[sampler.sample(&mut logits.to_vec(), &[]) as usize] += 1);
        counts
    }

    const LOGITS: [f32; 4] = [0.0, 1.098_612_3, 0.0, f32::NEG_INFINITY]; // probabilities 0.2, 0.6, 0.2, 0

    #[test]
    fn draws_follow_the_probabilities() {
        let counts = counts(SamplingParams::default(), &LOGITS);
        assert!(
            (700..900).contains(&counts[0]) && (2250..2550).contains(&counts[1]) && counts[3] == 0,
            "{counts:?}"
        );
    }

    #[test]
    fn limits_leave_the_likeliest() {
        let cases = [
            SamplingParams {
                top_k: 1,
                ..SamplingParams::default()
            },
            SamplingParams {
                top_p: 0.5,
                ..SamplingParams::default()
            },
            SamplingParams {
                min_p: 0.5,
                ..SamplingParams::default()
            },
            SamplingParams {
                temperature: 0.0,
                ..SamplingParams::default()
            },
        ];
        for settings in cases {
            assert_eq!(counts(settings.clone(), &LOGITS)[1], 4000, "{settings:?}");
        }
        let two = counts(
            SamplingParams {
                top_p: 0.7,
                ..SamplingParams::default()
            },
            &LOGITS,
        );
        assert!(two[0] > 0 && two[2] == 0, "{two:?}");
    }

    #[test]
    fn penalties_and_biases_move_the_choice() {
        let greedy = SamplingParams {
            temperature: 0.0,
            ..SamplingParams::default()
        };
        let draw = |settings: SamplingParams, prompt: &[u32]| {
            Sampler::new(settings, 0, prompt).sample(&mut [2.0, 1.9, -1.0], &[])
        };
        assert_eq!(draw(greedy.clone(), &[0]), 0);
        assert_eq!(
            draw(
                SamplingParams {
                    repetition_penalty: 1.2,
                    ..greedy.clone()
                },
                &[0]
            ),
            1
        );
        // Presence counts what was generated, not the prompt.
        assert_eq!(
            draw(
                SamplingParams {
                    presence_penalty: 1.0,
                    ..greedy.clone()
                },
                &[0]
            ),
            0
        );
        assert_eq!(
            draw(
                SamplingParams {
                    bias: vec![(2, 5.0), (99, 1.0)],
                    ..greedy
                },
                &[]
            ),
            2
        );
        let mut sampler = Sampler::new(
            SamplingParams {
                presence_penalty: 1.0,
                ..greedy
            },
            0,
            &[],
        );
        assert_eq!([0; 2].map(|_| sampler.sample(&mut [2.0, 1.9, -1.0], &[])), [0, 1]);
    }

    #[test]
    fn a_seed_fixes_the_draws_and_forbidden_tokens_never_come() {
        let draw = |seed| {
            let mut sampler = Sampler::new(SamplingParams::default(), seed, &[]);
            (0..20)
                .map(|_| sampler.sample(&mut LOGITS.to_vec(), &[1]))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        assert!(!draw(5).contains(&1));
    }

    #[test]
    fn log_probs_are_logarithms_of_probabilities() {
        let found = log_probs(&LOGITS, 0, 2);
        assert!((found.chosen.exp() - 0.2).abs() < 1e-6);
        assert_eq!(
            found.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(),
            [1, 0]
        );
        assert!((found.top[0].1.exp() - 0.6).abs() < 1e-6);
    }

    #[test]
    fn nan_is_never_chosen_or_reported() {
        let mut logits: Vec<f32> = (0..200_u8).map(f32::from).collect();
        logits.iter_mut().step_by(3).for_each(|logit| *logit = f32::NAN);
        let settings = SamplingParams {
            top_k: 50,
            top_p: 0.9,
            ..SamplingParams::default()
        };
        let mut sampler = Sampler::new(settings, 7, &[]);
        assert!((0..200).all(|_| !sampler.sample(&mut logits.clone(), &[]).is_multiple_of(3)));
        let top = log_probs(&logits, 199, 30).top;
        assert!(
            top.len() == 30 && top.iter().all(|(token, _)| !token.is_multiple_of(3)),
            "{top:?}"
        );
    }
}
