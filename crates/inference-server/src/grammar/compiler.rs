//! From constraints to matchers, aside from all other threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llguidance::ParserFactory;
use llguidance::api::{ParserLimits, TopLevelGrammar};
use model::Tokenizer;
use tokio::sync::{Semaphore, oneshot};

use super::matcher::explain;
use super::recent::Recent;
use super::{Constraint, Matcher, Refusal, vocabulary};

/// Grammars that are made at a time: the others wait, and the engine keeps its processors.
const AT_ONCE: usize = 2;
/// How long a request waits for its grammar.
const PATIENCE: Duration = Duration::from_secs(10);
/// Grammars that are kept for the next request.
const KEPT: usize = 16;
/// Stack of a thread that makes a grammar, in bytes. The library goes through rules and schemas by recursion; only what is
/// used becomes memory.
const STACK: usize = 256 << 20;

/// Makes matchers for one model.
pub(crate) struct Compiler {
    factory: Arc<ParserFactory>,
    slots: Arc<Semaphore>,
    recent: Mutex<Recent<Matcher>>,
}

impl Compiler {
    /// For a model with `vocabulary` tokens, of which those of `end` end an answer.
    pub(crate) fn new(tokenizer: &Tokenizer, vocabulary: usize, end: &[u32]) -> Result<Self, Refusal> {
        let tree = vocabulary::tree(tokenizer, vocabulary, end)?;
        let mut factory = ParserFactory::new_simple(&tree)
            .map_err(|error| Refusal::Unavailable(explain(&error.to_string())))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self {
            factory: Arc::new(factory),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            recent: Mutex::new(Recent::new(KEPT)),
        })
    }

    /// A matcher at the beginning of an answer.
    pub(crate) async fn matcher(&self, constraint: &Constraint) -> Result<Matcher, Refusal> {
        let grammar = constraint.grammar()?;
        let key = serde_json::to_string(&grammar).map_err(|error| Refusal::Grammar(error.to_string()))?;
        if let Some(known) = self
            .recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Ok(known.clone());
        }
        let made = tokio::time::timeout(PATIENCE, self.make(grammar)).await;
        let matcher = made.map_err(|_| Refusal::Slow(PATIENCE.as_secs()))??;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.put(key, matcher.clone());
        Ok(matcher)
    }

    async fn make(&self, grammar: TopLevelGrammar) -> Result<Matcher, Refusal> {
        let gone = || Refusal::Unavailable("no thread is left for its grammar".to_owned());
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        let factory = Arc::clone(&self.factory);
        let work = move || {
            let made = make(&factory, grammar);
            drop(slot);
            // Nobody may be waiting any more.
            let _ = reply.send(made);
        };
        std::thread::Builder::new()
            .name("grammar".to_owned())
            .stack_size(STACK)
            .spawn(work)
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// A fraction of what the library allows where that would hold up other answers: it does some ten thousand units a
/// millisecond.
fn limits() -> ParserLimits {
    ParserLimits {
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 100_000,
        step_max_items: 50_000,
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

fn make(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Matcher, Refusal> {
    let refused = |problem: String| Refusal::Grammar(explain(&problem));
    let mut inner = llguidance::Matcher::new(factory.create_parser(grammar));
    if let Some(problem) = inner.get_error() {
        return Err(refused(problem));
    }
    let warnings = inner.grammar_warnings();
    if !warnings.is_empty() {
        tracing::debug!(?warnings, "parts of a schema are left out");
    }
    let mut matcher = Matcher::new(inner);
    // What is too complex for its first token is told before an answer begins.
    matcher.prepare().map_err(|stuck| Refusal::Grammar(stuck.0))?;
    Ok(matcher)
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
