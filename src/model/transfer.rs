//! Transfers: offers of a volume to another project, which must present the key to accept it.
//!
//! A volume has at most one open transfer. The record is deleted when it is accepted or deleted (Cinder keeps it, but never
//! shows it again), so every record is an open transfer.
//!
//! Texts are Cinder's (cinder: `transfer/api.py`, `db/api.py` `transfer_create`, `transfer_accept`).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::id::uuid_id;
use super::{
    Attachment, Error, ProjectId, Result, Snapshot, SnapshotStatus, Timestamp, Volume, VolumeId, VolumeStatus,
};
use crate::rng;

uuid_id!(/// Names a transfer.
    TransferId, rng::id());

/// The most snapshots that are transferred with a volume: all of them are changed in one commit.
pub const SNAPSHOTS: usize = 100;

/// An open transfer, as stored in the catalog (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// The offered volume.
    pub volume_id: VolumeId,
    /// The project that offers it, and owns it until it is accepted.
    pub source_project_id: ProjectId,
    /// The name of the transfer.
    pub name: Option<String>,
    /// Whether the volume's snapshots stay in the source project.
    pub no_snapshots: bool,
    /// The hash that the key is checked against.
    pub key: KeyHash,
    /// When it was created.
    pub created_at: Timestamp,
}

/// The salted hash of a key (HMAC-SHA256). The key is shown once to the user that creates the transfer, and not stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHash {
    salt: [u8; 16],
    hash: [u8; 32],
}

/// The key of a transfer that was requested with an idempotency key: it is derived from that, so that a repeat gets it though it is
/// not stored. The salt is never shown, so an idempotency key that is easy to guess gives nothing away.
pub fn derived_key(salt: &[u8; 16], idempotency_key: &str) -> String {
    let derived = mac(salt, &format!("idempotency key {idempotency_key}"));
    hex::encode(&derived.finalize().into_bytes()[..8])
}

impl KeyHash {
    /// The salt.
    pub fn salt(&self) -> &[u8; 16] {
        &self.salt
    }

    /// The hash of a key.
    pub fn new(salt: [u8; 16], key: &str) -> Self {
        let hash = mac(&salt, key).finalize().into_bytes().into();
        Self { salt, hash }
    }

    /// Whether this is the key. The comparison takes constant time.
    pub fn is_of(&self, key: &str) -> bool {
        mac(&self.salt, key).verify_slice(&self.hash).is_ok()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn mac(salt: &[u8], key: &str) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(salt).expect("HMAC takes keys of any length");
    mac.chain_update(key.as_bytes())
}

/// 404 with Cinder's text.
pub fn transfer_not_found(id: impl fmt::Display) -> Error {
    Error::not_found(format!("Transfer {id} could not be found."))
}

/// Checks whether a volume can be offered, and returns its new status. `snapshots` are those that are transferred with it,
/// `None` if they stay; `encrypted_too` is whether the request's version supports encrypted volumes (3.70).
///
/// # Errors
/// 400 if the volume or a snapshot is not available, or the volume can be reached by an initiator; 413 for too many snapshots.
pub fn offer<'s>(
    volume: &Volume,
    attachments: &[Attachment],
    snapshots: Option<impl ExactSizeIterator<Item = &'s Snapshot>>,
    encrypted_too: bool,
) -> Result<VolumeStatus> {
    if volume.status != VolumeStatus::Available {
        return Err(Error::invalid_volume("status must be available"));
    }
    if volume.encryption_key_id.is_some() {
        if !encrypted_too {
            return Err(Error::invalid_volume(
                "transferring encrypted volume is not supported",
            ));
        }
        if snapshots.is_none() {
            return Err(Error::invalid_volume(
                "transferring an encrypted volume without its snapshots is not supported",
            ));
        }
    }
    check_reach(volume, attachments)?;
    check_snapshots(snapshots, |id| format!("snapshot: {id} status must be available"))?;
    Ok(VolumeStatus::AwaitingTransfer)
}

