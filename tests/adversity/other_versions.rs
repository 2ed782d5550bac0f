//! State of earlier versions is read by this one, and state of later ones is refused as it is.
//!
//! `tests/golden/state/<version>` has the state that a version left: `store.export` and `store.packed` (its store's folder, see
//! `sparse`), and `records.json`, what is in it. Every version that changes what is written adds one; none is ever changed:
//!
//! ```text
//! PUMICE_NEW_GOLDEN=<the next number> cargo test --test adversity a_new_golden_state
//! ```
//!
//! | folder | what is new in it |
//! |---|---|
//! | `1` | layout 1 of the catalog; journal entries of version 1 |
//! | `2` | layout 2: a row for each limit, usage by the type's id; journal entries of version 2, which say verb and stage |
//! | `3` | layout 3: index rows of users, projects and role assignments |
//! | `4` | journal entries of version 3, which say which control node runs them |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use pumice::model::{Attachment, Operation, ProjectId, Service, Snapshot, UserMessage, Volume, VolumeType};
use pumice::store::catalog::verify::verify;
use pumice::store::catalog::{Catalog, SnapshotQuery, VolumeQuery};
use pumice::store::export::{export, restore};
use pumice::store::memory::MemoryStore;
use pumice::store::record::Record;
use pumice::store::record::operation_v1::OperationV1;
use pumice::store::sled::{SledOptions, SledStore};
use pumice::store::{Change, Key, Scan, Store, Transaction};
use serde_json::{Map, Value, json};

use crate::client::{Client, PROJECT};
use crate::load;
use crate::process::{Place, Pumice};
use crate::sparse;

const NEW_GOLDEN: &str = "PUMICE_NEW_GOLDEN";

/// More than there are of anything.
const ALL: usize = 1000;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state")
}

/// All records of a catalog.
async fn records(catalog: &Catalog) -> Result<Value> {
    let project = ProjectId::from(PROJECT);
    let volumes = VolumeQuery {
        limit: ALL,
        ..VolumeQuery::default()
    };
    let snapshots = SnapshotQuery {
        limit: ALL,
        ..SnapshotQuery::default()
    };
    let operations = catalog.operations(None, ALL).await?.records;
    let operations: Vec<_> = operations.into_iter().map(|stored| stored.record).collect();
    let types: Vec<_> = catalog
        .volume_types()
        .await?
        .into_iter()
        .map(|stored| stored.record)
        .collect();
    let services: Vec<_> = catalog
        .services()
        .await?
        .into_iter()
        .map(|stored| stored.record)
        .collect();
    let usage = catalog.usage(&project).await?;
    // By the names that clients know: what types are called by in the store is no matter of theirs.
    let mut usage_by_name = Map::new();
    for (resource, usage) in usage {
        usage_by_name.insert(
            catalog.shown(&resource).await?,
            json!([usage.in_use, usage.reserved]),
        );
    }
    let mut limits = Map::new();
    for (resource, limit) in catalog.project_limits(&project).await? {
        limits.insert(catalog.shown(&resource).await?, json!(limit));
    }
    Ok(json!({
        "volumes": catalog.page::<Volume>(&volumes).await?.records,
        "snapshots": catalog.page::<Snapshot>(&snapshots).await?.records,
        "attachments": catalog.newest::<Attachment>(None, None, ALL).await?.records,
        "messages": catalog.newest::<UserMessage>(None, None, ALL).await?.records,
        "types": types,
        "services": services,
        "operations": operations,
        "limits": limits,
        "usage": usage_by_name,
    }))
}

