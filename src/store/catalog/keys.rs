//! The layout of keys, whose byte order is the order that lists need.
//!
//! A key is the name of its table (two letters), then its parts. Numbers are big-endian, times with the sign bit
//! inverted, so that both sort by value. Text is escaped (`00` → `00 ff`) and ended (`00 01`), so that no text is a
//! prefix of another and order is kept. An optional value begins with `01` (missing, sorts first) or `02`. A *scope* is
//! all projects (`01`) or one project (`02` and its id).
//!
//! | table | key | value |
//! |---|---|---|
//! | `V.` | created_at, id | volume; in this order it is also the list of all volumes |
//! | `vi` | id | created_at, the rest of the volume's key |
//! | `vc` | project, created_at, id | the volumes of a project |
//! | `vn`, `vs`, `vz` | scope, name / status / size, created_at, id | by name, status, size |
//! | `vb` | host, backend, id in the storage name | the volumes of a backend; value: created_at, and the id if it differs |
//! | `vt` | project, `c` or `g` | counter: volumes, GiB |
//! | `vk` | type id | counter: volumes of the type |
//! | `A.`, `av`, `ac` | id; volume, created_at, id; scope, created_at, id | attachments |
//! | `N.`, `nv`, `nc` | id; volume, created_at, id; scope, created_at, id | snapshots |
//! | `nn` | scope, name, created_at, id | snapshots by name |
//! | `T.`, `tn` | id; name | volume types; value of `tn`: id |
//! | `Te` | type id | how the volumes of a type are encrypted |
//! | `Td` | project | default types of projects |
//! | `Tq`, `tq` | id; name | QoS specs; value of `tq`: id |
//! | `O.` | id | operations |
//! | `os` | volume or snapshot, id | operations that create a volume from it |
//! | `On` | sink, revision that was read, node, sequence number | notifications that a sink has not accepted yet |
//! | `Qc` | project, resource, `u` or `r` | counters: in use, reserved |
//! | `Qp`, `Qd` | project, resource; class, resource | limits |
//! | `S.` | binary, host | services |
//! | `M.`, `mc`, `mx` | id; scope, created_at, id; expires_at, id | user messages |
//! | `X.`, `xv`, `xc` | id; volume, id; scope, created_at, id | transfers |
//! | `Iu`, `Ip`, `Io`, `Ia` | id | users, projects, roles, application credentials |
//! | `iu`, `ip`, `io`, `ia` | owner of the name (domain, user, or nothing), name | the same by name; value: id |
//! | `ib` | project, id | application credentials of a project |
//! | `Ir`, `ir`, `is` | user, project; project, user; role, user, project | role assignments |
//! | `Ix` | kind, id | deleted records of identity whose dependents are being deleted |
//! | `It`, `ix` | hash; expires_at, hash | tokens in the former format |
//! | `Ik` | | the keys of tokens |
//! | `Ig` | user | how often all tokens of a user were revoked |
//! | `Iv`, `iy` | user, audit id; expires_at, user, audit id | revoked tokens |
//! | `K.`, `kx` | project, hash; expires_at, project, hash | answered requests with an idempotency key |
//! | `C.`, `Cb`, `Ca` | name | control nodes that share the store; how often each has said that it runs; what its run can do |
//! | `Cv` | | the newest versions of records that all control nodes read |
//! | `Ct` | name | tasks that one control node at a time does |
//! | `F.` | | the layout's own version |

use uuid::Uuid;

use crate::model::{ProjectId, Timestamp, VolumeId};
use crate::store::Key;

/// The name of a table: the first two bytes of its keys.
pub type Table = &'static [u8; 2];

macro_rules! tables {
    ($($name:ident = $bytes:literal;)+) => {
        $(pub(super) const $name: Table = $bytes;)+

        /// All tables.
        pub(super) const ALL: &[Table] = &[$($name,)+];
    };
}

