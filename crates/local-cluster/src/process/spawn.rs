//! Starts a program on a roll and holds its handle.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::{Attachment, Roll, listeners, roll::signal};

const SIGN_IN: &str = include_str!("sign_in.sh");

/// Every program here talks to loopback only, where a proxy of the environment would stand in the way.
pub(crate) const PROXY_VARIABLES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// A program to be started.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The name on the roll and of the log file.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables on top of the inherited environment.
    pub env: Vec<(String, OsString)>,
}

impl ProcessSpec {
    /// A program without arguments.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
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

    /// Starts it on `roll`, its output in `<logs>/<name>.log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_on(&self, roll: &Roll, logs: &Path, attachment: Attachment) -> Result<Process> {
        let entry = roll.next_entry(&self.name);
        let log = logs.join(format!("{}.log", self.name));
        let child = self
            .spawn(&entry, &log, attachment)
            .with_context(|| format!("failed to start {} ({})", self.name, self.program.display()))?;
        let kill_on_drop = attachment == Attachment::Guarded;
        Ok(Process {
            name: self.name.clone(),
            child,
            log,
            entry,
            kill_on_drop,
        })
    }

    fn spawn(&self, entry: &Path, log: &Path, attachment: Attachment) -> io::Result<Child> {
        let output = File::options().create(true).append(true).open(log)?;
        let mut command = shell(attachment);
        command
            .args(["-c", SIGN_IN, "sign-in"])
            .arg(entry)
            .arg(&self.program)
            .args(&self.args);
        for variable in PROXY_VARIABLES {
            command.env_remove(variable);
        }
        command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
    }
}

/// The shell that signs in. Interrupts at the terminal are for the owner, which then stops its programs in order. A
/// detached program must also survive the end of the terminal's session.
fn shell(attachment: Attachment) -> Command {
    match attachment {
        Attachment::Guarded => {
            let mut command = Command::new("/bin/sh");
            command.process_group(0);
            command
        }
        Attachment::Detached => {
            let mut command = Command::new("setsid");
            command.arg("/bin/sh");
            command
        }
    }
}

/// A running program. A guarded one is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    entry: PathBuf,
    kill_on_drop: bool,
}

impl Process {
    /// The name it was started as.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with everything it wrote.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns true if this process itself listens on a TCP port. Another program's listener does not count.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn listens_on(&self, port: u16) -> io::Result<bool> {
        listeners::listens_on(self.pid(), port)
    }

    /// The last `lines` lines it wrote.
    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    /// When the operating system does not answer.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.sign_out();
        }
        Ok(status)
    }

    /// Waits for the end, at most for `limit`.
    ///
    /// # Errors
    /// When it still runs after that.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{} still runs after {limit:?}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Suspends it (SIGSTOP): it does nothing until [`Process::resume`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn suspend(&self) -> io::Result<()> {
        signal(self.child.id().cast_signed(), Signal::STOP)
    }

    /// Resumes it (SIGCONT).
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn resume(&self) -> io::Result<()> {
        signal(self.child.id().cast_signed(), Signal::CONT)
    }

    /// Asks it to end (SIGTERM) without waiting.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn terminate(&mut self) -> io::Result<()> {
        // Not yet reaped, so the pid is still its own.
        if self.exited()?.is_none() {
            signal(self.child.id().cast_signed(), Signal::TERM)
        } else {
            Ok(())
        }
    }

    /// Ends it at once (SIGKILL), as a crash would, and reaps it.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill9(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.sign_out();
        Ok(())
    }

    /// Gives the handle up: the process is reaped when it ends, and stays on the roll until then and after.
    pub(crate) fn detach(mut self) {
        self.kill_on_drop = false;
        std::thread::spawn(move || self.child.wait());
    }

    fn sign_out(&self) {
        // The file may be gone with the whole directory.
        let _ = fs::remove_file(&self.entry);
    }
}

/// The last `lines` lines of a log.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.kill_on_drop {
            let _ = self.kill9();
        }
    }
}