/// That all of `expected` is in `found`. There may be more in a record: fields of later versions.
fn must_have(expected: &Value, found: &Value, at: &str) -> Result<()> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected.iter().try_for_each(|(name, value)| {
            must_have(
                value,
                found.get(name).unwrap_or(&Value::Null),
                &format!("{at}.{name}"),
            )
        }),
        (Value::Array(expected), Value::Array(found)) => {
            ensure!(
                expected.len() == found.len(),
                "{at}: {} where {} were",
                found.len(),
                expected.len()
            );
            expected
                .iter()
                .zip(found)
                .enumerate()
                .try_for_each(|(index, (expected, found))| {
                    must_have(expected, found, &format!("{at}[{index}]"))
                })
        }
        _ => {
            ensure!(expected == found, "{at}: {found} where {expected} was");
            Ok(())
        }
    }
}

async fn must_be_whole(store: Arc<dyn Store>, expected: &Value) -> Result<()> {
    let catalog = Catalog::open(store).await?;
    let findings = verify(&catalog).await?;
    ensure!(findings.is_empty(), "{findings:?}");
    must_have(&in_present_form(expected)?, &records(&catalog).await?, "state")
}

/// Journal entries of version 1 as they are to be read.
fn in_present_form(expected: &Value) -> Result<Value> {
    let mut expected = expected.clone();
    for operation in expected["operations"].as_array_mut().into_iter().flatten() {
        if operation.get("kind").is_some() {
            let first: OperationV1 = serde_json::from_value(operation.take())?;
            *operation = serde_json::to_value(first.upgrade()?)?;
        }
    }
    Ok(expected)
}

fn versions() -> Result<Vec<PathBuf>> {
    let mut folders: Vec<_> = std::fs::read_dir(golden())?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    // By number: 10 after 9.
    folders.sort_by_key(|folder| (folder.as_os_str().len(), folder.clone()));
    ensure!(!folders.is_empty(), "no golden state");
    Ok(folders)
}

#[test]
fn state_of_every_earlier_version_is_read_whole() -> Result<()> {
    for version in versions()? {
        let folder = tempfile::tempdir()?;
        let expected: Value = serde_json::from_slice(&std::fs::read(version.join("records.json"))?)?;
        for name in [
            "volumes",
            "snapshots",
            "attachments",
            "messages",
            "types",
            "services",
            "operations",
        ] {
            ensure!(
                expected[name]
                    .as_array()
                    .is_some_and(|records| !records.is_empty()),
                "no {name}"
            );
        }
        actix_rt::System::new()
            .block_on(async {
                let memory = MemoryStore::default();
                restore(&version.join("store.export"), &memory).await?;
                must_be_whole(Arc::new(memory), &expected).await?;
                let store = folder.path().join("store");
                sparse::unpack(&std::fs::read(version.join("store.packed"))?, &store)?;
                let store = SledStore::open(&store, &SledOptions::default())?;
                must_be_whole(Arc::new(store), &expected).await
            })
            .with_context(|| version.display().to_string())?;
    }
    Ok(())
}

/// All that starts with these bytes.
async fn entries(store: &dyn Store, prefix: &[u8]) -> Result<Vec<(Key, Vec<u8>)>> {
    let scan = Scan {
        prefix: prefix.to_vec(),
        after: None,
        reverse: false,
        limit: ALL,
    };
    let found = store.scan(scan).await?;
    Ok(found
        .into_iter()
        .map(|(key, entry)| (key, entry.value.to_vec()))
        .collect())
}

async fn must_be_of_present_version<R: Record>(store: &dyn Store, table: &[u8]) -> Result<()> {
    let found = entries(store, table).await?;
    ensure!(!found.is_empty(), "no {}", R::NAME);
    for (_, value) in found {
        ensure!(
            value.starts_with(&[R::KIND, R::VERSION]),
            "a {} of version {:?}, and {} is written now: add a golden state",
            R::NAME,
            value.get(1),
            R::VERSION
        );
    }
    Ok(())
}

