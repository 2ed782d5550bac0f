//! A migration or a retype with arbitrary outcomes of its stages: all storage has a record, all hidden volumes have an
//! operation that deletes them, and the volume has no transient status at the end.

use std::collections::BTreeSet;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::VolumeTypeId;
use crate::model::quota::Deltas;
use crate::model::transitions::tests::{attachment, volume};
use crate::model::{Attachment, AttachmentStatus};
use crate::verbs::operation_context::{give_up, next};
use crate::verbs::tests::context;
use crate::verbs::verb_of;
use crate::verbs::volume::retype_volume::{self, RetypeVolumeEntry};

/// An event at a stage.
#[derive(Clone, Copy, Debug)]
enum Event {
    Succeeds,
    /// A retype cannot be done in place.
    CannotInPlace,
    Fails(FailureKind),
    DeadlinePasses,
    Cancelled,
    /// An initiator was connected, which should be impossible.
    Connected,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => Just(Event::Succeeds),
        1 => Just(Event::CannotInPlace),
        2 => proptest::sample::select(vec![
            FailureKind::NoValidBackend,
            FailureKind::Backend,
            FailureKind::NoSpace,
            FailureKind::Request,
            FailureKind::Busy,
            FailureKind::TimedOut,
            FailureKind::Cancelled,
        ]).prop_map(Event::Fails),
        1 => Just(Event::DeadlinePasses),
        1 => Just(Event::Cancelled),
        1 => Just(Event::Connected),
    ];
    proptest::collection::vec(event, 1..30)
}

struct World {
    volume: Volume,
    copy: Option<Volume>,
    operation: Option<Operation>,
    attachments: Vec<Attachment>,
    /// The storage on the backends: pool, and the id in the name.
    storage: BTreeSet<(String, Uuid)>,
    usage: Deltas,
    last_attempt: u32,
}

fn there(pool: Option<&PoolName>, id: VolumeId) -> (String, Uuid) {
    (pool.map(PoolName::to_string).unwrap_or_default(), id.0)
}

fn destination() -> PoolName {
    "h2@b#p".parse().unwrap()
}

fn begun(retype: Option<bool>) -> World {
    let mut volume = volume(VolumeStatus::Available);
    let new_type = NewType {
        id: VolumeTypeId::new(),
        multiattach: true,
    };
    let subject = Subject::Volume(volume.id);
    let mut operation = Operation {
        attempt: 0,
        previous_status: Some(VolumeStatus::Available),
        ..Operation::new("", subject, &volume, Timestamp(1), Timestamp(9))
    };
    volume.previous_status = Some(volume.status);
    volume.operation = Some(operation.id);
    operation = match retype {
        None => {
            volume.migration_status = Some(MigrationStatus::Starting);
            let entry = MigrateVolumeEntry::new(Among::Pool(destination()), VolumeId::new(), None);
            next_stage(&operation, &entry).unwrap()
        }
        Some(may_move) => {
            volume.status = VolumeStatus::Retyping;
            let entry = RetypeVolumeEntry {
                stage: retype_volume::Stage::Place,
                new_type,
                may_move,
                copy: VolumeId::new(),
            };
            next_stage(&operation, &entry).unwrap()
        }
    };
    World {
        storage: BTreeSet::from([there(volume.host.as_ref(), volume.id)]),
        volume,
        copy: None,
        last_attempt: operation.attempt,
        operation: Some(operation),
        attachments: Vec::new(),
        usage: Deltas::new(),
    }
}

