//! Compares a backend's storage with the catalog: missing volumes, orphans, sizes, and exports without an attachment.
//! For a backend without running operations, whose resources may or may not exist.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::model::transitions::claims_storage;
use crate::model::{BackendName, Existing, Snapshot, StorageName, Volume, VolumeStatus};
use crate::store::StoreError;
use crate::store::catalog::{Catalog, Stored};

/// The number of volumes per read.
const BATCH: usize = 256;

/// The contents of a backend.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Everything in the place of its volumes.
    pub existing: Vec<Existing>,
    /// The names of its exports.
    pub exports: Vec<String>,
}

/// The differences from the catalog.
pub async fn verify_storage(
    catalog: &Catalog,
    backend: &BackendName,
    found: &Found,
) -> Result<Vec<Finding>, StoreError> {
    let there: BTreeMap<StorageName, &Existing> = found
        .existing
        .iter()
        .filter_map(|existing| StorageName::parse(&existing.name).map(|name| (name, existing)))
        .collect();
    let mut check = Check {
        backend,
        there,
        known: BTreeSet::new(),
        findings: Vec::new(),
    };
    let mut exported = BTreeSet::new();
    let mut after = None;
    loop {
        let volumes = catalog.backend_volumes(backend, after, BATCH).await?;
        for volume in &volumes.records {
            check.volume(volume);
            for snapshot in catalog.volume_snapshots(volume.id).await? {
                check.snapshot(&snapshot);
            }
            if may_be_exported(catalog, volume).await? {
                exported.insert(StorageName::Volume(volume.storage_id()));
            }
        }
        if volumes.next.is_none() {
            break;
        }
        after = volumes.next;
    }
    check.orphans();
    check.forget_what_came_meanwhile(catalog).await?;
    for name in found.exports.iter().filter_map(|name| StorageName::parse(name)) {
        if !exported.contains(&name) {
            let backend = backend.clone();
            check.findings.push(Finding::StrayExport { backend, name });
        }
    }
    Ok(check.findings)
}

/// Whether there are records of volumes on this backend: without any, an inaccessible storage is not a finding.
pub async fn expects_storage(catalog: &Catalog, backend: &BackendName) -> Result<bool, StoreError> {
    let mut after = None;
    loop {
        let volumes = catalog.backend_volumes(backend, after, 1).await?;
        if !volumes.records.is_empty() || volumes.next.is_none() {
            return Ok(!volumes.records.is_empty());
        }
        after = volumes.next;
    }
}

/// Whether the volume is attached, or an operation may be changing that.
async fn may_be_exported(catalog: &Catalog, volume: &Stored<Volume>) -> Result<bool, StoreError> {
    if volume.operation.is_some() || volume.provider_location.is_some() {
        return Ok(true);
    }
    let attachments = catalog.volume_attachments(volume.id).await?;
    Ok(attachments
        .iter()
        .any(|attachment| attachment.operation.is_some() || attachment.connection_info.is_some()))
}

struct Check<'a> {
    backend: &'a BackendName,
    there: BTreeMap<StorageName, &'a Existing>,
    known: BTreeSet<StorageName>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn volume(&mut self, volume: &Volume) {
        let name = StorageName::Volume(volume.storage_id());
        self.known.insert(name);
        if !claims_storage(volume) {
            return;
        }
        let Some(existing) = self.there.get(&name) else {
            return self.missing(name);
        };
        let seen = existing.gib();
        // With that status the size is known to be unknown.
        if seen != volume.size && volume.status != VolumeStatus::ErrorExtending {
            self.findings.push(Finding::WrongSize {
                backend: self.backend.clone(),
                name,
                recorded: volume.size,
                seen,
            });
        }
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        let name = StorageName::Snapshot(snapshot.id);
        self.known.insert(name);
        if snapshot.claims_storage() && !self.there.contains_key(&name) {
            self.missing(name);
        }
    }

    fn missing(&mut self, name: StorageName) {
        let backend = self.backend.clone();
        self.findings.push(Finding::MissingStorage { backend, name });
    }

    /// Removes orphans that have a record by now: the list was read earlier.
    async fn forget_what_came_meanwhile(&mut self, catalog: &Catalog) -> Result<(), StoreError> {
        let orphans = self.findings.iter().filter_map(|finding| match finding {
            Finding::OrphanStorage { name, .. } => Some(*name),
            _ => None,
        });
        let orphans: Vec<StorageName> = orphans.collect();
        let known = catalog.names_on_backend(self.backend, &orphans).await?;
        self.findings.retain(
            |finding| !matches!(finding, Finding::OrphanStorage { name, .. } if known.contains_key(name)),
        );
        Ok(())
    }

    fn orphans(&mut self) {
        for name in self.there.keys().filter(|name| !self.known.contains(name)) {
            let (backend, name) = (self.backend.clone(), *name);
            self.findings.push(Finding::OrphanStorage { backend, name });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Found, verify_storage};
    use crate::model::{BackendName, Existing, StorageName, Timestamp, Volume, VolumeId, VolumeStatus};
    use crate::store::catalog::Catalog;
    use crate::store::catalog::samples;
    use crate::store::catalog::verify::Finding;
    use crate::store::memory::MemoryStore;

    fn backend() -> BackendName {
        BackendName::new("h", "b")
    }

    fn existing(name: StorageName, gib: u64) -> Existing {
        Existing {
            name: name.to_string(),
            bytes: gib << 30,
            in_use: false,
            origin: None,
        }
    }

    fn volume(size: u32, status: VolumeStatus) -> Volume {
        Volume {
            id: VolumeId::new(),
            status,
            operation: None,
            host: Some(backend().pool("p")),
            launched_at: Some(Timestamp(1)),
            provider_location: None,
            ..samples::volume("p", "v", size)
        }
    }

    #[actix::test]
    async fn differences_are_reported_and_nothing_else() {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let same = volume(1, VolumeStatus::Available);
        let grown = volume(1, VolumeStatus::Available);
        let says_so = volume(1, VolumeStatus::ErrorExtending);
        let missing = volume(1, VolumeStatus::InUse);
        let never_was = Volume {
            launched_at: None,
            ..volume(1, VolumeStatus::Error)
        };
        samples::insert(&catalog, [&same, &grown, &says_so, &missing, &never_was]).await;
        let name = |volume: &Volume| StorageName::Volume(volume.id);
        let orphan = StorageName::Volume(VolumeId::new());
        let strangers = Existing {
            name: "somebody's".to_owned(),
            ..existing(orphan, 1)
        };
        let found = Found {
            existing: vec![
                existing(name(&same), 1),
                existing(name(&grown), 2),
                existing(name(&says_so), 2),
                existing(orphan, 1),
                strangers,
            ],
            exports: vec![same.id.to_string(), name(&same).to_string()],
        };
        let mut findings = verify_storage(&catalog, &backend(), &found).await.unwrap();
        let backend = backend();
        for expected in [
            Finding::WrongSize {
                backend: backend.clone(),
                name: name(&grown),
                recorded: 1,
                seen: 2,
            },
            Finding::MissingStorage {
                backend: backend.clone(),
                name: name(&missing),
            },
            Finding::OrphanStorage {
                backend: backend.clone(),
                name: orphan,
            },
            Finding::StrayExport {
                backend: backend.clone(),
                name: name(&same),
            },
        ] {
            let at = findings.iter().position(|finding| *finding == expected);
            findings.remove(at.unwrap_or_else(|| panic!("{expected:?} is not among {findings:?}")));
        }
        assert_eq!(findings, []);
    }
}
