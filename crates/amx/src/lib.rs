//! Products of bfloat16 matrices on processors with Intel's Advanced Matrix Extensions (AMX), sixteen times as fast as with vectors.
//!
//! Rust has no stable functions for these instructions, so this crate holds the project's only assembly, and nothing else.
//! [`Amx::detect`] reports whether they may be used. [`Amx::product`] multiplies matrices in tiles. The crate knows no models,
//! threads or memory layouts beyond a tile. It detects AMX on Linux on x86-64 only.
//!
//! Instructions and layouts: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

/// Rows and columns of a product.
pub const SIDE: usize = 32;
/// Inner elements of a step.
pub const DEPTH: usize = 32;

/// One step of the left operand: inner elements of each row, as the upper halves of 32-bit floats.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Rows(pub [[u16; DEPTH]; SIDE]);

/// One step of the right operand: for two neighboring inner elements the values of each column, the first in the lower half.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Pairs(pub [[u32; SIDE]; DEPTH / 2]);

/// A product, row by row.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Sums(pub [[f32; SIDE]; SIDE]);

impl Rows {
    /// Zeros.
    pub const ZERO: Self = Self([[0; DEPTH]; SIDE]);
}

impl Pairs {
    /// Zeros.
    pub const ZERO: Self = Self([[0; SIDE]; DEPTH / 2]);
}

impl Sums {
    /// Zeros.
    pub const ZERO: Self = Self([[0.0; SIDE]; SIDE]);
}

/// Rounds a value to bfloat16, to even in the middle. The result is in the upper half; the lower half has no meaning.
///
/// Without branches, so that loops over it become vector code.
#[inline(always)]
#[must_use]
pub fn rounded(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_nan() {
        return bits | 0x0040_0000;
    }
    bits.wrapping_add(0x7fff + (bits >> 16 & 1))
}

/// Proof that this processor has the instructions and that the kernel allows them to this process.
#[derive(Clone, Copy, Debug)]
pub struct Amx(());

impl Amx {
    /// Checks the processor and asks the kernel for permission, in the first call.
    #[must_use]
    pub fn detect() -> Option<Self> {
        static FOUND: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        FOUND.get_or_init(imp::is_usable).then_some(Self(()))
    }

    /// Sums products over all steps of both operands; steps that only one of them has are left out. Only the first `rows` of the left
    /// operand and the result count, and few rows take less time. Other rows of the result are unchanged.
    ///
    /// Products are exact. Sums are 32-bit floats: even and odd inner elements of a step are summed separately and then added to
    /// earlier steps. Other rows have no influence. Values below 2⁻¹²⁶ count as zero.
    pub fn product(self, left: &[Rows], right: &[Pairs], rows: usize, out: &mut Sums) {
        let (steps, rows) = (left.len().min(right.len()), rows.min(SIDE));
        if steps == 0 {
            out.0[..rows].as_flattened_mut().fill(0.0);
        } else if rows > 0 {
            imp::product(&left[..steps], &right[..steps], rows, out);
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod imp {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;

    use super::{Pairs, Rows, Sums};

    /// `ARCH_REQ_XCOMP_PERM` and `XFEATURE_XTILEDATA` of the kernel (Documentation/arch/x86/xstate.rst).
    const REQUEST: libc::c_long = 0x1023;
    const TILES: libc::c_long = 18;
    /// Bits of leaf 7: bfloat16, and tiles at all.
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;

    pub(super) fn is_usable() -> bool {
        let features = __cpuid_count(7, 0).edx;
        features & BF16 != 0 && features & TILE != 0 && is_allowed()
    }

    /// Requests permission. Without it a thread's first use of tiles would end the process. Kernels and sandboxes without support
    /// refuse it.
    fn is_allowed() -> bool {
        #[expect(unsafe_code, reason = "no library wraps this system call")]
        // SAFETY: the call takes two numbers, and reads or writes no memory of this process.
        let refused = unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILES) };
        refused == 0
    }

    /// Operand of `ldtilecfg`: the shapes of the eight tiles.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    impl Shapes {
        /// Tiles 0, 1 and 4 have some of the upper rows, and 2, 3 and 5 of the lower ones. Tiles 6 and 7, of the right operand, are
        /// whole.
        fn new(upper: u8, lower: u8) -> Self {
            let mut rows = [0; 16];
            rows[..8].copy_from_slice(&[upper, upper, lower, lower, upper, lower, 16, 16]);
            Self {
                palette: 1,
                start_row: 0,
                reserved: [0; 14],
                row_bytes: rows.map(|rows| if rows > 0 { 64 } else { 0 }),
                rows,
            }
        }
    }

