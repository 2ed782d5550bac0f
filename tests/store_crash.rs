//! Nothing acknowledged is lost: a process that commits is killed again and again, and all that it said is done is there.
//!
//! `SIGKILL` shows that nothing is acknowledged before it was handed to the kernel, and that what is half written is not
//! half read. It does not show a power cut: for that the writer syncs the file before it answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_types, reason = "a process is what is to be killed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pumice::model::quota::volume_deltas;
use pumice::model::{Operation, OperationId, Timestamp, Volume, VolumeId, VolumeStatus};
use pumice::store::catalog::verify::verify;
use pumice::store::catalog::{Catalog, VolumeQuery};
use pumice::store::record::operation_v1::{OperationKind, OperationV1};
use pumice::store::sled::{SledOptions, SledStore};

const DIRECTORY: &str = "PUMICE_CRASH_TEST_DIRECTORY";
const ROUNDS: u64 = 20;

fn volume() -> Volume {
    Volume {
        name: Some("crash".into()),
        ..Volume::new(
            "p".into(),
            "u".into(),
            1,
            VolumeStatus::Creating,
            "nova".into(),
            Timestamp::now(),
        )
    }
}

fn operation(volume: &Volume) -> Operation {
    OperationV1 {
        id: OperationId::new(),
        kind: OperationKind::CreateVolume { hints: None },
        volume_id: volume.id,
        project_id: volume.project_id.clone(),
        user_id: volume.user_id.clone(),
        request_id: "req".into(),
        attempt: 1,
        pool: None,
        tried: Vec::new(),
        previous_status: None,
        reserved: BTreeMap::new(),
        steps: Vec::new(),
        created_at: volume.created_at,
        deadline: volume.created_at,
    }
    .upgrade()
    .unwrap()
}

fn say(word: &str, id: VolumeId) {
    let mut out = std::io::stdout().lock();
    // A parent that no longer listens has killed us.
    let _ = writeln!(out, "{word} {id}").and_then(|()| out.flush());
}

/// Creates, finishes and deletes volumes without end, and prints what was acknowledged.
async fn live(catalog: Catalog) {
    loop {
        let mut record = volume();
        let entry = operation(&record);
        record.operation = Some(entry.id);
        let worth = volume_deltas(record.size, None);
        let mut changes = catalog.change();
        changes
            .insert(&record)
            .insert(&entry)
            .add_usage(&record.project_id, &worth);
        changes.commit().await.unwrap();
        say("created", record.id);

        let was = catalog.volume(record.id).await.unwrap().unwrap();
        let open = catalog.operation(entry.id).await.unwrap().unwrap();
        let mut now = record.clone();
        now.status = VolumeStatus::Available;
        now.operation = None;
        let mut changes = catalog.change();
        changes.update(&was, &now).delete(&open);
        changes.commit().await.unwrap();
        say("available", record.id);

        if record.id.0.as_bytes()[0].is_multiple_of(2) {
            let was = catalog.volume(record.id).await.unwrap().unwrap();
            let mut changes = catalog.change();
            let back = worth
                .iter()
                .map(|(resource, amount)| (resource.clone(), -amount))
                .collect();
            changes.delete(&was).add_usage(&record.project_id, &back);
            say("deleting", record.id);
            changes.commit().await.unwrap();
            say("deleted", record.id);
        }
    }
}

async fn open(path: &Path) -> Catalog {
    let store = SledStore::open(path, &SledOptions::default()).unwrap();
    Catalog::open(Arc::new(store)).await.unwrap()
}

/// Not a test of its own: what the other one starts, and kills.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(DIRECTORY) else {
        return;
    };
    actix::System::new().block_on(async {
        let catalog = open(Path::new(&path)).await;
        let lives = (0..8).map(|_| live(catalog.clone()));
        futures_util::future::join_all(lives).await;
    });
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_commits_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the child said, until it was killed after so many words.
fn listen_and_kill(mut child: Child, words: u64) -> Vec<(String, VolumeId)> {
    let mut said = Vec::new();
    let mut heard = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((word, id)) = line.rsplit_once(' ') else {
            continue;
        };
        // The test harness prints on the same line, before the first.
        let word = word.rsplit(' ').next().unwrap_or(word);
        let Ok(id) = id.parse() else { continue };
        said.push((word.to_owned(), id));
        heard += 1;
        if heard == words {
            child.kill().unwrap();
            // What lies in the pipe was said before it died: the loop reads on to its end.
        }
    }
    child.wait().unwrap();
    assert!(heard >= words, "the child ended by itself after {heard} words");
    said
}

#[actix::test]
async fn what_was_acknowledged_survives_any_kill() {
    if std::env::var_os(DIRECTORY).is_some() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut known: BTreeMap<VolumeId, String> = BTreeMap::new();
    for round in 0..ROUNDS {
        // Not the same number of words twice, nor a round number of commits.
        let child = start(directory.path());
        known.extend(
            listen_and_kill(child, 1 + round * 37 % 211)
                .into_iter()
                .map(|(word, id)| (id, word)),
        );

        let catalog = open(directory.path()).await;
        let findings = verify(&catalog).await.unwrap();
        assert!(findings.is_empty(), "round {round}: {findings:?}");
        for (id, word) in &known {
            let status = catalog.volume(*id).await.unwrap().map(|volume| volume.status);
            let expected = match word.as_str() {
                // The next step may have been made, and the word of it be lost with the process.
                "created" => matches!(status, Some(VolumeStatus::Creating | VolumeStatus::Available)),
                "available" => status == Some(VolumeStatus::Available),
                "deleting" => matches!(status, Some(VolumeStatus::Available) | None),
                _ => status.is_none(),
            };
            assert!(expected, "round {round}: {id} was {word}, and is {status:?}");
        }
        let totals = catalog.volume_totals(&VolumeQuery::default()).await.unwrap();
        assert!(totals.0 >= known.values().filter(|word| *word == "available").count() as u64);
    }
}
