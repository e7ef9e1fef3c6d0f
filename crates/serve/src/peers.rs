//! Open connections by peer: bounded in total and for each peer, so that one peer cannot keep out the others.
//!
//! A peer beyond its own bound is refused. At the total bound, the peer with the most connections loses its oldest one to a
//! peer with fewer. Connections that are marked as trusted are closed last.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The open connections of one listener.
#[derive(Clone, Debug)]
pub(crate) struct PeerTable {
    total: usize,
    per_peer: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By number, so the oldest is first.
    connections: BTreeMap<u64, PeerConnection>,
    counts: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct PeerConnection {
    peer: IpAddr,
    trusted: bool,
    evicted: CancellationToken,
}

/// The right to one connection. It ends when it is dropped.
#[derive(Debug)]
pub struct PeerPermit {
    table: PeerTable,
    number: u64,
    evicted: CancellationToken,
}

impl PeerPermit {
    /// Returns the token that is canceled when the connection must close in favor of another peer.
    #[must_use]
    pub fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }

    /// Marks the connection as that of a known client. It is closed only after all others.
    pub fn trust(&self) {
        if let Some(entry) = self.table.lock().connections.get_mut(&self.number) {
            entry.trusted = true;
        }
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        self.table.lock().remove(self.number);
    }
}

impl PeerTable {
    pub(crate) fn new(total: usize, per_peer: usize) -> Self {
        Self {
            total,
            per_peer,
            open: Arc::default(),
        }
    }

    /// Admits a connection, or returns `None` if the peer has its share.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<PeerPermit> {
        // An IPv4 client of a dual-stack socket is one peer, too.
        let peer = peer.to_canonical();
        let mut open = self.lock();
        let own = open.counts.get(&peer).copied().unwrap_or(0);
        if own >= self.per_peer {
            return None;
        }
        if open.connections.len() >= self.total {
            let loser = open.greediest(own)?;
            if let Some(entry) = open.remove(loser) {
                entry.evicted.cancel();
            }
        }
        let (number, evicted) = (open.next, CancellationToken::new());
        open.next += 1;
        *open.counts.entry(peer).or_default() += 1;
        let entry = PeerConnection {
            peer,
            trusted: false,
            evicted: evicted.clone(),
        };
        open.connections.insert(number, entry);
        Some(PeerPermit {
            table: self.clone(),
            number,
            evicted,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Returns the connection to close: untrusted before trusted, then of the peer with the most, then the oldest. Its peer has
    /// more connections than `own`, so that two peers do not displace each other in turn.
    fn greediest(&self, own: usize) -> Option<u64> {
        let count = |entry: &PeerConnection| self.counts.get(&entry.peer).copied().unwrap_or(0);
        let candidates = self.connections.iter().filter(|(_, entry)| count(entry) > own);
        let best =
            candidates.max_by_key(|(number, entry)| (!entry.trusted, count(entry), u64::MAX - **number));
        best.map(|(number, _)| *number)
    }

    fn remove(&mut self, number: u64) -> Option<PeerConnection> {
        let entry = self.connections.remove(&number)?;
        if let Some(count) = self.counts.get_mut(&entry.peer) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&entry.peer);
            }
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn a_peer_has_its_share_and_no_more() {
        let table = PeerTable::new(10, 2);
        let first = table.admit(peer(1)).unwrap();
        let _second = table.admit(peer(1)).unwrap();
        assert!(table.admit(peer(1)).is_none());
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert!(table.admit(mapped).is_none(), "the same peer");
        assert!(table.admit(peer(2)).is_some());
        drop(first);
        assert!(table.admit(peer(1)).is_some());
    }

    #[test]
    fn the_greediest_peer_makes_room_and_trusted_connections_stay() {
        let table = PeerTable::new(4, 4);
        let greedy: Vec<_> = (0..3).map(|_| table.admit(peer(1)).unwrap()).collect();
        let other = table.admit(peer(2)).unwrap();
        greedy[0].trust();
        let newcomer = table.admit(peer(3)).unwrap();
        let evicted: Vec<bool> = greedy
            .iter()
            .map(|permit| permit.evicted().is_cancelled())
            .collect();
        assert_eq!(evicted, [false, true, false], "the oldest that is not trusted");
        assert!(!other.evicted().is_cancelled());
        let _again = table.admit(peer(4)).unwrap();
        assert!(greedy[2].evicted().is_cancelled());
        // Each peer has one now, so none has too many, and a trusted connection is closed last.
        let third = table.admit(peer(5)).unwrap();
        assert!(other.evicted().is_cancelled() && !greedy[0].evicted().is_cancelled());
        assert!(table.admit(peer(5)).is_none(), "nobody has more than this peer");
        drop((newcomer, third));
        assert!(table.admit(peer(2)).is_some());
    }

    #[test]
    fn the_count_survives_any_order_of_drops() {
        let table = PeerTable::new(3, 3);
        for round in 0..50_u8 {
            let permits: Vec<_> = (0..5)
                .filter_map(|n| table.admit(peer(n % 3 + round % 2)))
                .collect();
            assert!(table.lock().connections.len() <= 3);
            drop(permits);
        }
        assert!(table.lock().connections.is_empty() && table.lock().counts.is_empty());
    }
}
