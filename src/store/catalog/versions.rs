//! Which versions of records are written, while control nodes of two releases share the store.
//!
//! ```text
//!   a node joins ── its commit requires that the versions in the store are ones that it reads, and have not changed
//!   each node says which versions it reads (`ControlNodeAbilities`)
//!   every node that has a record reads a newer one ── commit: that version; requires all their records unchanged
//! ```
//!
//! So of a node that joins and another that raises a version one is refused by the store, and reads again. A node that is stopped or down counts,
//! too: it may come back as it was.

use std::collections::BTreeMap;

use futures_util::FutureExt;

use super::changes::Changes;
use super::keys::{self, key};
use super::kinds::{Kind, KindVisitor, every_kind};
use super::{Catalog, Stored};
use crate::model::control_node::{ControlNodeAbilities, RecordVersions};
use crate::store::record::{limit_written, newest};
use crate::store::{CommitError, Key, StoreError};

/// A kind of record with the newest version that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    name: &'static str,
    version: u8,
}

#[derive(Default)]
struct Versions(BTreeMap<u8, Newest>);

impl KindVisitor for Versions {
    async fn kind<K: Kind>(&mut self) -> Result<(), StoreError> {
        let (name, version) = (K::NAME, newest::<K>());
        self.0.insert(K::KIND, Newest { name, version });
        Ok(())
    }
}

fn newest_of_all() -> BTreeMap<u8, Newest> {
    let mut versions = Versions::default();
    let walked = every_kind(&mut versions).now_or_never();
    walked
        .and_then(Result::ok)
        .expect("this visitor neither waits nor fails");
    versions.0
}

/// The newest version of each kind of record that this program reads.
pub fn versions_read() -> BTreeMap<u8, u8> {
    let newest = newest_of_all().into_iter();
    newest.map(|(kind, newest)| (kind, newest.version)).collect()
}

/// What of these versions this program does not read, in words.
fn not_read(versions: &RecordVersions) -> Option<String> {
    let read = newest_of_all();
    versions.0.iter().find_map(|(kind, version)| {
        let Newest { name, version: known } = read.get(kind)?;
        (version > known)
            .then(|| format!("a {name} of version {version}, and this program reads versions up to {known}"))
    })
}

impl Catalog {
    /// The versions that are written, for a node that joins: its commit gets them by [`Changes::expect_versions`]. `Err` has what this
    /// program cannot read.
    pub async fn versions_to_join(
        &self,
    ) -> Result<Result<Option<Stored<RecordVersions>>, String>, StoreError> {
        let versions = self.record::<RecordVersions>(&versions_key()).await?;
        if let Some(versions) = &versions {
            if let Some(why) = not_read(versions) {
                return Ok(Err(why));
            }
            limit(versions);
        }
        Ok(Ok(versions))
    }

    /// Raises the versions in the store to those that this program reads. For a store that one node has used alone since control nodes shared
    /// it, before it is shared again: that node wrote records as new as it could.
    ///
    /// # Errors
    /// The store's. A store that was never shared is left as it is.
    pub async fn raise_versions_to_own(&self) -> Result<(), StoreError> {
        let Some(was) = self.record::<RecordVersions>(&versions_key()).await? else {
            return Ok(());
        };
        let mut raised = was.record.clone();
        for (kind, version) in versions_read() {
            let known = raised.0.entry(kind).or_default();
            *known = version.max(*known);
        }
        if raised == was.record {
            return Ok(());
        }
        let mut changes = self.change();
        changes.unchanged(&versions_key(), was.revision);
        changes.put(versions_key(), &raised);
        changes.commit().await.map_err(CommitError::unexpected)?;
        Ok(())
    }

