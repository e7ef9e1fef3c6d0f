//! Checks of the claims in page headers of a parquet file.
//!
//! The parquet library allocates what the header of a page claims, up to 2 GiB a page and 64 GiB for the values of a dictionary,
//! before it looks at the page. So all headers of a row group are read before its rows, and a page is refused if its claims are
//! impossible or above a limit. This module must not keep pages in memory or interpret values.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::MultiGzDecoder;
use parquet::basic::{Compression, Type};
use parquet::data_type::ByteArray;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::page_header::{Header, Part, TAIL_BYTES, read};
use super::thrift::CompactError;

/// Largest page, in bytes of the file or in memory. Most writers start a new page after 1 MiB, or after a batch of values (1024
/// with Arrow's). DuckDB has the largest ones: it starts a new page after 100 MiB and the current row.
pub(super) const PAGE_BYTES: u64 = 128 << 20;
/// Most bytes in memory for the pages of a row group: a dictionary and one data page for each column.
pub(super) const HELD_BYTES: u64 = 1 << 30;

/// Remedy for a file with impossible claims.
const DAMAGED: &str = "the file is damaged: fetch it again";
/// Remedy for a file above a limit.
const LARGE: &str = "write the file again with smaller pages (1 MiB is usual)";
/// Remedy for an unknown codec.
const OTHER_CODEC: &str = "write the file again, compressed with zstd or snappy";

/// First bytes of frames that the library unpacks without a limit: LZ4's frame format, its older one, and skippable frames (16
/// numbers from the last on). Only old versions of that library wrote files with frames.
/// <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>
const LZ4_FRAMES: [u32; 2] = [0x184d_2204, 0x184c_2102];
const LZ4_SKIPPED_FRAMES: u32 = 0x184d_2a50;

/// Refusal of a row group.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    /// Reading the file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A page or a column is refused.
    #[error("column '{column}'{}: {problem}; {remedy}", Place(*page))]
    Refused {
        column: String,
        /// Number of the page, from 1 on; none for the whole column.
        page: Option<usize>,
        problem: String,
        remedy: &'static str,
    },
}

struct Place(Option<usize>);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |page| write!(f, ", page {page}"))
    }
}

/// Checks the headers of all pages of a row group.
///
/// # Errors
/// When reading fails, and when a claim of a page is impossible or above a limit.
pub(super) fn check(file: &File, group: &RowGroupMetaData) -> Result<(), PageError> {
    let end = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    let mut input = BufReader::new(file);
    let mut held = 0;
    for column in group.columns() {
        let chunk = Chunk::new(column, end)?;
        held += chunk.walk(&mut input)?;
        if held > HELD_BYTES {
            let problem =
                format!("with it the pages of a group of rows take {held} bytes, {HELD_BYTES} are supported");
            return Err(chunk.refused(None, problem, LARGE));
        }
    }
    Ok(())
}

/// One column of a row group, as described in the footer.
#[derive(Debug)]
struct Chunk {
    column: String,
    start: u64,
    length: u64,
    uncompressed: u64,
    codec: Codec,
    /// Least bytes of a value in a dictionary.
    value_bytes: u64,
}

/// A codec. Each comment gives the reason for the largest expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    /// Not compressed.
    None,
    /// A copy of 64 bytes takes three.
    Snappy,
    /// A byte of 255 lengthens a match by as many bytes.
    Lz4,
    /// The same in Hadoop's frames; other frames are sometimes mistaken for these.
    Lz4Hadoop,
    /// A match of 258 bytes takes two bits.
    Gzip,
    /// A block of 128 KiB that repeats one byte takes four.
    Zstd,
}

impl Codec {
    /// Most bytes that one byte becomes.
    const fn max_expansion(self) -> u64 {
        match self {
            Self::None => 1,
            Self::Snappy => 22,
            Self::Lz4 | Self::Lz4Hadoop => 255,
            Self::Gzip => 1032,
            Self::Zstd => 32 << 10,
        }
    }
}

impl Chunk {
    fn new(column: &ColumnChunkMetaData, end: u64) -> Result<Self, PageError> {
        let refused = |problem: String, remedy| PageError::Refused {
            column: column.column_path().string(),
            page: None,
            problem,
            remedy,
        };
        let codec = match column.compression() {
            Compression::UNCOMPRESSED => Codec::None,
            Compression::SNAPPY => Codec::Snappy,
            Compression::LZ4_RAW => Codec::Lz4,
            Compression::LZ4 => Codec::Lz4Hadoop,
            Compression::GZIP(_) => Codec::Gzip,
            Compression::ZSTD(_) => Codec::Zstd,
            other => {
                return Err(refused(
                    format!("it is compressed with {other}, which is not supported"),
                    OTHER_CODEC,
                ));
            }
        };
        let start = column
            .dictionary_page_offset()
            .unwrap_or_else(|| column.data_page_offset());
        let [Ok(start), Ok(length), Ok(uncompressed)] =
            [start, column.compressed_size(), column.uncompressed_size()].map(u64::try_from)
        else {
            return Err(refused("its place or a size is negative".to_owned(), DAMAGED));
        };
        if start.checked_add(length).is_none_or(|stop| stop > end) {
            let problem = format!("it claims {length} bytes from {start} on, and all columns end at {end}");
            return Err(refused(problem, DAMAGED));
        }
        Ok(Self {
            column: column.column_path().string(),
            start,
            length,
            uncompressed,
            codec,
            value_bytes: min_value_bytes(column.column_type(), column.column_descr().type_length()),
        })
    }

