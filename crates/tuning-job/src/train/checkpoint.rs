//! Checkpoints: trainable parameters and the optimizer's state. Everything else follows from the number of the step.
//!
//! A checkpoint is a directory `checkpoint-<step>` with the adapter (which PEFT loads too), `optimizer.safetensors` and
//! `trainer_state.json`. It is written to a temporary directory and renamed, so that it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use super::optimizer::AdamMoments;
use super::output::{AdapterConfig, OutputError, bytes, save_adapter, tensors, write};
use crate::network::Module;

const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";
const NAME: &str = "checkpoint-";
/// Names of the tensors of a checkpoint.
const TENSORS: [&str; 3] = ["values", "first_moments", "second_moments"];

/// A run between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Completed steps.
    pub step: u64,
    /// Trainable parameters.
    pub trainable_params: Vec<f32>,
    /// State of the optimizer.
    pub moments: AdamMoments,
}

/// Problem with a checkpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    /// A file is missing or malformed.
    #[error("checkpoint {}: {problem}", path.display())]
    Broken {
        /// Directory of the checkpoint.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The checkpoint belongs to another run.
    #[error(
        "checkpoint {} belongs to another configuration, model or dataset; remove it, or set \
         TrainingArguments.resume_from_checkpoint to false to start from step 0",
        path.display()
    )]
    Other {
        /// Directory of the checkpoint.
        path: PathBuf,
    },
    /// No checkpoint exists.
    #[error("TrainingArguments.resume_from_checkpoint is true, and {} holds no checkpoint", path.display())]
    None {
        /// Directory without checkpoints.
        path: PathBuf,
    },
}

impl Checkpoint {
    /// A run before its first step.
    #[must_use]
    pub fn begin(trainable_params: Vec<f32>) -> Self {
        Self {
            step: 0,
            moments: AdamMoments::new(trainable_params.len()),
            trainable_params,
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
struct State {
    global_step: u64,
    max_steps: u64,
    epoch: f64,
    /// Hash of everything that decides the results of the run.
    fingerprint: String,
}

/// Writes, finds and removes checkpoints of one run.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointManager {
    /// Directory of the checkpoints.
    pub dir: PathBuf,
    /// Hash of the run: another configuration or other data give another one.
    pub fingerprint: String,
    /// Number of checkpoints to keep; all when absent.
    pub limit: Option<usize>,
    /// Content of `adapter_config.json`.
    pub adapter: AdapterConfig,
    /// The trained modules.
    pub modules: Vec<Module>,
}

impl CheckpointManager {
    /// Writes a checkpoint and removes the oldest ones above the limit. Returns its directory.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn save(
        &self,
        checkpoint: &Checkpoint,
        max_steps: u64,
        epoch: f64,
    ) -> Result<PathBuf, OutputError> {
        let dir = self.dir.join(format!("{NAME}{}", checkpoint.step));
        let temporary = self.dir.join(format!(".{NAME}{}", checkpoint.step));
        let _ = fs::remove_dir_all(&temporary);
        save_adapter(
            &temporary,
            &self.adapter,
            &self.modules,
            &checkpoint.trainable_params,
        )?;
        let moments = &checkpoint.moments;
        let all = [
            &checkpoint.trainable_params,
            &moments.exp_avg,
            &moments.exp_avg_sq,
        ];
        let parts: Vec<(String, Vec<usize>, Vec<u8>)> = TENSORS
            .iter()
            .zip(all)
            .map(|(name, values)| ((*name).to_owned(), vec![values.len()], bytes(values)))
            .collect();
        write(&temporary.join(OPTIMIZER), &tensors(&parts)?)?;
        let state = State {
            global_step: checkpoint.step,
            max_steps,
            epoch,
            fingerprint: self.fingerprint.clone(),
        };
        let text =
            serde_json::to_string_pretty(&state).map_err(|error| OutputError::Format(error.to_string()))?;
        write(&temporary.join(STATE), text.as_bytes())?;
        let _ = fs::remove_dir_all(&dir);
        fs::rename(&temporary, &dir).map_err(OutputError::write(&dir))?;
        // The new name must outlive the node before older checkpoints go. Some file shares cannot flush directories.
        let _ = fs::File::open(&self.dir).and_then(|directory| directory.sync_all());
        if let Some(limit) = self.limit {
            for (_, old) in self.list().iter().rev().skip(limit) {
                let _ = fs::remove_dir_all(old);
            }
        }
        Ok(dir)
    }

    /// Returns checkpoints by step, the newest last.
    #[must_use]
    pub(crate) fn list(&self) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let step = |entry: &fs::DirEntry| entry.file_name().to_str()?.strip_prefix(NAME)?.parse().ok();
        let mut all: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| Some((step(&entry)?, entry.path())))
            .collect();
        all.sort();
        all
    }

    /// Reads a checkpoint of this run.
    ///
    /// # Errors
    /// When it cannot be read, is malformed, or belongs to another run.
    pub(crate) fn load(&self, dir: &Path, num_params: usize) -> Result<Checkpoint, CheckpointError> {
        let broken = |problem: String| CheckpointError::Broken {
            path: dir.to_owned(),
            problem,
        };
        let read = |name: &str, limit: u64| -> Result<Vec<u8>, CheckpointError> {
            let path = dir.join(name);
            let length = fs::metadata(&path)
                .map_err(|error| broken(format!("{name}: {error}")))?
                .len();
            if length > limit {
                return Err(broken(format!("{name} is too large")));
            }
            fs::read(&path).map_err(|error| broken(format!("{name}: {error}")))
        };
        let state: State = serde_json::from_slice(&read(STATE, 1 << 20)?)
            .map_err(|error| broken(format!("{STATE}: {error}")))?;
        if state.fingerprint != self.fingerprint {
            return Err(CheckpointError::Other { path: dir.to_owned() });
        }
        let data = read(OPTIMIZER, num_params as u64 * 12 + (1 << 20))?;
        let all = SafeTensors::deserialize(&data).map_err(|error| broken(format!("{OPTIMIZER}: {error}")))?;
        let tensor = |name: &str| -> Result<Vec<f32>, CheckpointError> {
            let view = all
                .tensor(name)
                .map_err(|error| broken(format!("{OPTIMIZER}: {error}")))?;
            if view.dtype() != Dtype::F32 || view.shape() != [num_params] {
                return Err(broken(format!(
                    "{OPTIMIZER}: `{name}` does not fit the trained modules"
                )));
            }
            let (values, _) = view.data().as_chunks::<4>();
            Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        };
        Ok(Checkpoint {
            step: state.global_step,
            trainable_params: tensor(TENSORS[0])?,
            moments: AdamMoments {
                exp_avg: tensor(TENSORS[1])?,
                exp_avg_sq: tensor(TENSORS[2])?,
            },
        })
    }
}
