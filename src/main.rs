//! The `pumice` program: everything is in the library.

use std::process::ExitCode;

/// Many threads allocate and free in bursts: requests, password hashes, store commits. The C library's allocator would have
/// an arena for each of them, with three times the memory.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pumice::cli::run()
}