    /// Writes the versions from now on that all control nodes read, and raises them in the store if all read newer ones.
    pub async fn follow_versions(&self) -> Result<(), StoreError> {
        let Some(was) = self.record::<RecordVersions>(&versions_key()).await? else {
            return Ok(());
        };
        limit(&was);
        let is_behind = |(kind, version): (&u8, &u8)| was.0.get(kind).is_none_or(|was| was < version);
        if !versions_read().iter().any(is_behind) {
            return Ok(());
        }
        let nodes = self.control_nodes().await?;
        let abilities = self.abilities_of_control_nodes().await?;
        let mut of_nodes: Vec<&ControlNodeAbilities> = Vec::new();
        for node in &nodes {
            let of_node = abilities
                .iter()
                .find(|abilities| abilities.incarnation == node.incarnation);
            match of_node {
                Some(of_node) => of_nodes.push(of_node),
                // It has just joined, and says it next.
                None => return Ok(()),
            }
        }
        let raised = RecordVersions(read_by_all(&of_nodes, &was.0));
        if raised == was.record {
            return Ok(());
        }
        let mut changes = self.change();
        changes.unchanged(&versions_key(), was.revision);
        changes.put(versions_key(), &raised);
        for node in &nodes {
            changes.require(node);
        }
        match changes.commit().await {
            Ok(_) => {
                tracing::info!(versions = ?raised.0, "all control nodes read newer records, which are written from now on");
                limit(&raised);
                Ok(())
            }
            // A node has joined, or raised them: the next look shows it.
            Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.unexpected()),
        }
    }
}

impl Changes {
    /// Requires that the versions are as they were read; the first node of a store writes its own.
    pub fn expect_versions(&mut self, was: Option<&Stored<RecordVersions>>) -> &mut Self {
        self.expect_as_read(&versions_key(), was);
        if was.is_none() {
            self.put(versions_key(), &RecordVersions(versions_read()));
        }
        self
    }
}

/// The newest versions that all nodes read; never older than they were.
fn read_by_all(nodes: &[&ControlNodeAbilities], was: &BTreeMap<u8, u8>) -> BTreeMap<u8, u8> {
    let mut all = was.clone();
    let kinds: std::collections::BTreeSet<u8> =
        nodes.iter().flat_map(|node| node.reads.keys().copied()).collect();
    for kind in kinds {
        let least = nodes
            .iter()
            .map(|node| node.reads.get(&kind).copied().unwrap_or(0))
            .min();
        let known = all.get(&kind).copied().unwrap_or(0);
        if let Some(least) = least.filter(|least| *least > known) {
            all.insert(kind, least);
        }
    }
    all
}

fn limit(versions: &RecordVersions) {
    for (kind, version) in &versions.0 {
        limit_written(*kind, *version);
    }
}

fn versions_key() -> Key {
    key(keys::RECORD_VERSIONS).end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeIncarnation;

    fn reading(versions: &[(u8, u8)]) -> ControlNodeAbilities {
        ControlNodeAbilities {
            incarnation: NodeIncarnation {
                node: "c".to_owned(),
                boot: 1,
                random: 1,
            },
            reads: versions.iter().copied().collect(),
            sinks: Vec::new(),
        }
    }

    #[test]
    fn a_version_is_raised_once_every_node_reads_it_and_never_lowered() {
        let was = BTreeMap::from([(1, 1), (4, 3)]);
        let (old, new) = (reading(&[(1, 1), (4, 3)]), reading(&[(1, 2), (4, 3), (9, 1)]));
        assert_eq!(read_by_all(&[&new, &old, &new], &was), was);
        let raised = read_by_all(&[&new, &new], &was);
        assert_eq!(raised, BTreeMap::from([(1, 2), (4, 3), (9, 1)]));
        assert_eq!(read_by_all(&[&new, &old], &raised), raised);
    }

    #[actix::test]
    async fn a_store_that_one_node_has_used_alone_has_records_as_new_as_that_wrote_them() {
        let store = std::sync::Arc::new(crate::store::memory::MemoryStore::default());
        let catalog = Catalog::open(store).await.unwrap();
        catalog.raise_versions_to_own().await.unwrap();
        let versions = async || catalog.record::<RecordVersions>(&versions_key()).await.unwrap();
        assert_eq!(versions().await, None, "it was never shared");
        // A kind that this program does not know stays as it is.
        let of_others = RecordVersions(BTreeMap::from([(1, 0), (200, 7)]));
        let mut changes = catalog.change();
        changes.put(versions_key(), &of_others);
        changes.commit().await.unwrap();
        catalog.raise_versions_to_own().await.unwrap();
        let mut expected = versions_read();
        expected.insert(200, 7);
        assert_eq!(versions().await.unwrap().record.0, expected);
    }

    #[test]
    fn a_program_that_reads_less_says_what() {
        let mut versions = RecordVersions(versions_read());
        assert_eq!(not_read(&versions), None);
        versions.0.insert(1, 9);
        let why = not_read(&versions).unwrap();
        assert!(why.contains("a volume of version 9"), "{why}");
    }
}