/// Checks whether an offered volume can be transferred now, and returns its new status.
///
/// # Errors
/// 400 if its status is not `awaiting-transfer` any more, if a snapshot is not available, or if an initiator can reach the
/// volume; 413 for too many snapshots.
pub fn accept<'s>(
    transfer: TransferId,
    volume: &Volume,
    attachments: &[Attachment],
    snapshots: Option<impl ExactSizeIterator<Item = &'s Snapshot>>,
) -> Result<VolumeStatus> {
    match volume.status {
        VolumeStatus::AwaitingTransfer => {}
        VolumeStatus::Maintenance => {
            return Err(Error::invalid_volume(
                "The volume cannot accept transfer in maintenance mode.",
            ));
        }
        _ => {
            return Err(Error::invalid_volume(format!(
                "Transfer {transfer}: Volume id {} expected in awaiting-transfer state.",
                volume.id
            )));
        }
    }
    check_reach(volume, attachments)?;
    check_snapshots(snapshots, |id| {
        format!("Transfer {transfer}: Snapshot {id} is not in the expected available state.")
    })?;
    Ok(VolumeStatus::Available)
}

/// No initiator may reach the volume when it gets another owner, and no migration may be in progress. Cinder does not check
/// this: it transfers a volume together with its connections.
fn check_reach(volume: &Volume, attachments: &[Attachment]) -> Result<()> {
    if volume.is_migrating() || !attachments.is_empty() || volume.provider_location.is_some() {
        return Err(Error::invalid_volume(format!(
            "Volume {} must not be migrating, attached or connected to be transferred.",
            volume.id
        )));
    }
    Ok(())
}

