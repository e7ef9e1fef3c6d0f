//! The header of a GGUF file: metadata and the places of tensors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::{GgufError, Result};
use crate::ggml_type::GgmlType;

/// Limits on metadata entries, tensors and elements of one metadata array.
const ENTRIES: u64 = 1 << 16;
const TENSORS: u64 = 1 << 17;
const ELEMENTS: u64 = 1 << 23;
/// Longest string, in bytes.
const STRING: u64 = 1 << 24;
/// Most elements of a tensor.
const SIZE: u64 = 1 << 40;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meta {
    Number(f64),
    Flag(bool),
    Text(String),
    List(Vec<Self>),
}

/// A tensor of the file.
#[derive(Clone, Debug)]
pub(crate) struct TensorInfo {
    pub(crate) ggml_type: GgmlType,
    /// Outermost dimension first, as in safetensors; the file has the reverse order.
    pub(crate) shape: Vec<usize>,
    offset: u64,
}

#[derive(Debug)]
pub(crate) struct Gguf {
    pub(crate) path: PathBuf,
    pub(crate) metadata: BTreeMap<String, Meta>,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
    file: File,
    start: u64,
}

impl Gguf {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = |source| GgufError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut source = ByteSource {
            reader: BufReader::new(file.try_clone().map_err(failed)?),
            at: 0,
            length,
        };
        let header = source
            .header()
            .map_err(|problem| GgufError::file(path, format!("expected a GGUF file: {problem}")))?;
        let (metadata, tensors, alignment) = header;
        let start = source.at.next_multiple_of(alignment);
        for (name, info) in &tensors {
            let end = info
                .bytes()
                .and_then(|bytes| bytes.checked_add(info.offset)?.checked_add(start));
            if end.is_none_or(|end| end > length) {
                return Err(GgufError::file(
                    path,
                    format!("is truncated: tensor `{name}` ends beyond its {length} bytes"),
                ));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            metadata,
            tensors,
            file,
            start,
        })
    }

    /// Reads a tensor as 32-bit floats.
    pub(crate) fn read(&self, info: &TensorInfo) -> Result<Vec<f32>> {
        let bytes = info
            .bytes()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or_default();
        let mut data = vec![0; bytes];
        self.file
            .read_exact_at(&mut data, self.start + info.offset)
            .map_err(|source| GgufError::Read {
                path: self.path.clone(),
                source,
            })?;
        Ok(info.ggml_type.expand(&data))
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key) {
            Some(Meta::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        match self.metadata.get(key) {
            Some(Meta::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> Option<&[Meta]> {
        match self.metadata.get(key) {
            Some(Meta::List(list)) => Some(list),
            _ => None,
        }
    }
}

impl TensorInfo {
    pub(crate) fn elements(&self) -> u64 {
        self.shape.iter().map(|size| *size as u64).product()
    }

    fn bytes(&self) -> Option<u64> {
        let (block, bytes) = self.ggml_type.block();
        let row = *self.shape.last()? as u64;
        row.is_multiple_of(block).then(|| self.elements() / block * bytes)
    }
}

struct ByteSource {
    reader: BufReader<File>,
    at: u64,
    length: u64,
}

type Parsed<T> = std::result::Result<T, String>;
type Header = (BTreeMap<String, Meta>, BTreeMap<String, TensorInfo>, u64);

impl ByteSource {
    fn header(&mut self) -> Parsed<Header> {
        if self.bytes::<4>()? != *b"GGUF" {
            return Err("it must begin with GGUF".to_owned());
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(format!("version {version} is not supported"));
        }
        let tensor_count = self.count(TENSORS, "tensors")?;
        let entry_count = self.count(ENTRIES, "metadata entries")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..entry_count {
            let key = self.string()?;
            let kind = self.u32()?;
            metadata.insert(key, self.meta(kind, 0)?);
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..tensor_count {
            let (name, info) = self.tensor()?;
            tensors.insert(name, info);
        }
        let alignment = match metadata.get("general.alignment") {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in the range"
            )]
            Some(Meta::Number(number)) if (1.0..=65_536.0).contains(number) => *number as u64,
            Some(_) => return Err("general.alignment must be from 1 to 65536".to_owned()),
            None => 32,
        };
        Ok((metadata, tensors, alignment))
    }

    fn tensor(&mut self) -> Parsed<(String, TensorInfo)> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return Err(format!("tensor `{name}` has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        let mut elements = 1_u64;
        for _ in 0..dimensions {
            let size = self.u64()?;
            elements = elements
                .checked_mul(size)
                .filter(|elements| (1..=SIZE).contains(elements))
                .ok_or_else(|| format!("tensor `{name}` is too large"))?;
            shape.insert(0, usize::try_from(size).map_err(|error| error.to_string())?);
        }
        let code = self.u32()?;
        let ggml_type =
            GgmlType::of(code).ok_or_else(|| format!("tensor `{name}` has unknown type {code}"))?;
        let offset = self.u64()?;
        Ok((
            name,
            TensorInfo {
                ggml_type,
                shape,
                offset,
            },
        ))
    }

    #[expect(clippy::cast_precision_loss, reason = "metadata numbers are small")]
    fn meta(&mut self, kind: u32, depth: u32) -> Parsed<Meta> {
        Ok(match kind {
            0 => Meta::Number(f64::from(self.bytes::<1>()?[0])),
            1 => Meta::Number(f64::from(i8::from_le_bytes(self.bytes()?))),
            2 => Meta::Number(f64::from(u16::from_le_bytes(self.bytes()?))),
            3 => Meta::Number(f64::from(i16::from_le_bytes(self.bytes()?))),
            4 => Meta::Number(f64::from(self.u32()?)),
            5 => Meta::Number(f64::from(i32::from_le_bytes(self.bytes()?))),
            6 => Meta::Number(f64::from(f32::from_le_bytes(self.bytes()?))),
            7 => Meta::Flag(self.bytes::<1>()?[0] != 0),
            8 => Meta::Text(self.string()?),
            9 if depth == 0 => {
                let kind = self.u32()?;
                let count = self.count(ELEMENTS, "elements of an array")?;
                Meta::List((0..count).map(|_| self.meta(kind, 1)).collect::<Parsed<_>>()?)
            }
            10 => Meta::Number(self.u64()? as f64),
            11 => Meta::Number(i64::from_le_bytes(self.bytes()?) as f64),
            12 => Meta::Number(f64::from_le_bytes(self.bytes()?)),
            other => return Err(format!("unknown metadata type {other}")),
        })
    }

    fn count(&mut self, limit: u64, what: &str) -> Parsed<u64> {
        let count = self.u64()?;
        if count > limit || count > self.length - self.at {
            return Err(format!("it claims {count} {what}"));
        }
        Ok(count)
    }

    fn string(&mut self) -> Parsed<String> {
        let length = self.count(STRING, "bytes of a string")?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|error| error.to_string())?];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| "a string must be UTF-8".to_owned())
    }

    fn u32(&mut self) -> Parsed<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Parsed<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Parsed<()> {
        self.reader
            .read_exact(bytes)
            .map_err(|_| format!("it is truncated at byte {}", self.at))?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}
