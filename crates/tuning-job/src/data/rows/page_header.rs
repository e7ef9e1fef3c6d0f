//! Headers of pages, and a check for encryption.
//!
//! The parquet library does not expose page headers. It exposes the page index, but it allocates by the headers. A header here
//! has one meaning or none: each field has the type that the format gives it, and only the part for the page's type is present.
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>

use std::io::{self, BufRead, Seek, SeekFrom};

use super::thrift::{Compact, CompactError, Wire};

/// Most bytes of a header: what Arrow's readers allow by default. ExampleEncoder of statistics are in headers.
const HEADER_BYTES: u64 = 16 << 20;
/// Bytes at the end of a file: the length of the footer in four bytes, and four bytes for the format.
pub(super) const TAIL_BYTES: u64 = 8;

const I32: Wire = Wire::I32;
const BOOL: Wire = Wire::True;
const STRUCT: Wire = Wire::Struct;
/// Fields of `PageHeader`: type, both sizes, checksum, and a part for each type.
const PAGE: [Wire; 8] = [I32, I32, I32, I32, STRUCT, STRUCT, STRUCT, STRUCT];
/// Fields of `DataPageHeader`: values, encodings of values and of two kinds of levels, statistics.
const DATA: [Wire; 5] = [I32, I32, I32, I32, STRUCT];
/// Fields of `DictionaryPageHeader`: values, encoding, whether they are sorted.
const DICTIONARY: [Wire; 3] = [I32, I32, BOOL];
/// Fields of `DataPageHeaderV2`: values, nulls, rows, encoding, bytes of two kinds of levels, whether the rest is compressed,
/// statistics.
const DATA_V2: [Wire; 8] = [I32, I32, I32, I32, I32, I32, BOOL, STRUCT];
/// Number of the field `encryption_algorithm` of `FileMetaData`.
const ENCRYPTION: i16 = 8;

/// Type of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Data,
    /// The library skips it.
    Index,
    Dictionary {
        values: u64,
    },
    /// Levels come first and are never compressed.
    DataV2 {
        levels: u64,
        compressed: bool,
    },
}

/// Claims of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) part: Part,
    /// Bytes after this header.
    pub(super) compressed: u64,
    /// Bytes in memory.
    pub(super) uncompressed: u64,
}

/// Reads a header. Returns it and its length; `left` bytes are available for it and its page.
pub(super) fn read(input: &mut impl BufRead, left: u64) -> Result<(Header, u64), CompactError> {
    let mut compact = Compact::new(input, left.min(HEADER_BYTES));
    let (mut kind, mut uncompressed, mut compressed) = (None, None, None);
    let mut parts = [None; 4];
    compact.fields(&PAGE, |compact, id, wire| {
        match id {
            1 => kind = Some(compact.int()?),
            2 => uncompressed = Some(size(compact)?),
            3 => compressed = Some(size(compact)?),
            5 => parts[0] = Some(data(compact)?),
            6 => {
                compact.fields(&[], |_, _, _| Ok(()))?;
                parts[1] = Some(Part::Index);
            }
            7 => parts[2] = Some(dictionary(compact)?),
            8 => parts[3] = Some(data_v2(compact)?),
            _ => compact.skip_field(wire)?,
        }
        Ok(())
    })?;
    let missing = CompactError::Broken("the type of the page or a size is missing");
    let (Some(kind), Some(uncompressed), Some(compressed)) = (kind, uncompressed, compressed) else {
        return Err(missing);
    };
    let place = usize::try_from(kind)
        .ok()
        .filter(|place| *place < parts.len())
        .ok_or(CompactError::Broken("the type of the page is unknown"))?;
    let part = match (place, parts[place].take()) {
        // Its content is not used.
        (1, None) => Part::Index,
        (_, Some(part)) => part,
        _ => {
            return Err(CompactError::Broken(
                "the part for the type of the page is missing",
            ));
        }
    };
    if parts.iter().any(Option::is_some) {
        return Err(CompactError::Broken("there are parts for several types of pages"));
    }
    let header = Header {
        part,
        compressed,
        uncompressed,
    };
    Ok((header, compact.taken()))
}

fn data<R: BufRead>(compact: &mut Compact<'_, R>) -> Result<Part, CompactError> {
    compact.fields(&DATA, |compact, _, wire| compact.skip_field(wire))?;
    Ok(Part::Data)
}

fn dictionary<R: BufRead>(compact: &mut Compact<'_, R>) -> Result<Part, CompactError> {
    let mut values = None;
    compact.fields(&DICTIONARY, |compact, id, wire| {
        match id {
            1 => values = Some(size(compact)?),
            _ => compact.skip_field(wire)?,
        }
        Ok(())
    })?;
    let values = values.ok_or(CompactError::Broken("the number of values is missing"))?;
    Ok(Part::Dictionary { values })
}

fn data_v2<R: BufRead>(compact: &mut Compact<'_, R>) -> Result<Part, CompactError> {
    let (mut levels, mut compressed) = (0, true);
    compact.fields(&DATA_V2, |compact, id, wire| {
        match id {
            5 | 6 => levels += size(compact)?,
            7 => compressed = wire == Wire::True,
            _ => compact.skip_field(wire)?,
        }
        Ok(())
    })?;
    Ok(Part::DataV2 { levels, compressed })
}

fn size<R: BufRead>(compact: &mut Compact<'_, R>) -> Result<u64, CompactError> {
    u64::try_from(compact.int()?).map_err(|_| CompactError::Broken("a size is negative"))
}

/// Reports whether any part of a parquet file is encrypted; false for other files.
///
/// The library is built without encryption and would read encrypted parts as plain ones.
pub(super) fn is_encrypted(input: &mut (impl BufRead + Seek)) -> io::Result<bool> {
    let end = input.seek(SeekFrom::End(0))?;
    let Some(tail) = end.checked_sub(TAIL_BYTES) else {
        return Ok(false);
    };
    input.seek(SeekFrom::Start(tail))?;
    let (mut length, mut magic) = ([0; 4], [0; 4]);
    input.read_exact(&mut length)?;
    input.read_exact(&mut magic)?;
    let length = u64::from(u32::from_le_bytes(length));
    let start = match (&magic, tail.checked_sub(length)) {
        (b"PARE", _) => return Ok(true),
        (b"PAR1", Some(start)) => start,
        _ => return Ok(false),
    };
    input.seek(SeekFrom::Start(start))?;
    let mut found = false;
    let mut seen = |id| found |= id == ENCRYPTION;
    // The library reports malformed footers.
    match Compact::new(input, length).numbers(&mut seen) {
        Err(CompactError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests;
