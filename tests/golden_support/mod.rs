//! Samples of what is stored and sent, held against their golden files. Of tests under `tests`, and of unit tests in the file of a
//! verb or of a kind of record, where a new one's samples stand (the library calls itself `pumice` for that).
//!
//! `PUMICE_WRITE_GOLDEN=1` writes files: one of a record only if it is not there, those of messages anew.

#![allow(dead_code, reason = "each test that uses it needs only a part")]

use std::fmt::Debug;
use std::path::PathBuf;

use pumice::messages::{Message, Topic};
use pumice::store::record::{Record, decode, encode};
use pumice::transport::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Whether files are to be written.
pub fn writing() -> bool {
    std::env::var_os("PUMICE_WRITE_GOLDEN").is_some()
}

fn path(folder: &str, name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", folder, name]
        .iter()
        .collect()
}

/// The file of messages and replies of that name.
pub fn wire(name: &str) -> PathBuf {
    path("wire", &format!("{name}.hex"))
}

/// The file of a record, or of parts of records.
pub fn stored(name: &str) -> PathBuf {
    path("records", name)
}

/// Compares with the file, which is written if that was asked for and there is none.
pub fn check_text(name: &str, text: &str) {
    let path = stored(name);
    if !path.exists() && writing() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; PUMICE_WRITE_GOLDEN=1 writes it", path.display()));
    assert_eq!(
        text, kept,
        "{name}: the stored form changed; see src/store/record.rs for what to do"
    );
}

/// Hex in lines, so that a difference can be seen.
fn hex_lines(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|line| hex::encode(line) + "\n").collect()
}

/// A record has the bytes of its golden file, and those of earlier versions are still read.
pub fn record<R: Record + PartialEq + Debug>(form: &str, record: &R) {
    record_since(form, 1, record);
}

/// The same for a form that was first written in this version of the record.
pub fn record_since<R: Record + PartialEq + Debug>(form: &str, first: u8, record: &R) {
    let bytes = encode(record).unwrap();
    let name = R::NAME.replace(' ', "_");
    check_text(&format!("{name}.{form}.v{}.hex", R::VERSION), &hex_lines(&bytes));
    assert_eq!(&decode::<R>(&bytes).unwrap(), record);
    for version in first..R::VERSION {
        let old = std::fs::read_to_string(stored(&format!("{name}.{form}.v{version}.hex"))).unwrap();
        let bytes = hex::decode(old.replace('\n', "")).unwrap();
        decode::<R>(&bytes).unwrap_or_else(|error| panic!("{name} of version {version}: {error}"));
    }
}

/// Compares lines with the file of that name, or writes it.
pub fn compare(name: &str, lines: &[(String, Vec<u8>)]) {
    let path = wire(name);
    let text: String = lines
        .iter()
        .map(|(label, bytes)| format!("{label} {}\n", hex::encode(bytes)))
        .collect();
    if writing() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{name} has other bytes than {}:\nkept\n{kept}\nnow\n{text}",
        path.display()
    );
}

/// Lines for samples, each of which must be read back as it was.
pub fn lines<T: Serialize + DeserializeOwned + Debug>(samples: &[(&str, T)]) -> Vec<(String, Vec<u8>)> {
    let line = |(label, sample): &(&str, T)| {
        let bytes = codec::encode(sample).unwrap();
        let back: T = codec::decode(&bytes).unwrap();
        assert_eq!(format!("{back:?}"), format!("{sample:?}"));
        assert_eq!(codec::encode(&back).unwrap(), bytes);
        for cut in 0..bytes.len() {
            assert!(codec::decode::<T>(&bytes[..cut]).is_err(), "{label} cut at {cut}");
        }
        ((*label).to_owned(), bytes)
    };
    samples.iter().map(line).collect()
}

/// Samples of a message have the bytes of its golden file.
pub fn message<M: Message>(samples: &[(&str, M)]) {
    compare(&file_name::<M>(), &lines(samples));
}

/// The name of a message's golden file.
pub fn file_name<M: Message>() -> String {
    format!("message.{}.{}", <M::To as Topic>::NAME, M::NAME)
}

/// Samples of a reply have the bytes of their golden file.
pub fn reply<T: Serialize + DeserializeOwned + Debug>(name: &str, samples: &[(&str, T)]) {
    compare(&format!("reply.{name}"), &lines(samples));
}
