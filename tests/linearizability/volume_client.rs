//! One of the clients that ask about one volume, as drawn from a seed, and record their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use pumice::messages::api::MetadataChange;
use pumice::model::{AttachmentId, Error, ErrorKind, Volume, VolumeId, VolumeStatus};
use pumice::verbs::attachment::{CompleteAttachment, CreateAttachment, DeleteAttachment};
use pumice::verbs::volume::{
    ChangeVolume, DeleteVolume, ExtendVolume, UpdateVolume, UpdateVolumeMetadata, VolumeChange,
};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::checker::Event;
use crate::world::{Caller, Clock};
use crate::{CALLS, volume};

/// A client of one volume.
pub struct VolumeClient {
    pub caller: Caller,
    pub clock: Arc<Clock>,
    pub number: usize,
    pub id: VolumeId,
    pub rng: StdRng,
    pub attachments: Arc<Mutex<Vec<(usize, AttachmentId)>>>,
    pub next: Arc<AtomicUsize>,
    pub noted: Vec<Event<volume::Volume>>,
}

fn view(volume: Volume) -> volume::Answer {
    volume::Answer::Seen(volume::View {
        status: volume.status,
        size: volume.size,
        name: volume.name,
        notes: volume.metadata,
    })
}

/// `None` where the answer does not say whether anything was done.
fn refusal(error: &Error) -> Option<volume::Answer> {
    match error.kind {
        ErrorKind::BadRequest => Some(volume::Answer::NotNow),
        ErrorKind::Conflict => Some(volume::Answer::Differs),
        ErrorKind::NotFound => Some(volume::Answer::NotThere),
        ErrorKind::Unavailable { .. } => None,
        _ => panic!("{error}"),
    }
}

impl VolumeClient {
    /// Asks, and gives what was noted.
    pub async fn work(mut self) -> Vec<Event<volume::Volume>> {
        for _ in 0..CALLS {
            if let Some(call) = self.draw() {
                self.make(call).await;
            }
        }
        self.noted
    }

    fn draw(&mut self) -> Option<volume::Call> {
        use volume::Call;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let word = self.rng.random_range(0..3).to_string();
        let attachment = {
            let attachments = self.attachments.lock();
            let count = attachments.len();
            (count > 0).then(|| attachments[self.rng.random_range(0..count)].0)
        };
        Some(match self.rng.random_range(0..40) {
            0..9 => Call::Show,
            9..12 => Call::Rename(word),
            12..15 => Call::Note("a".to_owned(), word),
            15..18 => {
                let with = self.rng.random_range(0..3).to_string();
                Call::Replace {
                    expected: [("a".to_owned(), word)].into(),
                    with: [("a".to_owned(), with)].into(),
                }
            }
            18..20 => Call::Reserve,
            20..24 => Call::Unreserve,
            24..27 => Call::Reset(VolumeStatus::Available),
            27 => Call::Reset(VolumeStatus::Error),
            28..31 => Call::Extend(number, self.rng.random_range(2..8)),
            31..34 => Call::Attach(number),
            34..36 => Call::Complete(attachment?),
            36..39 => Call::Detach(attachment?),
            // Rarely: there is little to be asked afterwards.
            _ if self.rng.random_bool(0.3) => Call::Delete(number),
            _ => Call::Show,
        })
    }

    async fn make(&mut self, call: volume::Call) {
        let begun = self.clock.now();
        let answer = self.ask(&call).await;
        let answered = self.clock.now();
        let is_refused = matches!(answer, Some(volume::Answer::NotNow | volume::Answer::NotThere));
        if let volume::Call::Extend(number, _) | volume::Call::Delete(number) = call
            && !is_refused
        {
            self.noted.push(Event {
                client: self.number,
                begun,
                call: volume::Call::Ended(number),
                answer: None,
            });
        }
        self.noted.push(Event {
            client: self.number,
            begun,
            call,
            answer: answer.map(|answer| (answered, answer)),
        });
    }

    async fn ask(&self, call: &volume::Call) -> Option<volume::Answer> {
        use volume::{Answer, Call};
        let volume_id = self.id.to_string();
        let change = |change| {
            let volume_id = volume_id.clone();
            async {
                self.caller
                    .call(ChangeVolume { volume_id, change })
                    .await
                    .map(view)
            }
        };
        let metadata = |change, expected| {
            let volume_id = volume_id.clone();
            async {
                let request = UpdateVolumeMetadata {
                    volume_id,
                    change,
                    expected,
                };
                self.caller.call(request).await.map(Answer::Noted)
            }
        };
        let answer = match call {
            Call::Show => Ok(self.caller.show(self.id).await.map_or(Answer::NotThere, view)),
            Call::Rename(name) => {
                let request = UpdateVolume {
                    volume_id,
                    name: Some(Some(name.clone())),
                    ..UpdateVolume::default()
                };
                self.caller.call(request).await.map(view)
            }
            Call::Note(key, value) => {
                metadata(MetadataChange::Merge([(key.clone(), value.clone())].into()), None).await
            }
            Call::Replace { expected, with } => {
                metadata(MetadataChange::Replace(with.clone()), Some(expected.clone())).await
            }
            Call::Reserve => change(VolumeChange::Reserve).await,
            Call::Unreserve => change(VolumeChange::Unreserve).await,
            Call::Reset(status) => {
                change(VolumeChange::ResetStatus {
                    status: Some(*status),
                    attach_status: None,
                    migration_status: None,
                })
                .await
            }
            Call::Extend(_, new_size) => {
                let request = ExtendVolume {
                    volume_id,
                    new_size: *new_size,
                    attached_too: false,
                };
                self.caller.call(request).await.map(|()| Answer::Done)
            }
            Call::Delete(_) => {
                let request = DeleteVolume {
                    volume_id,
                    cascade: false,
                    force: false,
                };
                self.caller.call(request).await.map(|()| Answer::Done)
            }
            Call::Attach(number) => {
                let request = CreateAttachment {
                    volume_id,
                    instance_uuid: None,
                    connector: None,
                    mode: None,
                };
                self.caller.call(request).await.map(|made| {
                    self.attachments.lock().push((*number, made.id));
                    Answer::Done
                })
            }
            Call::Complete(number) => {
                let attachment_id = self.attachment(*number);
                let request = CompleteAttachment { attachment_id };
                self.caller.call(request).await.map(|()| Answer::Done)
            }
            Call::Detach(number) => {
                let attachment_id = self.attachment(*number);
                let request = DeleteAttachment { attachment_id };
                self.caller.call(request).await.map(|_| Answer::Done)
            }
            Call::Ended(_) => panic!("this call is never made by a client"),
        };
        answer.map_or_else(|error| refusal(&error), Some)
    }

    fn attachment(&self, number: usize) -> String {
        let attachments = self.attachments.lock();
        let found = attachments.iter().find(|(known, _)| *known == number);
        found.unwrap().1.to_string()
    }
}
