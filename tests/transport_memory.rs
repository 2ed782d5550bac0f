//! What a frame can make this node allocate: a small multiple of its size, whatever it claims.
//!
//! bincode's own limit does not hold when decoding from a slice, so this is measured: an allocator that counts, and the
//! worst that a frame may say for each message.

#![expect(unsafe_code, reason = "an allocator that counts is not made without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::BytesMut;
use pumice::inventory::feed;
use pumice::inventory::{Visitor, every_message};
use pumice::messages::Message;
use pumice::transport::codec;
use pumice::transport::frame::{self, Kind, MAX_FRAME};
use pumice::transport::header::Announcement;

struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

fn count(more: usize, less: usize) {
    // While a thread ends its locals are gone; what it allocates then does not count here.
    let _ = NOW.try_with(|now| {
        now.set((now.get() + more).saturating_sub(less));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: all is left to the system's allocator; counting touches plain thread-local cells only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was allocated at once while `work` ran.
fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

/// One MiB, as a frame may be, in which every eight bytes say `length`.
fn claims(length: u64) -> Vec<u8> {
    length.to_le_bytes().repeat(MAX_FRAME / 8)
}

/// The largest peak over all payload decoders.
struct Worst<'a> {
    payload: &'a [u8],
    peak: usize,
    message: &'static str,
}

impl Visitor for Worst<'_> {
    fn message<M: Message>(&mut self) {
        for taken in [
            peak(|| drop(codec::decode::<M>(self.payload))),
            peak(|| drop(codec::decode::<M::Reply>(self.payload))),
        ] {
            if taken > self.peak {
                (self.peak, self.message) = (taken, M::NAME);
            }
        }
    }
}

#[test]
fn no_payload_makes_more_than_a_small_multiple_of_its_size() {
    for length in [0, 1, 8, 255, 1000, 65_536, MAX_FRAME as u64, 1 << 40, u64::MAX] {
        let payload = claims(length);
        // At every offset, so that each field once meets the start of a claim.
        for offset in 0..8 {
            let mut worst = Worst {
                payload: &payload[offset..],
                peak: 0,
                message: "",
            };
            every_message(&mut worst);
            assert!(
                worst.peak <= 8 * MAX_FRAME,
                "{} takes {} for {length}",
                worst.message,
                worst.peak
            );
        }
    }
}

#[test]
fn lists_of_the_smallest_elements_stay_bounded() {
    use pumice::messages::quota;
    use pumice::model::quota::Resource;
    // An element of no text: 16 bytes on the wire, 32 in memory, and a list that grows has room for twice as many.
    let limits: Vec<_> = (0..40_000).map(|_| (Resource(String::new()), 0)).collect();
    let payload = codec::encode(&quota::UpdateQuotaSet {
        project_id: "".into(),
        limits,
    })
    .unwrap();
    let taken = peak(|| drop(codec::decode::<quota::UpdateQuotaSet>(&payload).unwrap()));
    assert!(taken <= 8 * payload.len(), "{taken} for {}", payload.len());
}

#[test]
fn a_list_that_is_claimed_anywhere_stays_bounded() {
    // Zeros are a valid everything: empty texts, `None`, first variants. So a claim among them is met by some list.
    let length = MAX_FRAME / 16;
    for offset in 0..160 {
        let mut payload = vec![0; length];
        payload[offset..offset + 8].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        let mut worst = Worst {
            payload: &payload,
            peak: 0,
            message: "",
        };
        every_message(&mut worst);
        // serde makes room for 1 MiB at most before it sees the elements.
        let most = MAX_FRAME + 16 * length;
        assert!(
            worst.peak <= most,
            "{} takes {} for a claim at {offset}",
            worst.message,
            worst.peak
        );
    }
}

#[test]
fn a_claimed_frame_and_a_claimed_list_cost_nothing() {
    let mut claim = u32::try_from(MAX_FRAME).unwrap().to_le_bytes().to_vec();
    claim.push(Kind::Call as u8);
    let taken = peak(|| {
        assert!(
            frame::parse(&mut BytesMut::from(claim.as_slice()), MAX_FRAME)
                .unwrap()
                .is_err()
        )
    });
    assert!(taken < 1024, "{taken}");
    let taken = peak(|| assert!(codec::decode::<Announcement>(&u64::MAX.to_le_bytes()).is_err()));
    assert!(taken < 1024, "{taken}");
    let taken = peak(|| feed(&claims(u64::MAX)));
    assert!(taken <= 8 * MAX_FRAME, "{taken}");
}
