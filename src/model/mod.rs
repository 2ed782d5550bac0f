//! Plain records, their state machines and the errors of the domain.
//!
//! Everything here is data and pure functions of data: no I/O, no clock, no actor. It defines what a volume *is*,
//! and which state may follow which. It uses no other module of this crate.

pub mod attachment;
pub mod bounds;
pub mod capability;
pub mod cluster_task;
pub mod context;
pub mod control_node;
pub mod error;
pub mod extra_specs_ops;
pub mod host;
pub mod id;
pub mod idempotency;
pub mod identity;
pub mod lvm;
pub mod manageable;
pub mod migration;
pub mod network;
pub mod node_identity;
pub mod notification;
pub mod operation;
pub mod qos_specs;
pub mod quota;
pub mod role;
pub mod service;
pub mod snapshot;
pub mod spec;
pub mod storage_name;
pub mod time;
pub mod transfer;
pub mod transitions;
pub mod type_encryption;
pub mod user_message;
pub mod volume;
pub mod volume_type;

pub use attachment::{AttachMode, Attachment, AttachmentStatus, ConnectionInfo, Connector};
pub use cluster_task::ClusterTask;
pub use context::Context;
pub use control_node::NodeIncarnation;
pub use error::{Error, ErrorKind, Result};
pub use host::{BackendName, PoolName};
pub use id::{
    ApplicationCredentialId, AttachmentId, MessageId, OperationId, ProjectId, RoleId, ServiceId, SnapshotId,
    UserId, VolumeId,
};
pub use identity::{
    ApplicationCredential, IdentityKey, IdentityRecord, PendingCleanup, Project, RevokedToken, Role,
    RoleAssignment, Token, TokenGeneration, TokenHash, TokenKey, TokenKeys, User,
};
pub use manageable::{Existing, Reference};
pub use network::IpNetwork;
pub use node_identity::{NodeIdentity, NodeRole};
pub use notification::{Notification, NotificationCaller, NotificationPriority};
pub use operation::{Operation, StepOutcome, StepRecord, Subject};
pub use qos_specs::{QosConsumer, QosSpecs, QosSpecsId};
pub use service::{PoolStats, Service};
pub use snapshot::{Snapshot, SnapshotStatus};
pub use spec::VolumeSpec;
pub use storage_name::StorageName;
pub use time::Timestamp;
pub use transfer::{Transfer, TransferId};
pub use type_encryption::{ControlLocation, TypeEncryption, TypeEncryptionId};
pub use user_message::UserMessage;
pub use volume::{AttachStatus, MigrationStatus, Volume, VolumeStatus};
pub use volume_type::{ProjectDefaultType, VolumeType, VolumeTypeId};
