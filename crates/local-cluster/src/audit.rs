//! The API server's audit log: all writes with their users.
//!
//! Only finished writes (create, update, patch, delete, deletecollection) are in it, without bodies.
//! Renewals of node leases are left out; leases of leaders are there, as resource `leases`.

mod entry;
mod filter;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use entry::AuditEntry;
pub use filter::WriteFilter;

const POLICY: &str = include_str!("audit/policy.yaml");

/// A position in the log, before all later writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark(u64);

/// The log of one API server.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    /// The log in a file that need not exist yet.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the policy that the API server logs by.
    pub(crate) fn write_policy(path: &Path) -> Result<()> {
        fs::write(path, POLICY).with_context(|| format!("failed to write {}", path.display()))
    }

    /// The present end of the log. A write is logged before its response is complete. So every write with a response
    /// is before the mark, and a line that is being written is after it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn mark(&self) -> Result<Mark> {
        let whole_lines = || -> std::io::Result<u64> {
            let mut file = File::open(&self.path)?;
            end_of_last_line(&mut file)
        };
        match whole_lines() {
            Ok(end) => Ok(Mark(end)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Mark(0)),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", self.path.display())),
        }
    }

    /// All finished writes.
    ///
    /// # Errors
    /// When the file cannot be read or a line is not an audit event.
    pub fn entries(&self) -> Result<Vec<AuditEntry>> {
        self.entries_since(Mark(0))
    }

    /// The writes that finished after `mark`.
    ///
    /// # Errors
    /// When the file cannot be read or a line is not an audit event.
    pub fn entries_since(&self, mark: Mark) -> Result<Vec<AuditEntry>> {
        let text = self.text_since(mark)?;
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .filter_map(|line| AuditEntry::parse(line).transpose())
            .collect()
    }

    /// The number of writes that finished after `mark` and pass the filter.
    ///
    /// # Errors
    /// When the file cannot be read or a line is not an audit event.
    pub fn count_since(&self, mark: Mark, filter: &WriteFilter) -> Result<usize> {
        Ok(self
            .entries_since(mark)?
            .iter()
            .filter(|entry| filter.admits(entry))
            .count())
    }

    fn text_since(&self, mark: Mark) -> Result<String> {
        if !self.path.exists() {
            return Ok(String::new());
        }
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(mark.0))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().with_context(|| format!("failed to read {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The offset after the last line break, looked for backwards, since the file may be large.
fn end_of_last_line(file: &mut File) -> std::io::Result<u64> {
    const BLOCK: u64 = 64 * 1024;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        (&mut *file).take(end - start).read_to_end(&mut block)?;
        if let Some(position) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + position as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const CREATE: &str = r#"{"stage":"ResponseComplete","verb":"create","user":{"username":"a"},"objectRef":{"resource":"pods","namespace":"n","name":"p"},"responseStatus":{"code":201}}"#;

    #[test]
    fn a_half_written_line_waits_and_marks_split_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::at(dir.path().join("audit.log"));
        assert_eq!(log.mark().unwrap(), Mark(0));
        assert!(log.entries().unwrap().is_empty());

        let mut file = File::create(log.path()).unwrap();
        writeln!(file, "{CREATE}").unwrap();
        let mark = log.mark().unwrap();
        write!(file, "{}", &CREATE[..30]).unwrap();
        assert_eq!(log.mark().unwrap(), mark, "a mark is never inside a line");
        assert_eq!(log.entries().unwrap().len(), 1);
        assert_eq!(log.count_since(mark, &WriteFilter::default()).unwrap(), 0);
        writeln!(file, "{}", &CREATE[30..]).unwrap();
        assert_eq!(log.count_since(mark, &WriteFilter::default()).unwrap(), 1);
    }
}
