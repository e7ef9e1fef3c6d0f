//! Asks for weights before they are needed.

/// Bytes between what is multiplied and what is asked for: what a core reads from memory while it waits for one answer, twice.
const AHEAD: usize = 4096;

/// Asks for the step of a stream that comes [`AHEAD`] bytes after step `at`. Does nothing where it is not known how.
#[inline(always)]
pub(super) fn prefetch<T>(stream: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(step) = stream.get(at + AHEAD.div_ceil(size_of::<T>())) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = std::ptr::from_ref(step).cast::<i8>();
        for line in 0..size_of::<T>().div_ceil(64) {
            #[expect(
                unsafe_code,
                reason = "the function takes a pointer, which the instruction never reads through"
            )]
            // SAFETY: a prefetch is a hint; it changes no memory and faults at no address, and this one is inside a value.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64 * line));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (stream, at);
}
