//! Training steps: batches, learning rate, optimizer, checkpoints and the adapter's files.

mod checkpoint;
mod lr_schedule;
mod memory;
mod optimizer;
mod output;
mod trainer;

pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::{CheckpointError, CheckpointManager};
pub use lr_schedule::LrSchedule;
pub(crate) use memory::{MemoryEstimate, MemoryNeeds};
pub use optimizer::{AdamMoments, AdamW};
pub use output::{AdapterConfig, OutputError, save_adapter};
pub(crate) use output::{remove_markers, write_completion_marker, write_failure_marker};
pub use trainer::{TrainOutcome, Trainer, TrainerCallback, TrainerSettings, TrainingProgress};
