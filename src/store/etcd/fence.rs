//! The fence of a control node: a key that each of its transactions writes, and whose last revision each of them requires.
//!
//! | purpose | how |
//! |---|---|
//! | a lost reply | the fence shows whether the transaction happened; if not, writing the fence again makes sure that it never will |
//! | a second process with the node's name | it takes the fence over; the transactions of the first fail from then on |
//! | lost events | numbers of a node's fence increase by one; a missing number is a missing transaction |
//! | a restored backup | the number is lower than the one that the node knows |
//! | the revision of the last commit | the latest revision of all fences |

use uuid::Uuid;

/// What a transaction that wrote a fence was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Commits of the store.
    Commits,
    /// It makes sure that an earlier transaction, whose reply was lost, does not happen any more; or a new process of the node
    /// began.
    Exclusion,
}

/// The value of a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    /// The process.
    pub(super) incarnation: Uuid,
    /// Increases by one with each transaction of the node, over all of its processes.
    pub(super) number: u64,
    pub(super) purpose: Purpose,
}

const LENGTH: usize = 25;

impl Fence {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(self.incarnation.as_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.push(match self.purpose {
            Purpose::Commits => b'c',
            Purpose::Exclusion => b'x',
        });
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let (incarnation, rest) = bytes.split_first_chunk::<16>()?;
        let (number, purpose) = rest.split_first_chunk::<8>()?;
        Some(Self {
            incarnation: Uuid::from_bytes(*incarnation),
            number: u64::from_be_bytes(*number),
            purpose: match purpose {
                b"c" => Purpose::Commits,
                b"x" => Purpose::Exclusion,
                _ => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_read_as_it_was_written_and_nothing_else_is_one() {
        for purpose in [Purpose::Commits, Purpose::Exclusion] {
            let fence = Fence {
                incarnation: Uuid::from_u128(7),
                number: 1 << 40,
                purpose,
            };
            assert_eq!(Fence::decode(&fence.encode()), Some(fence));
        }
        for damaged in [&[][..], &[0; 24], &[0; 25], &[0; 26]] {
            assert_eq!(Fence::decode(damaged), None);
        }
    }
}