/// So that a change of what is written is not forgotten here.
#[test]
fn the_newest_golden_state_is_of_the_form_that_is_written_now() -> Result<()> {
    let newest = versions()?.pop().context("no golden state")?;
    actix_rt::System::new().block_on(async {
        let store = Arc::new(MemoryStore::default());
        restore(&newest.join("store.export"), &*store).await?;
        must_be_of_present_version::<Volume>(&*store, b"V.").await?;
        must_be_of_present_version::<Attachment>(&*store, b"A.").await?;
        must_be_of_present_version::<Snapshot>(&*store, b"N.").await?;
        must_be_of_present_version::<VolumeType>(&*store, b"T.").await?;
        must_be_of_present_version::<Operation>(&*store, b"O.").await?;
        must_be_of_present_version::<Service>(&*store, b"S.").await?;
        must_be_of_present_version::<UserMessage>(&*store, b"M.").await?;
        let before = entries(&*store, b"").await?;
        Catalog::open(Arc::clone(&store) as _).await?;
        ensure!(
            before == entries(&*store, b"").await?,
            "an upgrade changed it: add a golden state of the present layout"
        );
        Ok(())
    })
}

/// The program itself goes on from there: from the folder, and from the export.
#[test]
fn the_program_goes_on_from_state_of_every_earlier_version() -> Result<()> {
    for version in versions()? {
        for from_export in [false, true] {
            let folder = tempfile::tempdir()?;
            let place = Place::plain(folder.path());
            match from_export {
                false => sparse::unpack(
                    &std::fs::read(version.join("store.packed"))?,
                    &place.data.join("store"),
                )?,
                true => {
                    let file = version.join("store.export");
                    place.succeeds(&["store", "restore", file.to_str().context("a path")?])?;
                }
            }
            // Its records were kept, not its volumes.
            place.succeeds(&["fsck", "--records-only"])?;
            let pumice = Pumice::start(&place)?;
            ensure!(Client::connect(pumice.address)?.create("later")?.status == 202);
            load::wait_for_rest(&pumice)?;
            let mut client = Client::connect(pumice.address)?;
            ensure!(
                load::volumes(&mut client)?
                    .values()
                    .any(|volume| volume["name"] == "golden")
            );
            pumice.stop()?;
            place.succeeds(&["fsck", "--records-only"])?;
        }
    }
    Ok(())
}

/// An export that says this at that key, made of the newest golden one.
fn changed_export(to: &Path, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let newest = versions()?.pop().context("no golden state")?;
    actix_rt::System::new().block_on(async {
        let memory = MemoryStore::default();
        restore(&newest.join("store.export"), &memory).await?;
        let key = Key(key.to_vec());
        let entry = memory.get(&key).await?.context("nothing at that key")?;
        let mut value = entry.value.to_vec();
        change(&mut value);
        let transaction = Transaction {
            changes: vec![Change::Put(key, value)],
            ..Transaction::default()
        };
        memory.commit(transaction).await?;
        export(&memory, to).await?;
        Ok(())
    })
}

#[test]
fn state_of_a_later_version_is_refused_and_left_as_it_is() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let place = Place::plain(folder.path());

    // A later export.
    let newest = versions()?.pop().context("no golden state")?.join("store.export");
    let mut bytes = std::fs::read(newest)?;
    let version = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .context("no first line")?
        - 1;
    bytes[version] = b'9';
    let later = folder.path().join("later.export");
    std::fs::write(&later, &bytes)?;
    let later = later.to_str().context("a path")?;
    let output = place.run(&["store", "restore", later])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.code() == Some(1) && said.contains("was this program downgraded?"),
        "{said}"
    );
    ensure!(!place.data.join("store").exists(), "a store was made of it");

    // A later layout of keys: the record is kind, version, and the layout's version.
    let file = folder.path().join("layout.export");
    changed_export(&file, b"F.", |record| record[2] = 99)?;
    place.succeeds(&["store", "restore", file.to_str().context("a path")?])?;
    let before = folder.path().join("before.export");
    place.succeeds(&["store", "export", before.to_str().context("a path")?])?;
    let said = Pumice::must_refuse(&place)?;
    ensure!(
        said.contains("laid out as version 99") && said.contains("was it downgraded?"),
        "{said}"
    );
    let after = folder.path().join("after.export");
    place.succeeds(&["store", "export", after.to_str().context("a path")?])?;
    ensure!(std::fs::read(before)? == std::fs::read(after)?, "it was changed");
    Ok(())
}

