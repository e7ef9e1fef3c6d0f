//! A small process that outlives its owner just long enough to clean up after it.
//!
//! A parent-death signal would be tied to the thread that starts a program, needs unsafe code, and could
//! not remove files. A shell that waits for the end of a pipe has neither flaw.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::Roll;

const SCRIPT: &str = include_str!("guard.sh");

/// Holds the pipe the guard process listens on.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Starts guarding: when this process is gone, all members of `roll` are killed and `dir` is removed.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn start(roll: &Roll, dir: &Path) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "local-cluster-guard"])
            .args([roll.dir(), dir])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // an interrupt at the terminal is for the owner, not for its guard
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Programs are still killed when the owner dies, but the files stay.
    pub fn keep_files(&mut self) {
        self.send("keep\n");
    }

    /// Ends the guard, because the owner has cleaned up.
    pub fn disarm(mut self) {
        self.send("disarm\n");
        drop(self.pipe.take());
        let _ = self.shell.wait();
    }

    fn send(&mut self, word: &str) {
        if let Some(pipe) = &mut self.pipe {
            // Fails only if the guard is gone, and then there is nothing to send.
            let _ = pipe.write_all(word.as_bytes());
        }
    }
}
