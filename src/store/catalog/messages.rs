//! User messages: their rows, reads, and the expired ones.

use super::prelude::*;
use super::query::MessageField;
use crate::model::{MessageId, UserMessage};

impl Catalog {
    /// A user message by id.
    pub async fn message(&self, id: MessageId) -> Result<Option<Stored<UserMessage>>, StoreError> {
        self.record(&record_key::<UserMessage>(id.0)).await
    }

    /// Expired messages, the longest expired first, of up to `limit` rows. A caller that deletes them calls again from
    /// the beginning while there is a `next`.
    pub async fn expired_messages(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Page<Stored<UserMessage>, Timestamp>, StoreError> {
        self.expired(keys::MESSAGE_BY_EXPIRY, now, limit).await
    }
}

impl Listable for UserMessage {
    record_fields!(MessageId, MessageField, project_id: ProjectId, messages);

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
}

impl Indexed for UserMessage {
    fn key(&self) -> Key {
        record_key::<Self>(self.id.0)
    }
}

impl Kind for UserMessage {
    const TABLES: &'static [Table] = &[keys::MESSAGE];
    const INDEXES: &'static [Table] = &[keys::MESSAGE_BY_CREATED, keys::MESSAGE_BY_EXPIRY];

    fn rows(&self) -> Rows {
        let by_expiry = key(keys::MESSAGE_BY_EXPIRY).time(self.expires_at).id(self.id.0);
        let mut rows = listed_rows(self);
        rows.insert(by_expiry.end(), Vec::new());
        rows
    }
}
