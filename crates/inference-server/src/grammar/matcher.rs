//! Follows one answer and leaves only logits of tokens that may come next.

use llguidance::toktrie::SimpleVob;

/// Where an answer stands in its grammar.
pub(crate) struct Matcher {
    inner: llguidance::Matcher,
    /// Tokens that may come next, once they are known.
    mask: Option<SimpleVob>,
}

/// Why an answer cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the form that was asked for cannot be followed any further: {0}")]
pub(crate) struct Stuck(pub(super) String);

impl Matcher {
    pub(super) fn new(inner: llguidance::Matcher) -> Self {
        Self { inner, mask: None }
    }

    /// Finds out which tokens may come next; can be done on any thread, before it is needed.
    pub(crate) fn prepare(&mut self) -> Result<(), Stuck> {
        if self.mask.is_none() {
            let mask = self.inner.compute_mask();
            self.mask = Some(mask.map_err(|error| Stuck(explain(&error.to_string())))?);
        }
        Ok(())
    }

    /// Makes all other tokens impossible, also those of `avoided` unless nothing else may come.
    pub(crate) fn restrict(&mut self, logits: &mut [f32], avoided: &[u32]) -> Result<(), Stuck> {
        self.prepare()?;
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

    /// Takes the token that was picked; whether the answer is complete and nothing can follow.
    pub(crate) fn take(&mut self, token: u32) -> Result<bool, Stuck> {
        // Where all that may come next is impossible for the model, the token picked is none of it.
        if self.mask.take().is_some_and(|mask| !allows(&mask, token)) {
            return Err(Stuck("the model finds no token that fits".to_owned()));
        }
        let taken = self.inner.consume_token(token);
        taken.map_err(|error| Stuck(explain(&error.to_string())))?;
        Ok(self.inner.is_stopped())
    }
}

/// Longest explanation, in characters.
const EXPLANATION: usize = 500;

/// What the library says, without the state that it adds for its makers.
pub(super) fn explain(problem: &str) -> String {
    let end = problem.find("\n<").unwrap_or(problem.len());
    match problem.get(..end).unwrap_or_default().trim() {
        "NoExtensionBias" | "NoExtension" => "no token of the model fits".to_owned(),
        "LexerTooComplex" => "it is too complex to be read letter by letter".to_owned(),
        "ParserTooComplex" => "it can be read in too many ways".to_owned(),
        text => text.chars().take(EXPLANATION).collect(),
    }
}

fn allows(mask: &SimpleVob, token: u32) -> bool {
    (token as usize) < mask.len() && mask.is_allowed(token)
}

impl Clone for Matcher {
    /// What one answer teaches the lexer is not shared with the others, or its limits would be theirs too.
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
