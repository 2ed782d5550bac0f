//! Who is connected the old way (`os-initialize_connection`), which leaves no attachment.
//!
//! Kept in the volume's admin metadata, of which clients see two other keys only: a backend that starts anew must let these
//! initiators in again, and an export must stay until the last of them has left.

use crate::model::{Connector, Volume};

/// What such keys begin with.
const PREFIX: &str = "connector:";

fn key(connector: &Connector) -> String {
    let name = connector
        .initiator()
        .or_else(|| connector.host())
        .unwrap_or_default();
    format!("{PREFIX}{name}")
}

/// This initiator is (or is about to be) connected.
pub fn note(volume: &mut Volume, connector: &Connector) {
    let text = serde_json::Value::Object(connector.to_json()).to_string();
    volume.admin_metadata.insert(key(connector), text);
}

/// This initiator (`None`: every one) is connected no longer.
pub fn forget(volume: &mut Volume, connector: Option<&Connector>) {
    match connector {
        Some(connector) => {
            volume.admin_metadata.remove(&key(connector));
        }
        None => volume.admin_metadata.retain(|key, _| !key.starts_with(PREFIX)),
    }
}

/// Those who are connected.
#[must_use]
pub fn list(volume: &Volume) -> Vec<Connector> {
    volume
        .admin_metadata
        .iter()
        .filter(|(key, _)| key.starts_with(PREFIX))
        .filter_map(|(_, text)| serde_json::from_str(text).ok())
        .map(|object| Connector::from_json(&object))
        .collect()
}

/// Whether anybody else than this one (`None`: than all) is connected.
#[must_use]
pub fn others(volume: &Volume, connector: Option<&Connector>) -> bool {
    let Some(connector) = connector else { return false };
    let own = key(connector);
    volume
        .admin_metadata
        .keys()
        .any(|key| key.starts_with(PREFIX) && *key != own)
}
