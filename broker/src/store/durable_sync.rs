//! Makes sled's flush durable: this program defines the symbol `sync_file_range` as fdatasync. It
//! is separate because it is the one `unsafe` of the project, and because it is proven at start.
//!
//! On Linux sled 0.34 ends a flush with sync_file_range, which writes neither the file's size nor
//! its block map and does not flush the drive's cache; in simulated power cuts 80 of 82 lost
//! acknowledged data. The executable's own symbol wins over the C library's, so defining it here
//! turns each of these calls into an fdatasync, and its error reaches sled as before.
//! It wins in a statically linked program, too (glibc, `+crt-static`), and where it would not, the start
//! says so and ends.

use std::sync::atomic::{AtomicU64, Ordering};

/// Syncs that succeeded, since the process started.
static SYNCS: AtomicU64 = AtomicU64::new(0);

/// How many durable syncs the hook has made since the process started.
///
/// Whoever flushes sled compares it before and after: if it did not move, the hook is not linked
/// and nothing is durable. On systems other than Linux sled syncs by itself and nothing is counted.
#[must_use]
pub fn count() -> u64 {
    SYNCS.load(Ordering::Acquire)
}

/// Keeps the hook in the program: the linker drops what nobody names. On other systems than Linux
/// there is none, because sled needs none.
#[must_use]
pub fn is_needed() -> bool {
    #[cfg(target_os = "linux")]
    std::hint::black_box(hook::sync_file_range as *const ());
    cfg!(target_os = "linux")
}

#[cfg(target_os = "linux")]
mod hook {
    use std::ffi::{c_int, c_uint};
    use std::sync::atomic::Ordering;

    /// Stands in for the C library's function of this name.
    #[allow(
        unsafe_code,
        reason = "overriding a C symbol and calling fdatasync on a raw descriptor cannot be said \
                  in safe Rust; the descriptor is the caller's, open for the time of the call"
    )]
    #[unsafe(no_mangle)]
    pub(super) extern "C" fn sync_file_range(fd: c_int, _offset: i64, _bytes: i64, _flags: c_uint) -> c_int {
        loop {
            // SAFETY: fdatasync takes any number; one that is no open file answers EBADF.
            let result = unsafe { libc::fdatasync(fd) };
            if result == 0 {
                super::SYNCS.fetch_add(1, Ordering::AcqRel);
            } else if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted {
                // sled would take it for a failure of the disk.
                continue;
            }
            return result;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_is_what_sleds_flush_calls() {
        let dir = tempfile::TempDir::new().unwrap();
        let db = sled::Config::new().path(dir.path()).flush_every_ms(None).open().unwrap();
        for round in 0..10_u8 {
            let before = count();
            db.insert([round], &[round]).unwrap();
            db.flush().unwrap();
            assert!(!is_needed() || count() > before, "the hook is not linked");
        }
    }
}
