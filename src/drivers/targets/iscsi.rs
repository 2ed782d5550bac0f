//! Common parts of iSCSI targets: names, locations, and connection data (cinder:
//! `volume/targets/iscsi.py`). Pure functions over plain data.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::chap::Chap;
use super::{Export, common_connection_data};
use crate::drivers::DriverError;
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

/// The LUN of every volume in tgt. LUN 0 is its controller.
pub const LUN: u64 = 1;

/// The longest iSCSI name (RFC 7143, 4.2.7.1).
const LONGEST_NAME: usize = 223;

/// `ip:port[;ip2:port],tid iqn lun`, parsed (cinder: `provider_location`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The portals; never empty.
    pub portals: Vec<SocketAddr>,
    /// The daemon's number for it.
    pub tid: u32,
    /// Its name.
    pub iqn: String,
    /// The volume's LUN.
    pub lun: u64,
}

impl Location {
    /// As stored in the volume's record.
    pub fn to_provider_location(&self) -> String {
        let portals: Vec<String> = self.portals.iter().map(SocketAddr::to_string).collect();
        format!("{},{} {} {}", portals.join(";"), self.tid, self.iqn, self.lun)
    }

    /// Parses it; `None` for another format.
    pub fn parse(provider_location: &str) -> Option<Self> {
        let mut words = provider_location.split(' ');
        let (place, iqn, lun) = (words.next()?, words.next()?, words.next()?);
        let (portals, tid) = place.rsplit_once(',')?;
        let portals: Option<Vec<SocketAddr>> = portals.split(';').map(|portal| portal.parse().ok()).collect();
        (words.next().is_none() && !iqn.is_empty()).then_some(())?;
        Some(Self {
            portals: portals?,
            tid: tid.parse().ok()?,
            iqn: iqn.to_owned(),
            lun: lun.parse().ok()?,
        })
    }
}

/// The initiator's name as written, if it has a valid one.
///
/// The rule is RFC 7143's, and more than a formality: tgt searches the text of a request for the words
/// `initiator-address=`, so that a name with an equals sign could give every initiator access. For LIO it is the name
/// of a folder, so that `..` must be rejected.
///
/// # Errors
/// [`DriverError::Refused`] with Cinder's text (cinder: `exception.InvalidConnectorException`).
pub fn initiator(connector: &Connector) -> Result<String, DriverError> {
    let name = connector
        .initiator()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| DriverError::refused("Connector doesn't have required information: initiator"))?;
    if name.len() <= LONGEST_NAME && !name.starts_with(['-', '.']) && is_name(&name) {
        Ok(name)
    } else {
        Err(DriverError::refused(
            "The connector's initiator is not an iSCSI name.",
        ))
    }
}

/// Whether two iSCSI names are equal: they are case-insensitive (RFC 3722, 6.1; RFC 7143, 4.2.7.2).
pub fn is_same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// An iSCSI name in the normalized form for comparison. For the characters that [`is_name`] accepts, RFC 3722 only
/// requires lower case.
pub fn normalized(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The name of a volume's target: `prefix` and the volume's name, normalized. A volume that was exported with capital
/// letters keeps that name as long as it is in its record, for initiators that reconnect with it.
pub fn target_name(prefix: &str, volume: &VolumeSpec) -> String {
    let name = normalized(&format!("{prefix}{}", volume.storage_name()));
    let recorded = volume.provider_location.as_deref().and_then(Location::parse);
    match recorded {
        Some(location) if is_same_name(&location.iqn, &name) => location.iqn,
        _ => name,
    }
}

/// Checks a prefix of target names.
///
/// # Errors
/// [`DriverError::Failed`] if it is invalid.
pub fn check_prefix(prefix: &str) -> Result<(), DriverError> {
    if is_name(prefix) {
        return Ok(());
    }
    Err(DriverError::target_unavailable(format!(
        "target_prefix {prefix:?} is no beginning of an iSCSI name"
    )))
}

/// Whether the text has only the characters of an iSCSI name. Other alphabets, which the standard would allow, are
/// rejected, because tgt refuses them.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".:-".contains(&byte))
}

