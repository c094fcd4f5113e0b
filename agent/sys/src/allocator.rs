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

/// Gives back to the kernel what is free, wherever it lies.
///
/// glibc gives back only what is free at the very end, and one small thing that stays there keeps all below it. For a process that
/// has just let go of much and is quiet from now on; it takes a millisecond for some megabytes.
///
/// Does nothing with another libc.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes a number and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