tables! {
    VOLUME = b"V.";
    VOLUME_BY_ID = b"vi";
    VOLUME_BY_CREATED = b"vc";
    VOLUME_BY_NAME = b"vn";
    VOLUME_BY_STATUS = b"vs";
    VOLUME_BY_SIZE = b"vz";
    VOLUME_BY_BACKEND = b"vb";
    VOLUME_TOTALS = b"vt";
    VOLUMES_OF_TYPE = b"vk";
    ATTACHMENT = b"A.";
    ATTACHMENT_BY_VOLUME = b"av";
    ATTACHMENT_BY_CREATED = b"ac";
    SNAPSHOT = b"N.";
    SNAPSHOT_BY_VOLUME = b"nv";
    SNAPSHOT_BY_CREATED = b"nc";
    SNAPSHOT_BY_NAME = b"nn";
    VOLUME_TYPE = b"T.";
    VOLUME_TYPE_BY_NAME = b"tn";
    TYPE_ENCRYPTION = b"Te";
    PROJECT_DEFAULT_TYPE = b"Td";
    QOS_SPECS = b"Tq";
    QOS_SPECS_BY_NAME = b"tq";
    OPERATION = b"O.";
    OPERATION_BY_SOURCE = b"os";
    NOTIFICATION = b"On";
    USAGE = b"Qc";
    PROJECT_LIMIT = b"Qp";
    CLASS_LIMIT = b"Qd";
    SERVICE = b"S.";
    MESSAGE = b"M.";
    MESSAGE_BY_CREATED = b"mc";
    MESSAGE_BY_EXPIRY = b"mx";
    TRANSFER = b"X.";
    TRANSFER_BY_VOLUME = b"xv";
    TRANSFER_BY_CREATED = b"xc";
    USER = b"Iu";
    PROJECT = b"Ip";
    ROLE = b"Io";
    APPLICATION_CREDENTIAL = b"Ia";
    USER_BY_NAME = b"iu";
    PROJECT_BY_NAME = b"ip";
    ROLE_BY_NAME = b"io";
    APPLICATION_CREDENTIAL_BY_NAME = b"ia";
    APPLICATION_CREDENTIAL_BY_PROJECT = b"ib";
    ROLES = b"Ir";
    ROLES_BY_PROJECT = b"ir";
    ROLES_BY_ROLE = b"is";
    PENDING_CLEANUP = b"Ix";
    TOKEN = b"It";
    TOKEN_BY_EXPIRY = b"ix";
    TOKEN_KEYS = b"Ik";
    TOKEN_GENERATION = b"Ig";
    REVOKED_TOKEN = b"Iv";
    REVOKED_TOKEN_BY_EXPIRY = b"iy";
    IDEMPOTENT_REQUEST = b"K.";
    IDEMPOTENT_REQUEST_BY_EXPIRY = b"kx";
    CONTROL_NODE = b"C.";
    CONTROL_NODE_BEAT = b"Cb";
    CONTROL_NODE_ABILITIES = b"Ca";
    RECORD_VERSIONS = b"Cv";
    CLUSTER_TASK = b"Ct";
    LAYOUT = b"F.";
}

/// Tables of index rows that are conditions of commits, so that names are unique. An engine stores them even if it derives the
/// rows of other indexes.
pub(super) const UNIQUE: &[Table] = &[
    VOLUME_TYPE_BY_NAME,
    QOS_SPECS_BY_NAME,
    USER_BY_NAME,
    PROJECT_BY_NAME,
    ROLE_BY_NAME,
    APPLICATION_CREDENTIAL_BY_NAME,
];

const MISSING: u8 = 1;
const PRESENT: u8 = 2;

/// Builds a key, part by part.
#[derive(Clone)]
pub struct KeyOf(Vec<u8>);

/// Begins a key of this table.
pub(super) fn key(table: Table) -> KeyOf {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(table);
    KeyOf(bytes)
}

impl KeyOf {
    pub(super) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn id(self, id: Uuid) -> Self {
        self.bytes(id.as_bytes())
    }

