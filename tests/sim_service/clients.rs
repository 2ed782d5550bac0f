//! Clients, asking the Api actor as the web server does for them. Each has volumes of its own, so it knows what must be.

use std::cell::RefMut;
use std::rc::Rc;
use std::time::Duration;

use pumice::messages::api::{ApiTopic, MetadataChange};
use pumice::messages::{Call, Message};
use pumice::model::volume_type::DEFAULT_TYPE_NAME;
use pumice::model::{Connector, Context, ErrorKind, ProjectId, UserId, VolumeId};
use pumice::sim;
use pumice::transport::CallError;
use pumice::verbs::attachment::{CompleteAttachment, CreateAttachment, DeleteAttachment};
use pumice::verbs::snapshot::{CreateSnapshot, DeleteSnapshot};
use pumice::verbs::transfer::{AcceptTransfer, CreateTransfer, DeleteTransfer, NewTransfer};
use pumice::verbs::volume::{
    CreateVolume, DeleteVolume, ExtendVolume, MigrateVolume, RetypeVolume, RevertToSnapshot,
    UpdateVolumeMetadata,
};
use rand::RngExt;
use rand::rngs::StdRng;
use uuid::Uuid;

use crate::acknowledged::{AcknowledgedFacts, Answer, Existence, PossibleValues, Resource};
use crate::history::History;
use crate::nodes::{Api, Asked, World};
use crate::parts::{OTHER_TYPE, PROJECTS};

const WITHIN: Duration = Duration::from_secs(15);

/// What a client makes of an answer.
enum Reply<T> {
    Done(T),
    /// Surely nothing was done.
    Refused,
    Open,
}

impl<T> Reply<T> {
    fn answer(&self) -> Answer {
        match self {
            Self::Done(_) => Answer::Acknowledged,
            Self::Refused => Answer::Refused,
            Self::Open => Answer::Open,
        }
    }
}

pub struct Client {
    world: Rc<World>,
    number: usize,
    api: Api,
    context: Context,
    rng: StdRng,
}

