//! Accept a volume that another project offers (cinder: `transfer/api.py` `accept`, `db/api.py` `transfer_accept`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume belongs to the caller and is `available`, with its snapshots unless they stay, and with their usage; the transfer is deleted | nothing has changed |
//!
//! Everything is one commit: a volume and its usage are always in the same project, and of two concurrent accepts one
//! fails.
//!
//! Checks in Cinder's order: the key; the limit of one volume's size; the type, which the caller must be allowed to
//! use; the quota for the volume, then for the snapshots on top of it; the states. As in Cinder, accepting in the
//! offering project needs quota for the volume a second time.

use tracing::{info, warn};

use super::check_weight;
use crate::control::lookup::{growth_failed, must_be_settled, type_not_found};
use crate::messages::quota::Ceilings;
use crate::model::Transfer;
use crate::model::quota::{Deltas, Resource, given_back, snapshot_deltas, volume_deltas};
use crate::model::transfer::accept;
use crate::model::volume::Secret;
use crate::store::catalog::{Changes, Stored};
use crate::verbs::prelude::*;

/// Accept an offered volume; the reply is the former transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptTransfer {
    /// Its id, as the client wrote it.
    pub transfer_id: String,
    /// The key, as the client wrote it.
    pub auth_key: Secret,
}
call!(AcceptTransfer => ApiTopic, "accept_transfer", since 4, reply Transfer);

impl Request for AcceptTransfer {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Transfer>, Interrupt> {
        let control = at.control;
        let transfer = control.any_transfer(&self.transfer_id).await?;
        if !transfer.key.is_of(self.auth_key.reveal()) {
            warn!(transfer = %transfer.id, "a transfer was requested with a wrong key");
            return Err(Error::bad_request(format!(
                "Invalid auth key: Attempt to transfer {} with invalid auth key.",
                self.transfer_id
            ))
            .into());
        }
        let volume = control.transferred_volume(&transfer).await?;
        let volume_type = control.type_of(&volume).await?;
        let taker = at.context.own_project()?;
        if let Some(volume_type) = &volume_type
            && !at.context.is_admin
            && !volume_type.is_open_to(taker)
        {
            return Err(type_not_found(volume_type.id).into());
        }
        let snapshots = match transfer.no_snapshots {
            true => None,
            false => Some(control.own_snapshots(&volume).await?),
        };
        let worth = Worth::of(&volume, snapshots.as_deref());
        let ceilings = worth.ceilings(at, &volume).await?;
        let attachments = control.plain_attachments(volume.id).await?;
        let of = snapshots.as_deref().map(|all| all.iter().map(|one| &one.record));
        let status = accept(transfer.id, &volume, &attachments, of)?;
        let snapshots = snapshots.unwrap_or_default();
        check_weight(&volume, &snapshots)?;
        must_be_settled(&volume)?;
        let now = Some(Timestamp::now());
        let mut taken = volume.record.clone();
        taken.project_id = taker.clone();
        taken.user_id = at.context.user_id.clone();
        taken.status = status;
        taken.updated_at = now;
        let mut changes = control.catalog.change();
        changes.update(&volume, &taken).delete(&transfer);
        for snapshot in &snapshots {
            let mut along = snapshot.record.clone();
            along.project_id = taker.clone();
            along.user_id = at.context.user_id.clone();
            along.updated_at = now;
            changes.update(snapshot, &along);
        }
        worth.moves(&mut changes, &volume, &taken);
        for ceilings in ceilings {
            ceilings.apply(&mut changes, taker, &worth.sum());
        }
        at.notify_change(&mut changes, "volume.transfer.accept", &volume, &taken)
            .await?;
        changes
            .commit()
            .await
            .map_err(|error| refused(growth_failed(error, &worth.each(), volume_type.as_deref())))?;
        info!(
            transfer = %transfer.id, volume = %volume.id, from = %volume.project_id, to = %taker,
            snapshots = snapshots.len(), "a volume was transferred"
        );
        Ok(Began::Done(transfer.record))
    }
}

/// The usage of a volume and the snapshots that are transferred with it.
struct Worth {
    volume: Deltas,
    snapshots: Deltas,
}

