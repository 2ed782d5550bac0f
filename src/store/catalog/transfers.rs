//! Open transfers: their rows and reads. A volume has at most one: the commit that inserts one changes the volume, and
//! deletes its previous transfer.

use super::prelude::*;
use super::query::TransferField;
use crate::model::{Transfer, TransferId, VolumeId};

impl Catalog {
    /// A transfer by id.
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Stored<Transfer>>, StoreError> {
        self.record(&record_key::<Transfer>(id.0)).await
    }

    /// The open transfer of a volume.
    pub async fn volume_transfer(&self, id: VolumeId) -> Result<Option<Stored<Transfer>>, StoreError> {
        let rows = self.range(of_volume(id), None, false, 1).await?;
        Ok(self.records_of(&rows).await?.pop())
    }
}

impl Listable for Transfer {
    record_fields!(TransferId, TransferField, source_project_id: SourceProjectId, transfers);

    fn value(&self, field: TransferField) -> FieldValue<'_> {
        match field {
            TransferField::Id => FieldValue::Id(self.id.0),
            TransferField::CreatedAt => FieldValue::Time(self.created_at),
            TransferField::VolumeId => FieldValue::Id(self.volume_id.0),
            TransferField::Name => FieldValue::text(self.name.as_deref()),
            TransferField::SourceProjectId => FieldValue::Text(self.source_project_id.as_str()),
            TransferField::NoSnapshots => FieldValue::Flag(self.no_snapshots),
            TransferField::Same => FieldValue::Missing,
        }
    }

    fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
        key(keys::TRANSFER_BY_CREATED).scope(scope).prefix()
    }
}

impl Indexed for Transfer {
    fn key(&self) -> Key {
        record_key::<Self>(self.id.0)
    }
}

impl Kind for Transfer {
    const TABLES: &'static [Table] = &[keys::TRANSFER];
    const INDEXES: &'static [Table] = &[keys::TRANSFER_BY_VOLUME, keys::TRANSFER_BY_CREATED];

    fn rows(&self) -> Rows {
        let of_volume = key(keys::TRANSFER_BY_VOLUME).id(self.volume_id.0).id(self.id.0);
        let mut rows = listed_rows(self);
        rows.insert(of_volume.end(), Vec::new());
        rows
    }

    fn volume(&self) -> Option<VolumeId> {
        Some(self.volume_id)
    }
}

fn of_volume(id: VolumeId) -> Vec<u8> {
    key(keys::TRANSFER_BY_VOLUME).id(id.0).prefix()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::transfer::KeyHash;
    use crate::store::catalog::ListError;
    use crate::store::catalog::samples::{commit, insert, tick, try_to_commit, volume};
    use crate::store::catalog::verify::{Finding, verify};
    use crate::store::memory::MemoryStore;
    use crate::store::{Change, CommitError, Store, Transaction};

    fn transfer(volume_id: VolumeId, project: &str) -> Transfer {
        Transfer {
            id: TransferId::new(),
            volume_id,
            source_project_id: project.into(),
            name: None,
            no_snapshots: false,
            key: KeyHash::new([1; 16], "k"),
            created_at: tick(),
        }
    }

    #[actix::test]
    async fn a_volume_has_one_transfer_and_each_project_its_own() {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let offered = ["p", "q", "p"].map(|project| transfer(VolumeId::new(), project));
        insert(&catalog, &offered).await;
        let of = async |project: Option<&ProjectId>, marker| {
            let page = catalog.newest::<Transfer>(project, marker, 10).await.unwrap();
            page.records.into_iter().map(|found| found.id).collect::<Vec<_>>()
        };
        let ids: Vec<TransferId> = offered.iter().map(|offer| offer.id).collect();
        assert_eq!(of(None, None).await, [ids[2], ids[1], ids[0]]);
        assert_eq!(of(Some(&"p".into()), None).await, [ids[2], ids[0]]);
        assert_eq!(of(Some(&"p".into()), Some(ids[2])).await, [ids[0]]);
        let unknown = catalog
            .newest::<Transfer>(Some(&"p".into()), Some(ids[1]), 10)
            .await;
        assert!(matches!(unknown, Err(ListError::UnknownMarker(_))));
        let was = catalog.volume_transfer(offered[0].volume_id).await.unwrap();
        let was = was.unwrap();
        assert_eq!(was.record, offered[0]);
        let second = transfer(offered[0].volume_id, "p");
        commit(&catalog, |changes| changes.delete(&was).insert(&second)).await;
        assert_eq!(catalog.transfer(ids[0]).await.unwrap(), None);
        let now = catalog.volume_transfer(second.volume_id).await.unwrap().unwrap();
        assert_eq!(now.record, second);
        let deleted = try_to_commit(&catalog, |changes| changes.delete(&was)).await;
        assert!(matches!(deleted, Err(CommitError::Conflict(_))));
    }

    #[actix::test]
    async fn the_check_knows_transfers_and_their_rows() {
        let store = Arc::new(MemoryStore::default());
        let catalog = Catalog::open(store.clone()).await.unwrap();
        let of = volume("p", "v", 1);
        commit(&catalog, |changes| {
            changes.insert(&of).insert(&transfer(of.id, "p"))
        })
        .await;
        let count = async || verify(&catalog).await.unwrap().len();
        let before = count().await;
        let of_transfers: Vec<_> = store
            .entries()
            .into_iter()
            .filter(|(key, _)| key.0.starts_with(b"X") || key.0.starts_with(b"x"))
            .collect();
        assert_eq!(of_transfers.len(), 4);
        for (key, entry) in of_transfers {
            let change = async |change| {
                let transaction = Transaction {
                    changes: vec![change],
                    ..Transaction::default()
                };
                store.commit(transaction).await.unwrap();
            };
            change(Change::Delete(key.clone())).await;
            assert!(count().await > before, "{key:?}");
            change(Change::Put(key, entry.value.to_vec())).await;
        }
        let lost = transfer(VolumeId::new(), "p");
        insert(&catalog, [&lost]).await;
        let findings = verify(&catalog).await.unwrap();
        let finding = Finding::RecordWithoutVolume {
            what: "transfer",
            volume: lost.volume_id,
        };
        assert!(findings.contains(&finding), "{findings:?}");
    }
}
