//! Copy the data of a volume from another backend, on the backend of the copy.
//!
//! ```text
//!   source's manager <──read_volume_data── reader ──pieces, in order──> batches ──> worker: write, now and then sync
//!        (other host)     a few at once                                                │
//!                                                    Api actor <──copy_progress── what is durable
//! ```
//!
//! | step | what is true after it | reverted by |
//! |---|---|---|
//! | `open_copy` | the copy is open, and large enough | closing it |
//! | `copy_data` | the copy has the source's content, and it is durable | – |
//! | `close_copy` | the copy is closed | – |
//!
//! Data that was copied before a failure is kept: the verb deletes the copy, or continues the command after the durable
//! data. The source does not change meanwhile, so an earlier attempt has written the same data.
//!
//! A worker, and the locks of the copy, are held only while data is written. So a slow source does not occupy a worker,
//! and two hosts that copy from each other never wait for each other's workers. Writes observe the rate limit of the
//! backend's copies.
//!
//! Two nodes that are not connected with each other copy through a control node (its Relay actor).
//!
//! | event | reaction |
//! |---|---|
//! | the source cannot be reached, is overloaded, is starting or slow; a piece arrives damaged | retried, for a bounded time; then `Busy` |
//! | the source was restarted and does not know the operation any more | `Busy` at once: it must be opened again |
//! | a read fails on the storage, or there is no such part of the volume | a failure |

mod reader;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{LocalBoxFuture, OptionFuture};
use futures_util::stream::FuturesOrdered;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use self::reader::{Piece, Reader};
use crate::backend::BackendState;
use crate::backend::failure::driver_error;
use crate::drivers::{Access, OpenVolume, Work};
use crate::messages::api::CopyProgress;
use crate::model::{BackendName, VolumeId};
use crate::verbs::prelude::*;

/// The most concurrent reads, and the most pieces that wait to be written.
const WINDOW: usize = 8;

/// A copy is continued at a multiple of this.
const ALIGN: u64 = 64 << 10;

/// The largest range of zeros that is written at once, so that data can be made durable in between.
const LONGEST_GAP: u64 = 64 << 20;

/// The time limit of closing the copy.
const CLOSE_LIMIT: Duration = Duration::from_secs(60);

/// How long the end waits for the last progress message: the report that follows implies it.
const LAST_NOTICE: Duration = Duration::from_secs(1);

/// Copy a volume's content into the volume that is to replace it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyVolumeDataCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The copy: it exists on this backend, and is not in use.
    pub volume: VolumeSpec,
    /// The backend of the source.
    pub source: BackendName,
    /// The source, which was opened for this operation.
    pub source_volume: VolumeId,
    /// The number of bytes that are already durable.
    pub offset: u64,
    /// The total number of bytes.
    pub length: u64,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(CopyVolumeDataCommand => VolumeTopic, "copy_volume_data", since 5);

/// The copy while it is open.
#[derive(Clone, Default)]
pub struct CopyTarget {
    /// Opened, used and closed by workers.
    open: Arc<Mutex<Option<Box<dyn OpenVolume>>>>,
}

impl CopyTarget {
    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn OpenVolume>>> {
        self.open.lock()
    }
}

impl BackendCommand for CopyVolumeDataCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = CopyTarget;
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("copy_volume_data")
            .then(step("open_copy", open_copy).reverted_by(close))
            .then(step("copy_data", copy_data))
            .then(step("close_copy", close_copy))
    }

    fn outcome(&self, _target: CopyTarget) -> Outcome {
        Outcome::Copied { bytes: self.length }
    }
}

fn locks(command: &CopyVolumeDataCommand) -> LockSet {
    let id = command.volume.id;
    LockSet::volume(id)
        .and(LockSet::content_of(id))
        .moving_data(true)
        .of_command(command.command)
}

async fn open_copy(task: &mut Task<CopyVolumeDataCommand>) -> DriverResult<()> {
    let target = task.output.clone();
    let locks = locks(&task.command);
    task.drive(locks, move |call| {
        must_not_be_deleted(call.backend, call.volume.id)?;
        // An earlier open handle would keep the device busy.
        let mut open = target.lock();
        drop(open.take());
        let opened = call.driver.open_volume(call.work, call.volume, Access::Write)?;
        let (has, needs) = (opened.length(), call.command.length);
        if has < needs {
            return Err(DriverError::failed(
                "The copy is smaller than the volume.",
                format!("{} has {has} bytes, and {needs} are to be copied", call.volume.id),
            ));
        }
        *open = Some(opened);
        Ok(())
    })
    .await
}

