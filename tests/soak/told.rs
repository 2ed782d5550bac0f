//! What one client was told, and so may rely on: an answer is a fact, a connection that broke leaves what was and what was asked for
//! both possible. Each thing has a name of its own, so that it is found again where its id was in an answer that never came.

use std::collections::BTreeSet;

/// Whether something is there, once all has come to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    Yes,
    No,
    /// Nobody answered, so both are right.
    Perhaps,
}

/// What a client asked for under a name.
#[derive(Clone, Debug)]
pub struct Thing {
    pub name: String,
    /// Missing if the answer that would have had it did not come.
    pub id: Option<String>,
    pub there: There,
    /// Nobody answered, but the server was not seen to die: what was asked for may still begin.
    pub may_come: bool,
}

/// A volume, and what hangs on it.
#[derive(Clone, Debug)]
pub struct Volume {
    pub thing: Thing,
    /// In GiB; two where nobody answered that it grew.
    pub sizes: BTreeSet<u64>,
    /// How many pairs of metadata it has; several where nobody answered a change.
    pub metadata: BTreeSet<usize>,
    /// Whose data it has: the name of the volume that they were written for.
    pub data: Option<String>,
    pub snapshots: Vec<Snapshot>,
    pub attachments: Vec<Attachment>,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub thing: Thing,
    pub sizes: BTreeSet<u64>,
    pub data: Option<String>,
}

/// The name is that of the server, in the form of a UUID.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub thing: Thing,
    pub statuses: BTreeSet<&'static str>,
}

/// All that one client was told.
#[derive(Debug, Default)]
pub struct Told {
    pub volumes: Vec<Volume>,
    /// What went against what it was told while it worked.
    pub faults: Vec<String>,
}

impl Thing {
    /// Asked for, and not answered yet.
    pub fn asked(name: String) -> Self {
        Self {
            name,
            id: None,
            there: There::Perhaps,
            may_come: true,
        }
    }

    pub fn is_sure(&self) -> bool {
        self.there == There::Yes
    }

    /// Its id, if it is surely there.
    pub fn sure_id(&self) -> Option<&str> {
        self.id.as_deref().filter(|_| self.is_sure())
    }

    /// It was told to be there.
    pub fn is_there(&mut self, id: &str) {
        *self = Self {
            name: std::mem::take(&mut self.name),
            id: Some(id.to_owned()),
            there: There::Yes,
            may_come: false,
        };
    }

    /// It was told that it is, or will be, gone.
    pub fn is_gone(&mut self) {
        (self.there, self.may_come) = (There::No, false);
    }
}

impl Volume {
    pub fn asked(name: String, size: u64, data: Option<String>) -> Self {
        Self {
            thing: Thing::asked(name),
            sizes: BTreeSet::from([size]),
            metadata: BTreeSet::from([0]),
            data,
            snapshots: Vec::new(),
            attachments: Vec::new(),
        }
    }

    /// It is gone, and so is what hung on it.
    pub fn is_gone(&mut self) {
        self.thing.is_gone();
        for snapshot in &mut self.snapshots {
            snapshot.thing.is_gone();
        }
        for attachment in &mut self.attachments {
            attachment.thing.is_gone();
        }
    }

    /// The attachment that is, or may be, there: a client makes one at a time.
    pub fn attachment(&self) -> Option<&Attachment> {
        let mut all = self.attachments.iter();
        all.find(|attachment| attachment.thing.there != There::No)
    }

    /// The same, to note what it was told.
    pub fn attachment_mut(&mut self) -> Option<&mut Attachment> {
        let mut all = self.attachments.iter_mut();
        all.find(|attachment| attachment.thing.there != There::No)
    }

    /// Whether its data have hung on nothing yet.
    pub fn is_untouched(&self) -> bool {
        self.thing.is_sure()
            && self.data.is_none()
            && self.snapshots.is_empty()
            && self.attachments.is_empty()
    }
}

impl Told {
    /// Forgets what is gone: should it come back, it will be nobody's.
    pub fn forget_what_is_gone(&mut self) {
        let stays = |thing: &Thing| thing.there != There::No;
        self.volumes.retain(|volume| stays(&volume.thing));
        for volume in &mut self.volumes {
            volume.snapshots.retain(|snapshot| stays(&snapshot.thing));
            volume.attachments.retain(|attachment| stays(&attachment.thing));
        }
    }
}
