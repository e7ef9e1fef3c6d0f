//! The administrator's file of instance types.

use std::path::PathBuf;

use anyhow::Result;

use crate::{Program, TestEnv};

const FILE: &str = "types.yaml";

/// A directory with the file, if there is one.
#[derive(Clone, Debug)]
pub(super) struct OwnTypes(Option<PathBuf>);

impl OwnTypes {
    /// Writes the file.
    pub(super) fn write(env: &TestEnv, text: Option<&str>) -> Result<Self> {
        let Some(text) = text else { return Ok(Self(None)) };
        let directory = env.cluster().dir().join("instance-types");
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(FILE), text)?;
        Ok(Self(Some(directory)))
    }

    /// Gives the file to one of our programs.
    pub(super) fn of_program(&self, program: Program) -> Program {
        match &self.0 {
            Some(directory) => program.arg("--instance-types-dir").arg(directory),
            None => program,
        }
    }

    /// Gives the file to the simulated cloud.
    pub(super) fn of_cloud(&self, program: Program) -> Program {
        match &self.0 {
            Some(directory) => program.arg("--instance-types").arg(directory.join(FILE)),
            None => program,
        }
    }
}
