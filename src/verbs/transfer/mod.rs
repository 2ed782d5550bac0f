//! Verbs of volume transfers. None of them has an operation: a backend uses a volume's project for notifications only,
//! so a transfer changes only the catalog (cinder: the LVM driver has no `accept_transfer` either).

mod accept_transfer;
mod create_transfer;
mod delete_transfer;

pub use self::accept_transfer::AcceptTransfer;
pub use self::create_transfer::{CreateTransfer, NewTransfer};
pub use self::delete_transfer::DeleteTransfer;
use super::RequestVisitor;
use crate::control::Control;
use crate::control::lookup::may_see;
use crate::model::bounds::COMMIT;
use crate::model::transfer::transfer_not_found;
use crate::model::{Context, Error, Result, Snapshot, Transfer, TransferId, Volume, VolumeId};
use crate::store::catalog::{Changes, Stored};
use crate::store::record::size_of;

pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateTransfer>();
    visitor.request::<AcceptTransfer>();
    visitor.request::<DeleteTransfer>();
}

/// The space in a commit besides records, and the largest index rows of one record, in bytes.
const OTHERS: usize = 64 * 1024;
const ROWS: usize = 4 * 1024;

impl Control {
    /// The transfer with that id (as a client wrote it), of any project.
    async fn any_transfer(&self, id: &str) -> Result<Stored<Transfer>> {
        let parsed: TransferId = id.parse().map_err(|_| transfer_not_found(id))?;
        let found = self.catalog.transfer(parsed).await?;
        found.ok_or_else(|| transfer_not_found(id))
    }

    /// The transfer with that id, of the caller's project.
    async fn find_transfer(&self, context: &Context, id: &str) -> Result<Stored<Transfer>> {
        let transfer = self.any_transfer(id).await?;
        if may_see(context, &transfer.source_project_id) {
            return Ok(transfer);
        }
        Err(transfer_not_found(id))
    }

    /// The volume of a transfer.
    async fn transferred_volume(&self, transfer: &Transfer) -> Result<Stored<Volume>> {
        let found = self.catalog.volume(transfer.volume_id).await?;
        found.ok_or_else(|| Error::volume_not_found(transfer.volume_id))
    }

    /// The snapshots that are transferred with a volume: those of its own project. Snapshots of other projects stay
    /// there. (Cinder transfers them, too: the volume's owner could take them by a transfer to itself.)
    async fn own_snapshots(&self, volume: &Volume) -> Result<Vec<Stored<Snapshot>>> {
        let mut snapshots = self.catalog.volume_snapshots(volume.id).await?;
        snapshots.retain(|snapshot| snapshot.project_id == volume.project_id);
        Ok(snapshots)
    }

    /// Deletes the open transfer of a volume that is being deleted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_transfer(&self, changes: &mut Changes, volume: VolumeId) -> Result<()> {
        if let Some(open) = self.catalog.volume_transfer(volume).await? {
            changes.delete(&open);
        }
        Ok(())
    }
}

/// Refuses snapshots that are too large for one commit.
fn check_weight(volume: &Volume, snapshots: &[Stored<Snapshot>]) -> Result<()> {
    let snapshots = snapshots.iter().map(|snapshot| size_of(&snapshot.record) + ROWS);
    let bytes = size_of(volume) + snapshots.sum::<usize>();
    let most = COMMIT - OTHERS;
    if bytes <= most {
        return Ok(());
    }
    Err(Error::too_large(format!(
        "Invalid size of snapshots: they and the volume have {bytes} bytes, and {most} can be transferred at once."
    )))
}

/// A transfer for the samples of replies.
#[cfg(test)]
fn sample() -> Transfer {
    let id = |n: u128| uuid::Uuid::from_u128(0x1111_2222_3333_4444_5555_6666_7777_8800 + n);
    Transfer {
        id: TransferId(id(12)),
        volume_id: VolumeId(id(2)),
        source_project_id: "p".into(),
        name: Some("n".to_owned()),
        no_snapshots: true,
        key: crate::model::transfer::KeyHash::new([7; 16], "k"),
        created_at: crate::model::Timestamp(1),
    }
}
