//! Create QoS specs (cinder: `volume/qos_specs.py` `create`).

use std::collections::BTreeMap;

use serde_json::json;

use super::notify;
use crate::model::bounds::{QOS_SPECS, optional_pairs};
use crate::model::{QosConsumer, QosSpecs, QosSpecsId};
use crate::verbs::prelude::*;

/// Create QoS specs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateQosSpecs {
    /// Name, unique.
    pub name: String,
    /// Who enforces them.
    pub consumer: QosConsumer,
    /// The limits.
    pub specs: BTreeMap<String, Option<String>>,
}
call!(CreateQosSpecs => ApiTopic, "create_qos_specs", since 5, reply QosSpecs);

impl Request for CreateQosSpecs {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<QosSpecs>, Interrupt> {
        QOS_SPECS.check(0, optional_pairs(&self.specs))?;
        let specs = QosSpecs {
            id: QosSpecsId::new(),
            name: self.name.clone(),
            consumer: self.consumer,
            specs: self.specs.clone(),
            created_at: Timestamp::now(),
            updated_at: None,
        };
        let mut changes = at.control.catalog.change();
        changes.insert(&specs);
        let more = [("name", json!(specs.name)), ("specs", json!(specs.specs))];
        notify(at, &mut changes, "create", &specs, &more);
        at.answer(&mut changes, &specs, None)?;
        match changes.commit().await.map_err(Interrupt::from) {
            Ok(_) => Ok(Began::Done(specs)),
            // The id is new, so the conflict is the name.
            Err(Interrupt::Conflict) => {
                Err(Error::conflict(format!("QoS Specs {} already exists.", specs.name)).into())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let bare = CreateQosSpecs {
            name: "fast".to_owned(),
            consumer: QosConsumer::BackEnd,
            specs: BTreeMap::new(),
        };
        let limits = [("total_iops_sec", Some("100")), ("empty", None)];
        let full = CreateQosSpecs {
            consumer: QosConsumer::FrontEnd,
            specs: limits
                .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
                .into(),
            ..bare.clone()
        };
        let reply = QosSpecs {
            id: QosSpecsId(Uuid::from_u128(1)),
            name: full.name.clone(),
            consumer: full.consumer,
            specs: full.specs.clone(),
            created_at: Timestamp(1_700_000_000_000_001),
            updated_at: None,
        };
        crate::golden::message(&[("bare", bare), ("full", full)]);
        crate::golden::reply("api.create_qos_specs", &[("specs", reply)]);
    }
}
