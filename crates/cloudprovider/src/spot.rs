//! Marks that a cloud leaves on Nodes with spot capacity, given to the planner as data.

/// Marks of spot Nodes, and of those whose capacity the cloud takes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpotMarks {
    /// Labels of a spot Node: key and value. One is enough.
    pub labels: &'static [(&'static str, &'static str)],
    /// Conditions that are `True` once an eviction is announced: type, and the beginning of the message. The beginning
    /// matters where the type also announces other events; otherwise it is empty.
    pub notices: &'static [(&'static str, &'static str)],
    /// Taints that announce an eviction: key and value.
    pub taints: &'static [(&'static str, &'static str)],
}
