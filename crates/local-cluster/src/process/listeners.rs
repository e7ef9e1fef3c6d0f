//! Listening ports of a process, as the kernel shows them below `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Fields of a line of `/proc/net/tcp`, counted from zero.
const LOCAL_ADDRESS: usize = 1;
const STATE: usize = 3;
const INODE: usize = 9;

/// Returns true if the process itself listens on a TCP port, whatever the address.
///
/// # Errors
/// When `/proc` cannot be read.
pub(super) fn listens_on(pid: u32, port: u16) -> io::Result<bool> {
    let mut inodes = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).or_else(absent)?;
        inodes.extend(listeners(&text, port).map(|inode| format!("socket:[{inode}]")));
    }
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Ok(false);
    };
    let mut targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(targets.any(|target| target.to_str().is_some_and(|target| inodes.contains(target))))
}

/// A machine without IPv6 has no table of it; a process that has ended has no table at all.
fn absent(error: io::Error) -> io::Result<String> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(String::new()),
        _ => Err(error),
    }
}

/// The inodes of the sockets that listen on a port.
fn listeners(table: &str, port: u16) -> impl Iterator<Item = &str> {
    table.lines().filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(LOCAL_ADDRESS)?.rsplit_once(':')?;
        let is_ours = u16::from_str_radix(local_port, 16).ok()? == port && *fields.get(STATE)? == LISTENING;
        is_ours.then_some(*fields.get(INODE)?)
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn only_the_process_that_listens_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let me = std::process::id();
        assert!(listens_on(me, port).unwrap());
        assert!(!listens_on(std::os::unix::process::parent_id(), port).unwrap());
        drop(listener);
        assert!(!listens_on(me, port).unwrap());
    }

    #[test]
    fn a_process_that_has_ended_listens_on_nothing() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(!listens_on(child.id(), 1).unwrap());
    }
}
