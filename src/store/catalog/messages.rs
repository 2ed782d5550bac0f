//! User messages: their rows, reads, and the expired ones.

use super::changes::{Changes, Rows};
use super::keys::{self, bytes_time, key, last_id};
use super::query::ListError;
use super::read::sees;
use super::{Catalog, Stored};
use crate::model::{MessageId, ProjectId, Timestamp, UserMessage};
use crate::store::{Condition, Key, StoreError};

impl Catalog {
    /// User messages of a project (`None`: of all), newest first, behind `marker`.
    ///
    /// # Errors
    /// `UnknownMarker` when the marker is no message, or one of another project; or when the store fails.
    pub async fn messages(
        &self,
        project: Option<&ProjectId>,
        marker: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<UserMessage>, ListError> {
        let after = match marker {
            None => None,
            Some(id) => match self.message(id).await? {
                Some(marker) if sees(project, &marker.project_id) => Some(created_row(project, &marker)),
                _ => return Err(ListError::UnknownMarker(id.to_string())),
            },
        };
        let prefix = key(keys::MESSAGE_BY_CREATED).scope(project).prefix();
        self.newest(prefix, after, limit, |id| record_key(MessageId(id)))
            .await
    }

    /// A user message by id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn message(&self, id: MessageId) -> Result<Option<Stored<UserMessage>>, StoreError> {
        self.record(&record_key(id)).await
    }

    /// Up to `limit` messages that are to be forgotten by now, the longest expired first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn expired_messages(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Stored<UserMessage>>, StoreError> {
        let rows = self
            .range(key(keys::MESSAGE_BY_EXPIRY).prefix(), None, false, limit)
            .await?;
        let expired: Vec<Key> = rows
            .iter()
            .map(|(row, _)| row)
            .take_while(|row| {
                row.0
                    .get(2..10)
                    .and_then(bytes_time)
                    .is_some_and(|expiry| expiry <= now)
            })
            .filter_map(last_id)
            .map(|id| record_key(MessageId(id)))
            .collect();
        self.records(&expired).await
    }
}

impl Changes {
    /// A new user message.
    pub fn insert_message(&mut self, message: &UserMessage) -> &mut Self {
        let key = record_key(message.id);
        self.condition(Condition::Absent(key.clone()));
        self.put(key, message);
        self.replace_rows(Rows::new(), rows(message));
        self
    }

    /// Without this message.
    pub fn delete_message(&mut self, was: &Stored<UserMessage>) -> &mut Self {
        let key = record_key(was.id);
        self.unchanged(&key, was.revision);
        self.delete(key);
        self.replace_rows(rows(was), Rows::new());
        self
    }
}

pub(super) fn record_key(id: MessageId) -> Key {
    key(keys::MESSAGE).id(id.0).end()
}

/// All index rows of a message.
pub(super) fn rows(message: &UserMessage) -> Rows {
    [
        created_row(None, message),
        created_row(Some(&message.project_id), message),
        key(keys::MESSAGE_BY_EXPIRY)
            .time(message.expires_at)
            .id(message.id.0)
            .end(),
    ]
    .into_iter()
    .map(|row| (row, Vec::new()))
    .collect()
}

fn created_row(scope: Option<&ProjectId>, message: &UserMessage) -> Key {
    key(keys::MESSAGE_BY_CREATED)
        .scope(scope)
        .time(message.created_at)
        .id(message.id.0)
        .end()
}