impl Worth {
    fn of(volume: &Volume, snapshots: Option<&[Stored<Snapshot>]>) -> Self {
        let mut of_snapshots = Deltas::new();
        if snapshots.is_some() {
            // Checked even without snapshots: a project that is over quota already gets nothing (as in Cinder).
            let kinds = snapshot_deltas(0, volume.volume_type_id);
            of_snapshots.extend(kinds.into_keys().map(|resource| (resource, 0)));
        }
        let counted = snapshots.unwrap_or_default().iter();
        for snapshot in counted.filter(|snapshot| snapshot.consumes_quota) {
            add(
                &mut of_snapshots,
                snapshot_deltas(snapshot.volume_size, snapshot.volume_type_id),
            );
        }
        Self {
            volume: match volume.consumes_quota {
                true => volume_deltas(volume.size, volume.volume_type_id),
                false => Deltas::new(),
            },
            snapshots: of_snapshots,
        }
    }

    fn sum(&self) -> Deltas {
        let mut sum = self.volume.clone();
        add(&mut sum, self.snapshots.clone());
        sum
    }

    /// The usage that each check requests: gigabytes of snapshots are added to the volume's, and reported without them.
    fn each(&self) -> Deltas {
        let mut each = self.volume.clone();
        let snapshots = self.snapshots.iter().filter(|(_, delta)| **delta > 0);
        each.extend(snapshots.map(|(resource, delta)| (resource.clone(), *delta)));
        each
    }

    /// Checks the caller's quota. The sum of volume and snapshots is checked by the commit.
    async fn ceilings(&self, at: &BeginContext<'_>, volume: &Volume) -> Result<Vec<Ceilings>, Interrupt> {
        let only_of_snapshots = |resource: &Resource| !self.volume.contains_key(resource);
        let others = self
            .snapshots
            .iter()
            .filter(|(resource, _)| only_of_snapshots(resource));
        let others: Deltas = others
            .map(|(resource, delta)| (resource.clone(), *delta))
            .collect();
        let mut ceilings = Vec::new();
        for (deltas, size) in [(&self.volume, Some(volume.size)), (&others, None)] {
            if !deltas.is_empty() {
                let project = &at.context.project_id;
                let checked = at.control.check_quota(at.context, project, deltas, size).await;
                ceilings.push(checked.map_err(|error| refused(error.into()))?);
            }
        }
        Ok(ceilings)
    }

    fn moves(&self, changes: &mut Changes, from: &Volume, to: &Volume) {
        if from.project_id != to.project_id {
            changes
                .add_usage(&from.project_id, &given_back(self.sum()))
                .add_usage(&to.project_id, &self.sum());
        }
    }
}

fn add(sum: &mut Deltas, deltas: Deltas) {
    for (resource, delta) in deltas {
        *sum.entry(resource).or_default() += delta;
    }
}

/// Cinder catches one quota error here, and reports it without the name of its class.
fn refused(interrupt: Interrupt) -> Interrupt {
    match interrupt {
        Interrupt::Refused(mut error) => {
            if let Some(text) = error.client.strip_prefix("VolumeSizeExceedsAvailableQuota: ") {
                error.client = text.to_owned();
            }
            Interrupt::Refused(error)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::transfer::sample;

    #[test]
    fn its_message_and_reply_have_the_bytes_they_had() {
        let message = AcceptTransfer {
            transfer_id: "t".to_owned(),
            auth_key: Secret::new("k"),
        };
        crate::golden::message(&[("full", message)]);
        crate::golden::reply("api.accept_transfer", &[("full", sample())]);
    }

    #[test]
    fn what_a_volume_and_its_snapshots_count_for_is_asked_for_as_cinder_does() {
        use crate::model::VolumeStatus;
        use crate::model::transitions::tests::volume;
        let given = volume(VolumeStatus::AwaitingTransfer);
        let without = Worth::of(&given, None);
        assert_eq!(without.snapshots, Deltas::new());
        assert_eq!(without.sum(), volume_deltas(1, None));
        let with = Worth::of(&given, Some(&[]));
        assert_eq!(with.snapshots[&Resource::snapshots()], 0);
        assert_eq!(with.each(), volume_deltas(1, None));
    }
}