    /// Rows of a tile.
    const TILE_ROWS: usize = 16;

    pub(super) fn product(left: &[Rows], right: &[Pairs], rows: usize, out: &mut Sums) {
        assert!(!left.is_empty() && left.len() == right.len() && (1..=2 * TILE_ROWS).contains(&rows));
        let (upper, lower) = (rows.min(TILE_ROWS), rows.saturating_sub(TILE_ROWS));
        #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
        let shapes = Shapes::new(upper as u8, lower as u8);
        if lower > 0 {
            both(left, right, &shapes, out);
        } else {
            half(left, right, &shapes, out);
        }
    }

    /// Multiplies all rows. Four tiles of sums stay in registers while two of each operand are loaded for each step.
    fn both(left: &[Rows], right: &[Pairs], shapes: &Shapes, out: &mut Sums) {
        #[expect(unsafe_code, reason = "the instructions exist in assembly only")]
        // SAFETY: `Amx::detect` has found that they may be used. The loop runs `left.len()` times and reads within 2048 bytes, the size of
        // `Rows` and of `Pairs`, of each slice every time; `product` has seen that both have that many elements. The stores write
        // within the 32 rows of 128 bytes of `out`. Tiles are configured at the beginning with at most 16 rows of 64 bytes, released
        // at the end and all declared as overwritten; no other register, no stack and no other memory is touched.
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{left} + {row}*1]",
                "tileloadd tmm6, [{right} + {line}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{right} + {line}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{left} + {row}*1 + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {left}, 2048",
                "add {right}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {line}*1], tmm0",
                "tilestored [{out} + {line}*1 + 64], tmm1",
                "tilestored [{out} + {line}*1 + 2048], tmm2",
                "tilestored [{out} + {line}*1 + 2112], tmm3",
                "tilerelease",
                shapes = in(reg) std::ptr::from_ref(shapes),
                left = inout(reg) left.as_ptr() => _,
                right = inout(reg) right.as_ptr() => _,
                steps = inout(reg) left.len() => _,
                out = in(reg) out.0.as_mut_ptr(),
                row = in(reg) 64_usize,
                line = in(reg) 128_usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// Multiplies the upper 16 rows. Few rows are done before memory delivers the next step of the right operand, so each step
    /// prefetches the one that is two steps later.
    fn half(left: &[Rows], right: &[Pairs], shapes: &Shapes, out: &mut Sums) {
        #[expect(unsafe_code, reason = "the instructions exist in assembly only")]
        // SAFETY: as above; of `left` and `out` the upper halves are touched. A prefetch is a hint that faults at no address.
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                "tileloadd tmm4, [{left} + {row}*1]",
                "tileloadd tmm6, [{right} + {line}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{right} + {line}*1 + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                ".irp line, 0,64,128,192,256,320,384,448,512,576,640,704,768,832,896,960",
                "prefetcht0 [{right} + 4096 + \\line]",
                "prefetcht0 [{right} + 5120 + \\line]",
                ".endr",
                "add {left}, 2048",
                "add {right}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {line}*1], tmm0",
                "tilestored [{out} + {line}*1 + 64], tmm1",
                "tilerelease",
                shapes = in(reg) std::ptr::from_ref(shapes),
                left = inout(reg) left.as_ptr() => _,
                right = inout(reg) right.as_ptr() => _,
                steps = inout(reg) left.len() => _,
                out = in(reg) out.0.as_mut_ptr(),
                row = in(reg) 64_usize,
                line = in(reg) 128_usize,
                out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod imp {
    use super::{Pairs, Rows, Sums};

    pub(super) fn is_usable() -> bool {
        false
    }

    /// Never called, because AMX is not detected.
    pub(super) fn product(_: &[Rows], _: &[Pairs], _: usize, _: &mut Sums) {}
}

#[cfg(test)]
mod tests;
