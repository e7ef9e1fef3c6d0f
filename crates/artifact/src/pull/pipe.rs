//! Bytes from a task that reads the network to a thread that writes the disk.

use std::io::Read;

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// The receiving end as a reader.
#[derive(Debug)]
pub(super) struct Pipe {
    source: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Pipe {
    pub(super) fn new(source: mpsc::Receiver<Bytes>) -> Self {
        Self {
            source,
            piece: Bytes::new(),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.piece.is_empty() {
            match self.source.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), self.piece.get(..length)) {
            to.copy_from_slice(from);
        }
        self.piece.advance(length);
        Ok(length)
    }
}
