//! Everything a stranger's bytes go through: the frame reader, all header decoders, all payload decoders.
//!
//! `cargo +nightly fuzz run frames -- -max_total_time=60 -rss_limit_mb=512 -malloc_limit_mb=64`, from the repository's root. The
//! golden bytes of `tests/golden/wire` make a good start:
//! `cut -d' ' -f2 tests/golden/wire/*.hex | while read -r h; do printf %s "$h" | xxd -r -p > fuzz/corpus/frames/$(printf %s "$h" | sha1sum | cut -c1-16); done`

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pumice::inventory::feed(bytes));
