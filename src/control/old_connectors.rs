//! Connectors of the old API (actions on the volume), which creates no attachment.
//!
//! Stored in the volume's admin metadata, of which clients see two other keys only: a restarted backend must allow
//! these initiators again, and an export must be kept until the last of them disconnects.

use sha2::{Digest, Sha256};

use crate::model::{Connector, Volume};

/// The prefix of the keys.
const PREFIX: &str = "connector:";

/// The longest initiator name that is used as a key: for a longer one it is the hash, since the size of a volume's
/// record is bounded.
const LONGEST_NAME: usize = 240;

fn name(connector: &Connector) -> String {
    connector
        .initiator()
        .or_else(|| connector.host())
        .unwrap_or_default()
}

fn key(connector: &Connector) -> String {
    let name = name(connector);
    if name.len() <= LONGEST_NAME {
        return format!("{PREFIX}{name}");
    }
    // iSCSI names are case-insensitive.
    let hashed = match connector.initiator() {
        Some(initiator) => initiator.to_ascii_lowercase(),
        None => name,
    };
    format!(
        "{PREFIX}sha256:{}",
        hex::encode(Sha256::digest(hashed.as_bytes()))
    )
}

/// The key in records of earlier versions.
fn earlier_key(connector: &Connector) -> String {
    format!("{PREFIX}{}", name(connector))
}

/// Whether this key belongs to this initiator: iSCSI names are case-insensitive.
fn is_of(key: &str, connector: &Connector) -> bool {
    [self::key(connector), earlier_key(connector)]
        .iter()
        .any(|wanted| {
            if connector.initiator().is_some() {
                key.eq_ignore_ascii_case(wanted)
            } else {
                key == wanted
            }
        })
}

/// Records that this initiator is (or is about to be) connected.
pub fn note(volume: &mut Volume, connector: &Connector) {
    forget(volume, Some(connector));
    let text = serde_json::Value::Object(connector.to_json()).to_string();
    volume.admin_metadata.insert(key(connector), text);
}

/// Removes this initiator (`None`: every one).
pub fn forget(volume: &mut Volume, connector: Option<&Connector>) {
    match connector {
        Some(connector) => volume.admin_metadata.retain(|key, _| !is_of(key, connector)),
        None => volume.admin_metadata.retain(|key, _| !key.starts_with(PREFIX)),
    }
}

/// The connected connectors.
pub fn list(volume: &Volume) -> Vec<Connector> {
    volume
        .admin_metadata
        .iter()
        .filter(|(key, _)| key.starts_with(PREFIX))
        .filter_map(|(_, text)| serde_json::from_str(text).ok())
        .map(|object| Connector::from_json(&object))
        .collect()
}

/// Whether any other connector is connected.
pub fn others(volume: &Volume, connector: Option<&Connector>) -> bool {
    let Some(connector) = connector else { return false };
    volume
        .admin_metadata
        .keys()
        .any(|key| key.starts_with(PREFIX) && !is_of(key, connector))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{forget, list, note, others};
    use crate::model::{Connector, Timestamp, Volume, VolumeStatus};

    fn connector(fields: &serde_json::Value) -> Connector {
        Connector::from_json(fields.as_object().unwrap())
    }

    #[test]
    fn an_initiator_is_one_however_its_name_is_spelled_and_a_host_is_not() {
        let mut volume = Volume::new(
            "p".into(),
            "u".into(),
            1,
            VolumeStatus::Available,
            "nova".to_owned(),
            Timestamp(0),
        );
        let small = connector(&json!({ "initiator": "iqn.a.b:host" }));
        let large = connector(&json!({ "initiator": "iqn.a.b:HOST" }));
        note(&mut volume, &small);
        note(&mut volume, &large);
        assert_eq!(list(&volume), std::slice::from_ref(&large));
        assert!(!others(&volume, Some(&small)));
        forget(&mut volume, Some(&small));
        assert!(list(&volume).is_empty());
        let hosts = ["a", "A"].map(|host| connector(&json!({ "host": host })));
        for host in &hosts {
            note(&mut volume, host);
        }
        assert!(others(&volume, Some(&hosts[0])));
        forget(&mut volume, Some(&hosts[0]));
        assert_eq!(list(&volume), std::slice::from_ref(&hosts[1]));
        forget(&mut volume, None);
        let long = ["a", "A"].map(|end| connector(&json!({ "initiator": "x".repeat(5000) + end })));
        for initiator in &long {
            note(&mut volume, initiator);
        }
        assert!(volume.admin_metadata.keys().all(|key| key.len() < 100));
        assert_eq!(list(&volume), std::slice::from_ref(&long[1]));
        forget(&mut volume, Some(&long[0]));
        assert!(list(&volume).is_empty());
    }
}
