//! Makes matchers from constraints, on threads of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use llguidance::ParserFactory;
use llguidance::api::{ParserLimits, TopLevelGrammar};
use model::Tokenizer;
use tokio::sync::{Semaphore, oneshot};

use super::constraint::Constraint;
use super::error::GrammarError;
use super::lru_cache::LruCache;
use super::matcher::{Matcher, explain};
use super::vocabulary;

/// Grammars that compile at the same time. Others wait, so that the engine keeps its processors.
const CONCURRENCY: usize = 2;
/// Threads that compile. The library cannot be stopped, so a thread continues after its request gave up.
const MAX_THREADS: usize = 8;
/// Time that a request waits for its grammar.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Number of matchers in the cache.
const CACHED: usize = 16;
/// Stack of a thread that compiles a grammar, in bytes. The library recurses through rules and schemas. Only the used part of
/// the stack takes memory.
const STACK: usize = 256 << 20;

/// Makes matchers for one model.
pub(crate) struct Compiler {
    factory: Arc<ParserFactory>,
    turns: Semaphore,
    threads: Arc<Semaphore>,
    cache: Mutex<LruCache<Matcher>>,
}

impl Compiler {
    /// Creates the compiler for a model with `vocab_size` tokens, of which `end_tokens` end a completion.
    pub(crate) fn new(
        tokenizer: &Tokenizer,
        vocab_size: usize,
        end_tokens: &[u32],
    ) -> Result<Self, GrammarError> {
        let tree = vocabulary::token_tree(tokenizer, vocab_size, end_tokens)?;
        let mut factory = ParserFactory::new_simple(&tree)
            .map_err(|error| GrammarError::Unavailable(explain(&error.to_string())))?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self {
            factory: Arc::new(factory),
            turns: Semaphore::new(CONCURRENCY),
            threads: Arc::new(Semaphore::new(MAX_THREADS)),
            cache: Mutex::new(LruCache::new(CACHED)),
        })
    }

    /// Returns a matcher at the beginning of a completion.
    pub(crate) async fn matcher(&self, constraint: &Constraint) -> Result<Matcher, GrammarError> {
        let grammar = constraint.grammar()?;
        let key =
            serde_json::to_string(&grammar).map_err(|error| GrammarError::Grammar(error.to_string()))?;
        if let Some(known) = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Ok(known.clone());
        }
        let compiled = tokio::time::timeout(TIMEOUT, self.compile(grammar)).await;
        let matcher = compiled.map_err(|_| GrammarError::Slow(TIMEOUT.as_secs()))??;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(key, matcher.clone());
        Ok(matcher)
    }

    async fn compile(&self, grammar: TopLevelGrammar) -> Result<Matcher, GrammarError> {
        let gone = || GrammarError::Unavailable("failed to start a thread for its grammar".to_owned());
        // Given back when the request gives up, so that stuck grammars do not block the others.
        let _turn = self.turns.acquire().await.map_err(|_| gone())?;
        let thread = Arc::clone(&self.threads).try_acquire_owned();
        let thread = thread.map_err(|_| GrammarError::Slow(TIMEOUT.as_secs()))?;
        let (reply, compiled) = oneshot::channel();
        let factory = Arc::clone(&self.factory);
        let work = move || {
            let compiled = compile(&factory, grammar);
            drop(thread);
            // The request may be gone by now.
            let _ = reply.send(compiled);
        };
        std::thread::Builder::new()
            .name("grammar".to_owned())
            .stack_size(STACK)
            .spawn(work)
            .map_err(|_| gone())?;
        compiled.await.map_err(|_| gone())?
    }
}

/// Lowers those limits of the library that would delay other completions: it spends about ten thousand units a millisecond.
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

fn compile(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Matcher, GrammarError> {
    let refused = |problem: String| GrammarError::Grammar(explain(&problem));
    let mut inner = llguidance::Matcher::new(factory.create_parser(grammar));
    if let Some(problem) = inner.get_error() {
        return Err(refused(problem));
    }
    let warnings = inner.grammar_warnings();
    if !warnings.is_empty() {
        tracing::debug!(?warnings, "ignoring parts of a schema");
    }
    let mut matcher = Matcher::new(inner);
    // A grammar that is too complex for its first token is refused before the completion begins.
    matcher
        .prepare_mask()
        .map_err(|error| GrammarError::Grammar(error.0))?;
    Ok(matcher)
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
