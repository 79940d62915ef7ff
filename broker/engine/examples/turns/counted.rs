//! What is counted: allocations, and the processor time of this thread.
#![allow(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The system's allocator, counted.
struct Counted;

/// Bytes in use.
pub(crate) static BYTES: AtomicI64 = AtomicI64::new(0);
/// Allocations so far.
pub(crate) static CALLS: AtomicU64 = AtomicU64::new(0);

fn grow(by: usize) -> i64 {
    i64::try_from(by).expect("less than there is memory")
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(grow(layout.size()), Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's layout, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(grow(size) - grow(layout.size()), Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's pointer, layout and size, unchanged.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(grow(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's pointer and layout, unchanged.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// The processor time this thread has had: other programs do not disturb it. Elsewhere than on Linux
/// it is the wall clock's.
pub(crate) fn processor_time(start: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = stat.split(' ').next().and_then(|text| text.parse().ok());
    spent.map_or_else(|| start.elapsed(), Duration::from_nanos)
}
