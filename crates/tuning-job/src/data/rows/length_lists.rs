//! Pages in memory, before their values are.
//!
//! ExampleEncoder that are stored as differences have all their lengths before them. How many there are is said in the page itself, where
//! `pages` cannot see it, and the parquet library takes memory for that many. So each page is looked at once more when it is
//! unpacked. What this must not do: decode a value.

use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::RowGroupReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::{ColumnDescPtr, Type};

use super::page_checks::PAGE_BYTES;
use super::thrift::{Compact, CompactError};

/// Bytes of memory for one length.
const LENGTH_BYTES: u64 = 4;
/// Bytes of the length of levels.
const LEVELS_BYTES: usize = 4;

/// A row group whose pages are checked as they are read.
pub(super) struct CheckedGroup<'a>(pub(super) Box<dyn RowGroupReader + 'a>);

impl RowGroupReader for CheckedGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.0.metadata()
    }

    fn num_columns(&self) -> usize {
        self.0.num_columns()
    }

    fn get_column_page_reader(&self, column: usize) -> Result<Box<dyn PageReader>> {
        Ok(Box::new(CheckedPages {
            column: self.metadata().column(column).column_descr_ptr(),
            pages: self.0.get_column_page_reader(column)?,
        }))
    }

    fn get_column_bloom_filter(&self, column: usize) -> Option<&Sbbf> {
        self.0.get_column_bloom_filter(column)
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

struct CheckedPages {
    column: ColumnDescPtr,
    pages: Box<dyn PageReader>,
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            check(page, &self.column).map_err(|problem| {
                let column = self.column.path().string();
                ParquetError::General(format!(
                    "column '{column}': {problem}; the file is damaged: fetch it again"
                ))
            })?;
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

/// Checks the lists of lengths of a page, if it has some.
fn check(page: &Page, column: &ColumnDescPtr) -> std::result::Result<(), String> {
    let streams = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // Lengths of shared prefixes, and lengths of the rest.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    // The library refuses a page with malformed levels, and one without a list.
    let Some(mut rest) = values(page, column).filter(|rest| !rest.is_empty()) else {
        return Ok(());
    };
    for _ in 0..streams {
        let count = lengths(&mut rest).map_err(|error| format!("its list of lengths {error}"))?;
        let values = u64::from(page.num_values());
        if count > values {
            return Err(format!("a page of {values} values claims {count} lengths"));
        }
        if count > PAGE_BYTES / LENGTH_BYTES {
            let most = PAGE_BYTES / LENGTH_BYTES;
            return Err(format!(
                "a page claims {count} lengths; at most {most} are supported"
            ));
        }
    }
    Ok(())
}

/// Returns the part of a page after its levels.
fn values<'a>(page: &'a Page, column: &ColumnDescPtr) -> Option<&'a [u8]> {
    match page {
        Page::DictionaryPage { buf, .. } => Some(buf),
        Page::DataPageV2 {
            buf,
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => buf
            .get(usize::try_from(u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len)).ok()?..),
        Page::DataPage {
            buf,
            num_values,
            def_level_encoding,
            rep_level_encoding,
            ..
        } => {
            let repeated = levels(buf, *rep_level_encoding, column.max_rep_level(), *num_values)?;
            let rest: &[u8] = buf.get(repeated..)?;
            rest.get(levels(rest, *def_level_encoding, column.max_def_level(), *num_values)?..)
        }
    }
}

/// Returns the bytes of levels in a page of the first version.
fn levels(rest: &[u8], encoding: Encoding, highest: i16, values: u32) -> Option<usize> {
    if highest == 0 {
        return Some(0);
    }
    #[expect(deprecated, reason = "it is in old files")]
    match encoding {
        Encoding::RLE => {
            let (length, _) = rest.split_first_chunk::<LEVELS_BYTES>()?;
            usize::try_from(u32::from_le_bytes(*length))
                .ok()?
                .checked_add(LEVELS_BYTES)
        }
        Encoding::BIT_PACKED => {
            let bits = u64::from(values) * u64::from(i16::BITS - highest.leading_zeros());
            usize::try_from(bits.div_ceil(8)).ok()
        }
        _ => None,
    }
}

/// Skips a delta-encoded list of lengths and returns its size.
/// <https://parquet.apache.org/docs/file-format/data-pages/encodings/#delta-encoding-delta_binary_packed--5>
fn lengths(rest: &mut &[u8]) -> std::result::Result<u64, CompactError> {
    let there = rest.len() as u64;
    let mut numbers = Compact::new(rest, there);
    let (block, parts, count) = (numbers.varint()?, numbers.varint()?, numbers.varint()?);
    let _first = numbers.varint()?;
    let part = block.checked_div(parts).unwrap_or(0);
    let mut left = count.saturating_sub(1);
    if part == 0 && left > 0 {
        return Err(CompactError::Broken("it is divided into nothing"));
    }
    while left > 0 {
        let _least = numbers.varint()?;
        let mut bytes = 0_u64;
        for _ in 0..parts {
            let bits = u64::from(numbers.byte()?);
            // Parts without lengths have a width and no bytes.
            if left > 0 {
                bytes = bytes.saturating_add(bits.saturating_mul(part) / 8);
            }
            left = left.saturating_sub(part);
        }
        numbers.pass(bytes)?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
