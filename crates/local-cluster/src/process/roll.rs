//! The roll: the processes of a cluster, by pid and start time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The field of `/proc/<pid>/stat`, counted after the closing parenthesis of the name, with the time at
/// which the process started. Pid and start time together are never given twice.
const START_TIME_FIELD: usize = 19;

/// A directory with one file a member; file names sort in the order of starting.
#[derive(Debug)]
pub struct Roll {
    dir: PathBuf,
    next: AtomicUsize,
}

impl Roll {
    /// Opens the roll in `dir`, creating the directory.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            next: AtomicUsize::new(0),
        })
    }

    /// The directory of the roll.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path at which the next program called `name` signs in.
    pub(super) fn next_entry(&self, name: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("{number:04}-{name}"))
    }

    /// All members, the last started first.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn members(dir: &Path) -> io::Result<Vec<Member>> {
        let mut entries: Vec<PathBuf> = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        entries.sort();
        Ok(entries
            .iter()
            .rev()
            .filter_map(|entry| Member::read(entry))
            .collect())
    }

    /// Kills all members, the last started first, and waits until they are gone.
    ///
    /// # Errors
    /// When the roll cannot be read or a process survives for ten seconds.
    pub fn kill_all(dir: &Path) -> io::Result<()> {
        for member in Self::members(dir)? {
            member.end()?;
        }
        Ok(())
    }

    /// Kills the members of one name, and waits until they are gone.
    ///
    /// # Errors
    /// When the roll cannot be read or a process survives for ten seconds.
    pub fn kill_named(dir: &Path, name: &str) -> io::Result<()> {
        let members = Self::members(dir)?.into_iter();
        members
            .filter(|member| member.name == name)
            .try_for_each(|member| member.end())
    }
}

/// One process on the roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The name under which the process was started.
    pub name: String,
    /// Its process id.
    pub pid: i32,
    start_time: u64,
    entry: PathBuf,
}

impl Member {
    fn read(entry: &Path) -> Option<Self> {
        let text = fs::read_to_string(entry).ok()?;
        let (pid, start_time) = text.trim().split_once(' ')?;
        let name = entry.file_name()?.to_str()?.split_once('-')?.1.to_owned();
        let (pid, start_time) = (pid.parse().ok()?, start_time.parse().ok()?);
        Some(Self {
            name,
            pid,
            start_time,
            entry: entry.to_owned(),
        })
    }

    /// Returns true while the process that signed in runs; a later process with its pid does not count.
    pub fn alive(&self) -> bool {
        running_since(self.pid) == Some(self.start_time)
    }

    fn end(&self) -> io::Result<()> {
        self.kill_and_wait()?;
        let _ = fs::remove_file(&self.entry);
        Ok(())
    }

    fn kill_and_wait(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.alive() {
            signal(self.pid, Signal::KILL)?;
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "{} (pid {}) does not die",
                    self.name, self.pid
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Sends a signal; a process that is gone already is no error.
pub(super) fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else {
        return Ok(());
    };
    match kill_process(pid, signal) {
        Err(error) if error != rustix::io::Errno::SRCH => Err(error.into()),
        _ => Ok(()),
    }
}

/// The start time of a running process; none for one that is gone or only waits to be reaped.
fn running_since(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
    let dead = matches!(*fields.first()?, "Z" | "X");
    if dead {
        None
    } else {
        fields.get(START_TIME_FIELD)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roll_with(entry: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0000-self"), entry).unwrap();
        dir
    }

    #[test]
    fn a_reused_pid_is_not_a_member() {
        let me = std::process::id();
        let dir = roll_with(&format!("{me} 1\n"));
        assert!(!Roll::members(dir.path()).unwrap()[0].alive());
        Roll::kill_all(dir.path()).unwrap(); // and so this test survives
    }

    #[test]
    fn the_very_process_is_a_member() {
        let me = i32::try_from(std::process::id()).unwrap();
        let dir = roll_with(&format!("{me} {}\n", running_since(me).unwrap()));
        let members = Roll::members(dir.path()).unwrap();
        assert!(members[0].alive());
        assert_eq!(members[0].name, "self");
    }

    #[test]
    fn members_come_last_started_first() {
        let dir = roll_with("1 1");
        fs::write(dir.path().join("0001-other"), "2 2").unwrap();
        let names: Vec<String> = Roll::members(dir.path())
            .unwrap()
            .into_iter()
            .map(|member| member.name)
            .collect();
        assert_eq!(names, ["other", "self"]);
    }
}
