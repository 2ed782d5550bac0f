//! A store as one file: a backup that is independent of the engine and its format.
//!
//! ```text
//! pumice-export 1\n                                         the type of the file, and the version of this format
//! put   1 · key length u32 · value length u32 · revision u64 · key · value
//! gone  2 · key length u32 · key                            an earlier put of this key is void
//! end   0 · revision u64 · entries u64 · SHA-256 of all before it
//! ```
//!
//! Numbers are little-endian. The last entry of a key counts: keys that changed while the store was read are repeated
//! at the end ([`Store::dump`]), so the file has the state of one revision although commits continued meanwhile. The
//! values are records with their own versions ([`super::record`]), which all later programs can read.
//!
//! It contains the secrets of the store, so only its owner may read it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::future::join_all;
use sha2::{Digest, Sha256};

use super::{
    Change, CommitError, Entry, Key, MAX_COMMIT, MAX_VALUE, Revision, Store, StoreError, Transaction,
};
use crate::private_files;

const MAGIC: &[u8] = b"pumice-export 1\n";

const END: u8 = 0;
const PUT: u8 = 1;
const GONE: u8 = 2;

/// Longer than any key of the catalog: an entry with a longer key is damaged.
const MAX_KEY: usize = 8 * 1024;

/// The number of entries that a restore reads before it commits them.
const RESTORE_AT_ONCE: usize = 1024;

/// The most entries, and bytes, in one commit of a restore: all engines accept them.
const RESTORE_IN_A_COMMIT: (usize, usize) = (100, MAX_COMMIT);

/// The summary of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The revision of its state.
    pub revision: Revision,
    /// The number of entries.
    pub entries: u64,
}

/// Why an export cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file system reported an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is not an export, or not complete.
    #[error("{} is not a complete export of a store: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The damage.
        what: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ExportError {
    /// The error of the file system about this file.
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + Copy {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Writes a store to a file atomically. Blocks on the disk, so it must not run on an actor's thread.
///
/// # Errors
/// [`ExportError::Io`], [`ExportError::Store`].
pub async fn export(store: &dyn Store, path: &Path) -> Result<Exported, ExportError> {
    let io = ExportError::io(path);
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let unfinished = PathBuf::from(name);
    let written = write(store, &unfinished, path).await;
    match written {
        Ok(exported) => {
            std::fs::rename(&unfinished, path).map_err(io)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))
                .and_then(|folder| folder.sync_all())
                .map_err(io)?;
            Ok(exported)
        }
        Err(error) => {
            // It is useless, and it may have filled the disk.
            let _ = std::fs::remove_file(&unfinished);
            Err(error)
        }
    }
}

async fn write(store: &dyn Store, unfinished: &Path, path: &Path) -> Result<Exported, ExportError> {
    let io = ExportError::io(path);
    let file = private_files::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(unfinished)
        .map_err(io)?;
    let mut out = Writer {
        file: BufWriter::with_capacity(1 << 18, file),
        digest: Sha256::new(),
    };
    out.write(MAGIC).map_err(io)?;
    let mut entries = 0_u64;
    let mut failed = None;
    let dumped = store
        .dump(&mut |key, entry| {
            entries += 1;
            out.entry(&key, entry.as_ref()).map_err(|source| {
                let error = StoreError::new(format!("writing {}: {source}", path.display()));
                failed = Some(source);
                error
            })
        })
        .await;
    let revision = match (dumped, failed) {
        (_, Some(source)) => return Err(io(source)),
        (dumped, None) => dumped?,
    };
    out.end(revision, entries).map_err(io)?;
    Ok(Exported { revision, entries })
}

struct Writer {
    file: BufWriter<File>,
    digest: Sha256,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }

    fn length(&mut self, of: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(of.len()).map_err(std::io::Error::other)?;
        self.write(&length.to_le_bytes())
    }

    fn entry(&mut self, key: &Key, entry: Option<&Entry>) -> std::io::Result<()> {
        match entry {
            Some(entry) => {
                self.write(&[PUT])?;
                self.length(&key.0)?;
                self.length(&entry.value)?;
                self.write(&entry.revision.0.to_le_bytes())?;
                self.write(&key.0)?;
                self.write(&entry.value)
            }
            None => {
                self.write(&[GONE])?;
                self.length(&key.0)?;
                self.write(&key.0)
            }
        }
    }

    fn end(mut self, revision: Revision, entries: u64) -> std::io::Result<()> {
        self.write(&[END])?;
        self.write(&revision.0.to_le_bytes())?;
        self.write(&entries.to_le_bytes())?;
        let digest = self.digest.finalize();
        self.file.write_all(&digest)?;
        self.file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()
    }
}

