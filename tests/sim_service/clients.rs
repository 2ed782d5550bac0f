//! Clients, asking the Api actor as the web server does for them. Each has volumes of its own, so it knows what must be.

use std::rc::Rc;
use std::time::Duration;

use pumice::messages::api::{ApiTopic, MetadataChange};
use pumice::messages::{Call, Message};
use pumice::model::volume_type::DEFAULT_TYPE_NAME;
use pumice::model::{AttachmentId, Connector, Context, ErrorKind, ProjectId, SnapshotId, UserId, VolumeId};
use pumice::sim;
use pumice::transport::{CallError, Handle};
use pumice::verbs::attachment::complete_attachment::CompleteAttachment;
use pumice::verbs::attachment::create_attachment::CreateAttachment;
use pumice::verbs::attachment::delete_attachment::DeleteAttachment;
use pumice::verbs::snapshot::create_snapshot::CreateSnapshot;
use pumice::verbs::snapshot::delete_snapshot::DeleteSnapshot;
use pumice::verbs::transfer::accept_transfer::AcceptTransfer;
use pumice::verbs::transfer::create_transfer::{CreateTransfer, NewTransfer};
use pumice::verbs::transfer::delete_transfer::DeleteTransfer;
use pumice::verbs::volume::create_volume::CreateVolume;
use pumice::verbs::volume::delete_volume::DeleteVolume;
use pumice::verbs::volume::extend_volume::ExtendVolume;
use pumice::verbs::volume::migrate_volume::MigrateVolume;
use pumice::verbs::volume::retype_volume::RetypeVolume;
use pumice::verbs::volume::revert_to_snapshot::RevertToSnapshot;
use pumice::verbs::volume::update_volume_metadata::UpdateVolumeMetadata;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::nodes::{OTHER_TYPE, PROJECTS, World};
use crate::told::{Life, VolumeTold};

const WITHIN: Duration = Duration::from_secs(15);

/// What a client makes of an answer.
enum Said<T> {
    Yes(T),
    /// Surely nothing was done.
    No,
    Perhaps,
}

pub struct Client {
    world: Rc<World>,
    number: usize,
    api: Handle<ApiTopic>,
    context: Context,
    rng: StdRng,
}

