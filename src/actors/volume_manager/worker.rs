//! Workers: where driver verbs block, so that the manager's mailbox never does.
//!
//! A verb runs in a thread of its own, with a time limit, at most `max_workers` at once, and one at a time per volume. The
//! volume's lock and the worker's place are held by the *thread*: a verb that hangs beyond its limit is cancelled, then
//! abandoned, but nothing else touches its volume until it really ends. All of this outlives the actor that asked, so that a
//! manager that was built anew cannot run into the work of the one before.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::VolumeId;

/// How long a cancelled verb gets to come back before its thread is abandoned.
const GRACE: Duration = Duration::from_secs(5);

/// The threads of one backend.
pub struct Workers {
    places: Arc<Semaphore>,
    volumes: Mutex<HashMap<VolumeId, Weak<tokio::sync::Mutex<()>>>>,
    running: Mutex<HashMap<u64, Work>>,
    next: AtomicU64,
    abandoned: AtomicU64,
    stopping: AtomicBool,
}

/// A verb's panic, apart from its other failures: the driver that panicked is to be built anew.
#[derive(Debug)]
pub enum WorkError {
    /// What the driver answered.
    Driver(DriverError),
    /// It panicked, with these words.
    Panicked(String),
    /// The manager is shutting down: nothing is known of the outcome, and the operation stays parked in the journal.
    Stopping,
}

impl From<DriverError> for WorkError {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl Workers {
    /// Room for so many verbs at once.
    #[must_use]
    pub fn new(max_workers: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(max_workers.max(1))),
            volumes: Mutex::default(),
            running: Mutex::default(),
            next: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        })
    }

    /// Runs `verb` in a worker, for at most `limit`. With a volume it is alone on it and needs one of the places (waiting
    /// counts); without, it is housekeeping (setup, stats), which hung verbs must not keep from running.
    ///
    /// # Errors
    /// What the verb answers; `TimedOut` when the limit passes first, whether or not the thread could be stopped.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        volume: Option<VolumeId>,
        limit: Duration,
        verb: impl FnOnce(&Work) -> DriverResult<T> + Send + 'static,
    ) -> Result<T, WorkError> {
        let work = Work::within(limit);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let ready = async {
            match volume {
                Some(volume) => {
                    let lock: OwnedMutexGuard<()> = self.lock_of(volume).lock_owned().await;
                    Some((lock, self.places.clone().acquire_owned().await))
                }
                None => None,
            }
        };
        let place = tokio::time::timeout(limit, ready)
            .await
            .map_err(|_| DriverError::TimedOut)?;
        if self.stopping.load(Ordering::Acquire) {
            return Err(WorkError::Stopping);
        }
        self.lock_running().insert(id, work.clone());
        let this = Arc::clone(self);
        let span = tracing::Span::current();
        let theirs = work.clone();
        let mut thread = tokio::task::spawn_blocking(move || {
            let answer = span.in_scope(|| std::panic::catch_unwind(AssertUnwindSafe(|| verb(&theirs))));
            this.lock_running().remove(&id);
            drop(place);
            answer
        });
        let answer = match tokio::time::timeout(work.remaining(), &mut thread).await {
            Ok(joined) => joined,
            Err(_) => {
                work.cancel();
                match tokio::time::timeout(GRACE, &mut thread).await {
                    Ok(joined) => joined,
                    Err(_) => {
                        self.abandoned.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(
                            ?volume,
                            "a driver verb hangs beyond its limit; its thread is abandoned"
                        );
                        return Err(DriverError::TimedOut.into());
                    }
                }
            }
        };
        match answer {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(_))) if self.stopping.load(Ordering::Acquire) => Err(WorkError::Stopping),
            // It was cancelled because its time was up; say so.
            Ok(Ok(Err(DriverError::Cancelled))) => Err(DriverError::TimedOut.into()),
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(panic)) => Err(WorkError::Panicked(panic_text(panic.as_ref()))),
            Err(join) => Err(WorkError::Panicked(join.to_string())),
        }
    }

    /// Cancels everything that runs and lets nothing more begin. Operations stay parked in the journal.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for work in self.lock_running().values() {
            work.cancel();
        }
    }

    /// Whether [`Workers::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// How many verbs run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.lock_running().len()
    }

    /// How many threads were given up since the start.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    fn lock_of(&self, volume: VolumeId) -> Arc<tokio::sync::Mutex<()>> {
        let mut volumes = self.volumes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = volumes.get(&volume).and_then(Weak::upgrade) {
            return lock;
        }
        if volumes.len() > 256 {
            volumes.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        volumes.insert(volume, Arc::downgrade(&lock));
        lock
    }

    fn lock_running(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Work>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{WorkError, Workers};
    use crate::drivers::{DriverError, Work};
    use crate::model::VolumeId;

    const LONG: Duration = Duration::from_secs(30);

    /// Blocks until cancelled, as a driver that looks at its limits does.
    fn until_cancelled(work: &Work) -> Result<(), DriverError> {
        loop {
            work.check()?;
            std::thread::yield_now();
        }
    }

    #[actix::test]
    async fn a_verb_that_hangs_is_cancelled_at_its_limit() {
        let workers = Workers::new(1);
        let answer = workers
            .run(None, Duration::from_millis(50), until_cancelled)
            .await;
        assert!(
            matches!(answer, Err(WorkError::Driver(DriverError::TimedOut))),
            "{answer:?}"
        );
        // Its place is free again.
        assert!(
            workers
                .run(None, LONG, |_| Ok(7))
                .await
                .is_ok_and(|seven| seven == 7)
        );
    }

    #[actix::test]
    async fn no_more_than_the_bound_run_at_once_and_one_per_volume() {
        let workers = Workers::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let volume = VolumeId::new();
        let on_volume = Arc::new(AtomicUsize::new(0));
        let mut runs = Vec::new();
        for index in 0..12 {
            let (now, most, on_volume) = (now.clone(), most.clone(), on_volume.clone());
            let target = (index % 2 == 0).then_some(volume);
            runs.push(
                workers.run(Some(target.unwrap_or_else(VolumeId::new)), LONG, move |_| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if target.is_some() {
                        assert_eq!(
                            on_volume.fetch_add(1, Ordering::SeqCst),
                            0,
                            "two verbs on one volume"
                        );
                    }
                    std::thread::yield_now();
                    if target.is_some() {
                        on_volume.fetch_sub(1, Ordering::SeqCst);
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }),
            );
        }
        for answer in futures_util::future::join_all(runs).await {
            answer.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[actix::test]
    async fn a_panicking_verb_is_told_apart() {
        let workers = Workers::new(1);
        let answer = workers
            .run(None, LONG, |_| -> Result<(), DriverError> { panic!("ouch") })
            .await;
        assert!(matches!(answer, Err(WorkError::Panicked(text)) if text == "ouch"));
        assert_eq!(workers.running(), 0);
    }

    #[actix::test]
    async fn stopping_parks_what_runs() {
        let workers = Workers::new(1);
        let run = workers.run(None, LONG, until_cancelled);
        let stop = async {
            while workers.running() == 0 {
                tokio::task::yield_now().await;
            }
            workers.stop();
        };
        let (answer, ()) = futures_util::future::join(run, stop).await;
        assert!(matches!(answer, Err(WorkError::Stopping)), "{answer:?}");
    }
}
