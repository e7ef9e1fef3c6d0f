//! Peak memory of a function.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Once;

static SHORT_PANICS: Once = Once::new();

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator; each thread counts its own.
struct Counting;

fn count(bytes: isize) {
    // A thread that ends has no counters any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: see above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: see above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both places exist at the same time.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: see above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[allow(clippy::print_stderr, reason = "a panic hook has nothing else")]
fn print_without_backtrace(panic: &std::panic::PanicHookInfo<'_>) {
    eprintln!("{panic}");
}

/// Returns the result of `work` and its peak of allocated bytes on this thread.
///
/// Panics are printed without a backtrace from then on. With `RUST_BACKTRACE` set, a backtrace takes more memory than the measured
/// function.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    SHORT_PANICS.call_once(|| std::panic::set_hook(Box::new(print_without_backtrace)));
    let before = NOW.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before).max(0).cast_unsigned())
}

#[test]
fn allocations_are_counted() {
    let (_, bytes) = peak(|| drop(vec![1_u8; 1 << 20]));
    assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
    let (held, _) = peak(|| vec![1_u8; 1 << 20]);
    let (_, bytes) = peak(|| drop(held));
    assert_eq!(bytes, 0);
}
