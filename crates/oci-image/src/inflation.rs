//! A limit on what compression may hide: few bytes that unpack to very many.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::error::Error;

/// Most bytes that one compressed byte may become. Text compresses to a tenth, rarely to a fiftieth; zeros to a thousandth.
const RATIO: u64 = 200;
/// Bytes that may appear whatever they were compressed to.
const FREE: u64 = 256 << 20;

/// Counts of one layer.
#[derive(Debug, Default)]
pub(crate) struct Inflation {
    compressed: Rc<Cell<u64>>,
    exceeded: Rc<Cell<bool>>,
}

impl Inflation {
    /// The error of a layer: that of the limit, if it was exceeded.
    pub(crate) fn explain(&self, error: Error) -> Error {
        if self.exceeded.get() {
            return Error::TooLarge(format!("a layer unpacks to more than {RATIO} times its size"));
        }
        error
    }

    /// Counts the bytes of the layer as it arrives.
    pub(crate) fn compressed<R: Read>(&self, source: R) -> Compressed<R> {
        Compressed {
            source,
            count: Rc::clone(&self.compressed),
        }
    }

    /// Fails once the plain bytes exceed the limit.
    pub(crate) fn plain<R: Read>(&self, source: R) -> Plain<R> {
        Plain {
            source,
            count: 0,
            compressed: Rc::clone(&self.compressed),
            exceeded: Rc::clone(&self.exceeded),
        }
    }
}

/// The layer as it arrives.
#[derive(Debug)]
pub(crate) struct Compressed<R> {
    source: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Compressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.count.set(self.count.get().saturating_add(read as u64));
        Ok(read)
    }
}

/// The layer without its compression.
#[derive(Debug)]
pub(crate) struct Plain<R> {
    source: R,
    count: u64,
    compressed: Rc<Cell<u64>>,
    exceeded: Rc<Cell<bool>>,
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.count = self.count.saturating_add(read as u64);
        if self.count > FREE.saturating_add(self.compressed.get().saturating_mul(RATIO)) {
            self.exceeded.set(true);
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(compressed: u64, plain: u64) -> io::Result<u64> {
        let inflation = Inflation::default();
        io::copy(
            &mut inflation.compressed(io::repeat(1).take(compressed)),
            &mut io::sink(),
        )?;
        io::copy(&mut inflation.plain(io::repeat(0).take(plain)), &mut io::sink())
    }

    #[test]
    fn a_bomb_is_stopped_and_data_is_not() {
        assert_eq!(unpacked(0, FREE).unwrap(), FREE);
        let most = FREE + 1000 * RATIO;
        assert_eq!(unpacked(1000, most).unwrap(), most);
        let error = unpacked(1000, most + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    }
}