/// Takes none of the volume's locks: a delete that holds them finds the device busy while it is open.
async fn close(task: &mut Task<CopyVolumeDataCommand>) {
    let target = task.output.clone();
    let closed = task.drive_within(CLOSE_LIMIT, LockSet::default(), move |_| {
        drop(target.lock().take());
        Ok(())
    });
    if let Err(error) = closed.await
        && !task.is_stopping()
    {
        tracing::warn!(volume = %task.volume.id, %error, "a copy was not closed in time");
    }
}

async fn copy_data(task: &mut Task<CopyVolumeDataCommand>) -> DriverResult<()> {
    let mut copying = Copying::new(task);
    let copied = copying.run().await;
    // Waits for a worker that is still writing, so that nothing is written after the end.
    if let Some(batch) = copying.writing.take() {
        let _ = batch.answer.await;
    }
    task.note_if_stopping(copied)
}

async fn close_copy(task: &mut Task<CopyVolumeDataCommand>) -> DriverResult<()> {
    close(task).await;
    if task.is_stopping() {
        return Err(DriverError::Cancelled);
    }
    Ok(())
}

/// A delete that was sent after this command may have been executed first.
fn must_not_be_deleted(backend: &BackendState, volume: VolumeId) -> DriverResult<()> {
    if backend.inventory().has_tombstone(volume.0) {
        let client = "The volume was deleted meanwhile.".to_owned();
        return Err(DriverError::Refused { client });
    }
    Ok(())
}

/// Pieces that a worker is writing.
struct Batch {
    /// The end of the written data,
    end: u64,
    /// which is durable if it is synced.
    is_synced: bool,
    answer: LocalBoxFuture<'static, Result<(), Option<DriverError>>>,
}

/// A running copy.
struct Copying {
    backend: Arc<BackendState>,
    command: Arc<CopyVolumeDataCommand>,
    target: CopyTarget,
    reader: Rc<Reader>,
    reads_zeros: bool,
    deadline: Instant,
    /// The offset of the next read.
    next: u64,
    reads: FuturesOrdered<LocalBoxFuture<'static, DriverResult<Vec<Piece>>>>,
    /// Pieces that are read and not written yet, in order.
    ready: VecDeque<Piece>,
    writing: Option<Batch>,
    synced_at: Instant,
    progress: Progress,
}

/// Reports what is durable to the control node. Updates during a report are skipped, since others follow.
struct Progress {
    task: Box<dyn Fn(u64) -> LocalBoxFuture<'static, ()>>,
    telling: Option<LocalBoxFuture<'static, ()>>,
}

impl Copying {
    fn new(task: &Task<CopyVolumeDataCommand>) -> Self {
        let command = Arc::clone(&task.command);
        let deadline = Instant::now() + command.remaining();
        let reads_zeros = task
            .output
            .lock()
            .as_ref()
            .is_some_and(|open| open.reads_zeros_when_new());
        Self {
            reader: Rc::new(Reader::new(task, deadline)),
            backend: Arc::clone(&task.backend),
            target: task.output.clone(),
            reads_zeros,
            deadline,
            next: command.offset.min(command.length) / ALIGN * ALIGN,
            reads: FuturesOrdered::new(),
            ready: VecDeque::new(),
            writing: None,
            synced_at: Instant::now(),
            progress: Progress::new(task),
            command,
        }
    }

    /// Runs the copy. `Err(None)` if the manager is stopping.
    async fn run(&mut self) -> Result<(), Option<DriverError>> {
        let backend = Arc::clone(&self.backend);
        let mut interrupted = std::pin::pin!(backend.workers.interrupted(self.command.command));
        let mut time_is_up = std::pin::pin!(tokio::time::sleep_until(self.deadline));
        loop {
            self.ask_for_more();
            self.write_what_is_ready();
            if self.writing.is_none() && self.reads.is_empty() {
                break;
            }
            let (reads, writing) = (&mut self.reads, &mut self.writing);
            tokio::select! {
                biased;
                why = &mut interrupted => return Err(driver_error(why)),
                () = &mut time_is_up => return Err(Some(DriverError::TimedOut)),
                Some(()) = OptionFuture::from(self.progress.telling.as_mut()) => self.progress.telling = None,
                Some(written) = OptionFuture::from(writing.as_mut().map(|batch| &mut batch.answer)) => {
                    self.was_written(written)?;
                }
                Some(pieces) = reads.next() => self.was_read(pieces?),
            }
        }
        if let Some(telling) = self.progress.telling.take() {
            let _ = tokio::time::timeout(LAST_NOTICE, telling).await;
        }
        Ok(())
    }

