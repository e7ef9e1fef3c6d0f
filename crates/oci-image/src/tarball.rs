//! Reads untrusted tar archives with bounded memory, and checks every number.
//!
//! Uses the library's header type, but not its iterator, which reads long names and extended headers of any size into memory.

use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

use crate::error::{Error, Result};

const BLOCK: usize = 512;
/// Most bytes of an extended header, which holds names and attributes.
const EXTENSION_BYTES: u64 = 1 << 20;

/// One entry, without its content.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: EntryType,
    /// Bytes of content.
    pub(crate) size: u64,
    pub(crate) executable: bool,
    /// Target of a link.
    pub(crate) target: Vec<u8>,
}

/// Extended headers of the next entry.
#[derive(Debug, Default)]
struct Extended {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

/// An archive. Reading from it returns the content of the current entry.
pub(crate) struct Tarball<R> {
    source: R,
    /// Unread bytes of the current entry.
    left: u64,
    /// Padding after the content.
    padding: u64,
}

impl<R: Read> Tarball<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            left: 0,
            padding: 0,
        }
    }

    /// The source at its current position.
    pub(crate) fn into_inner(self) -> R {
        self.source
    }

    /// Advances to the next entry; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        let mut extended = Extended::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let kind = header.entry_type();
            let size = extended.size.filter(|_| !is_extension(kind));
            let size = match size {
                Some(size) => size,
                None => header.entry_size().map_err(|error| damaged(&error))?,
            };
            self.left = if has_content(kind) { size } else { 0 };
            self.padding = (BLOCK as u64 - self.left % BLOCK as u64) % BLOCK as u64;
            match kind {
                EntryType::GNULongName => extended.name = Some(self.text()?),
                EntryType::GNULongLink => extended.target = Some(self.text()?),
                EntryType::XHeader => self.pax(&mut extended)?,
                EntryType::XGlobalHeader => {}
                _ => return self.entry(&header, extended).map(Some),
            }
        }
    }

    fn entry(&self, header: &Header, extended: Extended) -> Result<Entry> {
        let name = extended.name.unwrap_or_else(|| header.path_bytes().into_owned());
        if extended.sparse || header.entry_type() == EntryType::GNUSparse {
            return Err(Error::refused(&name, "is a sparse file, which is not supported"));
        }
        let in_header = || header.link_name_bytes().map(|target| target.into_owned());
        Ok(Entry {
            name,
            kind: header.entry_type(),
            size: self.left,
            executable: header.mode().map_err(|error| damaged(&error))? & 0o111 != 0,
            target: extended.target.or_else(in_header).unwrap_or_default(),
        })
    }

    /// Reads the next header; `None` at a block of zeros or at the end of the source.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let read = read_full(&mut self.source, block).map_err(source_failed)?;
        if read == 0 || (read == BLOCK && block.iter().all(|byte| *byte == 0)) {
            return Ok(None);
        }
        if read < BLOCK {
            return Err(Error::Damaged("it ends inside a header".to_owned()));
        }
        let sum = checksum(block);
        if header.cksum().map_err(|error| damaged(&error))? != sum {
            return Err(Error::Damaged("a header has the wrong checksum".to_owned()));
        }
        Ok(Some(header))
    }

    fn skip_rest(&mut self) -> Result<()> {
        let content = std::mem::take(&mut self.left);
        let padding = std::mem::take(&mut self.padding);
        let skip = content.saturating_add(padding);
        let skipped =
            io::copy(&mut self.source.by_ref().take(skip), &mut io::sink()).map_err(source_failed)?;
        // Some tools omit the padding after the last entry.
        if skipped < content {
            return Err(Error::Damaged("it ends inside an entry".to_owned()));
        }
        Ok(())
    }

    /// Reads the whole content of an extension.
    fn extension(&mut self) -> Result<Vec<u8>> {
        if self.left > EXTENSION_BYTES {
            return Err(Error::Damaged(format!(
                "an extended header of {} bytes",
                self.left
            )));
        }
        let mut content = Vec::new();
        let announced = self.left;
        self.read_to_end(&mut content).map_err(source_failed)?;
        if (content.len() as u64) < announced {
            return Err(Error::Damaged("it ends inside an extended header".to_owned()));
        }
        Ok(content)
    }

    fn text(&mut self) -> Result<Vec<u8>> {
        let mut text = self.extension()?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        text.truncate(end);
        Ok(text)
    }

    fn pax(&mut self, extended: &mut Extended) -> Result<()> {
        let content = self.extension()?;
        for record in PaxExtensions::new(&content) {
            let record = record.map_err(|error| damaged(&error))?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => extended.name = Some(value.to_vec()),
                b"linkpath" => extended.target = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    let bad = || Error::Damaged("an extended header with a bad size".to_owned());
                    extended.size = Some(size.ok_or_else(bad)?);
                }
                key if key.starts_with(b"GNU.sparse.") => extended.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Tarball<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.by_ref().take(self.left).read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
    )
}

/// Reports whether an entry has content. Links and directories may announce a size without one.
fn has_content(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Directory
            | EntryType::Char
            | EntryType::Block
            | EntryType::Fifo
    )
}

/// The checksum of POSIX: the sum of all bytes, with blanks in place of the checksum itself.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let field = 148..156;
    let byte = |(index, byte): (usize, &u8)| {
        if field.contains(&index) {
            u32::from(b' ')
        } else {
            u32::from(*byte)
        }
    };
    block.iter().enumerate().map(byte).sum()
}

fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len() as u64;
    let mut rest = buffer;
    io::copy(&mut source.take(wanted), &mut rest).map(|read| usize::try_from(read).unwrap_or(usize::MAX))
}

fn damaged(error: &io::Error) -> Error {
    Error::Damaged(error.to_string())
}

fn source_failed(source: io::Error) -> Error {
    Error::Io {
        doing: "read the layer".to_owned(),
        source,
    }
}
