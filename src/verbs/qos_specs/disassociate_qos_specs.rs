//! Make a volume type, or all, refer to QoS specs no longer (cinder: `volume/qos_specs.py` `disassociate_qos_specs`,
//! `disassociate_all`).

use serde_json::json;

use super::{disassociate, notify, types_with};
use crate::model::{QosSpecsId, VolumeTypeId};
use crate::verbs::prelude::*;

/// Make a volume type refer to QoS specs no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisassociateQosSpecs {
    /// The QoS specs.
    pub id: QosSpecsId,
    /// The type; `None`: all.
    pub volume_type_id: Option<VolumeTypeId>,
}
call!(DisassociateQosSpecs => ApiTopic, "disassociate_qos_specs", since 5, reply ());

impl Request for DisassociateQosSpecs {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let specs = at.control.qos_specs(self.id).await?;
        let mut types = types_with(at.control, self.id).await?;
        if let Some(id) = self.volume_type_id {
            at.control.volume_type(id).await?;
            types.retain(|volume_type| volume_type.id == id);
        }
        if !types.is_empty() {
            let mut changes = disassociate(at.control, &types).await?;
            match self.volume_type_id {
                Some(id) => notify(
                    at,
                    &mut changes,
                    "disassociate",
                    &specs,
                    &[("type_id", json!(id))],
                ),
                None => notify(at, &mut changes, "disassociate_all", &specs, &[]),
            }
            changes.commit().await?;
        }
        Ok(Began::Done(()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let id = QosSpecsId(Uuid::from_u128(1));
        let of = |volume_type_id| DisassociateQosSpecs { id, volume_type_id };
        let one = of(Some(VolumeTypeId(Uuid::from_u128(2))));
        crate::golden::message(&[("one", one), ("all", of(None))]);
    }
}
