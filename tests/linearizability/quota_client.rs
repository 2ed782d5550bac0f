//! One of the clients that use up one quota, as drawn from a seed, and record their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pumice::model::{Error, ErrorKind, VolumeId, VolumeStatus};
use pumice::verbs::volume::{DeleteVolume, ExtendVolume};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::checker::Event;
use crate::world::{Caller, Clock};
use crate::{CALLS, quota};

/// One of many who use up one quota.
pub struct QuotaClient {
    pub caller: Caller,
    pub clock: Arc<Clock>,
    pub number: usize,
    pub rng: StdRng,
    pub next: Arc<AtomicUsize>,
    pub noted: Vec<Event<quota::Quota>>,
    /// By the call that made it, and how large it is.
    pub mine: Vec<(usize, VolumeId, u32)>,
}

impl QuotaClient {
    /// Asks, and gives what was noted.
    pub async fn work(mut self) -> Vec<Event<quota::Quota>> {
        for _ in 0..CALLS {
            match self.rng.random_range(0..10) {
                0..6 => self.create().await,
                6..8 if !self.mine.is_empty() => self.extend().await,
                _ if !self.mine.is_empty() => self.delete().await,
                _ => self.create().await,
            }
        }
        self.noted
    }

    /// Notes a call that is answered, or refused for the quota.
    async fn make<T>(
        &mut self,
        call: quota::Call,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        let begun = self.clock.now();
        let (made, answer) = match asked.await {
            Ok(made) => (Some(made), quota::Answer::Done),
            Err(error) if error.kind == ErrorKind::OverQuota => (None, quota::Answer::OverQuota),
            Err(error) => panic!("{call:?}: {error}"),
        };
        self.noted.push(Event {
            client: self.number,
            begun,
            call,
            answer: Some((self.clock.now(), answer)),
        });
        made
    }

    async fn create(&mut self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let size = self.rng.random_range(1..4);
        let caller = self.caller.clone();
        let asked = caller.call(Caller::create(size));
        if let Some(volume) = self.make(quota::Call::Create(number, size), asked).await {
            caller
                .until(volume.id, |volume| {
                    volume.is_some_and(|volume| volume.status == VolumeStatus::Available)
                })
                .await;
            self.mine.push((number, volume.id, size));
        }
    }

    async fn extend(&mut self) {
        let index = self.rng.random_range(0..self.mine.len());
        let (number, id, size) = self.mine[index];
        let new_size = size + self.rng.random_range(1..3);
        let call = quota::Call::Extend {
            volume: number,
            from: size,
            to: new_size,
        };
        let request = ExtendVolume {
            volume_id: id.to_string(),
            new_size,
            attached_too: false,
        };
        let caller = self.caller.clone();
        if self.make(call, caller.call(request)).await.is_some() {
            caller
                .until(id, |volume| volume.is_some_and(|volume| volume.size == new_size))
                .await;
            self.mine[index].2 = new_size;
        }
    }

    async fn delete(&mut self) {
        let index = self.rng.random_range(0..self.mine.len());
        let (number, id, _) = self.mine.swap_remove(index);
        let request = DeleteVolume {
            volume_id: id.to_string(),
            cascade: false,
            force: false,
        };
        let caller = self.caller.clone();
        let begun = self.clock.now();
        self.make(quota::Call::Delete(number), caller.call(request)).await;
        let unanswered = |call| Event {
            client: self.number,
            begun,
            call,
            answer: None,
        };
        let ended = unanswered(quota::Call::Ended(number));
        self.noted.push(ended);
        caller.until(id, |volume| volume.is_none()).await;
        let begun = self.clock.now();
        self.noted.push(Event {
            client: self.number,
            begun,
            call: quota::Call::Miss(number),
            answer: Some((self.clock.now(), quota::Answer::Done)),
        });
    }
}
