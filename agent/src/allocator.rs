//! How the C library gives out memory: for a short life with many small pieces.

/// What the heap grows by, in bytes; each step is a system call.
#[cfg(target_env = "gnu")]
const STEP: libc::c_int = 1024 * 1024;
/// What stays free at its end before it is given back.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 16 * 1024 * 1024;

/// One heap for all threads, which grows in large steps: a heap for each thread grows by single pages.
#[cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "there is no other way to tell the C library"))]
pub fn prepare() {
    // SAFETY: only numbers are handed over.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, STEP);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}
