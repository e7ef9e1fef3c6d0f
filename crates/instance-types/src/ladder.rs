//! The ladder of instance types: the value of `resource.instanceType`, in the order in which the types are tried.
//!
//! It reads spelling only. The catalog knows the types, and the planner what fits them.

/// Most types of one ladder.
const MAX_RUNGS: usize = 8;

/// Error for a ladder that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LadderError {
    /// Two commas follow each other, or one is at an end.
    #[error("has an empty name between its commas")]
    EmptyRung,
    /// A type is named twice.
    #[error("must name {0} once")]
    RepeatedRung(String),
    /// There are more than eight types.
    #[error("must name at most {MAX_RUNGS} types")]
    TooLong,
}

/// Splits a ladder such as `A, B` into the names of its types, in order. An empty text has no rung.
///
/// # Errors
/// Fails if a name is empty or repeated, or if there are more than eight. Letter case is ignored.
pub fn rungs(text: &str) -> Result<Vec<&str>, LadderError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let rungs: Vec<&str> = text.split(',').map(str::trim).collect();
    if rungs.iter().any(|rung| rung.is_empty()) {
        return Err(LadderError::EmptyRung);
    }
    if rungs.len() > MAX_RUNGS {
        return Err(LadderError::TooLong);
    }
    let mut after = rungs.as_slice();
    while let Some((rung, rest)) = after.split_first() {
        if rest.iter().any(|other| other.eq_ignore_ascii_case(rung)) {
            return Err(LadderError::RepeatedRung((*rung).to_owned()));
        }
        after = rest;
    }
    Ok(rungs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_kept_and_faults_are_found() {
        let check = |text: &str, expected: Result<&[&str], LadderError>| {
            assert_eq!(rungs(text), expected.map(<[&str]>::to_vec), "{text:?}");
        };
        check("", Ok(&[]));
        check(" ", Ok(&[]));
        check("B", Ok(&["B"]));
        check("B, A ,C", Ok(&["B", "A", "C"]));
        check("A,", Err(LadderError::EmptyRung));
        check("A,,B", Err(LadderError::EmptyRung));
        check("A,b,B", Err(LadderError::RepeatedRung("b".to_owned())));
        check("a,b,c,d,e,f,g,h", Ok(&["a", "b", "c", "d", "e", "f", "g", "h"]));
        check("a,b,c,d,e,f,g,h,i", Err(LadderError::TooLong));
    }
}
