//! Thrift's compact protocol, as far as headers of parquet need it.
//!
//! Skipped values take no memory, a limit bounds the bytes read, and nesting is bounded. The reader must not be more lenient than
//! the parquet library: it refuses values whose size the two could read differently.
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

use std::io::{self, BufRead};

/// Deepest nesting that is skipped; the deepest of the format's own is 8.
const DEPTH: u8 = 16;
/// Most bytes of a number: 64 bits in groups of 7.
const VARINT_BYTES: u32 = 10;

/// Failure to read a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompactError {
    /// Reading the file failed.
    #[error("cannot be read")]
    Io(#[from] io::Error),
    /// The value is longer than the bytes for it.
    #[error("is longer than the {0} bytes that are there for it")]
    Long(u64),
    /// The value is malformed, or unknown to the format.
    #[error("is broken: {0}")]
    Broken(&'static str),
}

/// Wire type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    True,
    False,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List,
    Set,
    Map,
    Struct,
    Uuid,
}

impl Wire {
    fn new(code: u8) -> Result<Self, CompactError> {
        Ok(match code {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4 => Self::I16,
            5 => Self::I32,
            6 => Self::I64,
            7 => Self::Double,
            8 => Self::Binary,
            9 => Self::List,
            10 => Self::Set,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return Err(CompactError::Broken("a field has an unknown type")),
        })
    }

    const fn is_bool(self) -> bool {
        matches!(self, Self::True | Self::False)
    }

    fn is_like(self, other: Self) -> bool {
        self == other || self.is_bool() && other.is_bool()
    }
}

/// A reader that counts bytes.
#[derive(Debug)]
pub(super) struct Compact<'a, R> {
    input: &'a mut R,
    most: u64,
    left: u64,
}

impl<'a, R: BufRead> Compact<'a, R> {
    /// A reader of at most `most` bytes.
    pub(super) const fn new(input: &'a mut R, most: u64) -> Self {
        Self {
            input,
            most,
            left: most,
        }
    }

    /// Bytes read so far.
    pub(super) const fn taken(&self) -> u64 {
        self.most - self.left
    }

    /// Reads a struct. `known` has the types of the fields 1, 2, …, each of which may occur once. `each` reads their values; other
    /// fields are skipped.
    pub(super) fn fields(
        &mut self,
        known: &[Wire],
        mut each: impl FnMut(&mut Self, i16, Wire) -> Result<(), CompactError>,
    ) -> Result<(), CompactError> {
        let mut last = 0;
        let mut seen = 0_u32;
        while let Some((id, wire)) = self.field(last)? {
            last = id;
            let place = usize::from(id.unsigned_abs()).wrapping_sub(1);
            let Some(expected) = known.get(place).filter(|_| id > 0) else {
                self.skip(wire, DEPTH)?;
                continue;
            };
            if !expected.is_like(wire) {
                return Err(CompactError::Broken(
                    "a field has another type than the format gives it",
                ));
            }
            let bit = 1 << place;
            if seen & bit != 0 {
                return Err(CompactError::Broken("a field is there twice"));
            }
            seen |= bit;
            each(self, id, wire)?;
        }
        Ok(())
    }

    /// Skips a struct and reports the numbers of its fields.
    pub(super) fn numbers(&mut self, each: &mut dyn FnMut(i16)) -> Result<(), CompactError> {
        let mut last = 0;
        while let Some((id, wire)) = self.field(last)? {
            last = id;
            each(id);
            self.skip(wire, DEPTH)?;
        }
        Ok(())
    }

    /// Reads a number of 32 bits.
    pub(super) fn int(&mut self) -> Result<i32, CompactError> {
        let coded = u32::try_from(self.varint()?)
            .map_err(|_| CompactError::Broken("a number has more than 32 bits"))?;
        Ok((coded >> 1).cast_signed() ^ -(coded & 1).cast_signed())
    }

    /// Skips a value.
    fn skip(&mut self, wire: Wire, depth: u8) -> Result<(), CompactError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(CompactError::Broken("it is nested too deep"));
        };
        match wire {
            Wire::True | Wire::False => Ok(()),
            Wire::Byte => self.pass(1),
            Wire::I16 | Wire::I32 | Wire::I64 => self.varint().map(drop),
            Wire::Double => self.pass(8),
            Wire::Uuid => self.pass(16),
            Wire::Binary => {
                let length = self.varint()?;
                self.pass(length)
            }
            Wire::Struct => {
                while let Some((_, wire)) = self.field(0)? {
                    self.skip(wire, depth)?;
                }
                Ok(())
            }
            Wire::List | Wire::Set => self.skip_list(depth),
            Wire::Map => self.skip_map(depth),
        }
    }

    /// Skips the value of a field.
    pub(super) fn skip_field(&mut self, wire: Wire) -> Result<(), CompactError> {
        self.skip(wire, DEPTH)
    }

    fn skip_list(&mut self, depth: u8) -> Result<(), CompactError> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            few => u64::from(few),
        };
        if count == 0 {
            return Ok(());
        }
        let wire = element(head & 0x0f)?;
        (0..count).try_for_each(|_| self.skip(wire, depth))
    }

    fn skip_map(&mut self, depth: u8) -> Result<(), CompactError> {
        let count = self.varint()?;
        if count == 0 {
            return Ok(());
        }
        let types = self.byte()?;
        let (key, value) = (element(types >> 4)?, element(types & 0x0f)?);
        (0..count).try_for_each(|_| {
            self.skip(key, depth)?;
            self.skip(value, depth)
        })
    }

    /// Returns the number and type of the next field, or nothing at the end of the struct.
    fn field(&mut self, last: i16) -> Result<Option<(i16, Wire)>, CompactError> {
        let head = self.byte()?;
        if head & 0x0f == 0 {
            return Ok(None);
        }
        let wire = Wire::new(head & 0x0f)?;
        let id = match head >> 4 {
            0 => i16::try_from(self.int()?).ok(),
            delta => last.checked_add(i16::from(delta)),
        };
        let id = id.ok_or(CompactError::Broken("a field has an impossible number"))?;
        Ok(Some((id, wire)))
    }

    /// Reads an unsigned number of 64 bits.
    pub(super) fn varint(&mut self) -> Result<u64, CompactError> {
        let mut value = 0;
        for group in 0..VARINT_BYTES {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CompactError::Broken("a number does not end"))
    }

    /// Reads a byte.
    pub(super) fn byte(&mut self) -> Result<u8, CompactError> {
        self.take(1)?;
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// Skips so many bytes.
    pub(super) fn pass(&mut self, count: u64) -> Result<(), CompactError> {
        self.take(count)?;
        let mut left = count;
        while left > 0 {
            let there = self.input.fill_buf()?.len();
            if there == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let part = usize::try_from(left).map_or(there, |left| left.min(there));
            self.input.consume(part);
            left -= part as u64;
        }
        Ok(())
    }

    fn take(&mut self, count: u64) -> Result<(), CompactError> {
        self.left = self
            .left
            .checked_sub(count)
            .ok_or(CompactError::Long(self.most))?;
        Ok(())
    }
}

/// Returns the type of elements. Readers disagree on the size of booleans in lists; the format's own headers have none.
fn element(code: u8) -> Result<Wire, CompactError> {
    match Wire::new(code)? {
        Wire::True | Wire::False => Err(CompactError::Broken("it has a list of booleans")),
        wire => Ok(wire),
    }
}

#[cfg(test)]
mod tests;
