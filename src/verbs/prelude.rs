//! What every verb is written with, so that its file names only what is its own.

pub(super) use std::time::Duration;

pub(super) use async_trait::async_trait;
pub(super) use serde::{Deserialize, Serialize};

pub(super) use super::{
    Answer, Began, BeginContext, Command, CommandHeader, EndEvent, Entry, OperationContext, OperationEvents,
    ReadAttachments, Reads, RecordChange, Records, Request, Transition, Verb,
};
pub(super) use crate::backend::command::command_fields;
pub(super) use crate::backend::{BackendCommand, LockSet, SpaceEffect, Task, WhenDown};
pub(super) use crate::control::{Control, Deadlines, Interrupt};
pub(super) use crate::drivers::{DriverError, DriverResult};
pub(super) use crate::flow::{Flow, step};
pub(super) use crate::messages::api::{ApiTopic, Failure, FailureKind, Outcome};
pub(super) use crate::messages::volume::{CommandId, VolumeTopic};
pub(super) use crate::messages::{call, cast};
pub(super) use crate::model::role::Level;
pub(super) use crate::model::transitions::{Verb as Asked, decide};
pub(super) use crate::model::user_message::{Action, Detail};
pub(super) use crate::model::{
    Attachment, Error, Operation, Result, Snapshot, SnapshotStatus, Subject, Timestamp, Volume, VolumeSpec,
    VolumeStatus,
};
