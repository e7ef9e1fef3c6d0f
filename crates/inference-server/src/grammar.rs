//! Answers with a prescribed form: which tokens may come next.
//!
//! `constraint`, `schema`, `calls`, `ebnf` and `recent` are pure and turn what a request wants into a grammar; `vocabulary` tells the
//! library the bytes of all tokens; `compiler` makes matchers of grammars, aside from the engine's thread; `matcher` follows
//! one answer and leaves only logits of tokens that may come next. The grammars themselves are `llguidance`'s business.

mod compiler;
mod constraint;
mod gbnf;
mod matcher;
mod recent;
mod schema;
#[cfg(test)]
mod test_support;
mod tool_calls;
#[cfg(test)]
mod validity_tests;
mod vocabulary;

pub(crate) use compiler::Compiler;
pub(crate) use constraint::{Constraint, Json};
pub(crate) use matcher::{Matcher, Stuck};
pub(crate) use schema::Reading;
pub(crate) use tool_calls::{Calls, Function, Mark};

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
    /// The schemas of all functions.
    #[error("hold schemas of more than {most} bytes together")]
    Schemas {
        /// The longest they may be.
        most: usize,
    },
    /// Objects and lists inside of each other.
    #[error("is nested more than {most} deep")]
    TooDeep {
        /// The deepest there may be.
        most: usize,
    },
    /// The library takes long for them.
    #[error(
        "has too many `patternProperties`: at most {most}, and one in a schema of more than {bytes} bytes"
    )]
    Patterns {
        /// The most there may be.
        most: usize,
        /// Longest schema with several.
        bytes: usize,
    },
    /// The library needs much memory for them.
    #[error("has numbers in `multipleOf` whose digits, multiplied, are more than {most}")]
    Multiples {
        /// The largest product.
        most: u64,
    },
    /// What a bound on the text did not prevent.
    #[error(
        "takes longer than {0} s to be made, or waits so long for others: try something simpler, or later"
    )]
    Slow(u64),
    /// Schemas are taken as they are.
    #[error("refers to `{0}`, which is outside of it: nothing is fetched, so put that into `$defs`")]
    Remote(String),
    /// What the library says.
    #[error("cannot be carried out: {0}")]
    Grammar(String),
    /// Not a fault of the request.
    #[error("cannot be carried out with this model: {0}")]
    Unavailable(String),
}
