//! glibc's allocator, of which the shim's musl has none.

/// Lets all threads take memory from one arena.
///
/// glibc gives each new thread an arena of its own, up to eight for each processor, and what one frees no other one uses. A
/// process whose threads come and go, and take turns more than they compete, holds a multiple of what it needs.
///
/// Best called before the first thread. Does nothing with another libc.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes numbers and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
