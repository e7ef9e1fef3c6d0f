//! One case of the list.

use serde_json::Value;

/// The verdict that a case demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It is stored.
    Accepted,
    /// It is refused, with this in the sentence.
    Refused(&'static str),
    /// The verdict is the one of the resource planner for preset and instance type.
    AsPlanned,
}

/// One object, to be created or to replace another.
#[derive(Debug, Clone)]
pub struct Case {
    /// The stored object, for an update.
    pub old: Option<Value>,
    /// The applied object.
    pub object: Value,
    /// The verdict that it demands.
    pub expect: Expect,
}

/// Objects to be created, each with its verdict.
pub(crate) type Cases = Vec<(Value, Expect)>;
