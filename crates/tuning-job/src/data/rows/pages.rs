//! What the pages of a parquet file claim, held against what can be.
//!
//! The parquet library takes memory for what the header of a page claims, up to 2 GiB a page and 64 GiB for the values of a
//! dictionary, before it looks at the page. Hence all headers of a group of rows are read before its rows, and a page is refused
//! whose claims cannot be true or are more than is supported. What this must not do: keep pages in memory, or decide what a value
//! means.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::MultiGzDecoder;
use parquet::basic::{Compression, Type};
use parquet::data_type::ByteArray;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::compact::CompactError;
use super::header::{Header, Part, TAIL_BYTES, read};

/// Largest page, in bytes of the file or in memory. Most writers begin a new page after 1 MiB, or after the values that they got
/// at a time (1024, with Arrow's); the one with the largest, DuckDB, after 100 MiB and the row at hand.
pub(super) const PAGE_BYTES: u64 = 128 << 20;
/// Most bytes in memory for the pages of a group of rows: of each column there are its dictionary and one page of data.
pub(super) const HELD_BYTES: u64 = 1 << 30;

/// What to do about a file that says what cannot be.
const DAMAGED: &str = "the file is damaged: fetch it again";
/// What to do about a file that is larger than is supported.
const LARGE: &str = "write the file again with smaller pages (1 MiB is usual)";
/// What to do about a file that cannot be read.
const OTHER_CODEC: &str = "write the file again, compressed with zstd or snappy";

/// First bytes of the frames that the library unpacks without looking at what a page claims: LZ4's frame format, its older one,
/// and frames to be skipped (16 numbers from the last on). Files with frames were written by old versions of that library only.
/// <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>
const LZ4_FRAMES: [u32; 2] = [0x184d_2204, 0x184c_2102];
const LZ4_SKIPPED_FRAMES: u32 = 0x184d_2a50;

/// Why rows are not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A page or a column is refused.
    #[error("column '{column}'{}: {problem}; {remedy}", Place(*page))]
    Refused {
        column: String,
        /// From 1 on, as the file has them; none for the whole column.
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

/// Reads the headers of all pages of a group of rows.
///
/// # Errors
/// When the file cannot be read, and when a page claims what cannot be or is not supported.
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

/// One column of a group of rows, as the end of the file describes it.
#[derive(Debug)]
struct Chunk {
    column: String,
    start: u64,
    length: u64,
    uncompressed: u64,
    codec: Codec,
    /// Fewest bytes of a value in a dictionary.
    value_bytes: u64,
}

/// A way of compression, and how many bytes one byte becomes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    /// Not compressed.
    None,
    /// A copy of 64 bytes takes three.
    Snappy,
    /// A byte of 255 lengthens a match by as many bytes.
    Lz4,
    /// As before, in Hadoop's frames, for which others are sometimes taken.
    Lz4Hadoop,
    /// A match of 258 bytes takes two bits.
    Gzip,
    /// A block of 128 KiB that repeats one byte takes four.
    Zstd,
}

impl Codec {
    const fn most(self) -> u64 {
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
            value_bytes: least(column.column_type(), column.column_descr().type_length()),
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

    /// Checks all pages; returns how many bytes they take in memory at a time.
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
            // What is buffered stays so: pages may be small and many.
            let ahead = place.wrapping_sub(input.stream_position()?);
            input.seek_relative(ahead.cast_signed())?;
        }
        Ok(dictionaries + largest)
    }

    /// How many bytes of memory a page takes, or what is wrong with it; `left` are the bytes after its header.
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
        if body.is_none_or(|(from, to)| to > from.saturating_mul(codec.most())) {
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

    /// Bytes before the part that is compressed, and how that is.
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

    /// Says so if a page becomes more than it claims, where the library does not stop at that. The page is next.
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
        // What is broken inside is for the library to tell.
        Ok((unpacked.unwrap_or(0) > claimed).then_some("it unpacks to more than it claims"))
    }
}

fn is_lz4_frame(magic: u32) -> bool {
    LZ4_FRAMES.contains(&magic) || magic & !0xf == LZ4_SKIPPED_FRAMES
}

/// Fewest bytes of a value.
const fn least(kind: Type, length: i32) -> u64 {
    match kind {
        Type::BOOLEAN => 1,
        // Texts have their length before them.
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY if length > 1 => length.unsigned_abs() as u64,
        Type::FIXED_LEN_BYTE_ARRAY => 1,
    }
}

#[cfg(test)]
mod tests;