/// Asks until all is to be calm.
pub async fn work(world: Rc<World>, number: usize, api: Api) {
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
            38..46 => self.write_note(volume).await,
            46..50 => self.read(volume).await,
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

    fn history(&self) -> RefMut<'_, History> {
        self.world.history.borrow_mut()
    }

    fn facts(&self) -> RefMut<'_, AcknowledgedFacts<Uuid, Option<String>>> {
        RefMut::map(self.history(), |history| &mut history.facts)
    }

    /// One of its volumes that may exist.
    fn pick(&mut self) -> Option<VolumeId> {
        let history = self.world.history.borrow();
        let all = history.facts.all("volume");
        let mine: Vec<Uuid> = all
            .filter(|(id, _)| history.owners[*id] == self.number)
            .map(|(id, _)| *id)
            .collect();
        (!mine.is_empty()).then(|| VolumeId(mine[self.rng.random_range(0..mine.len())]))
    }

    async fn call<M: Call + Message<To = ApiTopic>>(&self, about: &str, message: M) -> Reply<M::Reply> {
        self.call_as(&self.context, about, message).await
    }

    async fn call_as<M: Call + Message<To = ApiTopic>>(
        &self,
        who: &Context,
        about: &str,
        message: M,
    ) -> Reply<M::Reply> {
        let answer = self.api.call(who, message, WITHIN).await;
        let mut history = self.history();
        let (reply, words) = match answer {
            Asked::Answered(Ok(reply)) => (Reply::Done(reply), "yes".to_owned()),
            Asked::Answered(Err(CallError::Refused(error))) => {
                let surely_not = matches!(
                    error.kind,
                    ErrorKind::BadRequest | ErrorKind::NotFound | ErrorKind::OverQuota
                );
                let reply = if surely_not { Reply::Refused } else { Reply::Open };
                (reply, error.to_string())
            }
            Asked::Answered(Err(error)) if error.undelivered().is_some() => {
                (Reply::Refused, error.to_string())
            }
            Asked::Answered(Err(error)) => (Reply::Open, error.to_string()),
            Asked::Nobody => (Reply::Refused, "there is nobody to ask".to_owned()),
            Asked::Lost => (Reply::Open, "its node died".to_owned()),
        };
        history.note(format_args!("{} {} {about}: {words}", self.number, M::NAME));
        match reply {
            Reply::Done(_) => history.answers.acknowledged += 1,
            Reply::Refused => history.answers.refused += 1,
            Reply::Open => history.answers.open += 1,
        }
        reply
    }

    async fn create(&mut self, source: Option<VolumeId>) {
        let name = {
            let mut history = self.history();
            history.asked += 1;
            format!("v{}", history.asked)
        };
        let snapshot = source.and_then(|volume| self.a_snapshot(volume));
        let request = CreateVolume {
            size: source.is_none().then(|| self.rng.random_range(1..4)),
            name: Some(name.clone()),
            source_volid: source.filter(|_| snapshot.is_none()).map(|id| id.0),
            snapshot_id: snapshot,
            ..CreateVolume::default()
        };
        let reply = self.call(&name, request).await;
        let mut history = self.history();
        match reply {
            Reply::Done(made) => {
                let volume = Resource {
                    sizes: [made.size.into()].into(),
                    metadata: [None].into(),
                    ..Resource::existing("volume", None, made.id)
                };
                history.owners.insert(made.id.0, self.number);
                if history.facts.resources.insert(made.id.0, volume).is_some() {
                    history.facts.faults.push(format!("{} was made twice", made.id));
                }
            }
            Reply::Refused => history.refused.push(name),
            Reply::Open => {}
        }
    }

    async fn extend(&mut self, id: VolumeId) {
        let was = self.facts().of(&id.0).sizes.largest().copied();
        let new_size = was.unwrap_or(4) + self.rng.random_range(1..3);
        let before = self.facts().of(&id.0).sizes.begin_change(new_size);
        let request = ExtendVolume {
            volume_id: id.to_string(),
            new_size: u32::try_from(new_size).expect("small volumes"),
            attached_too: true,
        };
        let answer = self.call(&id.to_string(), request).await.answer();
        self.facts().of(&id.0).sizes.end_change(before, new_size, answer);
    }

    /// Metadata, which touches no storage: what was acknowledged must be read back.
    async fn write_note(&mut self, id: VolumeId) {
        let text = self.rng.random_range(0..1000).to_string();
        let note = Some(text.clone());
        let before = self.facts().of(&id.0).metadata.begin_change(note.clone());
        let request = UpdateVolumeMetadata {
            volume_id: id.to_string(),
            change: MetadataChange::Merge([("note".to_owned(), text)].into()),
            expected: None,
        };
        let reply = self.call(&id.to_string(), request).await;
        let mut facts = self.facts();
        facts
            .of(&id.0)
            .metadata
            .end_change(before, note.clone(), reply.answer());
        if let Reply::Done(all) = reply
            && all.get("note") != note.as_ref()
        {
            facts.faults.push(format!("{id} has {all:?} after note={note:?}"));
        }
    }

    /// What was acknowledged, by whichever node, is shown by each.
    async fn read(&mut self, id: VolumeId) {
        let Some(found) = self.api.volume(id).await else {
            return;
        };
        let mut history = self.history();
        history.note(format_args!("{} reads {id}: {}", self.number, found.is_some()));
        history.answers.read += 1;
        let known = history.facts.of(&id.0);
        let mut wrong = Vec::new();
        match (&found, known.exists()) {
            (None, true) => wrong.push(format!("{id} was acknowledged and is not shown")),
            (Some(volume), true) => {
                let note = volume.metadata.get("note").cloned();
                let why = known.metadata.contradiction(&note);
                wrong.extend(why.map(|why| format!("the note of {id} {why} when it is read")));
            }
            _ => {}
        }
        history.facts.faults.append(&mut wrong);
    }

    async fn create_snapshot(&mut self, id: VolumeId) {
        let request = CreateSnapshot {
            volume_id: id.to_string(),
            in_use_too: true,
            ..CreateSnapshot::default()
        };
        if let Reply::Done(made) = self.call(&id.to_string(), request).await {
            let snapshot = Resource::existing("snapshot", Some(id.0), made.id);
            self.facts().resources.insert(made.id.0, snapshot);
        }
    }

    fn a_snapshot(&mut self, id: VolumeId) -> Option<Uuid> {
        let there: Vec<Uuid> = self
            .facts()
            .of_volume("snapshot", &id.0)
            .map(|(id, _)| *id)
            .collect();
        (!there.is_empty()).then(|| there[self.rng.random_range(0..there.len())])
    }

    async fn delete_snapshot(&mut self, id: VolumeId) {
        let Some(snapshot) = self.a_snapshot(id) else {
            return;
        };
        let before = self.facts().begin_delete(&snapshot, false);
        let request = DeleteSnapshot {
            snapshot_id: snapshot.to_string(),
            force: false,
        };
        let answer = self.call(&snapshot.to_string(), request).await.answer();
        self.facts().end_delete(&snapshot, before, answer);
    }

    async fn revert(&mut self, id: VolumeId) {
        let Some(snapshot) = self.a_snapshot(id) else {
            return;
        };
        let before = std::mem::take(&mut self.facts().of(&id.0).sizes);
        let request = RevertToSnapshot {
            volume_id: id.to_string(),
            snapshot_id: Some(snapshot.to_string()),
        };
        if let Reply::Refused = self.call(&id.to_string(), request).await {
            self.facts().of(&id.0).sizes = before;
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
        let Reply::Done(made) = self.call(&id.to_string(), request).await else {
            return;
        };
        if made.connection_info.is_none() {
            let wrong = format!("{} was answered without its connection", made.id);
            self.facts().faults.push(wrong);
        }
        let attachment = Resource {
            statuses: ["attaching", "attached"].into(),
            ..Resource::existing("attachment", Some(id.0), made.id)
        };
        self.facts().resources.insert(made.id.0, attachment);
        let request = CompleteAttachment {
            attachment_id: made.id.to_string(),
        };
        if let Reply::Done(()) = self.call(&made.id.to_string(), request).await {
            self.facts().of(&made.id.0).statuses = ["attached"].into();
        }
    }

    async fn detach(&mut self, id: VolumeId) {
        let found = self
            .facts()
            .of_volume("attachment", &id.0)
            .next()
            .map(|(id, _)| *id);
        let Some(attachment) = found else { return };
        self.facts().of(&attachment).statuses = PossibleValues::default();
        self.facts().begin_delete(&attachment, false);
        let request = DeleteAttachment {
            attachment_id: attachment.to_string(),
        };
        // A refusal may be how the operation ended: nothing is certain then.
        if let Reply::Done(_) = self.call(&attachment.to_string(), request).await {
            self.facts().is_gone(&attachment);
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
        let become_ =
            |client: &Self, existence| std::mem::replace(&mut client.facts().of(&id.0).existence, existence);
        let other = Context {
            project_id: ProjectId::from(PROJECTS[(self.number + 1) % 2]),
            ..self.context.clone()
        };
        let was = become_(self, Existence::Unsure { may_begin: true });
        let made = match self.offer(&self.context, id).await {
            Reply::Done(made) => made,
            Reply::Refused => {
                become_(self, was);
                return;
            }
            Reply::Open => return,
        };
        let made = match self.accept(&other, made).await {
            // The other may have no room for it.
            Err(Some(made)) => {
                let request = DeleteTransfer {
                    transfer_id: made.transfer.id.to_string(),
                };
                if let Reply::Done(()) = self.call(&id.to_string(), request).await {
                    become_(self, was);
                }
                return;
            }
            Err(None) => return,
            Ok(()) => self.offer(&other, id).await,
        };
        if let Reply::Done(made) = made
            && let Ok(()) = self.accept(&self.context, made).await
        {
            become_(self, was);
        }
    }

    async fn offer(&self, who: &Context, id: VolumeId) -> Reply<NewTransfer> {
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
            Reply::Done(_) => Ok(()),
            Reply::Refused => Err(Some(made)),
            Reply::Open => Err(None),
        }
    }

    async fn delete(&mut self, id: VolumeId, force: bool) {
        let before = self.facts().begin_delete(&id.0, false);
        let request = DeleteVolume {
            volume_id: id.to_string(),
            cascade: self.rng.random_bool(0.7),
            force,
        };
        let answer = self.call(&id.to_string(), request).await.answer();
        self.facts().end_delete(&id.0, before, answer);
    }
}