    pub(super) fn number(self, number: u32) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn time(self, time: Timestamp) -> Self {
        self.bytes(&time_bytes(time))
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0.push(byte);
            if byte == 0 {
                self.0.push(0xff);
            }
        }
        self.bytes(&[0, 1])
    }

    pub(super) fn optional_text(self, text: Option<&str>) -> Self {
        match text {
            None => self.byte(MISSING),
            Some(text) => self.byte(PRESENT).text(text),
        }
    }

    /// Appends a project, or all projects.
    pub(super) fn scope(self, project: Option<&ProjectId>) -> Self {
        self.optional_text(project.map(ProjectId::as_str))
    }

    /// The key.
    pub(super) fn end(self) -> Key {
        Key(self.0)
    }

    /// The prefix of all keys that begin with these parts.
    pub(super) fn prefix(self) -> Vec<u8> {
        self.0
    }
}

/// The size of a time in bytes.
pub(super) const TIME_BYTES: usize = 8;

/// A time as bytes that sort by time.
pub(super) fn time_bytes(time: Timestamp) -> [u8; TIME_BYTES] {
    let mut bytes = time.0.to_be_bytes();
    bytes[0] ^= 0x80;
    bytes
}

/// Decodes a time.
pub(super) fn bytes_time(bytes: &[u8]) -> Option<Timestamp> {
    let mut bytes: [u8; TIME_BYTES] = bytes.try_into().ok()?;
    bytes[0] ^= 0x80;
    Some(Timestamp(i64::from_be_bytes(bytes)))
}

/// The id at the end of a key.
pub(super) fn last_id(key: &Key) -> Option<Uuid> {
    key.0.last_chunk::<16>().map(|bytes| Uuid::from_bytes(*bytes))
}

/// The key of a volume's record.
pub(super) fn volume_key(created_at: Timestamp, id: VolumeId) -> Key {
    key(VOLUME).time(created_at).id(id.0).end()
}

/// The key of the record for an index row, if the row's key ends with created_at and id.
pub(super) fn volume_key_of_row(row: &Key) -> Option<Key> {
    row.0.last_chunk::<24>().map(|tail| key(VOLUME).bytes(tail).end())
}

/// Decodes a text of [`KeyOf::text`], and returns the remaining bytes.
pub(super) fn split_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut text = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [0, 1, rest @ ..] => return Some((String::from_utf8(text).ok()?, rest)),
            [0, 0xff, next @ ..] => {
                text.push(0);
                rest = next;
            }
            [0, ..] | [] => return None,
            [byte, next @ ..] => {
                text.push(*byte);
                rest = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn awkward_text() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), Just('ÿ'), any::<char>()],
            0..5,
        )
        .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_parts_do(
            a in (proptest::option::of(awkward_text()), any::<u32>(), any::<i64>()),
            b in (proptest::option::of(awkward_text()), any::<u32>(), any::<i64>()),
        ) {
            let of = |(text, number, time): &(Option<String>, u32, i64)| {
                key(VOLUME).optional_text(text.as_deref()).number(*number).time(Timestamp(*time)).end()
            };
            prop_assert_eq!(of(&a).cmp(&of(&b)), a.cmp(&b));
        }

        #[test]
        fn parts_are_read_back(text in awkward_text(), time: i64) {
            let bytes = key(USAGE).text(&text).time(Timestamp(time)).prefix();
            let (read, rest) = split_text(&bytes[2..]).unwrap();
            prop_assert_eq!(read, text);
            prop_assert_eq!(bytes_time(rest), Some(Timestamp(time)));
        }

        #[test]
        fn damaged_text_is_no_text(bytes: Vec<u8>) {
            let _ = split_text(&bytes);
        }
    }

    #[test]
    fn a_project_is_no_prefix_of_another() {
        let prefix = key(VOLUME_BY_CREATED).scope(Some(&"p".into())).prefix();
        assert!(
            !key(VOLUME_BY_CREATED)
                .scope(Some(&"pq".into()))
                .end()
                .0
                .starts_with(&prefix)
        );
    }
}
