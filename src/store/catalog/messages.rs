//! User messages: their rows, reads, and the expired ones.

use super::changes::Indexed;
use super::keys::{self, Table, bytes_time, key, last_id};
use super::kinds::{Kind, Rows};
use super::listable::{FieldValue, Listable, record_fields};
use super::query::{MessageField, Page};
use super::{Catalog, Stored};
use crate::model::{MessageId, ProjectId, Timestamp, UserMessage};
use crate::store::{Key, StoreError};

impl Catalog {
    /// A user message by id.
    pub async fn message(&self, id: MessageId) -> Result<Option<Stored<UserMessage>>, StoreError> {
        self.record(&record_key(id)).await
    }

    /// Expired messages, the longest expired first, of up to `limit` rows. A caller that deletes them calls again from
    /// the beginning while there is a `next`.
    pub async fn expired_messages(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Page<Stored<UserMessage>, (Timestamp, MessageId)>, StoreError> {
        let table = key(keys::MESSAGE_BY_EXPIRY).prefix();
        let rows = self.range(table, None, false, limit).await?;
        let expired: Vec<(Timestamp, MessageId)> = rows
            .iter()
            .filter_map(|(row, _)| {
                let expiry = row.0.get(2..10).and_then(bytes_time)?;
                Some((expiry, MessageId(last_id(row)?)))
            })
            .take_while(|(expiry, _)| *expiry <= now)
            .collect();
        let keys: Vec<Key> = expired.iter().map(|(_, id)| record_key(*id)).collect();
        Ok(Page {
            records: self.records(&keys).await?,
            next: expired.last().copied().filter(|_| expired.len() >= limit),
        })
    }
}

impl Listable for UserMessage {
    type Id = MessageId;
    type Field = MessageField;

    const CREATED_AT: MessageField = MessageField::CreatedAt;
    const ID: MessageField = MessageField::Id;
    const PROJECT: MessageField = MessageField::ProjectId;

    record_fields!(MessageId, project_id);

    fn value(&self, field: MessageField) -> FieldValue<'_> {
        match field {
            MessageField::Id => FieldValue::Id(self.id.0),
            MessageField::CreatedAt => FieldValue::Time(self.created_at),
            MessageField::EventId => FieldValue::Composed(self.event_id()),
            MessageField::ResourceType => FieldValue::Text(&self.resource_type),
            MessageField::ResourceUuid => FieldValue::id(self.resource_uuid),
            MessageField::RequestId => FieldValue::Text(&self.request_id),
            MessageField::Level => FieldValue::Text(UserMessage::LEVEL),
            MessageField::ProjectId => FieldValue::Text(self.project_id.as_str()),
            MessageField::ExpiresAt => FieldValue::Time(self.expires_at),
        }
    }

    fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
        key(keys::MESSAGE_BY_CREATED).scope(scope).prefix()
    }

    fn record_of(_: &[u8]) -> Option<fn(&Key) -> Option<Key>> {
        Some(|row| last_id(row).map(|id| record_key(MessageId(id))))
    }

    async fn by_id(catalog: &Catalog, ids: &[MessageId]) -> Result<Vec<Stored<Self>>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|id| record_key(*id)).collect();
        catalog.records(&keys).await
    }
}

impl Indexed for UserMessage {
    fn key(&self) -> Key {
        record_key(self.id)
    }
}

impl Kind for UserMessage {
    const TABLES: &'static [Table] = &[keys::MESSAGE];
    const INDEXES: &'static [Table] = &[keys::MESSAGE_BY_CREATED, keys::MESSAGE_BY_EXPIRY];

    fn rows(&self) -> Rows {
        rows(self)
    }

    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        Some(record_key(MessageId(last_id(row)?)))
    }
}

pub(super) fn record_key(id: MessageId) -> Key {
    key(keys::MESSAGE).id(id.0).end()
}

/// All index rows of a message.
fn rows(message: &UserMessage) -> Rows {
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
