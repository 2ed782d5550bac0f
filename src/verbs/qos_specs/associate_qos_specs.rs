//! Make a volume type refer to QoS specs (cinder: `volume/qos_specs.py` `associate_qos_with_type`).

use serde_json::json;

use super::{notify, refer};
use crate::model::{QosSpecsId, VolumeTypeId};
use crate::verbs::prelude::*;

/// Make a volume type refer to QoS specs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociateQosSpecs {
    /// The QoS specs.
    pub id: QosSpecsId,
    /// The type.
    pub volume_type_id: VolumeTypeId,
}
call!(AssociateQosSpecs => ApiTopic, "associate_qos_specs", since 5, reply ());

impl Request for AssociateQosSpecs {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let specs = at.control.qos_specs(self.id).await?;
        let was = at.control.volume_type(self.volume_type_id).await?;
        match was.qos_specs_id {
            Some(id) if id == self.id => return Ok(Began::Done(())),
            Some(other) => {
                return Err(Error::bad_request(format!(
                    "Invalid volume type: Type {} is already associated with another qos specs: {other}",
                    was.id
                ))
                .into());
            }
            None => {}
        }
        let mut changes = at.control.catalog.change();
        refer(&mut changes, &was, Some(self.id));
        // Written though nothing changes in it, so that a concurrent delete gets a conflict, and then sees the type.
        changes.update(&specs, &specs.record);
        notify(
            at,
            &mut changes,
            "associate",
            &specs,
            &[("type_id", json!(was.id))],
        );
        changes.commit().await?;
        Ok(Began::Done(()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let message = AssociateQosSpecs {
            id: QosSpecsId(Uuid::from_u128(1)),
            volume_type_id: VolumeTypeId(Uuid::from_u128(2)),
        };
        crate::golden::message(&[("full", message)]);
    }
}