    fn ask_for_more(&mut self) {
        while self.reads.len() + self.ready.len() < WINDOW && self.next < self.command.length {
            let length = self.reader.chunk().min(self.command.length - self.next);
            let read = Rc::clone(&self.reader).read(self.next, length);
            self.reads.push_back(Box::pin(read));
            self.next += length;
        }
    }

    /// Known zeros after a piece are not read.
    fn was_read(&mut self, pieces: Vec<Piece>) {
        for piece in pieces {
            let mut zeros = piece.zeros_until.min(self.command.length) / ALIGN * ALIGN;
            if !self.reads_zeros {
                zeros = zeros.min(self.next + LONGEST_GAP);
            }
            if zeros > self.next {
                let gap = Piece::zeros(self.next, zeros - self.next);
                self.reads.push_back(Box::pin(std::future::ready(Ok(vec![gap]))));
                self.next = zeros;
            }
            self.ready.push_back(piece);
        }
    }

    fn write_what_is_ready(&mut self) {
        let is_all_read = self.reads.is_empty() && self.next >= self.command.length;
        let Some(end) = self.ready.back().map(Piece::end) else {
            return;
        };
        if self.writing.is_some() {
            return;
        }
        let is_synced = is_all_read || self.synced_at.elapsed() >= self.backend.options.copy_sync_interval;
        let pieces: Arc<Vec<Piece>> = Arc::new(self.ready.drain(..).collect());
        let (backend, command) = (Arc::clone(&self.backend), Arc::clone(&self.command));
        let (target, reads_zeros) = (self.target.clone(), self.reads_zeros);
        let limit = self.deadline.saturating_duration_since(Instant::now());
        let answer = async move {
            let state = Arc::clone(&backend);
            let locks = locks(&command);
            let write = move |work: &Work| {
                must_not_be_deleted(&state, command.volume.id)?;
                let mut open = target.lock();
                let open = open.as_mut().ok_or_else(closed)?;
                write(work, open.as_mut(), &pieces, command.length, reads_zeros)?;
                if is_synced { open.sync(work) } else { Ok(()) }
            };
            backend.drive(locks, limit, move |_, work| write(work)).await
        };
        self.writing = Some(Batch {
            end,
            is_synced,
            answer: Box::pin(answer),
        });
    }

    fn was_written(&mut self, written: Result<(), Option<DriverError>>) -> Result<(), Option<DriverError>> {
        let batch = self.writing.take();
        written?;
        if let Some(batch) = batch.filter(|batch| batch.is_synced) {
            self.synced_at = Instant::now();
            self.progress.tell(batch.end);
        }
        Ok(())
    }
}

/// Writes these pieces, and reports the progress.
fn write(
    work: &Work,
    open: &mut dyn OpenVolume,
    pieces: &[Piece],
    total: u64,
    reads_zeros: bool,
) -> DriverResult<()> {
    for piece in pieces {
        work.progressed(piece.offset, total);
        match &piece.bytes {
            Some(bytes) => open.write(work, piece.offset, bytes)?,
            None if reads_zeros => work.check()?,
            None => open.write_zeros(work, piece.offset, piece.length)?,
        }
        work.progressed(piece.end(), total);
    }
    Ok(())
}

fn closed() -> DriverError {
    DriverError::backend_failed("the copy is not open")
}

impl Progress {
    fn new(task: &Task<CopyVolumeDataCommand>) -> Self {
        let api = task.router.any::<ApiTopic>();
        let (context, command) = (task.context.clone(), task.command.command);
        let from = task.backend.backend.clone();
        let tell = move |offset| {
            let (api, context) = (api.clone(), context.clone());
            let progress = CopyProgress {
                command,
                from: from.clone(),
                offset,
            };
            let telling = async move {
                if let Err(error) = api.cast(&context, progress).await {
                    tracing::debug!(operation = %command.operation, %error, "the progress of a copy could not be reported");
                }
            };
            Box::pin(telling) as LocalBoxFuture<'static, ()>
        };
        Self {
            task: Box::new(tell),
            telling: None,
        }
    }

    fn tell(&mut self, offset: u64) {
        if self.telling.is_none() {
            self.telling = Some((self.task)(offset));
        }
    }
}

#[cfg(test)]
mod tests;
