//! Existing storage that an operator adopts, and references to it (cinder: `manage_existing`).

use serde::{Deserialize, Serialize};

/// A client's reference to storage on a backend: the JSON object that it sent (`{"source-name": "lv1"}`). Stored as
/// text because bincode cannot encode a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reference(String);

impl Reference {
    /// From a JSON object.
    pub fn from_json(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self(serde_json::Value::Object(object.clone()).to_string())
    }

    /// A reference by name.
    pub fn named(name: &str) -> Self {
        let mut object = serde_json::Map::new();
        object.insert("source-name".to_owned(), name.into());
        Self::from_json(&object)
    }

    /// Its size in a record ([`super::bounds`]).
    pub fn weight(&self) -> usize {
        super::bounds::text(&self.0)
    }

    /// The JSON object; empty if the text is invalid.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// `source-name`: the only kind of reference that the drivers support.
    pub fn source_name(&self) -> Option<String> {
        self.to_json()
            .get("source-name")
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    }
}

/// A volume or snapshot on a backend, as found by its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Existing {
    /// Its name, which is also used in a [`Reference`].
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it is open now.
    pub in_use: bool,
    /// The name of its origin, if it is a snapshot.
    pub origin: Option<String>,
}

impl Existing {
    /// Its size in GiB, rounded up, as in Cinder.
    pub fn gib(&self) -> u32 {
        gib_of(self.bytes)
    }
}

/// Bytes in GiB, rounded up; never 0 (cinder: `manage_existing_get_size`).
pub fn gib_of(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::{Reference, gib_of};

    #[test]
    fn a_reference_names_by_source_name_only() {
        assert_eq!(Reference::named("lv1").source_name().as_deref(), Some("lv1"));
        let other = serde_json::json!({"source-id": "x", "source-name": 3});
        let other = Reference::from_json(other.as_object().unwrap());
        assert_eq!(other.source_name(), None);
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(
            [0, 1, 1 << 30, (1 << 30) + 1, u64::MAX].map(gib_of),
            [1, 1, 1, 2, u32::MAX]
        );
    }
}
