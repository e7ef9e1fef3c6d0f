//! The violation: field, message and remedy of one problem of an object.

use std::fmt;

/// The check that an object failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The schema: unknown fields, types, bounds.
    Schema,
    /// A CEL rule of the CRD.
    Definition,
    /// The admission policy that reads only the object.
    ShapePolicy,
    /// The admission policy that asks for the rights of the author.
    AuthorPolicy,
    /// The admission policy that only warns.
    NotePolicy,
    /// The admission policy that reads the catalog.
    CatalogPolicy,
    /// The controller's check of the ConfigMap that a Workspace names. The API server accepts such an object.
    ConfigMap,
}

/// One reason why the API server rejects an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The failed check.
    pub origin: Origin,
    /// Path of the field, such as `inference.adapters[0].strength`; empty for the whole object.
    pub path: String,
    /// Message; except for [`Origin::Schema`] it equals the API server's.
    pub message: String,
    /// Alternative that would work, if one is known beyond the message.
    pub remedy: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Many messages already begin with the field.
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
