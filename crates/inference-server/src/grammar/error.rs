//! Errors of grammars.

/// Reason for a refused constraint. The text reads well after the name of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrammarError {
    /// The text of a grammar or schema is too long.
    #[error("must have at most {max} bytes, not {bytes}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The upper bound.
        max: usize,
    },
    /// The schemas of all functions are too long together.
    #[error("must have schemas of at most {max} bytes together")]
    Schemas {
        /// The upper bound.
        max: usize,
    },
    /// Objects, lists or brackets are nested too deeply.
    #[error("must not be nested more than {max} deep")]
    TooDeep {
        /// The upper bound.
        max: usize,
    },
    /// `patternProperties` are slow in the library.
    #[error("must have at most {max} `patternProperties`, and one in a schema of more than {bytes} bytes")]
    Patterns {
        /// The upper bound.
        max: usize,
        /// Longest schema with several of them.
        bytes: usize,
    },
    /// `multipleOf` takes much memory in the library.
    #[error("must have numbers in `multipleOf` whose digits, multiplied, are at most {max}")]
    Multiples {
        /// The largest product.
        max: u64,
    },
    /// The compilation took too long, which no bound on the text prevented.
    #[error(
        "must compile within {0} s, with the time to wait for other grammars: simplify it, or retry later"
    )]
    Slow(u64),
    /// A reference leaves the schema.
    #[error("must not refer to `{0}` outside of it: nothing is fetched, so put it into `$defs`")]
    Remote(String),
    /// The library refused the grammar.
    #[error("failed to compile: {0}")]
    Grammar(String),
    /// The model cannot follow any grammar.
    #[error("cannot be used with this model: {0}")]
    Unavailable(String),
}
