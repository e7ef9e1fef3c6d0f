//! Our programs as processes: started, watched, terminated and crashed by tests.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use local_cluster::{Process, ProcessSpec};

use crate::TestEnv;

/// Lines of its log that a failing test shows.
const SHOWN_LINES: usize = 60;

/// One of our programs, to be started.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
}

impl Program {
    /// The program with this file name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: Into<OsString>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets `KUBECONFIG`.
    #[must_use]
    pub fn kubeconfig(self, path: &Path) -> Self {
        self.env("KUBECONFIG", path)
    }

    /// Starts the program; it ends with the test process at the latest. Its output goes to a log file of
    /// its own in the cluster's directory.
    ///
    /// # Errors
    /// When the program is not built (the error names the command) or cannot be started.
    pub fn start(&self, env: &TestEnv) -> Result<Running> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let spec = ProcessSpec::new(format!("{}-{number}", self.name), program_path(&self.name)?);
        let spec = ProcessSpec {
            args: self.args.clone(),
            env: self.env.clone(),
            ..spec
        };
        // An error's backtrace would push the error itself out of the end of the log.
        let spec = spec.env("RUST_LIB_BACKTRACE", "0");
        Ok(Running {
            process: env.cluster().spawn(&spec)?,
            expected_end: false,
        })
    }
}

/// A started program. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    process: Process,
    expected_end: bool,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The file with everything it wrote.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Everything it wrote until now.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log_text(&self) -> Result<String> {
        let bytes = std::fs::read(self.log()).context("failed to read the log")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Fails, with the end of the log, unless the program itself listens on all of these ports.
    ///
    /// # Errors
    /// When it does not listen (yet).
    pub fn ensure_listening(&self, ports: &[u16]) -> Result<()> {
        for port in ports {
            ensure!(
                self.process.listens_on(*port)?,
                "{} does not listen on port {port}:\n{}",
                self.process.name(),
                self.process.log_tail(SHOWN_LINES)
            );
        }
        Ok(())
    }

    /// Fails, with the end of the log, if the program has ended.
    ///
    /// # Errors
    /// When it has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        let status = self.process.exited()?;
        let tail = || self.process.log_tail(SHOWN_LINES);
        ensure!(
            status.is_none(),
            "{} ended ({status:?}):\n{}",
            self.process.name(),
            tail()
        );
        Ok(())
    }

    /// Crashes it: SIGKILL, nothing of it runs afterwards.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill9(&mut self) -> Result<()> {
        self.expected_end = true;
        Ok(self.process.kill9()?)
    }

    /// Suspends it, as a machine that sleeps: SIGSTOP.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn suspend(&self) -> Result<()> {
        Ok(self.process.suspend()?)
    }

    /// Resumes it after [`Running::suspend`]: SIGCONT.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> Result<()> {
        Ok(self.process.resume()?)
    }

    /// Asks it to end: SIGTERM. Use [`Running::wait`] to see it end.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn terminate(&mut self) -> Result<()> {
        self.expected_end = true;
        Ok(self.process.terminate()?)
    }

    /// Waits until it has ended, at most for `limit`.
    ///
    /// # Errors
    /// When it still runs after that.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.expected_end = true;
        let process = &mut self.process;
        crate::eventually(
            &format!("{} to end", process.name().to_owned()),
            limit,
            async || process.exited()?.context("it still runs"),
        )
        .await
    }
}

impl Drop for Running {
    /// A failing test shows what the program said, and so does a program that ended unbidden.
    fn drop(&mut self) {
        let ended_unbidden = !self.expected_end && matches!(self.process.exited(), Ok(Some(_)));
        if std::thread::panicking() || ended_unbidden {
            let (name, tail) = (self.process.name(), self.process.log_tail(SHOWN_LINES));
            let _ = writeln!(
                std::io::stderr(),
                "---- the end of the log of {name} ----\n{tail}\n----"
            );
        }
    }
}

/// Finds a program beside the running one: `target/<profile>/<name>` for a program there or a test in
/// `target/<profile>/deps`.
/// The path of one of our programs, beside the test that calls this.
///
/// # Errors
/// When it is not built; the error names the command.
pub fn program_path(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("the test does not know its own path")?;
    beside(&test, name)
}

fn beside(test: &Path, name: &str) -> Result<PathBuf> {
    let dir = test
        .parent()
        .context("the test lies outside a target directory")?;
    let profile = if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    let path = profile.join(name);
    let flag = if profile.ends_with("release") {
        " --release"
    } else {
        ""
    };
    ensure!(
        path.is_file(),
        "{} is not built: run `cargo build --package {name}{flag}`",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_lies_beside_the_directory_of_the_test() {
        let target = tempfile_dir();
        std::fs::create_dir_all(target.join("debug/deps")).unwrap();
        std::fs::write(target.join("debug/server"), "").unwrap();
        let test = target.join("debug/deps/it-0123");
        assert_eq!(beside(&test, "server").unwrap(), target.join("debug/server"));
        let error = beside(&test, "client").unwrap_err().to_string();
        assert!(error.contains("cargo build --package client"), "{error}");
        std::fs::remove_dir_all(target).unwrap();
    }

    fn tempfile_dir() -> PathBuf {
        std::env::temp_dir().join(format!("testkit-{}", std::process::id()))
    }
}
