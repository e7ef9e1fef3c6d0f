//! Programs that never outlive their owner, unless they are meant to.
//!
//! Every program signs in on a [`roll::Roll`] (a directory with one file a program, holding its pid and start time) before
//! it becomes itself. Three readers use the roll. The owner stops programs in order. A [`guard::Guard`] process stops them if
//! the owner is killed. A later command stops a detached cluster. Nothing is ever killed by name, nor by a pid that was given to another
//! program since.

mod guard;
mod listeners;
mod roll;
mod spawn;

pub use guard::Guard;
pub use roll::{Member, Roll};
pub(crate) use spawn::tail;
pub use spawn::{Process, ProcessSpec};

/// The bond between programs and their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// A guard process kills them once the owner is gone.
    Guarded,
    /// They live in a session of their own until a later command reads the roll and stops them.
    Detached,
}