fn check_snapshots<'s>(
    snapshots: Option<impl ExactSizeIterator<Item = &'s Snapshot>>,
    not_available: impl FnOnce(super::SnapshotId) -> String,
) -> Result<()> {
    let Some(mut snapshots) = snapshots else {
        return Ok(());
    };
    let count = snapshots.len();
    if let Some(other) = snapshots.find(|snapshot| snapshot.status != SnapshotStatus::Available) {
        let why = not_available(other.id);
        return Err(Error::bad_request(format!("Invalid snapshot: {why}")));
    }
    if count > SNAPSHOTS {
        return Err(Error::too_large(format!(
            "Invalid number of snapshots: the volume has {count}, and {SNAPSHOTS} can be transferred with it."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::transitions::tests::{attachment, rows, snapshot, volume};
    use crate::model::{AttachmentStatus, ErrorKind, MigrationStatus};

    fn none() -> Option<std::slice::Iter<'static, Snapshot>> {
        None
    }

    #[test]
    fn every_observed_row_about_offers_is_answered_alike() {
        let mut compared = 0;
        for row in rows() {
            let of_snapshot = match row.action {
                "create transfer" => false,
                "transfer parent volume" => true,
                _ => continue,
            };
            for from in row.from.split(',') {
                let (volume, snapshots) = if of_snapshot {
                    let volume = volume(VolumeStatus::Available);
                    let kept = snapshot(&volume, from.parse().unwrap());
                    (volume, vec![kept])
                } else {
                    (volume(from.parse().unwrap()), Vec::new())
                };
                let case = format!("{} from {from}", row.action);
                match offer(&volume, &[], Some(snapshots.iter()), true) {
                    Ok(status) => {
                        assert_eq!(row.http, 202, "{case}");
                        assert!(row.to.contains(status.as_str()), "{case}");
                    }
                    Err(error) => {
                        assert_eq!((row.http, error.kind), (400, ErrorKind::BadRequest), "{case}");
                        let id = snapshots.first().map(|snapshot| snapshot.id.to_string());
                        let expected = row.message.replace("<id>", &id.unwrap_or_default());
                        assert_eq!(error.client, expected.trim_end(), "{case}");
                    }
                }
                compared += 1;
            }
        }
        assert!(compared > 30, "{compared}");
    }

    #[test]
    fn a_volume_that_somebody_reaches_or_moves_stays_where_it_is() {
        for status in [VolumeStatus::Available, VolumeStatus::AwaitingTransfer] {
            let decide = |volume: &Volume, attachments: &[Attachment]| match status {
                VolumeStatus::Available => offer(volume, attachments, none(), false),
                _ => accept(TransferId::new(), volume, attachments, none()),
            };
            let free = volume(status);
            assert!(decide(&free, &[]).is_ok());
            let reserved = attachment(&free, AttachmentStatus::Reserved);
            assert!(decide(&free, &[reserved]).is_err());
            let mut exported = free.clone();
            exported.provider_location = Some("127.0.0.1:3260,1 iqn 1".to_owned());
            assert!(decide(&exported, &[]).is_err());
            let mut moving = free.clone();
            moving.migration_status = Some(MigrationStatus::Migrating);
            assert!(decide(&moving, &[]).is_err());
            moving.migration_status = Some(MigrationStatus::Success);
            assert!(decide(&moving, &[]).is_ok());
        }
    }

    #[test]
    fn an_encrypted_volume_goes_with_its_snapshots_and_in_versions_that_know_it() {
        let mut secret = volume(VolumeStatus::Available);
        secret.encryption_key_id = Some(rng::id());
        let offered = |snapshots: Option<std::slice::Iter<'_, Snapshot>>, too| {
            offer(&secret, &[], snapshots, too).map_err(|error| error.client)
        };
        assert_eq!(
            offered(Some([].iter()), false).unwrap_err(),
            "Invalid volume: transferring encrypted volume is not supported"
        );
        assert_eq!(
            offered(None, true).unwrap_err(),
            "Invalid volume: transferring an encrypted volume without its snapshots is not supported"
        );
        assert_eq!(offered(Some([].iter()), true), Ok(VolumeStatus::AwaitingTransfer));
    }

    #[test]
    fn what_waits_no_longer_is_not_accepted() {
        let id = TransferId::new();
        let accepted = |status| {
            let volume = volume(status);
            let error = accept(id, &volume, &[], none()).unwrap_err();
            error.client.replace(&volume.id.to_string(), "V")
        };
        assert_eq!(
            accepted(VolumeStatus::Maintenance),
            "Invalid volume: The volume cannot accept transfer in maintenance mode."
        );
        assert_eq!(
            accepted(VolumeStatus::Available),
            format!("Invalid volume: Transfer {id}: Volume id V expected in awaiting-transfer state.")
        );
        let waiting = volume(VolumeStatus::AwaitingTransfer);
        let failed = snapshot(&waiting, SnapshotStatus::Error);
        let error = accept(id, &waiting, &[], Some([failed.clone()].iter())).unwrap_err();
        let why = format!("Snapshot {} is not in the expected available state.", failed.id);
        assert_eq!(error.client, format!("Invalid snapshot: Transfer {id}: {why}"));
        let many = vec![snapshot(&waiting, SnapshotStatus::Available); SNAPSHOTS + 1];
        assert!(accept(id, &waiting, &[], Some(many[1..].iter())).is_ok());
        let error = accept(id, &waiting, &[], Some(many.iter())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
    }

    #[test]
    fn transfers_keep_their_form() {
        let id = uuid::Uuid::from_u128;
        let bare = Transfer {
            id: TransferId(id(1)),
            volume_id: VolumeId(id(2)),
            source_project_id: "project".into(),
            name: None,
            no_snapshots: false,
            key: KeyHash::new([7; 16], "098d8892dab81922"),
            created_at: Timestamp(1_700_000_000_000_001),
        };
        crate::golden::record("bare", &bare);
        let full = Transfer {
            name: Some("däta".into()),
            no_snapshots: true,
            ..bare
        };
        crate::golden::record("full", &full);
    }

    #[test]
    fn a_key_is_known_by_its_hash_and_not_shown() {
        let hash = KeyHash::new([7; 16], "098d8892dab81922");
        assert!(hash.is_of("098d8892dab81922"));
        for other in ["098d8892dab81923", "", "098d8892dab81922 "] {
            assert!(!hash.is_of(other), "{other}");
        }
        assert_ne!(hash, KeyHash::new([8; 16], "098d8892dab81922"));
        assert_eq!(format!("{hash:?}"), "***");
    }
}
