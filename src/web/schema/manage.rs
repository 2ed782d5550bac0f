//! Bodies of the routes that adopt existing volumes and snapshots (cinder: `api/schemas/volume_manage.py`,
//! `snapshot_manage.py`).

use serde_json::{Map, Value};

use super::prelude::*;
use crate::model::Reference;
use crate::verbs::snapshot::ManageSnapshot;
use crate::verbs::volume::ManageVolume;
use crate::web::fault::Fault;
use crate::web::microversion::Microversion;

macro_rules! volume_schema {
    ($($later:expr)?) => {
        envelope!("volume", object!(
            [
                ("description", DESCRIPTION),
                ("availability_zone", NULLABLE_STRING),
                ("bootable", BOOLEAN),
                ("volume_type", NULLABLE_STRING),
                ("name", NULLABLE_STRING),
                ("host", HOST),
                ("ref", Schema(&[Type(&[Kind::Object, Kind::String])])),
                ("metadata", METADATA_ALLOWS_NULL),
                $($later,)?
            ],
            Required(&["ref"])
        ))
    };
}

pub(in crate::web) const VOLUME: Schema = volume_schema!();
pub(in crate::web) const VOLUME_V316: Schema = volume_schema!(("cluster", NULLABLE_STRING));

/// The location of volumes or snapshots that are adopted or listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `host@backend#pool`
    Host(String),
    /// A cluster of hosts.
    Cluster(String),
}

impl Place {
    /// Host or cluster; the cluster is considered only if the version has it.
    ///
    /// # Errors
    /// 400 if neither or both are given.
    pub fn of(host: Option<&str>, cluster: Option<&str>, clustered: bool) -> Result<Self, Fault> {
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        match (given(host), given(cluster).filter(|_| clustered)) {
            (Some(host), None) => Ok(Self::Host(host)),
            (None, Some(cluster)) => Ok(Self::Cluster(cluster)),
            _ if clustered => Err(Fault::invalid_input(
                "One and only one of cluster and host must be set.",
            )),
            _ => Err(Fault::invalid_input("Host field is missing.")),
        }
    }
}

/// A volume to be adopted, checked against the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedVolume {
    /// The message; its host is not set yet.
    pub message: ManageVolume,
    host: Option<String>,
    cluster: Option<String>,
}

impl AdoptedVolume {
    /// Its location.
    ///
    /// # Errors
    /// 400 if neither or both of host and cluster are given.
    pub fn place(&self, version: Microversion) -> Result<Place, Fault> {
        Place::of(
            self.host.as_deref(),
            self.cluster.as_deref(),
            version.at_least(16),
        )
    }
}

/// Reads `POST /manageable_volumes`.
pub fn volume(body: &Value) -> AdoptedVolume {
    let volume = &body["volume"];
    let own = |field| {
        text(volume, field)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    AdoptedVolume {
        message: ManageVolume {
            host: String::new(),
            reference: reference(&volume["ref"]),
            name: own("name").map(|name| name.trim().to_owned()),
            description: own("description").map(|description| description.trim().to_owned()),
            volume_type: own("volume_type"),
            availability_zone: own("availability_zone"),
            metadata: text_map(volume, "metadata").unwrap_or_default(),
            bootable: boolean(volume, "bootable").unwrap_or_default(),
        },
        host: own("host"),
        cluster: own("cluster"),
    }
}

pub(in crate::web) const SNAPSHOT: Schema = envelope!(
    "snapshot",
    object!(
        [
            ("description", DESCRIPTION),
            ("metadata", METADATA_ALLOWS_NULL),
            ("name", NULLABLE_STRING),
            ("volume_id", UUID),
            ("ref", Schema(&[Type(&[Kind::Object, Kind::Null, Kind::String])])),
        ],
        Required(&["ref", "volume_id"])
    )
);

/// Reads `POST /manageable_snapshots`. Unlike elsewhere, names are not trimmed.
pub fn snapshot(body: &Value) -> ManageSnapshot {
    let snapshot = &body["snapshot"];
    let own = |field| text(snapshot, field).map(str::to_owned);
    ManageSnapshot {
        volume_id: own("volume_id").unwrap_or_default(),
        reference: reference(&snapshot["ref"]),
        name: own("name"),
        description: own("description"),
        metadata: text_map(snapshot, "metadata").unwrap_or_default(),
    }
}

/// A value that is no object is an empty reference: it is accepted, as in Cinder, and the backend refuses it.
fn reference(value: &Value) -> Reference {
    match value.as_object() {
        Some(object) => Reference::from_json(object),
        None => Reference::from_json(&Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_a_host_or_since_3_16_a_cluster() {
        let place = |minor, volume: Value| {
            let body = json!({"volume": volume});
            volume_of(minor, &body).and_then(|read| read.place(Microversion(minor)))
        };
        let (host, cluster) = (Place::Host("h@b#p".into()), Place::Cluster("c".into()));
        assert_eq!(place(0, json!({"ref": {}, "host": "h@b#p"})), Ok(host));
        assert_eq!(place(16, json!({"ref": "x", "cluster": "c"})), Ok(cluster));
        for (minor, volume, message) in [
            (
                16,
                json!({"ref": {}, "cluster": "c", "host": "h"}),
                "Invalid input received: One and only one of cluster and host must be set.",
            ),
            (
                15,
                json!({"ref": {}}),
                "Invalid input received: Host field is missing.",
            ),
        ] {
            assert_eq!(place(minor, volume).unwrap_err().message, message);
        }
        let refusal = place(15, json!({"ref": {}, "cluster": "c"})).unwrap_err();
        assert!(refusal.message.contains("'cluster' was unexpected"));
    }

    fn volume_of(minor: u16, body: &Value) -> Result<AdoptedVolume, Fault> {
        if minor < 16 { VOLUME } else { VOLUME_V316 }.check(body)?;
        Ok(volume(body))
    }

    #[test]
    fn blank_fields_are_left_out_and_names_trimmed() {
        let body = json!({"volume": {
            "ref": {"source-name": "lv1"}, "host": "h", "name": " n ", "volume_type": "", "availability_zone": "",
            "bootable": "yes", "metadata": null,
        }});
        let message = volume_of(71, &body).unwrap().message;
        assert_eq!(message.name.as_deref(), Some("n"));
        assert_eq!((message.volume_type, message.availability_zone), (None, None));
        assert!(message.bootable);
        assert_eq!(message.reference.source_name().as_deref(), Some("lv1"));
        let id = "11111111-2222-4333-8444-555555555555";
        let read = snapshot(&json!({"snapshot": {"volume_id": id, "ref": null, "name": " n "}}));
        assert_eq!(
            (read.name.as_deref(), read.reference.source_name()),
            (Some(" n "), None)
        );
    }
}