    fn refused(&self, page: Option<usize>, problem: String, remedy: &'static str) -> PageError {
        PageError::Refused {
            column: self.column.clone(),
            page,
            problem,
            remedy,
        }
    }

    /// Checks all pages. Returns the bytes that they take in memory at a time.
    fn walk(&self, input: &mut (impl BufRead + Seek)) -> Result<u64, PageError> {
        let mut place = input.seek(SeekFrom::Start(self.start))?;
        let mut left = self.length;
        let (mut dictionaries, mut largest) = (0, 0);
        for page in 1.. {
            if left == 0 {
                break;
            }
            let (header, length) = read(input, left).map_err(|error| match error {
                CompactError::Io(error) => error.into(),
                other => self.refused(Some(page), format!("its header {other}"), DAMAGED),
            })?;
            left -= length;
            place += length;
            let held = self
                .held(&header, left)
                .map_err(|(problem, remedy)| self.refused(Some(page), problem, remedy))?;
            match header.part {
                Part::Dictionary { .. } => dictionaries += held,
                _ => largest = held.max(largest),
            }
            if let Some(problem) = self.unpacks_to_more(&header, input)? {
                return Err(self.refused(Some(page), problem.to_owned(), DAMAGED));
            }
            left -= header.compressed;
            place += header.compressed;
            // A relative seek keeps the buffer: pages may be small and many.
            let ahead = place.wrapping_sub(input.stream_position()?);
            input.seek_relative(ahead.cast_signed())?;
        }
        Ok(dictionaries + largest)
    }

    /// Returns the bytes of memory of a page, or its problem; `left` are the bytes after its header.
    fn held(&self, header: &Header, left: u64) -> Result<u64, (String, &'static str)> {
        let Header {
            part,
            compressed,
            uncompressed,
        } = *header;
        if compressed > left {
            return Err((
                format!("it claims {compressed} bytes of the file, {left} are left"),
                DAMAGED,
            ));
        }
        if part == Part::Index {
            return Ok(0);
        }
        let large = compressed.max(uncompressed);
        if large > PAGE_BYTES {
            return Err((
                format!("it claims {large} bytes, {PAGE_BYTES} are supported"),
                LARGE,
            ));
        }
        if uncompressed > self.uncompressed {
            let all = self.uncompressed;
            return Err((
                format!("it claims to hold {uncompressed} bytes, its whole column {all}"),
                DAMAGED,
            ));
        }
        let (levels, codec) = self.packing(part);
        let body = compressed
            .checked_sub(levels)
            .zip(uncompressed.checked_sub(levels));
        if body.is_none_or(|(from, to)| to > from.saturating_mul(codec.max_expansion())) {
            return Err((
                format!("it claims that {compressed} bytes become {uncompressed}, which cannot be"),
                DAMAGED,
            ));
        }
        let values = match part {
            Part::Dictionary { values } if values > uncompressed / self.value_bytes => {
                return Err((
                    format!("it claims {values} values in {uncompressed} bytes"),
                    DAMAGED,
                ));
            }
            Part::Dictionary { values } => values * size_of::<ByteArray>() as u64,
            _ => 0,
        };
        Ok(values + compressed + if codec == Codec::None { 0 } else { uncompressed })
    }

    /// Returns the bytes before the compressed part, and the codec of that part.
    const fn packing(&self, part: Part) -> (u64, Codec) {
        match part {
            Part::DataV2 {
                levels,
                compressed: false,
            } => (levels, Codec::None),
            Part::DataV2 { levels, .. } => (levels, self.codec),
            _ => (0, self.codec),
        }
    }

    /// Returns a problem if a page unpacks to more than it claims, for codecs that the library does not bound. The input is at the
    /// page.
    fn unpacks_to_more(
        &self,
        header: &Header,
        input: &mut (impl BufRead + Seek),
    ) -> Result<Option<&'static str>, PageError> {
        let (levels, codec) = self.packing(header.part);
        if header.part == Part::Index || !matches!(codec, Codec::Gzip | Codec::Lz4Hadoop) {
            return Ok(None);
        }
        input.seek_relative(levels.cast_signed())?;
        let mut body = input.take(header.compressed - levels);
        if codec == Codec::Lz4Hadoop {
            let mut magic = [0; 4];
            let framed = body.read_exact(&mut magic).is_ok() && is_lz4_frame(u32::from_le_bytes(magic));
            return Ok(framed.then_some("it is in LZ4's frame format, which parquet does not have"));
        }
        let claimed = header.uncompressed - levels;
        let unpacked = io::copy(&mut MultiGzDecoder::new(body).take(claimed + 1), &mut io::sink());
        // The library reports malformed content.
        Ok((unpacked.unwrap_or(0) > claimed).then_some("it unpacks to more than it claims"))
    }
}

fn is_lz4_frame(magic: u32) -> bool {
    LZ4_FRAMES.contains(&magic) || magic & !0xf == LZ4_SKIPPED_FRAMES
}

/// Least bytes of a value.
const fn min_value_bytes(kind: Type, length: i32) -> u64 {
    match kind {
        Type::BOOLEAN => 1,
        // ExampleEncoder have their length before them.
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY if length > 1 => length.unsigned_abs() as u64,
        Type::FIXED_LEN_BYTE_ARRAY => 1,
    }
}

#[cfg(test)]
mod tests;
