//! Replays every row about snapshots that was recorded from a real Cinder.

use super::*;
use crate::model::ErrorKind;
use crate::model::transitions::tests::{Row, rows, snapshot, volume};

fn statuses(row: &Row<'_>) -> Vec<SnapshotStatus> {
    match row.from {
        "all" => SnapshotStatus::settable().collect(),
        from => from.split(',').map(|word| word.parse().unwrap()).collect(),
    }
}

/// The result of the row's verb; `None` if its states are not implemented here, or nothing is ever refused.
fn decided(row: &Row<'_>, volume: &Volume, snapshot: &Snapshot) -> Option<Result<()>> {
    if let Some(word) = row.action.strip_prefix("os-update_snapshot_status(") {
        let became = update_status(snapshot, word.trim_end_matches(')'));
        return Some(became.map(|status| assert_eq!(status.as_str(), row.to)));
    }
    let goes = |force| {
        if goes_with_its_volume(snapshot, force) {
            Ok(())
        } else {
            Err(crate::model::transitions::not_deletable(force))
        }
    };
    Some(match row.action {
        "delete" | "os-unmanage" => delete(snapshot, false),
        "os-force_delete" => delete(snapshot, true),
        "create volume from snapshot" => create_volume_from(snapshot),
        "revert parent volume" => revert(volume, snapshot),
        "delete parent volume cascade" => goes(false),
        "delete parent volume cascade+force" => goes(true),
        _ => return None,
    })
}

#[test]
fn every_observed_snapshot_row_is_answered_alike() {
    let mut compared = 0;
    for row in rows().iter().filter(|row| row.resource == "snapshot") {
        for from in statuses(row) {
            let volume = volume(VolumeStatus::Available);
            let snapshot = snapshot(&volume, from);
            let case = format!("{} from {from}", row.action);
            match decided(row, &volume, &snapshot) {
                None => continue,
                Some(Ok(())) => assert!(row.http < 400, "{case}: allowed, observed {}", row.http),
                Some(Err(error)) => {
                    let status = match error.kind {
                        ErrorKind::BadRequest => 400,
                        ErrorKind::Conflict => 409,
                        _ => 500,
                    };
                    assert_eq!(row.http, status, "{case}: {error}");
                    let expected = row
                        .message
                        .replacen("<id>", &volume.id.to_string(), 1)
                        .replace("<id>", &snapshot.id.to_string())
                        .replace("<status>", from.as_str());
                    assert!(
                        error.client.starts_with(expected.trim_end()),
                        "{case}: '{}', observed '{expected}'",
                        error.client
                    );
                }
            }
            compared += 1;
        }
    }
    assert!(compared > 90, "{compared}");
}

#[test]
fn only_an_available_volume_goes_back() {
    for row in rows().iter().filter(|row| row.action == "revert") {
        for from in row.from.split(',') {
            let volume = volume(from.parse().unwrap());
            let snapshot = snapshot(&volume, SnapshotStatus::Available);
            let decided = revert(&volume, &snapshot);
            if row.http < 400 {
                assert_eq!(decided, Ok(()), "from {from}");
                continue;
            }
            let error = decided.unwrap_err();
            let expected = row
                .message
                .replacen("<id>", &volume.id.to_string(), 1)
                .replace("<id>", &snapshot.id.to_string());
            assert_eq!((error.kind, error.client), (ErrorKind::Conflict, expected));
        }
    }
}

#[test]
fn only_the_latest_snapshot_can_be_gone_back_to() {
    let volume = volume(VolumeStatus::Available);
    let latest = snapshot(&volume, SnapshotStatus::Available);
    let named = latest.id.to_string();
    assert!(is_latest(&volume, Some(&latest), Some(&named)).is_ok());
    let message = |latest: Option<&Snapshot>, named: Option<&str>| {
        is_latest(&volume, latest, named).unwrap_err().client
    };
    assert_eq!(
        message(None, Some(&named)),
        format!("Volume {} doesn't have any snapshots.", volume.id)
    );
    for (named, shown) in [(None, "None"), (Some("x"), "x")] {
        assert_eq!(
            message(Some(&latest), named),
            format!(
                "Specified snapshot {shown} is None or not the latest one of volume {}.",
                volume.id
            )
        );
    }
}

#[test]
fn a_snapshot_that_another_project_kept_cannot_be_gone_back_to() {
    let volume = volume(VolumeStatus::Available);
    let mut kept = snapshot(&volume, SnapshotStatus::Available);
    kept.project_id = "another".into();
    let named = kept.id.to_string();
    let error = is_latest(&volume, Some(&kept), Some(&named)).unwrap_err();
    assert_eq!(
        error.client,
        format!("Volume {} doesn't have any snapshots.", volume.id)
    );
}

#[test]
fn a_snapshot_of_a_group_is_not_deleted_alone() {
    let volume = volume(VolumeStatus::Available);
    let mut grouped = snapshot(&volume, SnapshotStatus::Available);
    grouped.group_snapshot_id = Some(crate::rng::id());
    assert!(delete(&grouped, false).is_err() && delete(&grouped, true).is_err());
}
