//! What is wrong with an object: where, in which words, and what would work.

use std::fmt;

/// Which check an object failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The shape of the object: unknown fields, types, bounds.
    Schema,
    /// A CEL rule of the CRD.
    Definition,
    /// An admission policy that looks at the object alone.
    ShapePolicy,
    /// The admission policy that looks at the catalog.
    CatalogPolicy,
}

/// One reason for which the API server refuses an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which check it is of.
    pub origin: Origin,
    /// The field, such as `inference.adapters[0].strength`; empty for the object as a whole.
    pub path: String,
    /// The sentence; except for [`Origin::Schema`] it is the API server's too.
    pub message: String,
    /// What would work, where more is known than the sentence says.
    pub remedy: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Many sentences begin with the field themselves.
        if !self.path.is_empty() && !self.message.starts_with(&self.path) {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}
