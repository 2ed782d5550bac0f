//! Offer a volume to another project (cinder: `transfer/api.py` `create`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume is `awaiting-transfer`; a client with the key can accept the transfer | nothing has changed |
//!
//! A transfer that the volume had before (if an administrator has reset its status since) is deleted: its key is
//! invalid.

use super::check_weight;
use crate::control::lookup::must_be_settled;
use crate::model::idempotency::IdempotencyKey;
use crate::model::transfer::{KeyHash, derived_key, offer};
use crate::model::volume::Secret;
use crate::model::{Transfer, TransferId};
use crate::rng;
use crate::verbs::prelude::*;

/// Offer a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTransfer {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// Name.
    pub name: Option<String>,
    /// Whether its snapshots stay in the project.
    pub no_snapshots: bool,
    /// Whether encrypted volumes are allowed (microversion 3.70).
    pub encrypted_too: bool,
}
call!(CreateTransfer => ApiTopic, "create_transfer", since 4, reply NewTransfer);

/// A transfer with its key, which is shown only once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTransfer {
    /// The transfer.
    pub transfer: Transfer,
    /// Its key: 16 hexadecimal digits, as Cinder's.
    pub auth_key: Secret,
}

impl Request for CreateTransfer {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<NewTransfer>, Interrupt> {
        let control = at.control;
        let volume = control.find_volume(at.context, &self.volume_id).await?;
        let attachments = control.plain_attachments(volume.id).await?;
        let snapshots = match self.no_snapshots {
            true => None,
            false => Some(control.own_snapshots(&volume).await?),
        };
        let of = snapshots.as_deref().map(|all| all.iter().map(|one| &one.record));
        let status = offer(&volume, &attachments, of, self.encrypted_too)?;
        check_weight(&volume, snapshots.as_deref().unwrap_or_default())?;
        must_be_settled(&volume)?;
        let replaced = control.catalog.volume_transfer(volume.id).await?;
        let salt = rng::secret::<16>().map_err(Error::internal)?;
        let auth_key = match &at.once {
            Some(once) => derived_key(&salt, &once.key.key),
            None => hex::encode(rng::secret::<8>().map_err(Error::internal)?),
        };
        let now = Timestamp::now();
        let transfer = Transfer {
            id: TransferId::new(),
            volume_id: volume.id,
            source_project_id: volume.project_id.clone(),
            name: self.name.clone(),
            no_snapshots: self.no_snapshots,
            key: KeyHash::new(salt, &auth_key),
            created_at: now,
        };
        let mut offered = volume.record.clone();
        offered.status = status;
        offered.updated_at = Some(now);
        let mut changes = control.catalog.change();
        changes.update(&volume, &offered).insert(&transfer);
        replaced.inspect(|replaced| _ = changes.delete(replaced));
        at.notify_change(&mut changes, "volume.transfer.create", &volume, &offered)
            .await?;
        let stored = NewTransfer {
            transfer: transfer.clone(),
            auth_key: Secret::new(""),
        };
        at.answer(&mut changes, &stored, None)?;
        changes.commit().await?;
        Ok(Began::Done(NewTransfer {
            transfer,
            auth_key: Secret::new(auth_key),
        }))
    }

    async fn repeat(
        &self,
        _at: &BeginContext<'_>,
        key: &IdempotencyKey,
        stored: NewTransfer,
    ) -> Result<NewTransfer> {
        let auth_key = Secret::new(derived_key(stored.transfer.key.salt(), &key.key));
        Ok(NewTransfer { auth_key, ..stored })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::transfer::sample;

    #[test]
    fn its_message_and_reply_have_the_bytes_they_had() {
        let message = CreateTransfer {
            volume_id: "v".to_owned(),
            name: Some("n".to_owned()),
            no_snapshots: true,
            encrypted_too: true,
        };
        crate::golden::message(&[("full", message)]);
        let transfer = sample();
        let auth_key = Secret::new("k");
        crate::golden::reply(
            "api.create_transfer",
            &[("full", NewTransfer { transfer, auth_key })],
        );
    }
}
