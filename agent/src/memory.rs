//! Keeps the agent's memory small: one arena for all threads, and freed pages back to the kernel.
#![allow(unsafe_code)]

/// To be called once, before the first thread.
pub fn use_one_arena() {
    // A thread of its own arena keeps 100 KiB and more for good; nothing here allocates in
    // parallel long enough to gain from it. Large buffers come and go as mappings.
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, 64 << 10)] {
        // SAFETY: mallopt only changes the allocator's own settings; no other thread exists yet.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// After work that needed much memory for a while, such as an import.
pub fn give_back() {
    // SAFETY: malloc_trim takes the allocator's lock and only releases what is free.
    unsafe { libc::malloc_trim(0) };
}
