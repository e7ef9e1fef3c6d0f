//! What a run needs to go on: trained values and the optimiser's means. Everything else follows from the step's number.
//!
//! A checkpoint is a directory `checkpoint-<step>` with the adapter (which PEFT loads too), `optimizer.safetensors` and
//! `trainer_state.json`. It is made aside and moved into place whole.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use super::adamw::Moments;
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
    /// Steps that are done.
    pub step: u64,
    /// Trained values.
    pub values: Vec<f32>,
    /// The optimiser's means.
    pub moments: Moments,
}

/// Why a run cannot go on from a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("checkpoint {}: {problem}", path.display())]
    Broken {
        /// Its directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It is of another run.
    #[error(
        "checkpoint {} belongs to another configuration, model or dataset; remove it, or set \
         TrainingArguments.resume_from_checkpoint to false to begin anew",
        path.display()
    )]
    Other {
        /// Its directory.
        path: PathBuf,
    },
    /// There is none.
    #[error("TrainingArguments.resume_from_checkpoint is true, and {} holds no checkpoint", path.display())]
    None {
        /// Where was looked.
        path: PathBuf,
    },
}

#[derive(Debug, Deserialize, Serialize)]
struct State {
    global_step: u64,
    max_steps: u64,
    epoch: f64,
    /// Of everything that decides how the run goes.
    fingerprint: String,
}

/// Writes, finds and removes checkpoints of one run.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// Where they are.
    pub dir: PathBuf,
    /// Names the run: another configuration or other data make another one.
    pub fingerprint: String,
    /// How many are kept.
    pub limit: Option<usize>,
    /// What `adapter_config.json` says.
    pub adapter: AdapterConfig,
    /// The trained modules.
    pub modules: Vec<Module>,
}

impl Keeper {
    /// Writes a checkpoint, then removes those that are too many. Returns where it is.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, checkpoint: &Checkpoint, steps: u64, epoch: f64) -> Result<PathBuf, OutputError> {
        let dir = self.dir.join(format!("{NAME}{}", checkpoint.step));
        let aside = self.dir.join(format!(".{NAME}{}", checkpoint.step));
        let _ = fs::remove_dir_all(&aside);
        save_adapter(&aside, &self.adapter, &self.modules, &checkpoint.values)?;
        let moments = &checkpoint.moments;
        let all = [&checkpoint.values, &moments.first, &moments.second];
        let parts: Vec<(String, Vec<usize>, Vec<u8>)> = TENSORS
            .iter()
            .zip(all)
            .map(|(name, values)| ((*name).to_owned(), vec![values.len()], bytes(values)))
            .collect();
        write(&aside.join(OPTIMIZER), &tensors(&parts)?)?;
        let state = State {
            global_step: checkpoint.step,
            max_steps: steps,
            epoch,
            fingerprint: self.fingerprint.clone(),
        };
        let text =
            serde_json::to_string_pretty(&state).map_err(|error| OutputError::Format(error.to_string()))?;
        write(&aside.join(STATE), text.as_bytes())?;
        let _ = fs::remove_dir_all(&dir);
        fs::rename(&aside, &dir).map_err(OutputError::write(&dir))?;
        if let Some(limit) = self.limit {
            for (_, old) in self.list().iter().rev().skip(limit) {
                let _ = fs::remove_dir_all(old);
            }
        }
        Ok(dir)
    }

    /// Checkpoints by step, the newest last.
    #[must_use]
    pub fn list(&self) -> Vec<(u64, PathBuf)> {
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
    pub fn load(&self, dir: &Path, trained: usize) -> Result<Checkpoint, CheckpointError> {
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
                return Err(broken(format!("{name} is larger than it can be")));
            }
            fs::read(&path).map_err(|error| broken(format!("{name}: {error}")))
        };
        let state: State = serde_json::from_slice(&read(STATE, 1 << 20)?)
            .map_err(|error| broken(format!("{STATE}: {error}")))?;
        if state.fingerprint != self.fingerprint {
            return Err(CheckpointError::Other { path: dir.to_owned() });
        }
        let data = read(OPTIMIZER, trained as u64 * 12 + (1 << 20))?;
        let all = SafeTensors::deserialize(&data).map_err(|error| broken(format!("{OPTIMIZER}: {error}")))?;
        let tensor = |name: &str| -> Result<Vec<f32>, CheckpointError> {
            let view = all
                .tensor(name)
                .map_err(|error| broken(format!("{OPTIMIZER}: {error}")))?;
            if view.dtype() != Dtype::F32 || view.shape() != [trained] {
                return Err(broken(format!(
                    "{OPTIMIZER}: `{name}` does not fit the trained modules"
                )));
            }
            let (values, _) = view.data().as_chunks::<4>();
            Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        };
        Ok(Checkpoint {
            step: state.global_step,
            values: tensor(TENSORS[0])?,
            moments: Moments {
                first: tensor(TENSORS[1])?,
                second: tensor(TENSORS[2])?,
            },
        })
    }
}
