//! The content of a fake volume: the pieces that are not zeros, shared between a volume and its snapshots and clones.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The size of a piece.
const PIECE: u64 = 4096;

/// The most pieces of one volume: 64 MiB.
const MOST_PIECES: usize = 16 << 10;

/// The content of one volume or snapshot; a clone copies only the references to its pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pieces: BTreeMap<u64, Arc<[u8]>>,
}

impl Content {
    /// The first byte at or after `offset` in a piece that is not all zeros.
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        let (index, _) = self.pieces.range(offset / PIECE..).next()?;
        Some(offset.max(index * PIECE))
    }

    /// Reads so many bytes.
    pub fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let end = offset + as_u64(length);
        for (index, piece) in self.pieces.range(offset / PIECE..end.div_ceil(PIECE)) {
            let start = index * PIECE;
            let (from, to) = (offset.max(start), end.min(start + PIECE));
            bytes[as_usize(from - offset)..as_usize(to - offset)]
                .copy_from_slice(&piece[as_usize(from - start)..as_usize(to - start)]);
        }
        bytes
    }

    /// Writes these bytes. False if the content would exceed the bound.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> bool {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let index = at / PIECE;
            let start = as_usize(at - index * PIECE);
            let length = rest.len().min(as_usize(PIECE) - start);
            let mut piece = self.read(index * PIECE, as_usize(PIECE));
            piece[start..start + length].copy_from_slice(&rest[..length]);
            if piece.iter().all(|byte| *byte == 0) {
                self.pieces.remove(&index);
            } else {
                self.pieces.insert(index, piece.into());
            }
            at += as_u64(length);
            rest = &rest[length..];
        }
        self.pieces.len() <= MOST_PIECES
    }

    /// Overwrites so many bytes with zeros.
    pub fn write_zeros(&mut self, offset: u64, length: u64) {
        let end = offset + length;
        let touched: Vec<u64> = self
            .pieces
            .range(offset / PIECE..end.div_ceil(PIECE))
            .map(|(index, _)| *index)
            .collect();
        for index in touched {
            let (from, to) = (offset.max(index * PIECE), end.min((index + 1) * PIECE));
            // Fewer pieces afterwards, or as many.
            let _ = self.write(from, &vec![0; as_usize(to - from)]);
        }
    }
}

fn as_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Content;

    const LENGTH: usize = 40_000;

    proptest! {
        #[test]
        fn it_is_as_an_array_of_bytes(writes in proptest::collection::vec((0..LENGTH, 1_usize..9000, 0_u8..3), 0..12)) {
            let (mut content, mut bytes) = (Content::default(), vec![0; LENGTH]);
            for (start, length, byte) in writes {
                let end = (start + length).min(LENGTH);
                let offset = u64::try_from(start).unwrap();
                if byte == 2 {
                    content.write_zeros(offset, u64::try_from(end - start).unwrap());
                } else {
                    prop_assert!(content.write(offset, &vec![byte; end - start]));
                }
                bytes[start..end].fill(byte % 2);
            }
            prop_assert!(content.read(0, LENGTH) == bytes);
            prop_assert!(content.read(4097, 5000) == bytes[4097..9097]);
            let first = bytes.iter().position(|byte| *byte != 0);
            prop_assert_eq!(content.next_data(0).is_some(), first.is_some());
            prop_assert!(content.next_data(0) <= first.map(|first| u64::try_from(first).unwrap()));
        }
    }
}
