//! Steps: which batches, which learning rate, how values move, what is kept when the program ends.

mod adamw;
mod checkpoint;
mod memory;
mod output;
mod schedule;
mod trainer;

pub use adamw::{AdamW, Moments};
pub use checkpoint::{Checkpoint, CheckpointError, Keeper};
pub use memory::{Estimate, estimate};
pub use output::{AdapterConfig, MARKER, OutputError, complete, fail, save_adapter, withdraw};
pub use schedule::LearningRate;
pub use trainer::{Ended, Listener, Progress, Settings, Trainer};
