//! TCP ports of loopback, reserved for this process. Does not start anything on them.
//!
//! A port that the system picks for a listener on port 0 is free again once that listener is closed. Until our program
//! listens there, any other listener on port 0 may get it. The system chooses among 14,000 ports only, so on a machine
//! with several test suites this happens. Ports are therefore taken from below the system's range. A socket with the port
//! in its name reserves each among our own processes.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher as _;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// Ports to choose from, where the system's own range does not begin lower.
const OURS: Range<u16> = 20_000..30_000;

/// The file with the range from which Linux picks ports.
const SYSTEM_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Reservations of this process. They end with it, so a program that is started again finds its port free.
static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// Reserves `N` different ports of 127.0.0.1 for as long as this process lives.
///
/// # Errors
/// When no port is free.
pub fn reserve<const N: usize>() -> io::Result<[u16; N]> {
    let candidates = candidates(&fs::read_to_string(SYSTEM_RANGE).unwrap_or_default());
    // Every process begins elsewhere, so that they rarely ask for the same port.
    let random = RandomState::new().hash_one(std::process::id());
    let start = usize::try_from(random % 0xffff).unwrap_or_default() % candidates.len();
    let mut free = candidates
        .clone()
        .cycle()
        .skip(start)
        .take(candidates.len())
        .filter_map(reservation);
    let mut ports = [0; N];
    for port in &mut ports {
        let (number, reservation) = free
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no port is free"))?;
        *port = number;
        RESERVED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reservation);
    }
    Ok(ports)
}

/// The ports below the system's range, or ours where that range is unusual.
fn candidates(system_range: &str) -> Range<u16> {
    let first = system_range
        .split_whitespace()
        .next()
        .and_then(|first| first.parse().ok());
    let end = first.unwrap_or(OURS.end).min(OURS.end);
    if end > OURS.start { OURS.start..end } else { OURS }
}

/// Reserves one port, if it is free.
fn reservation(port: u16) -> Option<(u16, UnixListener)> {
    // The name is known to the whole network namespace, like the port, and vanishes with the process.
    let name = SocketAddr::from_abstract_name(format!("kaito-local-cluster-port-{port}")).ok()?;
    let reservation = UnixListener::bind_addr(&name).ok()?;
    is_free(port).then_some((port, reservation))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() {
        let [a, b, c] = reserve().unwrap();
        assert!(a != b && b != c && a != c);
        TcpListener::bind((Ipv4Addr::LOCALHOST, a)).unwrap();
    }

    #[test]
    fn a_reserved_port_is_not_given_again() {
        let [port] = reserve().unwrap();
        assert!(reservation(port).is_none());
    }

    #[test]
    fn a_port_that_is_listened_on_is_not_given() {
        let [port] = reserve().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
        drop(listener);
        assert!(is_free(port));
    }

    #[test]
    fn the_system_picks_none_of_our_ports() {
        assert_eq!(candidates("32768\t60999\n"), OURS);
        assert_eq!(candidates("25000 60999"), 20_000..25_000);
        assert_eq!(candidates("1024 65535"), OURS);
        assert_eq!(candidates(""), OURS);
    }
}
