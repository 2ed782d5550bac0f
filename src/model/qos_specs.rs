//! QoS specs: limits of I/O that volume types refer to (cinder: `objects/qos_specs.py`, `volume/qos_specs.py`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::uuid_id;
use super::{Error, Timestamp};
use crate::rng;

uuid_id!(/// Names QoS specs.
    QosSpecsId, rng::id());

/// Who enforces QoS specs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QosConsumer {
    /// The compute service.
    FrontEnd,
    /// The storage.
    BackEnd,
    /// Both.
    Both,
}

impl QosConsumer {
    const ALL: [Self; 3] = [Self::FrontEnd, Self::BackEnd, Self::Both];

    /// Its text in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FrontEnd => "front-end",
            Self::BackEnd => "back-end",
            Self::Both => "both",
        }
    }

    /// The consumer with this text.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|consumer| consumer.as_str() == text)
    }

    /// Whether the compute service gets the specs with the connection of a volume.
    pub fn is_front_end(self) -> bool {
        self != Self::BackEnd
    }
}

/// QoS specs as stored in the catalog (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QosSpecs {
    /// Their id.
    pub id: QosSpecsId,
    /// Their name, unique.
    pub name: String,
    /// Who enforces them.
    pub consumer: QosConsumer,
    /// The limits by key, such as `total_iops_sec`. A value may be missing.
    pub specs: BTreeMap<String, Option<String>>,
    /// When they were created.
    pub created_at: Timestamp,
    /// When they last changed.
    pub updated_at: Option<Timestamp>,
}

/// Limits that may be given per GiB of the volume: as `<name>_per_gb`, with `<name>_per_gb_min` and `<name>_max`.
const SCALED: [&str; 6] = [
    "read_iops_sec",
    "read_bytes_sec",
    "write_iops_sec",
    "write_bytes_sec",
    "total_iops_sec",
    "total_bytes_sec",
];

impl QosSpecs {
    /// The limits that the compute service gets with the connection of a volume of `size` GiB: those per GiB are
    /// multiplied by the size (cinder: `volume/manager.py` `_parse_connection_options`). `None` if the storage alone enforces
    /// them. A limit per GiB that is not a number is left as it is; Cinder fails the connection.
    pub fn for_connection(&self, size: u32) -> Option<BTreeMap<String, Limit>> {
        if !self.consumer.is_front_end() {
            return None;
        }
        let number = |key: &str| self.specs.get(key)?.as_deref()?.trim().parse::<u64>().ok();
        let texts = self
            .specs
            .iter()
            .map(|(key, value)| (key.clone(), Limit::Text(value.clone())));
        let mut limits: BTreeMap<String, Limit> = texts.collect();
        for name in SCALED {
            let [per_gb, least, most] = ["per_gb", "per_gb_min", "max"].map(|end| format!("{name}_{end}"));
            let Some(rate) = number(&per_gb) else {
                continue;
            };
            let scaled = rate
                .saturating_mul(u64::from(size))
                .max(number(&least).unwrap_or(0));
            let limit = number(&most).map_or(scaled, |most| scaled.min(most));
            for key in [per_gb, least, most] {
                limits.remove(&key);
            }
            limits.insert(name.to_owned(), Limit::Number(limit));
        }
        Some(limits)
    }
}

/// A limit in a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Limit {
    /// As it was set.
    Text(Option<String>),
    /// Computed from the volume's size.
    Number(u64),
}

/// 404 with Cinder's text.
pub fn qos_specs_not_found(id: impl fmt::Display) -> Error {
    Error::not_found(format!("No such QoS spec {id}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn bare() -> QosSpecs {
        QosSpecs {
            id: QosSpecsId(Uuid::from_u128(1)),
            name: "fast".to_owned(),
            consumer: QosConsumer::FrontEnd,
            specs: BTreeMap::new(),
            created_at: Timestamp(1_700_000_000_000_001),
            updated_at: None,
        }
    }

    fn with(specs: &[(&str, &str)]) -> QosSpecs {
        let specs = specs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        QosSpecs {
            specs: specs.collect(),
            ..bare()
        }
    }

    #[test]
    fn qos_specs_keep_their_form() {
        crate::golden::record("bare", &bare());
        let mut full = with(&[("total_iops_sec", "100")]);
        full.specs.insert("empty".to_owned(), None);
        full.consumer = QosConsumer::Both;
        full.updated_at = Some(Timestamp(1_700_000_000_000_002));
        crate::golden::record("full", &full);
        let back = QosSpecs {
            consumer: QosConsumer::BackEnd,
            ..bare()
        };
        crate::golden::record("back", &back);
    }

    #[test]
    fn a_connection_gets_limits_for_the_size_of_its_volume() {
        for (specs, expected) in [
            (vec![("total_iops_sec", "100")], json!({"total_iops_sec": "100"})),
            (
                vec![("total_iops_sec_per_gb", "30")],
                json!({"total_iops_sec": 300}),
            ),
            (
                vec![
                    ("read_iops_sec_per_gb", "30"),
                    ("read_iops_sec_per_gb_min", "500"),
                ],
                json!({"read_iops_sec": 500}),
            ),
            (
                vec![("read_iops_sec_per_gb", "30"), ("read_iops_sec_max", "200")],
                json!({"read_iops_sec": 200}),
            ),
            // What is no limit per GiB stays.
            (
                vec![("read_iops_sec_max", "200")],
                json!({"read_iops_sec_max": "200"}),
            ),
            (
                vec![("write_bytes_sec_per_gb", "x")],
                json!({"write_bytes_sec_per_gb": "x"}),
            ),
        ] {
            let limits = with(&specs).for_connection(10);
            assert_eq!(serde_json::to_value(limits).unwrap(), expected, "{specs:?}");
        }
        let back = QosSpecs {
            consumer: QosConsumer::BackEnd,
            ..with(&[("total_iops_sec", "100")])
        };
        assert_eq!(back.for_connection(10), None);
    }
}
