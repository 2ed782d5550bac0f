//! Change QoS specs: set keys, or delete them (cinder: `volume/qos_specs.py` `update`, `delete_keys`).
//!
//! If one of the keys to delete does not exist, none is deleted. Cinder deletes those before it.

use std::collections::BTreeMap;

use serde_json::json;

use super::notify;
use crate::model::bounds::{QOS_SPECS, optional_pairs};
use crate::model::{QosConsumer, QosSpecsId};
use crate::verbs::prelude::*;

/// A change of QoS specs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QosSpecsChange {
    /// Add or overwrite limits.
    Set {
        /// Who enforces them; `None` keeps it.
        consumer: Option<QosConsumer>,
        /// The limits.
        specs: BTreeMap<String, Option<String>>,
    },
    /// Delete limits; 404 if one does not exist.
    DeleteKeys(Vec<String>),
}

/// Change QoS specs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateQosSpecs {
    /// Their id.
    pub id: QosSpecsId,
    /// The change.
    pub change: QosSpecsChange,
}
call!(UpdateQosSpecs => ApiTopic, "update_qos_specs", since 5, reply ());

impl Request for UpdateQosSpecs {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let was = at.control.qos_specs(self.id).await?;
        let mut now = was.record.clone();
        match &self.change {
            QosSpecsChange::Set { consumer, specs } => {
                now.consumer = consumer.unwrap_or(now.consumer);
                now.specs.extend(specs.clone());
                QOS_SPECS.check(optional_pairs(&was.specs), optional_pairs(&now.specs))?;
            }
            QosSpecsChange::DeleteKeys(keys) => {
                for key in keys {
                    if now.specs.remove(key).is_none() {
                        let text = format!("QoS spec {} has no spec with key {key}.", self.id);
                        return Err(Error::not_found(text).into());
                    }
                }
            }
        }
        if now != was.record {
            now.updated_at = Some(Timestamp::now());
            let mut changes = at.control.catalog.change();
            changes.update(&was, &now);
            let updated = ("updated_at", json!(now.updated_at.map(|time| time.to_string())));
            match &self.change {
                QosSpecsChange::Set { specs, .. } => {
                    notify(
                        at,
                        &mut changes,
                        "update",
                        &now,
                        &[updated, ("specs", json!(specs))],
                    );
                }
                QosSpecsChange::DeleteKeys(_) => notify(at, &mut changes, "delete_keys", &now, &[updated]),
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
        let set = UpdateQosSpecs {
            id,
            change: QosSpecsChange::Set {
                consumer: Some(QosConsumer::Both),
                specs: [("total_iops_sec".to_owned(), Some("1".to_owned()))].into(),
            },
        };
        let delete = UpdateQosSpecs {
            id,
            change: QosSpecsChange::DeleteKeys(vec!["total_iops_sec".to_owned()]),
        };
        crate::golden::message(&[("set", set), ("delete", delete)]);
    }
}