/// The connection data, with all keys that Cinder sends (`cinder/lvm_iscsi.md` 7).
///
/// # Errors
/// If the export is invalid.
pub fn connection_info(
    volume: &VolumeSpec,
    export: &Export,
    connector: &Connector,
    mode: AttachMode,
    discard: bool,
) -> Result<ConnectionInfo, DriverError> {
    let broken = |what: &str| {
        DriverError::failed(
            "The volume's export could not be read.",
            format!("{what} of {} is not as it should be", volume.storage_name()),
        )
    };
    let location =
        Location::parse(&export.provider_location).ok_or_else(|| broken("the provider location"))?;
    let first = location
        .portals
        .first()
        .ok_or_else(|| broken("the provider location"))?;
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| data.insert(key.to_owned(), value);
    put("target_discovered", json!(false));
    put("target_portal", json!(first.to_string()));
    put("target_iqn", json!(location.iqn));
    put("target_lun", json!(location.lun));
    if location.portals.len() > 1 || connector.multipath() {
        let portals: Vec<String> = location.portals.iter().map(SocketAddr::to_string).collect();
        put("target_iqns", json!(vec![&location.iqn; portals.len()]));
        put("target_luns", json!(vec![location.lun; portals.len()]));
        put("target_portals", json!(portals));
    }
    put("volume_id", json!(volume.id.to_string()));
    if let Some(auth) = &export.provider_auth {
        let chap = Chap::parse(auth).ok_or_else(|| broken("the secret"))?;
        put("auth_method", json!("CHAP"));
        put("auth_username", json!(chap.name()));
        put("auth_password", json!(chap.reveal_password()));
    }
    common_connection_data(&mut data, volume, connector, mode, discard);
    Ok(ConnectionInfo::new("iscsi", data))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Location, connection_info, initiator, target_name};
    use crate::drivers::DriverError;
    use crate::drivers::targets::Export;
    use crate::drivers::testing::{connector, volume};
    use crate::model::volume::Secret;
    use crate::model::{AttachMode, Connector};

    fn export(portals: &str) -> Export {
        Export {
            provider_location: format!("{portals},3 iqn.2010-10.org.openstack:volume-x 1"),
            provider_auth: Some(Secret::new("CHAP u p")),
        }
    }

    #[test]
    fn what_a_connector_says_of_several_paths_comes_back() {
        let export = export("127.0.0.1:3260");
        let data_for = |words: &str| {
            let connector = serde_json::from_str(words)
                .map(|object| Connector::from_json(&object))
                .unwrap();
            let info = connection_info(&volume(1), &export, &connector, AttachMode::Rw, false).unwrap();
            info.data()
        };
        let all = data_for(r#"{"initiator": "iqn.x", "multipath": true, "enforce_multipath": true}"#);
        assert_eq!(all.get("enforce_multipath"), Some(&json!(true)));
        assert_eq!(all.get("target_portals"), Some(&json!(["127.0.0.1:3260"])));
        let none = data_for(r#"{"initiator": "iqn.x"}"#);
        assert!(!none.contains_key("enforce_multipath") && !none.contains_key("target_portals"));
    }

    #[test]
    fn connection_info_is_cinders() {
        let volume = volume(1);
        let export = export("192.0.2.1:3260");
        let info = connection_info(&volume, &export, &connector("iqn.x"), AttachMode::Rw, false).unwrap();
        assert_eq!(info.driver_volume_type, "iscsi");
        assert_eq!(
            serde_json::Value::Object(info.data()),
            json!({
                "target_discovered": false, "target_portal": "192.0.2.1:3260",
                "target_iqn": "iqn.2010-10.org.openstack:volume-x", "target_lun": 1,
                "volume_id": volume.id.to_string(), "auth_method": "CHAP", "auth_username": "u", "auth_password": "p",
                "encrypted": false, "qos_specs": null, "access_mode": "rw", "cacheable": false
            })
        );
        let only_read = connection_info(&volume, &export, &connector("iqn.x"), AttachMode::Ro, true).unwrap();
        assert_eq!(only_read.data()["access_mode"], "ro");
        assert_eq!(only_read.data()["discard"], true);
    }

    #[test]
    fn all_portals_are_in_the_connection_data() {
        let info = connection_info(
            &volume(1),
            &export("192.0.2.1:3260;[2001:db8::1]:3260"),
            &connector("iqn.x"),
            AttachMode::Rw,
            false,
        )
        .unwrap();
        let data = info.data();
        assert_eq!(
            data["target_portals"],
            json!(["192.0.2.1:3260", "[2001:db8::1]:3260"])
        );
        assert_eq!(data["target_iqns"].as_array().map(Vec::len), Some(2));
        assert_eq!(data["target_luns"], json!([1, 1]));
    }

    #[test]
    fn a_connector_without_a_usable_initiator_is_refused() {
        let none = crate::model::Connector::from_json(&serde_json::Map::new());
        assert!(matches!(initiator(&none), Err(DriverError::Refused { client })
            if client == "Connector doesn't have required information: initiator"));
        for bad in [
            "",
            "iqn.x,initiator-address=ALL",
            "iqn x",
            "iqn.x\nACL",
            "-x",
            "..",
            &"a".repeat(224),
        ] {
            assert!(
                matches!(initiator(&connector(bad)), Err(DriverError::Refused { .. })),
                "{bad}"
            );
        }
        assert_eq!(
            initiator(&connector("iqn.1993-08.org.debian:01:abc")).unwrap(),
            "iqn.1993-08.org.debian:01:abc"
        );
    }

    #[test]
    fn a_target_is_named_in_small_letters_unless_it_is_known_by_others() {
        let mut volume = volume(1);
        let name = volume.storage_name();
        let (small, large) = (format!("iqn.a.example:{name}"), format!("IQN.A.Example:{name}"));
        assert_eq!(target_name("IQN.A.Example:", &volume), small);
        volume.provider_location = Some(format!("192.0.2.1:3260,1 {large} 0"));
        assert_eq!(target_name("IQN.A.Example:", &volume), large);
        assert_eq!(target_name("iqn.a.example:", &volume), large);
        assert_eq!(
            target_name("iqn.b.example:", &volume),
            format!("iqn.b.example:{name}")
        );
    }

    proptest! {
        #[test]
        fn a_location_is_read_back(
            ports in proptest::collection::vec(any::<u16>(), 1..4), tid in any::<u32>(), lun in any::<u64>()
        ) {
            let location = Location {
                portals: ports.into_iter().map(|port| std::net::SocketAddr::from(([192, 0, 2, 1], port))).collect(),
                tid,
                iqn: "iqn.2010-10.org.openstack:volume-x".to_owned(),
                lun,
            };
            prop_assert_eq!(Location::parse(&location.to_provider_location()), Some(location));
        }

        #[test]
        fn any_location_can_be_read(text in "[0-9.:,; a-z]{0,40}") {
            let _ = Location::parse(&text);
        }
    }
}
