//! QoS specs of volumes, by their types (cinder: `volume/manager.py` `_parse_connection_options`).

use serde_json::json;

use super::Control;
use crate::messages::api::Outcome;
use crate::model::qos_specs::qos_specs_not_found;
use crate::model::{ConnectionInfo, Operation, QosSpecs, QosSpecsId, Result, Volume, VolumeType};
use crate::store::catalog::Stored;

impl Control {
    /// QoS specs by their id.
    ///
    /// # Errors
    /// 404.
    pub async fn qos_specs(&self, id: QosSpecsId) -> Result<Stored<QosSpecs>> {
        self.qos_specs_by_id(Some(id))
            .await?
            .ok_or_else(|| qos_specs_not_found(id))
    }

    async fn qos_specs_by_id(&self, id: Option<QosSpecsId>) -> Result<Option<Stored<QosSpecs>>> {
        let Some(id) = id else {
            return Ok(None);
        };
        Ok(self.catalog.qos_specs(id).await?)
    }

    async fn qos_specs_of(&self, volume_type: Option<&VolumeType>) -> Result<Option<Stored<QosSpecs>>> {
        self.qos_specs_by_id(volume_type.and_then(|volume_type| volume_type.qos_specs_id))
            .await
    }

    /// The outcome with the QoS specs of the operation's volume in its connection data, if the compute service enforces them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn with_qos_specs(&self, operation: &Operation, outcome: Outcome) -> Result<Outcome> {
        let (
            Some(volume_id),
            Outcome::Connected {
                connection_info,
                provider_location,
                provider_auth,
            },
        ) = (operation.volume_id, &outcome)
        else {
            return Ok(outcome);
        };
        let Some(volume) = self.catalog.volume(volume_id).await? else {
            return Ok(outcome);
        };
        let volume_type = self.type_of(&volume).await?;
        let specs = self.qos_specs_of(volume_type.as_deref()).await?;
        let Some(limits) = specs.and_then(|specs| specs.for_connection(volume.size)) else {
            return Ok(outcome);
        };
        let mut data = connection_info.data();
        data.insert("qos_specs".to_owned(), json!(limits));
        Ok(Outcome::Connected {
            connection_info: ConnectionInfo::new(&connection_info.driver_volume_type, data),
            provider_location: provider_location.clone(),
            provider_auth: provider_auth.clone(),
        })
    }

    /// Whether the QoS specs that the compute service enforces would differ with another type (cinder: `db/api.py`
    /// `volume_qos_allows_retype`).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn front_end_qos_differs(&self, volume: &Volume, new_type: &VolumeType) -> Result<bool> {
        let was = self.type_of(volume).await?;
        let was = was.as_deref();
        if was.and_then(|was| was.qos_specs_id) == new_type.qos_specs_id {
            return Ok(false);
        }
        let both = [
            self.qos_specs_of(was).await?,
            self.qos_specs_of(Some(new_type)).await?,
        ];
        Ok(both.iter().flatten().any(|specs| specs.consumer.is_front_end()))
    }
}
