//! The new type of a volume, in place or after a migration.

use crate::model::VolumeTypeId;
use crate::model::quota::{Deltas, given_back, volume_deltas};
use crate::verbs::prelude::*;

/// The new type of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewType {
    /// The type.
    pub id: VolumeTypeId,
    /// Whether its volumes may have several attachments.
    pub multiattach: bool,
}

impl NewType {
    /// Sets the type of the volume.
    pub fn apply(self, volume: &mut Volume) {
        volume.volume_type_id = Some(self.id);
        volume.multiattach = self.multiattach;
    }

    /// The change of the project's usage by the change of type.
    pub fn usage(self, volume: &Volume) -> Deltas {
        if !volume.consumes_quota {
            return Deltas::new();
        }
        let mut usage = volume_deltas(volume.size, Some(self.id));
        for (resource, less) in given_back(volume_deltas(volume.size, volume.volume_type_id)) {
            *usage.entry(resource).or_default() += less;
        }
        usage.retain(|_, amount| *amount != 0);
        usage
    }

    /// The outcome, or a failure if this type is deleted or encrypted by now.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::verbs) async fn examine(self, control: &Control, outcome: Outcome) -> Result<Outcome> {
        let change = match control.type_by_id(Some(self.id)).await? {
            None => "deleted",
            Some(_) if control.is_encrypted(self.id).await? => "encrypted",
            Some(_) => return Ok(outcome),
        };
        Ok(Outcome::Failed(Failure {
            kind: FailureKind::Request,
            client: format!("The volume type was {change} meanwhile."),
            operator: format!("the volume type {} was {change}", self.id),
        }))
    }
}
