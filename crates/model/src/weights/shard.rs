//! One safetensors file: its header and tensors.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::error::{Error, Result};

/// Largest header, in bytes: hundreds of thousands of tensors.
const HEADER_BYTES: u64 = 64 << 20;
/// Bytes read and converted at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A tensor in memory, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Upper halves of 32-bit floats.
    Bf16(Vec<u16>),
}

impl Tensor {
    /// The values as 32-bit floats.
    #[must_use]
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            Self::Bf16(values) => values
                .iter()
                .map(|bits| f32::from_bits(u32::from(*bits) << 16))
                .collect(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Shard {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Place of the data of the first tensor.
    start: u64,
}

impl Shard {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let truncated = || {
            Error::file(
                path,
                format!("is truncated or not a safetensors file: it has {length} bytes"),
            )
        };
        let mut prefix = [0; 8];
        file.read_exact_at(&mut prefix, 0).map_err(|_| truncated())?;
        let header_length = u64::from_le_bytes(prefix);
        if header_length > HEADER_BYTES {
            return Err(Error::file(
                path,
                format!("claims a header of {header_length} bytes: expected a safetensors file"),
            ));
        }
        let start = 8 + header_length;
        if start > length {
            return Err(truncated());
        }
        let mut header = vec![0; usize::try_from(header_length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut header, 8).map_err(failed)?;
        // Checks offsets against shapes, and that tensors neither overlap nor leave gaps.
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| Error::file(path, format!("has a broken header: {error}")))?;
        let shard = Self {
            path: path.to_owned(),
            file,
            metadata,
            start,
        };
        match shard.start.checked_add(shard.bytes()) {
            Some(needed) if needed <= length => Ok(shard),
            _ => Err(Error::file(
                path,
                format!(
                    "is truncated: its header claims {} bytes of tensors, the file has {}",
                    shard.bytes(),
                    length - start
                ),
            )),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.metadata.tensors().into_keys()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.metadata.data_len() as u64
    }

    pub(super) fn is_wide(&self, name: &str) -> bool {
        self.metadata
            .info(name)
            .is_some_and(|info| matches!(info.dtype, Dtype::F32 | Dtype::F16))
    }

    pub(super) fn shape(&self, name: &str) -> Result<Vec<usize>> {
        Ok(self.info(name)?.shape.clone())
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.metadata.info(name).ok_or_else(|| Error::MissingTensor {
            name: name.to_owned(),
        })
    }

    pub(super) fn read(&self, name: &str) -> Result<Tensor> {
        let info = self.info(name)?;
        let (from, to) = info.data_offsets;
        match info.dtype {
            Dtype::F32 => Ok(Tensor::F32(
                self.convert(from, to, |b: [u8; 4]| f32::from_le_bytes(b))?,
            )),
            Dtype::BF16 => {
                Ok(Tensor::Bf16(self.convert(from, to, |b: [u8; 2]| {
                    bf16::from_le_bytes(b).to_bits()
                })?))
            }
            Dtype::F16 => {
                Ok(Tensor::F32(self.convert(from, to, |b: [u8; 2]| {
                    f16::from_le_bytes(b).to_f32()
                })?))
            }
            other => Err(Error::file(
                &self.path,
                format!("tensor `{name}` has type {other:?}: expected F32, BF16 or F16"),
            )),
        }
    }

    fn convert<T, const N: usize>(
        &self,
        from: usize,
        to: usize,
        value: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        // The range lies in the file, so memory is bounded by the size of the file, times two for f16.
        let mut out = Vec::with_capacity((to - from) / N);
        let mut buffer = vec![0; CHUNK_BYTES.min(to - from)];
        let mut at = from;
        while at < to {
            let chunk = &mut buffer[..CHUNK_BYTES.min(to - at)];
            self.file
                .read_exact_at(chunk, self.start + at as u64)
                .map_err(|source| Error::Read {
                    path: self.path.clone(),
                    source,
                })?;
            let (values, _) = chunk.as_chunks::<N>();
            out.extend(values.iter().map(|bytes| value(*bytes)));
            at += chunk.len();
        }
        Ok(out)
    }
}