impl World {
    /// Simulates a success of the stage, and returns its outcome.
    fn success(&mut self, operation: &Operation, stays: bool) -> Outcome {
        let migrates = crate::verbs::entry_of::<MigrateVolumeEntry>(operation);
        let retypes = crate::verbs::entry_of::<RetypeVolumeEntry>(operation);
        match (migrates.map(|entry| entry.stage), retypes) {
            (Some(Stage::Place), _) => Outcome::Placed { pool: destination() },
            (Some(Stage::CreateCopy), _) => {
                let copy = self.copy.as_ref().unwrap();
                self.storage.insert(there(copy.host.as_ref(), copy.storage_id()));
                Outcome::Created { provider_id: None }
            }
            (Some(Stage::OpenSource), _) => Outcome::CopySourceOpened,
            (Some(Stage::CopyData), _) => Outcome::Copied { bytes: 1 },
            (None, Some(entry)) => match entry.stage {
                retype_volume::Stage::Place if stays && operation.tried.is_empty() => Outcome::Placed {
                    pool: self.volume.host.clone().unwrap(),
                },
                retype_volume::Stage::Place => Outcome::Placed { pool: destination() },
                retype_volume::Stage::Change => Outcome::Retyped { in_place: true },
            },
            // The rest of it is deleted.
            (None, None) => {
                let copy = self.copy.as_ref().unwrap();
                self.storage.remove(&there(copy.host.as_ref(), copy.storage_id()));
                Outcome::Deleted
            }
        }
    }

    fn meet(&mut self, event: Event, stays: bool) {
        let mut operation = self.operation.clone().unwrap();
        if matches!(event, Event::Cancelled) {
            operation = operation.cancelled(Timestamp(5), Duration::from_secs(1));
            self.operation = Some(operation);
            return;
        }
        if matches!(event, Event::Connected) {
            if self.attachments.is_empty() {
                self.attachments = vec![attachment(&self.volume, AttachmentStatus::Attached)];
            }
            return;
        }
        let outcome = match event {
            Event::Succeeds => self.success(&operation, stays),
            Event::CannotInPlace => Outcome::Retyped { in_place: false },
            Event::Fails(kind) => Outcome::Failed(Failure::new(kind, "c", "o")),
            _ => Outcome::Deleted,
        };
        let verb = verb_of(&operation).unwrap();
        let of_copy = self
            .copy
            .as_ref()
            .filter(|copy| operation.volume_id == Some(copy.id));
        let subject = of_copy.unwrap_or(&self.volume).clone();
        let reads = verb.reads(&subject);
        let other = self.copy.clone().filter(|copy| reads.other == Some(copy.id));
        let mine: Vec<Attachment> = if of_copy.is_some() {
            Vec::new()
        } else {
            self.attachments.clone()
        };
        let deadlines = Deadlines::default();
        let at = OperationContext {
            other: other.as_ref(),
            attachments: &mine,
            ..context(&operation, &subject, &deadlines)
        };
        let transition = match event {
            Event::DeadlinePasses => Some(give_up(&at)),
            _ => next(&at, &outcome),
        };
        if let Some(transition) = transition {
            self.commit(&subject, transition);
        }
    }

    fn commit(&mut self, subject: &Volume, transition: Transition) {
        let was_about_the_copy = subject.id != self.volume.id;
        let mut changes = vec![(subject.id, transition.volume)];
        if let Some(copy) = &self.copy {
            changes.push((copy.id, transition.other));
        }
        for (id, change) in changes {
            match change {
                RecordChange::Keep => {}
                RecordChange::Update(now) if id == self.volume.id => self.volume = *now,
                RecordChange::Update(now) => self.copy = Some(*now),
                RecordChange::Delete => {
                    assert!(was_about_the_copy, "only what is hidden is deleted");
                    self.copy = None;
                }
            }
        }
        if let Some(made) = transition.made {
            assert!(self.copy.is_none() && !made.consumes_quota);
            self.copy = Some(*made);
        }
        for (resource, amount) in transition.usage {
            *self.usage.entry(resource).or_default() += amount;
        }
        self.operation = transition.next.map(|next| *next);
        if let Some(operation) = &self.operation {
            // Each stage has its own command.
            assert!(operation.attempt > self.last_attempt);
            self.last_attempt = operation.attempt;
        }
    }

