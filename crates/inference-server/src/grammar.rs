//! Structured output: a grammar decides which tokens may come next.
//!
//! `constraint`, `schema`, `tool_calls` and `gbnf` are pure and turn a constraint into a grammar. `vocabulary` gives the library
//! the bytes of all tokens. `compiler` makes matchers from grammars, outside of the engine's thread. `matcher` follows one
//! completion and masks the logits of tokens that must not come next. The crate `llguidance` implements the grammars.

mod compiler;
mod constraint;
mod error;
mod gbnf;
mod lru_cache;
mod matcher;
mod schema;
#[cfg(test)]
mod test_support;
mod tool_calls;
#[cfg(test)]
mod validity_tests;
mod vocabulary;

pub(crate) use compiler::Compiler;
pub(crate) use constraint::{Constraint, JsonConstraint};
pub(crate) use error::GrammarError;
pub(crate) use matcher::{ConstraintError, Matcher};
pub(crate) use schema::JsonOptions;
pub(crate) use tool_calls::{CallableFunction, Marker, ToolCallGrammar};
