//! Withdraw the offer of a volume (cinder: `transfer/api.py` `delete`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the transfer is deleted; the volume is `available` if it was `awaiting-transfer`, else unchanged | nothing has changed |

use crate::verbs::prelude::*;

/// Withdraw an offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTransfer {
    /// Its id, as the client wrote it.
    pub transfer_id: String,
}
call!(DeleteTransfer => ApiTopic, "delete_transfer", since 4, reply ());

impl Request for DeleteTransfer {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let control = at.control;
        let transfer = control.find_transfer(at.context, &self.transfer_id).await?;
        let volume = control.transferred_volume(&transfer).await?;
        let mut changes = control.catalog.change();
        changes.delete(&transfer);
        let mut kept = volume.record.clone();
        if volume.status == VolumeStatus::AwaitingTransfer {
            kept.status = VolumeStatus::Available;
            kept.updated_at = Some(Timestamp::now());
            changes.update(&volume, &kept);
        }
        at.notify_change(&mut changes, "volume.transfer.delete", &volume, &kept)
            .await?;
        changes.commit().await?;
        Ok(Began::Done(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let transfer_id = "t".to_owned();
        crate::golden::message(&[("full", DeleteTransfer { transfer_id })]);
    }
}
