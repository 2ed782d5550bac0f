//! The verbs of QoS specs.

mod associate_qos_specs;
mod create_qos_specs;
mod delete_qos_specs;
mod disassociate_qos_specs;
mod update_qos_specs;

pub use self::associate_qos_specs::AssociateQosSpecs;
pub use self::create_qos_specs::CreateQosSpecs;
pub use self::delete_qos_specs::DeleteQosSpecs;
pub use self::disassociate_qos_specs::DisassociateQosSpecs;
pub use self::update_qos_specs::{QosSpecsChange, UpdateQosSpecs};
use serde_json::{Value, json};

use super::RequestVisitor;
use crate::model::bounds::RECORDS_IN_A_COMMIT;
use crate::model::{QosSpecs, QosSpecsId, VolumeType};
use crate::store::catalog::{Changes, Stored};
use crate::verbs::prelude::*;

pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateQosSpecs>();
    visitor.request::<UpdateQosSpecs>();
    visitor.request::<DeleteQosSpecs>();
    visitor.request::<AssociateQosSpecs>();
    visitor.request::<DisassociateQosSpecs>();
}

/// Adds an event of QoS specs (cinder: `api/contrib/qos_specs_manage.py`): with their id, when they were created, and `more`.
fn notify(
    at: &BeginContext<'_>,
    changes: &mut Changes,
    what: &str,
    specs: &QosSpecs,
    more: &[(&str, Value)],
) {
    let event_type = format!("qos_specs.{what}");
    let payload = || {
        let mut payload = json!({ "id": specs.id, "created_at": specs.created_at.to_string() });
        for (key, value) in more {
            payload[*key] = value.clone();
        }
        payload
    };
    at.notify_about(changes, ("QoSSpecs", &event_type), specs.id.0, payload);
}

/// The types that refer to these QoS specs.
async fn types_with(control: &Control, id: QosSpecsId) -> Result<Vec<Stored<VolumeType>>, Interrupt> {
    let mut types = control.catalog.volume_types().await?;
    types.retain(|volume_type| volume_type.qos_specs_id == Some(id));
    Ok(types)
}

/// Makes these types refer to no QoS specs. Those that are too many for one commit are changed first, in others; the rest of
/// the changes is returned.
async fn disassociate(control: &Control, types: &[Stored<VolumeType>]) -> Result<Changes, Interrupt> {
    let mut changes = control.catalog.change();
    for (at, volume_type) in types.iter().enumerate() {
        if at > 0 && at.is_multiple_of(RECORDS_IN_A_COMMIT) {
            let full = std::mem::replace(&mut changes, control.catalog.change());
            full.commit().await?;
        }
        refer(&mut changes, volume_type, None);
    }
    Ok(changes)
}

/// Makes a type refer to these QoS specs, or to none.
fn refer(changes: &mut Changes, was: &Stored<VolumeType>, to: Option<QosSpecsId>) {
    let mut now = was.record.clone();
    now.qos_specs_id = to;
    now.updated_at = Some(Timestamp::now());
    changes.update(was, &now);
}
