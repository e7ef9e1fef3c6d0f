//! Answers with a prescribed form: which tokens may come next.
//!
//! `constraint`, `schema`, `calls`, `ebnf` and `recent` are pure and turn what a request wants into a grammar; `vocabulary` tells the
//! library the bytes of all tokens; `compiler` makes matchers of grammars, aside from the engine's thread; `matcher` follows
//! one answer and leaves only logits of tokens that may come next. The grammars themselves are `llguidance`'s business.

mod calls;
mod compiler;
mod constraint;
mod ebnf;
mod matcher;
mod recent;
mod schema;
#[cfg(test)]
mod trial;
#[cfg(test)]
mod valid_tests;
mod vocabulary;

pub(crate) use calls::{Calls, Function, Mark};
pub(crate) use compiler::Compiler;
pub(crate) use constraint::{Constraint, Json};
pub(crate) use matcher::{Matcher, Stuck};
pub(crate) use schema::Reading;

/// Why there is no answer of a prescribed form. Reads well after the name of a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The text of a grammar or schema.
    #[error("has {bytes} bytes: at most {most} are taken")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The longest there may be.
        most: usize,
    },
    /// Objects and lists inside of each other.
    #[error("is nested more than {most} deep")]
    TooDeep {
        /// The deepest there may be.
        most: usize,
    },
    /// Schemas are taken as they are.
    #[error("refers to `{0}`, which is outside of it: nothing is fetched, so put that into `$defs`")]
    Remote(String),
    /// What the library says.
    #[error("can't be carried out: {0}")]
    Grammar(String),
    /// Not a fault of the request.
    #[error("can't be carried out with this model: {0}")]
    Unavailable(String),
}
