//! Scarce offerings: the machines that the cloud has of them, and who asked for them.

use cloudprovider::{ErrorClass, Offering};
use jiff::Timestamp;

/// Machines of an offering, and the error of a request beyond them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Number of machines.
    pub machines: usize,
    /// Class of the error.
    pub class: ErrorClass,
    /// The request is refused; otherwise its instance fails later.
    pub at_once: bool,
}

/// One request for an instance, from an offering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Time of the request.
    pub at: Timestamp,
    /// Name of the instance.
    pub name: String,
    /// The offering.
    pub offering: Offering,
    /// Class of the error for which there will be no instance.
    pub refusal: Option<ErrorClass>,
}

impl Attempt {
    /// Returns true if there will be no instance.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }
}
