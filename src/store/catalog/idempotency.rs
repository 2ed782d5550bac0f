//! Answered requests with an idempotency key: by project and key, and by expiry.

use std::collections::BTreeMap;

use super::keys::{TIME_BYTES, split_text};
use super::prelude::*;
use crate::model::idempotency::{IdempotentRequest, KeyName};

impl Catalog {
    /// The request of a project that was answered with this key. It may have expired: the caller compares the time.
    pub async fn idempotent_request(
        &self,
        project: &ProjectId,
        name: &KeyName,
    ) -> Result<Option<Stored<IdempotentRequest>>, StoreError> {
        self.record(&request_key(project, name)).await
    }

    /// Expired requests, the longest expired first, of up to `limit` rows. A caller that deletes them calls again from the
    /// beginning while there is a `next`.
    pub async fn expired_idempotent_requests(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Page<Stored<IdempotentRequest>, Timestamp>, StoreError> {
        self.expired(keys::IDEMPOTENT_REQUEST_BY_EXPIRY, now, limit).await
    }

    /// Up to `limit` requests of projects with more than `bound` of them: those that expire first.
    pub async fn idempotent_requests_over(
        &self,
        bound: usize,
        limit: usize,
    ) -> Result<Vec<Stored<IdempotentRequest>>, StoreError> {
        let mut kept: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut over = Vec::new();
        // From the last that expires, so that those over the bound are the first ones.
        let mut walk = Walk::new(key(keys::IDEMPOTENT_REQUEST_BY_EXPIRY).prefix(), true);
        while let Some(rows) = walk.next(self).await? {
            for (row, entry) in rows {
                let Some(record) = IdempotentRequest::record_of(&row, &entry.value) else {
                    continue;
                };
                let project = record.0[..record.0.len() - NAME_BYTES].to_vec();
                let kept = kept.entry(project).or_default();
                *kept += 1;
                if *kept > bound {
                    over.push(record);
                }
            }
        }
        let first = over.len().saturating_sub(limit);
        self.records(&over[first..]).await
    }
}

const NAME_BYTES: usize = 32;

fn request_key(project: &ProjectId, name: &KeyName) -> Key {
    let key = key(keys::IDEMPOTENT_REQUEST).text(project.as_str());
    key.bytes(&name.0).end()
}

impl Indexed for IdempotentRequest {
    fn key(&self) -> Key {
        request_key(&self.project_id, &self.name)
    }
}

impl Kind for IdempotentRequest {
    const TABLES: &'static [Table] = &[keys::IDEMPOTENT_REQUEST];
    const INDEXES: &'static [Table] = &[keys::IDEMPOTENT_REQUEST_BY_EXPIRY];

    fn rows(&self) -> Rows {
        let by_expiry = key(keys::IDEMPOTENT_REQUEST_BY_EXPIRY).time(self.expires_at);
        let row = by_expiry.text(self.project_id.as_str()).bytes(&self.name.0);
        Rows::from([(row.end(), Vec::new())])
    }

    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        let rest = row
            .0
            .get(keys::IDEMPOTENT_REQUEST_BY_EXPIRY.len() + TIME_BYTES..)?;
        let (project, name) = split_text(rest)?;
        Some(request_key(&ProjectId(project), &KeyName(name.try_into().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::catalog::samples::{commit, insert};
    use crate::store::catalog::verify::verify;
    use crate::store::memory::MemoryStore;

    fn answered(project: &str, name: u8, expires_at: i64) -> IdempotentRequest {
        IdempotentRequest {
            project_id: project.into(),
            name: KeyName([name; 32]),
            fingerprint: [0; 32],
            request: "make_it".to_owned(),
            reply: Vec::new(),
            answer: None,
            operation: None,
            expires_at: Timestamp(expires_at),
        }
    }

    #[actix::test]
    async fn the_expired_and_those_over_the_bound_are_found() {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let records = [("p", 1, 5), ("p", 2, 6), ("q", 1, 7), ("p", 3, 8)];
        insert(
            &catalog,
            records
                .map(|(project, name, at)| answered(project, name, at))
                .iter(),
        )
        .await;
        assert_eq!(verify(&catalog).await.unwrap(), []);
        let found = catalog.idempotent_request(&"q".into(), &KeyName([1; 32])).await;
        assert_eq!(found.unwrap().unwrap().record, answered("q", 1, 7));
        let times = |records: Vec<Stored<IdempotentRequest>>| -> Vec<i64> {
            records.iter().map(|record| record.expires_at.0).collect()
        };
        let expired = catalog
            .expired_idempotent_requests(Timestamp(6), 10)
            .await
            .unwrap();
        assert_eq!(times(expired.records), [5, 6]);
        let over = async |bound, limit| times(catalog.idempotent_requests_over(bound, limit).await.unwrap());
        assert_eq!(over(1, 10).await, [6, 5]);
        assert_eq!(over(1, 1).await, [5]);
        assert!(over(3, 10).await.is_empty());
        for record in catalog.idempotent_requests_over(0, 10).await.unwrap() {
            commit(&catalog, |changes| changes.delete(&record)).await;
        }
        assert_eq!(verify(&catalog).await.unwrap(), []);
    }
}
