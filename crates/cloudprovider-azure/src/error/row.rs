//! One row of the table of errors, and when a layer matches it.

use cloudprovider::ErrorClass::{self, Transient};

use super::layers::ErrorLayer;

/// One row. An empty list matches everything; a list matches if one of its entries does.
#[derive(Debug)]
pub(super) struct Row {
    /// Name for tests and logs.
    pub(super) name: &'static str,
    pub(super) class: ErrorClass,
    /// HTTP statuses; 0 is the error of an operation.
    pub(super) status: &'static [u16],
    /// Whole codes, in any letter case.
    pub(super) codes: &'static [&'static str],
    /// Beginnings of subcodes.
    pub(super) subcodes: &'static [&'static str],
    /// Parts of the message or the target, lower case.
    pub(super) texts: &'static [&'static str],
}

/// The row that matches everything.
pub(super) const ANY: Row = Row {
    name: "",
    class: Transient,
    status: &[],
    codes: &[],
    subcodes: &[],
    texts: &[],
};

impl Row {
    /// Returns true if the HTTP status alone decides.
    pub(super) fn looks_at_no_layer(&self) -> bool {
        self.codes.is_empty() && self.subcodes.is_empty() && self.texts.is_empty()
    }

    /// Returns true if the layer matches, whatever the HTTP status.
    pub(super) fn fits(&self, layer: &ErrorLayer) -> bool {
        let text = format!("{}\n{}", layer.message, layer.target).to_ascii_lowercase();
        let code = self.codes.is_empty()
            || self
                .codes
                .iter()
                .any(|code| code.eq_ignore_ascii_case(&layer.code));
        let subcode =
            self.subcodes.is_empty() || self.subcodes.iter().any(|start| layer.subcode.starts_with(start));
        code && subcode && (self.texts.is_empty() || self.texts.iter().any(|part| text.contains(part)))
    }
}
