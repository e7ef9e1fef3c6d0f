//! Free TCP ports on loopback. Does not start anything on them.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Picks `N` different free ports of 127.0.0.1.
///
/// All are held until all are known, so they differ from each other. Between the return and the use
/// another program may take one: whoever starts a program on a port retries with fresh ones.
///
/// # Errors
/// When the machine has no free port left.
pub fn free<const N: usize>() -> io::Result<[u16; N]> {
    let listeners: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<io::Result<_>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ports_differ_and_are_free() {
        let [a, b, c] = super::free::<3>().unwrap();
        assert!(a != b && b != c && a != c);
        std::net::TcpListener::bind(("127.0.0.1", a)).unwrap();
    }
}
