//! Ids as distinct types, so that a volume's id cannot be passed as an attachment's. The ids of later kinds of resources are
//! in the files of those resources.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rng;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $make:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub uuid::Uuid);

        impl $name {
            /// A new unique id.
            #[expect(clippy::new_without_default, reason = "an id has no default: each is new")]
            pub fn new() -> Self {
                Self($make)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                uuid::Uuid::parse_str(text).map(Self)
            }
        }
    };
}
pub(super) use uuid_id;

uuid_id!(/// Names a volume. Version 4, as Cinder's are.
    VolumeId, rng::id());
uuid_id!(/// Names a snapshot.
    SnapshotId, rng::id());
uuid_id!(/// Names an attachment of a volume to a host.
    AttachmentId, rng::id());
uuid_id!(/// Names a user message (`GET /messages`).
    MessageId, rng::id());
uuid_id!(/// Names a service row (`GET /os-services`).
    ServiceId, rng::id());
uuid_id!(/// Names an operation in the journal. Version 7, so that operations sort by their beginning.
    OperationId, rng::id_by_time());

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text, as shown to clients.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(/// A project (tenant). Text, for identity services choose their own forms.
    ProjectId);
text_id!(/// A user. Text, for the same reason.
    UserId);
text_id!(/// A role of the embedded identity.
    RoleId);
text_id!(/// An application credential of the embedded identity.
    ApplicationCredentialId);
