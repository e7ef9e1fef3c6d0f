//! One requirement of a claim, of whichever kind.

/// One requirement on the labels of the Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRequirement<'a> {
    /// Label key.
    pub key: &'a str,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`, `Gte` or `Lte`.
    pub operator: &'a str,
    /// Label values.
    pub values: &'a [String],
    /// Least number of different values that a solution must leave; NodeClaims only.
    pub min_values: Option<i64>,
}

impl<'a> ClaimRequirement<'a> {
    pub(crate) fn new(
        key: &'a str,
        operator: &'a str,
        values: &'a [String],
        min_values: Option<i64>,
    ) -> Self {
        Self {
            key,
            operator,
            values,
            min_values,
        }
    }
}
