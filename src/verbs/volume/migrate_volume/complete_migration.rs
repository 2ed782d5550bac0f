//! Complete a migration, or report its failure (cinder: `volume/api.py` `migrate_volume_completion`). Used by a compute
//! service for attached volumes. Migrations of this service complete themselves: an administrator may end one by
//! reporting a failure.

use crate::verbs::prelude::*;

/// Complete a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteMigration {
    /// The volume that is migrated, as the client wrote it.
    pub volume_id: String,
    /// Its copy, as the client wrote it.
    pub new_volume: String,
    /// Whether it has failed.
    pub error: bool,
}
// The reply is the id of the volume that stays.
call!(CompleteMigration => ApiTopic, "complete_migration", since 5, reply String);

impl Request for CompleteMigration {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<String>, Interrupt> {
        let control = at.control;
        let volume = control.find_volume(at.context, &self.volume_id).await?;
        let copy = control.find_volume(at.context, &self.new_volume).await?;
        if !check_pair(&volume, &copy)? {
            return Ok(Began::Done(copy.id.to_string()));
        }
        let open = match volume.operation {
            Some(id) => control.catalog.operation(id).await?,
            None => None,
        };
        let Some(open) = open else {
            return Err(Error::invalid_volume("Source volume not mid-migration.").into());
        };
        if !self.error {
            return Err(Error::invalid_volume(format!(
                "Volume {} is being copied; its migration completes by itself.",
                volume.id
            ))
            .into());
        }
        let cancelled = open.cancelled(Timestamp::now(), control.options.cancel_grace);
        let mut changes = control.catalog.change();
        changes.update(&open, &cancelled);
        changes.commit().await?;
        Ok(Began::Repeated(Box::new(cancelled), volume.id.to_string()))
    }
}

/// Checks that there is a migration to complete; false if neither volume was ever in one.
fn check_pair(volume: &Volume, copy: &Volume) -> Result<bool> {
    let (of_volume, of_copy) = (volume.shown_migration_status(), copy.shown_migration_status());
    if of_volume.is_none() && of_copy.is_none() {
        return Ok(false);
    }
    if of_volume.is_none() {
        return Err(Error::invalid_volume("Source volume not mid-migration."));
    }
    let Some(of_copy) = of_copy else {
        return Err(Error::invalid_volume("Destination volume not mid-migration."));
    };
    let expected = format!("target:{}", volume.id);
    if of_copy != expected {
        return Err(Error::invalid_volume(format!(
            "Destination has migration_status {of_copy}, expected {expected}."
        )));
    }
    Ok(true)
}