/// Reads an export and passes each entry to `sink`; the last entry of a key counts. It is known to be complete only at
/// its end, so it must be verified by a first pass.
///
/// # Errors
/// [`ExportError::Io`], [`ExportError::Damaged`], and the error of `sink`.
pub fn read<E: From<ExportError>>(
    path: &Path,
    mut sink: impl FnMut(Key, Option<Entry>) -> Result<(), E>,
) -> Result<Exported, E> {
    let file = File::open(path).map_err(ExportError::io(path))?;
    let mut reader = Reader {
        path,
        file: BufReader::with_capacity(1 << 18, file),
        digest: Sha256::new(),
    };
    let mut magic = [0; MAGIC.len()];
    reader.fill(&mut magic)?;
    if magic != MAGIC {
        return Err(match magic.starts_with(b"pumice-export ") {
            true => reader.damaged("it has another format: was this program downgraded?"),
            false => reader.damaged("it does not begin like an export"),
        }
        .into());
    }
    let mut entries = 0_u64;
    loop {
        match reader.number::<1>()?[0] {
            PUT => {
                let (key, value) = (reader.length(MAX_KEY)?, reader.length(MAX_VALUE)?);
                let revision = Revision(u64::from_le_bytes(reader.number()?));
                let (key, value) = (Key(reader.bytes(key)?), Bytes::from(reader.bytes(value)?));
                sink(key, Some(Entry { value, revision }))?;
            }
            GONE => {
                let key = reader.length(MAX_KEY)?;
                sink(Key(reader.bytes(key)?), None)?;
            }
            END => {
                let revision = Revision(u64::from_le_bytes(reader.number()?));
                let count = u64::from_le_bytes(reader.number()?);
                let exported = Exported { revision, entries };
                reader.end(count == entries)?;
                return Ok(exported);
            }
            other => {
                return Err(reader
                    .damaged(format!("there is no entry of kind {other}"))
                    .into());
            }
        }
        entries += 1;
    }
}

/// Reads an export to its end.
///
/// # Errors
/// As [`read`].
pub fn verify(path: &Path) -> Result<Exported, ExportError> {
    read(path, |_, _| Ok(()))
}

struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    digest: Sha256,
}

impl Reader<'_> {
    fn damaged(&self, what: impl Into<String>) -> ExportError {
        ExportError::Damaged {
            path: self.path.to_owned(),
            what: what.into(),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ExportError> {
        self.take(bytes)?;
        self.digest.update(&*bytes);
        Ok(())
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), ExportError> {
        self.file.read_exact(bytes).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ => ExportError::io(self.path)(source),
        })
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], ExportError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn length(&mut self, most: usize) -> Result<usize, ExportError> {
        let length = u32::from_le_bytes(self.number()?);
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= most)
            .ok_or_else(|| self.damaged(format!("an entry of {length} bytes, over {most}")))
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, ExportError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn end(mut self, is_complete: bool) -> Result<(), ExportError> {
        let expected = self.digest.clone().finalize();
        let mut stored = [0; 32];
        self.take(&mut stored)?;
        if stored != *expected.as_slice() {
            return Err(self.damaged("its checksum does not match its content"));
        }
        if !is_complete {
            return Err(self.damaged("its number of entries does not match"));
        }
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged("there is data after its end")),
            Err(source) => Err(ExportError::io(self.path)(source)),
        }
    }
}

/// Writes the entries of an export to an empty store. The export must have been verified.
///
/// # Errors
/// As [`read`]; entries that were restored before the failure are in the store.
pub async fn restore(path: &Path, store: &dyn Store) -> Result<Exported, ExportError> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<BTreeMap<Key, Option<Bytes>>>(4);
    let file = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let mut changes = BTreeMap::new();
        let gave_up = || ExportError::Store(StoreError::new("the store accepts no more entries"));
        let exported = read(&file, |key, entry| {
            changes.insert(key, entry.map(|entry| entry.value));
            match changes.len() < RESTORE_AT_ONCE {
                true => Ok(()),
                false => sender
                    .blocking_send(std::mem::take(&mut changes))
                    .map_err(|_| gave_up()),
            }
        })?;
        sender.blocking_send(changes).map_err(|_| gave_up())?;
        Ok::<_, ExportError>(exported)
    });
    while let Some(changes) = receiver.recv().await {
        // Of different keys, so their order does not matter.
        let commits = transactions(changes)
            .into_iter()
            .map(|transaction| store.commit(transaction));
        for committed in join_all(commits).await {
            committed.map_err(CommitError::unexpected)?;
        }
    }
    reading
        .await
        .map_err(|error| StoreError::new("reading the export ended early").caused_by(error))?
}

/// These changes in transactions of a size that all engines accept.
fn transactions(changes: BTreeMap<Key, Option<Bytes>>) -> Vec<Transaction> {
    let (most, most_bytes) = RESTORE_IN_A_COMMIT;
    let mut transactions = Vec::new();
    let mut current = Transaction::default();
    let mut bytes = 0;
    for (key, value) in changes {
        let size = key.0.len() + value.as_ref().map_or(0, Bytes::len);
        if current.changes.len() >= most || bytes + size > most_bytes {
            transactions.push(std::mem::take(&mut current));
            bytes = 0;
        }
        bytes += size;
        current.changes.push(match value {
            Some(value) => Change::Put(key, value.to_vec()),
            None => Change::Delete(key),
        });
    }
    transactions.push(current);
    transactions
}