/// Asks until all is to be calm.
pub async fn work(world: Rc<World>, number: usize, api: Handle<ApiTopic>) {
    let mut client = Client {
        number,
        api,
        context: Context {
            project_id: ProjectId::from(PROJECTS[number % 2]),
            user_id: UserId::from("u"),
            is_admin: false,
            ..Context::internal("client")
        },
        rng: sim::seeded().expect("a simulation is seeded"),
        world,
    };
    while !client.world.calm.get() {
        client.ask().await;
        let pause = client.rng.random_range(0..600);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    client.world.busy.update(|busy| busy - 1);
}

impl Client {
    async fn ask(&mut self) {
        let Some(volume) = self.pick() else {
            return self.create(None).await;
        };
        match self.rng.random_range(0..100) {
            0..18 => self.create(None).await,
            18..26 => self.create(Some(volume)).await,
            26..38 => self.extend(volume).await,
            38..50 => self.write_note(volume).await,
            50..62 => self.create_snapshot(volume).await,
            62..68 => self.delete_snapshot(volume).await,
            68..72 => self.revert(volume).await,
            72..82 => self.attach(volume).await,
            82..88 => self.detach(volume).await,
            88..91 => self.give_and_take(volume).await,
            91..93 => self.migrate(volume).await,
            93..95 => self.retype(volume).await,
            95..97 => self.delete(volume, false).await,
            _ => self.delete(volume, true).await,
        }
    }

    /// One of its volumes that may be there.
    fn pick(&mut self) -> Option<VolumeId> {
        let told = self.world.told.borrow();
        let mine = told.volumes.iter();
        let mine: Vec<VolumeId> = mine
            .filter(|(_, volume)| volume.owner == self.number && volume.life != Life::Gone)
            .map(|(id, _)| *id)
            .collect();
        (!mine.is_empty()).then(|| mine[self.rng.random_range(0..mine.len())])
    }

    async fn call<M: Call + Message<To = ApiTopic>>(&self, about: &str, message: M) -> Said<M::Reply> {
        self.call_as(&self.context, about, message).await
    }

    async fn call_as<M: Call + Message<To = ApiTopic>>(
        &self,
        who: &Context,
        about: &str,
        message: M,
    ) -> Said<M::Reply> {
        let answer = self.api.call(who, message, WITHIN).await;
        let mut told = self.world.told.borrow_mut();
        let (said, words) = match answer {
            Ok(reply) => (Said::Yes(reply), "yes".to_owned()),
            Err(CallError::Refused(error)) => {
                let surely_not = matches!(
                    error.kind,
                    ErrorKind::BadRequest | ErrorKind::NotFound | ErrorKind::OverQuota
                );
                let said = if surely_not { Said::No } else { Said::Perhaps };
                (said, error.to_string())
            }
            Err(error) if error.undelivered().is_some() => (Said::No, error.to_string()),
            Err(error) => (Said::Perhaps, error.to_string()),
        };
        told.note(format_args!("{} {} {about}: {words}", self.number, M::NAME));
        match said {
            Said::Yes(_) => told.answers.yes += 1,
            Said::No => told.answers.no += 1,
            Said::Perhaps => told.answers.perhaps += 1,
        }
        said
    }

    async fn create(&mut self, source: Option<VolumeId>) {
        let name = {
            let mut told = self.world.told.borrow_mut();
            told.asked += 1;
            format!("v{}", told.asked)
        };
        let snapshot = source.and_then(|volume| self.a_snapshot(volume));
        let request = CreateVolume {
            size: source.is_none().then(|| self.rng.random_range(1..4)),
            name: Some(name.clone()),
            source_volid: source.filter(|_| snapshot.is_none()).map(|id| id.0),
            snapshot_id: snapshot.map(|id| id.0),
            ..CreateVolume::default()
        };
        let said = self.call(&name, request).await;
        let mut told = self.world.told.borrow_mut();
        match said {
            Said::Yes(made) => {
                let volume = VolumeTold {
                    owner: self.number,
                    life: Life::Kept,
                    size: Some(made.size),
                    note: None,
                    snapshots: Default::default(),
                    attachments: Default::default(),
                };
                if told.volumes.insert(made.id, volume).is_some() {
                    told.wrong.push(format!("{} was made twice", made.id));
                }
            }
            Said::No => told.refused.push(name),
            Said::Perhaps => {}
        }
    }

    async fn extend(&mut self, id: VolumeId) {
        let (was, new_size) = {
            let mut told = self.world.told.borrow_mut();
            let volume = told.volume(id);
            let was = volume.size.take();
            (was, was.unwrap_or(4) + self.rng.random_range(1..3))
        };
        let request = ExtendVolume {
            volume_id: id.to_string(),
            new_size,
            attached_too: true,
        };
        let size = match self.call(&id.to_string(), request).await {
            Said::Yes(()) => Some(new_size),
            Said::No => was,
            Said::Perhaps => None,
        };
        self.world.told.borrow_mut().volume(id).size = size;
    }

    /// Metadata, which touches no storage: what was acknowledged must be read back.
    async fn write_note(&mut self, id: VolumeId) {
        let text = self.rng.random_range(0..1000).to_string();
        let was = self.world.told.borrow_mut().volume(id).note.take();
        let request = UpdateVolumeMetadata {
            volume_id: id.to_string(),
            change: MetadataChange::Merge([("note".to_owned(), text.clone())].into()),
            expected: None,
        };
        let note = match self.call(&id.to_string(), request).await {
            Said::Yes(all) => {
                if all.get("note") != Some(&text) {
                    let wrong = format!("{id} has {all:?} after note={text}");
                    self.world.told.borrow_mut().wrong.push(wrong);
                }
                Some(text)
            }
            Said::No => was,
            Said::Perhaps => None,
        };
        self.world.told.borrow_mut().volume(id).note = note;
    }

    async fn create_snapshot(&mut self, id: VolumeId) {
        let request = CreateSnapshot {
            volume_id: id.to_string(),
            in_use_too: true,
            ..CreateSnapshot::default()
        };
        if let Said::Yes(made) = self.call(&id.to_string(), request).await {
            let mut told = self.world.told.borrow_mut();
            told.volume(id).snapshots.insert(made.id, Life::Kept);
        }
    }

    fn a_snapshot(&mut self, id: VolumeId) -> Option<SnapshotId> {
        let mut told = self.world.told.borrow_mut();
        let snapshots = &told.volume(id).snapshots;
        let there = snapshots.iter().filter(|(_, life)| **life != Life::Gone);
        let there: Vec<SnapshotId> = there.map(|(id, _)| *id).collect();
        (!there.is_empty()).then(|| there[self.rng.random_range(0..there.len())])
    }

    async fn delete_snapshot(&mut self, id: VolumeId) {
        let Some(snapshot) = self.a_snapshot(id) else {
            return;
        };
        let become_ = |client: &Self, life| {
            let mut told = client.world.told.borrow_mut();
            told.volume(id).snapshots.insert(snapshot, life)
        };
        let was = become_(self, Life::Unsure);
        let request = DeleteSnapshot {
            snapshot_id: snapshot.to_string(),
            force: false,
        };
        match self.call(&snapshot.to_string(), request).await {
            Said::Yes(()) => become_(self, Life::Gone),
            Said::No => become_(self, was.expect("it was picked")),
            Said::Perhaps => None,
        };
    }

    async fn revert(&mut self, id: VolumeId) {
        let Some(snapshot) = self.a_snapshot(id) else {
            return;
        };
        let was = self.world.told.borrow_mut().volume(id).size.take();
        let request = RevertToSnapshot {
            volume_id: id.to_string(),
            snapshot_id: Some(snapshot.to_string()),
        };
        if let Said::No = self.call(&id.to_string(), request).await {
            self.world.told.borrow_mut().volume(id).size = was;
        }
    }

    async fn attach(&mut self, id: VolumeId) {
        let host = format!("compute{}", self.rng.random_range(0..3));
        let connector = serde_json::json!({"host": host, "initiator": format!("iqn.{host}")});
        let request = CreateAttachment {
            volume_id: id.to_string(),
            instance_uuid: Some(uuid::Builder::from_random_bytes(self.rng.random()).into_uuid()),
            connector: connector.as_object().map(Connector::from_json),
            mode: None,
        };
        let Said::Yes(made) = self.call(&id.to_string(), request).await else {
            return;
        };
        self.note_attachment(id, made.id, (Life::Kept, false));
        let request = CompleteAttachment {
            attachment_id: made.id.to_string(),
        };
        if let Said::Yes(()) = self.call(&made.id.to_string(), request).await {
            self.note_attachment(id, made.id, (Life::Kept, true));
        }
    }

    fn note_attachment(&self, id: VolumeId, attachment: AttachmentId, now: (Life, bool)) {
        let mut told = self.world.told.borrow_mut();
        told.volume(id).attachments.insert(attachment, now);
    }

    async fn detach(&mut self, id: VolumeId) {
        let found = {
            let mut told = self.world.told.borrow_mut();
            let attachments = &told.volume(id).attachments;
            let mut there = attachments.iter().filter(|(_, (life, _))| *life != Life::Gone);
            there.next().map(|(id, _)| *id)
        };
        let Some(attachment) = found else { return };
        self.note_attachment(id, attachment, (Life::Unsure, false));
        let request = DeleteAttachment {
            attachment_id: attachment.to_string(),
        };
        // A refusal may be how the operation ended: nothing is certain then.
        if let Said::Yes(_) = self.call(&attachment.to_string(), request).await {
            self.note_attachment(id, attachment, (Life::Gone, false));
        }
    }

    /// Moves a volume, as an administrator: to its owner it stays what it is.
    async fn migrate(&mut self, id: VolumeId) {
        let number = self.rng.random_range(0..self.world.storages.len());
        let request = MigrateVolume {
            volume_id: id.to_string(),
            destination: self.world.storages[number].backend(),
            lock_volume: self.rng.random_bool(0.3),
        };
        let administrator = Context {
            is_admin: true,
            ..self.context.clone()
        };
        self.call_as(&administrator, &id.to_string(), request).await;
    }

    async fn retype(&mut self, id: VolumeId) {
        let types = [DEFAULT_TYPE_NAME, OTHER_TYPE];
        let request = RetypeVolume {
            volume_id: id.to_string(),
            new_type: types[self.rng.random_range(0..2)].to_owned(),
            may_move: self.rng.random_bool(0.7),
        };
        self.call(&id.to_string(), request).await;
    }

    /// Gives a volume to the other project, which gives it back. Where it is stays uncertain unless all of that was acknowledged.
    async fn give_and_take(&mut self, id: VolumeId) {
        let become_ = |client: &Self, life| {
            let mut told = client.world.told.borrow_mut();
            std::mem::replace(&mut told.volume(id).life, life)
        };
        let other = Context {
            project_id: ProjectId::from(PROJECTS[(self.number + 1) % 2]),
            ..self.context.clone()
        };
        let was = become_(self, Life::Unsure);
        let made = match self.offer(&self.context, id).await {
            Said::Yes(made) => made,
            Said::No => return drop(become_(self, was)),
            Said::Perhaps => return,
        };
        let made = match self.accept(&other, made).await {
            // The other may have no room for it.
            Err(Some(made)) => {
                let request = DeleteTransfer {
                    transfer_id: made.transfer.id.to_string(),
                };
                if let Said::Yes(()) = self.call(&id.to_string(), request).await {
                    become_(self, was);
                }
                return;
            }
            Err(None) => return,
            Ok(()) => self.offer(&other, id).await,
        };
        if let Said::Yes(made) = made
            && let Ok(()) = self.accept(&self.context, made).await
        {
            become_(self, was);
        }
    }

    async fn offer(&self, who: &Context, id: VolumeId) -> Said<NewTransfer> {
        let request = CreateTransfer {
            volume_id: id.to_string(),
            name: None,
            no_snapshots: false,
            encrypted_too: false,
        };
        self.call_as(who, &id.to_string(), request).await
    }

    /// The offer comes back if it surely was not accepted.
    async fn accept(&self, who: &Context, made: NewTransfer) -> Result<(), Option<NewTransfer>> {
        let request = AcceptTransfer {
            transfer_id: made.transfer.id.to_string(),
            auth_key: made.auth_key.clone(),
        };
        let about = made.transfer.volume_id.to_string();
        match self.call_as(who, &about, request).await {
            Said::Yes(_) => Ok(()),
            Said::No => Err(Some(made)),
            Said::Perhaps => Err(None),
        }
    }

    async fn delete(&mut self, id: VolumeId, force: bool) {
        let was = {
            let mut told = self.world.told.borrow_mut();
            std::mem::replace(&mut told.volume(id).life, Life::Unsure)
        };
        let request = DeleteVolume {
            volume_id: id.to_string(),
            cascade: self.rng.random_bool(0.7),
            force,
        };
        let life = match self.call(&id.to_string(), request).await {
            Said::Yes(()) => Life::Gone,
            Said::No => was,
            Said::Perhaps => Life::Unsure,
        };
        self.world.told.borrow_mut().volume(id).life = life;
    }
}
