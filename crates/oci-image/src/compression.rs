//! Decompresses layers. The first bytes identify the compression.
//!
//! Media types are ignored, since registries hold layers with a wrong type.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The common part of the sixteen magic numbers of skippable frames.
const ZSTD_SKIP: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Removes gzip or zstd compression. Other bytes stay as they are.
///
/// # Errors
/// The source fails.
pub fn decompressed<'a>(source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut source = source;
    let mut start = Vec::with_capacity(ZSTD.len());
    source.by_ref().take(ZSTD.len() as u64).read_to_end(&mut start)?;
    let is = |magic: &[u8]| start.starts_with(magic);
    let is_skip = start.get(1..).is_some_and(|rest| rest == ZSTD_SKIP);
    let (gzip, zstd) = (is(&GZIP), is(&ZSTD) || is_skip);
    let whole = BufReader::with_capacity(1 << 16, io::Cursor::new(start).chain(source));
    Ok(if gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else if zstd {
        Box::new(Zstd {
            source: whole,
            frame: None,
        })
    } else {
        Box::new(whole)
    })
}

/// Reads all frames of a zstd stream. The library's reader reads one frame only.
struct Zstd<R> {
    source: R,
    frame: Option<FrameDecoder>,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(frame) = &mut self.frame else {
                self.frame = next_frame(&mut self.source)?;
                if self.frame.is_none() {
                    return Ok(0);
                }
                continue;
            };
            if frame.can_collect() > 0 {
                return frame.read(buffer);
            }
            if frame.is_finished() {
                self.frame = None;
                continue;
            }
            frame
                .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(|error| invalid(&error))?;
        }
    }
}

/// Opens the next frame with content; `None` at the end of the stream.
fn next_frame(source: &mut impl BufRead) -> io::Result<Option<FrameDecoder>> {
    loop {
        if source.fill_buf()?.is_empty() {
            return Ok(None);
        }
        // The library's limit on the window bounds the memory.
        let mut frame = FrameDecoder::new();
        match frame.init(&mut *source) {
            Ok(()) => return Ok(Some(frame)),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => skip(source, length.into())?,
            Err(error) => return Err(invalid(&error)),
        }
    }
}

fn skip(source: &mut impl Read, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut source.take(length), &mut io::sink())?;
    if skipped < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn invalid(error: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    #[track_caller]
    fn check(compressed: &[u8], plain: &[u8]) {
        let mut read = Vec::new();
        decompressed(compressed).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == plain, "{} bytes for {}", read.len(), plain.len());
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        compress_to_vec(plain, CompressionLevel::Fastest)
    }

    #[test]
    fn every_form_gives_the_same_bytes() {
        let plain: Vec<u8> = (0..400_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for plain in [&plain[..], b"abc", b"a", b""] {
            check(plain, plain);
            check(&gzip(plain), plain);
            check(&zstd(plain), plain);
        }
    }

    #[test]
    fn several_members_follow_each_other() {
        check(&[gzip(b"one"), gzip(b"two")].concat(), b"onetwo");
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let frames = [
            skippable.clone(),
            zstd(b"one"),
            skippable.clone(),
            zstd(b"two"),
            skippable,
        ]
        .concat();
        check(&frames, b"onetwo");
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        let plain: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&plain), zstd(&plain)] {
            let cut = &whole[..whole.len() / 2];
            let mut read = Vec::new();
            assert!(decompressed(cut).unwrap().read_to_end(&mut read).is_err());
        }
    }
}
