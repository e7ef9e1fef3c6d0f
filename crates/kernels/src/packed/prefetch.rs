//! Prefetching of weights.

/// Bytes between the weights in use and those that are prefetched: twice what a core reads during the latency of memory.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4096;

/// Prefetches the step of a stream that is `AHEAD` bytes after step `at`. Has no effect on other processors.
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
