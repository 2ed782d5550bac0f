//! QoS specs. There are few, so only names have an index, which keeps them unique.

use super::prelude::*;
use crate::model::{QosSpecs, QosSpecsId};

impl Catalog {
    /// QoS specs by id.
    pub async fn qos_specs(&self, id: QosSpecsId) -> Result<Option<Stored<QosSpecs>>, StoreError> {
        self.record(&record_key::<QosSpecs>(id.0)).await
    }

    /// All QoS specs. There are few.
    pub async fn all_qos_specs(&self) -> Result<Vec<Stored<QosSpecs>>, StoreError> {
        self.all(key(keys::QOS_SPECS).prefix()).await
    }
}

/// Names are unique: a conflict if the name exists. It never changes.
impl Indexed for QosSpecs {
    fn key(&self) -> Key {
        record_key::<Self>(self.id.0)
    }

    fn count(was: Option<&Self>, now: Option<&Self>, changes: &mut Changes) {
        if let (None, Some(now)) = (was, now) {
            changes.condition(Condition::Absent(name_key(&now.name)));
        }
    }
}

impl Kind for QosSpecs {
    const TABLES: &'static [Table] = &[keys::QOS_SPECS];
    const INDEXES: &'static [Table] = &[keys::QOS_SPECS_BY_NAME];

    fn rows(&self) -> Rows {
        Rows::from([(name_key(&self.name), self.id.0.as_bytes().to_vec())])
    }

    fn record_of(_row: &Key, value: &[u8]) -> Option<Key> {
        uuid::Uuid::from_slice(value).ok().map(record_key::<Self>)
    }
}

fn name_key(name: &str) -> Key {
    key(keys::QOS_SPECS_BY_NAME).text(name).end()
}