/// Not a test of its own: makes what the others read, when it is asked to.
#[test]
fn a_new_golden_state_is_made_when_asked_for() -> Result<()> {
    let Some(version) = std::env::var_os(NEW_GOLDEN) else {
        return Ok(());
    };
    let to = golden().join(version);
    std::fs::create_dir_all(golden())?;
    std::fs::create_dir(&to).with_context(|| format!("{} is never changed", to.display()))?;
    let folder = tempfile::tempdir()?;
    let place = Place::plain(folder.path());
    populate(&place)?;
    let file = to.join("store.export");
    place.succeeds(&["store", "export", file.to_str().context("a path")?])?;
    let store = place.data.join("store");
    let records = actix_rt::System::new().block_on(async {
        let store: Arc<dyn Store> = Arc::new(SledStore::open(&store, &SledOptions::default())?);
        records(&Catalog::open(store).await?).await
    })?;
    std::fs::write(to.join("store.packed"), sparse::pack(&store)?)?;
    let text = serde_json::to_string_pretty(&records)? + "\n";
    std::fs::write(to.join("records.json"), text)?;
    println!("{} was made: look at it, and commit it", to.display());
    Ok(())
}

/// One of each: what was made over the API, and an operation that a kill left open.
fn populate(place: &Place) -> Result<()> {
    let pumice = Pumice::start(place)?;
    let ask = |method: &str, path: &str, body: Value| -> Result<Value> {
        let answer = Client::connect(pumice.address)?.send(method, path, &body.to_string())?;
        ensure!(
            answer.status < 300,
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        match answer.body.is_empty() {
            true => Ok(Value::Null),
            false => answer.json(),
        }
    };
    let id_of = |made: &Value, what: &str| made[what]["id"].as_str().map(str::to_owned).context("no id");
    let kind = json!({"volume_type": {"name": "fast", "extra_specs": {"volume_backend_name": "file"}}});
    ask("POST", "/types", kind)?;
    ask(
        "PUT",
        &format!("/os-quota-sets/{PROJECT}"),
        json!({"quota_set": {"volumes": 20, "gigabytes_fast": 40}}),
    )?;
    let volume = json!({"volume": {"size": 2, "name": "golden", "description": "of its time", "volume_type": "fast", "metadata": {"colour": "gold"}}});
    let volume = id_of(&ask("POST", "/volumes", volume)?, "volume")?;
    load::wait_for_rest(&pumice)?;
    let snapshot = json!({"snapshot": {"volume_id": volume, "name": "then", "metadata": {"colour": "grey"}}});
    ask("POST", "/snapshots", snapshot)?;
    load::wait_for_rest(&pumice)?;
    let connector =
        json!({"initiator": "iqn.2016-04.com.example:golden", "host": "compute-1", "ip": "192.0.2.7"});
    let attachment = json!({"attachment": {"volume_uuid": volume, "instance_uuid": "0badc0de-0000-4000-8000-000000000001", "connector": connector}});
    ask("POST", "/attachments", attachment)?;
    load::wait_for_rest(&pumice)?;
    // For a message.
    ask(
        "POST",
        "/volumes",
        json!({"volume": {"size": 2_000_000_000, "name": "too large"}}),
    )?;
    load::wait_for_rest(&pumice)?;
    pumice.stop()?;
    // It is not created: its backend does not start before the program is killed.
    std::fs::rename(place.data.join("volumes"), place.data.join("aside"))?;
    std::fs::write(place.data.join("volumes"), "in the way")?;
    let pumice = Pumice::start(place)?;
    ensure!(Client::connect(pumice.address)?.create("begun")?.status == 202);
    pumice.kill()
}
