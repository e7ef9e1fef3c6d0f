//! Follows one completion and masks the logits of tokens that must not come next.

use llguidance::toktrie::SimpleVob;

/// Position of a completion in its grammar.
pub(crate) struct Matcher {
    inner: llguidance::Matcher,
    /// Tokens that may come next, once they are computed.
    mask: Option<SimpleVob>,
}

/// Reason for a completion that cannot continue within its grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to continue the structured output: {0}")]
pub(crate) struct ConstraintError(pub(super) String);

impl Matcher {
    pub(super) fn new(inner: llguidance::Matcher) -> Self {
        Self { inner, mask: None }
    }

    /// Computes which tokens may come next. Any thread may call this, ahead of [`Self::mask`].
    pub(crate) fn prepare_mask(&mut self) -> Result<(), ConstraintError> {
        if self.mask.is_none() {
            let mask = self.inner.compute_mask();
            self.mask = Some(mask.map_err(|error| ConstraintError(explain(&error.to_string())))?);
        }
        Ok(())
    }

    /// Masks the logits of tokens that must not come next, and those of `avoided` unless nothing else may come.
    pub(crate) fn mask(&mut self, logits: &mut [f32], avoided: &[u32]) -> Result<(), ConstraintError> {
        self.prepare_mask()?;
        let Some(mask) = &self.mask else {
            return Ok(());
        };
        mask.iter_unset_entries(|token| {
            if let Some(logit) = logits.get_mut(token) {
                *logit = f32::NEG_INFINITY;
            }
        });
        let others = mask.num_set()
            - avoided
                .iter()
                .filter(|token| allows(mask, **token))
                .count()
                .min(mask.num_set());
        if others > 0 {
            for token in avoided {
                if let Some(logit) = logits.get_mut(*token as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        Ok(())
    }

    /// Accepts the sampled token. Returns true if the completion is complete and nothing can follow.
    pub(crate) fn accept(&mut self, token: u32) -> Result<bool, ConstraintError> {
        // If every allowed token has no probability, the sampler returns one that is not allowed.
        if self.mask.take().is_some_and(|mask| !allows(&mask, token)) {
            return Err(ConstraintError("no allowed token has a probability".to_owned()));
        }
        let taken = self.inner.consume_token(token);
        taken.map_err(|error| ConstraintError(explain(&error.to_string())))?;
        Ok(self.inner.is_stopped())
    }
}

/// Maximum length of an explanation, in characters.
const MAX_EXPLANATION: usize = 500;

/// Returns the message of the library without the internal state that it appends.
pub(super) fn explain(problem: &str) -> String {
    let end = problem.find("\n<").unwrap_or(problem.len());
    match problem.get(..end).unwrap_or_default().trim() {
        "NoExtensionBias" | "NoExtension" => "no token of the model fits".to_owned(),
        "LexerTooComplex" => "it is too complex for the lexer".to_owned(),
        "ParserTooComplex" => "it is too ambiguous for the parser".to_owned(),
        text => text.chars().take(MAX_EXPLANATION).collect(),
    }
}

fn allows(mask: &SimpleVob, token: u32) -> bool {
    (token as usize) < mask.len() && mask.is_allowed(token)
}

impl Clone for Matcher {
    /// Copies the state of the lexer: if completions shared it, they would also share its limits.
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.deep_clone(),
            mask: self.mask.clone(),
        }
    }
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").finish_non_exhaustive()
    }
}
