//! Delete QoS specs (cinder: `volume/qos_specs.py` `delete`).

use serde_json::json;

use super::{disassociate, notify, types_with};
use crate::model::QosSpecsId;
use crate::verbs::prelude::*;

/// Delete QoS specs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteQosSpecs {
    /// Their id.
    pub id: QosSpecsId,
    /// Whether types that refer to them are changed. Without it they are not deleted while a type refers to them.
    pub force: bool,
}
call!(DeleteQosSpecs => ApiTopic, "delete_qos_specs", since 5, reply ());

impl Request for DeleteQosSpecs {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let was = at.control.qos_specs(self.id).await?;
        let types = types_with(at.control, self.id).await?;
        if !types.is_empty() && !self.force {
            return Err(Error::bad_request("Qos specs still in use.").into());
        }
        let mut changes = disassociate(at.control, &types).await?;
        changes.delete(&was);
        let deleted = ("deleted_at", json!(Timestamp::now().to_string()));
        notify(at, &mut changes, "delete", &was, &[deleted]);
        changes.commit().await?;
        Ok(Began::Done(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let id = QosSpecsId(uuid::Uuid::from_u128(1));
        crate::golden::message(&[("full", DeleteQosSpecs { id, force: true })]);
    }
}
