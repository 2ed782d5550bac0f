//! `pumice store migrate`: copies the store from one engine to the other, through an export.
//!
//! Both are checked as `pumice fsck` does, and their entries compared, before the new one can be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{BoxError, Named, command_options, open_sled};
use crate::cli::serve::exports;
use crate::cli::serve::own;
use crate::cli::serve::store::{is_there, open_etcd, store_options, store_path};
use crate::config::Config;
use crate::store::catalog::verify::verify;
use crate::store::catalog::{Catalog, IndexRows};
use crate::store::etcd::EtcdStore;
use crate::store::export;
use crate::store::sled::SledStore;
use crate::store::{Entry, Key, Store, StoreError};

pub(super) async fn migrate(config: &Config, from: Named, to: Named) -> Result<String, BoxError> {
    let data_dir = &config.node.data_dir;
    // The service of this node must not run.
    let _owner = own(data_dir)?;
    let folder = exports::folder(data_dir);
    let (file, was, to) = match (from, to) {
        (Named::Sled, Named::Etcd) => {
            let alone: Arc<dyn Store> = Arc::new(open_sled(config)?);
            let catalog = Catalog::open(Arc::clone(&alone)).await?;
            catalog.raise_versions_to_own().await?;
            let (file, was) = leave(alone, &folder).await?;
            let store = EtcdStore::open_to_restore(command_options(config), Arc::new(IndexRows)).await?;
            let store = Arc::new(store);
            export::restore(&file, store.as_ref()).await?;
            must_be_equal(was, content(store.as_ref()).await?)?;
            must_agree(store.clone()).await?;
            store.restored().await?;
            (file, was, "etcd".to_owned())
        }
        (Named::Etcd, Named::Sled) => {
            let path = store_path(data_dir);
            if is_there(&path) && !SledStore::is_half_restored(&path) {
                return Err(format!("there is a store in {} already; move it away", path.display()).into());
            }
            let (file, was) = leave(open_etcd(command_options(config)).await?.store, &folder).await?;
            SledStore::restore(&path, &store_options(config), &file).await?;
            let store = Arc::new(open_sled(config)?);
            must_be_equal(was, content(store.as_ref()).await?)?;
            must_agree(store).await?;
            (file, was, path.display().to_string())
        }
        _ => return Err("--from and --to are the same engine".into()),
    };
    Ok(format!(
        "{} entries were copied to {to}, and are equal and consistent there; the export between is {}. Set store.engine, and start \
         the service",
        was.entries,
        file.display()
    ))
}

/// Checks and exports the store that there is.
async fn leave(store: Arc<dyn Store>, folder: &Path) -> Result<(PathBuf, Content), BoxError> {
    // With the layout of this version.
    must_agree(Arc::clone(&store)).await?;
    let (file, _) = exports::take(store.as_ref(), folder, 0).await?;
    let content = content(store.as_ref()).await?;
    Ok((file, content))
}

async fn must_agree(store: Arc<dyn Store>) -> Result<(), BoxError> {
    let findings = verify(&Catalog::open(store).await?).await?;
    match findings.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "the records do not agree ({} findings, such as: {first}); see `pumice fsck`",
            findings.len()
        )
        .into()),
    }
}

/// A summary of all entries of a store, without their revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    entries: u64,
    digest: [u8; 32],
}

/// Of a store that does not change meanwhile.
async fn content(store: &dyn Store) -> Result<Content, StoreError> {
    let mut digest = Sha256::new();
    let mut entries = 0;
    let mut take = |key: Key, entry: Option<Entry>| {
        if let Some(entry) = entry {
            entries += 1;
            for part in [key.0.as_slice(), &entry.value] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        Ok(())
    };
    store.dump(&mut take).await?;
    Ok(Content {
        entries,
        digest: digest.finalize().into(),
    })
}

fn must_be_equal(was: Content, is: Content) -> Result<(), BoxError> {
    match was == is {
        true => Ok(()),
        false => Err(format!(
            "the copy has {} entries where the store has {}, or other ones: it cannot be used",
            is.entries, was.entries
        )
        .into()),
    }
}