    fn check(&self) {
        let volume = &self.volume;
        let of_volume = there(volume.host.as_ref(), volume.storage_id());
        assert!(self.storage.contains(&of_volume), "the volume has its storage");
        let mut recorded = BTreeSet::from([of_volume]);
        if let Some(copy) = &self.copy {
            recorded.insert(there(copy.host.as_ref(), copy.storage_id()));
            assert_eq!(copy.copy_of(), Some(volume.id));
            let owner = self.operation.as_ref().map(|operation| operation.id);
            assert!(
                copy.operation == owner && (owner.is_some() || copy.status == VolumeStatus::ErrorDeleting),
                "a hidden volume is being created or deleted, or has an error status: {:?}",
                copy.status
            );
        }
        assert!(self.storage.is_subset(&recorded), "storage without a record");
        if volume.operation.is_none() {
            let status = volume.status;
            assert!(!status.is_transient() && !volume.is_migrating(), "{status}");
        }
        let multiattach = true;
        let new_type = volume.volume_type_id.map(|id| NewType { id, multiattach });
        let before = Volume {
            volume_type_id: None,
            ..volume.clone()
        };
        let expected = new_type
            .map(|new_type| new_type.usage(&before))
            .unwrap_or_default();
        assert_eq!(self.usage, expected, "usage follows the type");
    }
}

proptest! {
    #[test]
    fn whatever_fails_nothing_is_lost_or_left(
        retype in proptest::option::of(any::<bool>()),
        stays: bool,
        events in events(),
    ) {
        let mut world = begun(retype);
        for event in events {
            if world.operation.is_none() {
                break;
            }
            world.meet(event, stays);
            world.check();
        }
        // In the end everything succeeds.
        for _ in 0..12 {
            if world.operation.is_some() {
                world.meet(Event::Succeeds, stays);
                world.check();
            }
        }
        prop_assert!(world.operation.is_none(), "it ends");
        prop_assert!(world.volume.operation.is_none());
    }
}

#[test]
fn a_migration_that_succeeds_leaves_one_storage_under_the_copys_name() {
    let mut world = begun(None);
    let (id, source) = (world.volume.id, world.volume.host.clone());
    for _ in 0..5 {
        world.meet(Event::Succeeds, false);
    }
    assert!(world.operation.is_none() && world.copy.is_none());
    assert_eq!(world.volume.host, Some(destination()));
    assert_ne!(world.volume.host, source);
    assert_eq!(world.volume.migration_status, Some(MigrationStatus::Success));
    assert_eq!(world.volume.status, VolumeStatus::Available);
    assert!(world.volume.name_id().is_some_and(|name| name != id));
    assert_eq!(world.storage.len(), 1);
}

#[test]
fn a_retype_moves_only_if_it_must_and_may() {
    let mut stays = begun(Some(true));
    stays.meet(Event::Succeeds, true);
    stays.meet(Event::Succeeds, true);
    assert_eq!(stays.volume.name_id(), None);
    assert!(stays.volume.volume_type_id.is_some() && stays.volume.multiattach);
    let mut moves = begun(Some(true));
    moves.meet(Event::Succeeds, true);
    moves.meet(Event::CannotInPlace, true);
    for _ in 0..5 {
        moves.meet(Event::Succeeds, true);
    }
    assert!(moves.operation.is_none());
    assert_eq!(moves.volume.host, Some(destination()));
    assert!(moves.volume.volume_type_id.is_some());
    let mut never = begun(Some(false));
    never.meet(Event::Succeeds, true);
    never.meet(Event::CannotInPlace, true);
    assert!(never.operation.is_none());
    assert_eq!(never.volume.volume_type_id, None);
    assert_eq!(never.volume.status, VolumeStatus::Available);
}

#[test]
fn what_was_copied_is_not_copied_again() {
    let entry = MigrateVolumeEntry {
        stage: Stage::CopyData,
        copied: 7,
        ..MigrateVolumeEntry::new(Among::All, VolumeId::new(), None)
    };
    let further = entry.progressed(9).unwrap();
    let further: MigrateVolumeEntry = crate::store::record::decode_part(&further).unwrap();
    assert_eq!(further.copied, 9);
    assert_eq!(entry.progressed(7), None);
    let placing = MigrateVolumeEntry::new(Among::All, VolumeId::new(), None);
    assert_eq!(placing.progressed(9), None);
}
