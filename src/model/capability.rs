//! The capabilities of a pool, for extra specs: a tree of texts (cinder: `host_manager.py`, a pool's `capabilities`).
//!
//! Cinder compares capabilities by their Python text (`True`, `10.0`), so they are texts here. A pool inherits the
//! capabilities of its backend. Additions by a driver or the configuration may be JSON: a list (any element may
//! match) or an object (addressed as `capabilities:a:b`).

use std::collections::BTreeMap;

use crate::model::service::{BackendStats, Capacity, OverSubscription, PoolStats};

/// One capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// A single value.
    Text(String),
    /// Several values, any of which may match.
    List(Vec<Capability>),
    /// Nested capabilities.
    Map(Capabilities),
}

/// Capabilities by name.
pub type Capabilities = BTreeMap<String, Capability>;

/// All capabilities of a pool of this backend.
pub fn capabilities(backend: &BackendStats, pool: &PoolStats) -> Capabilities {
    // Additions are inserted first: they must not override the pool's own capabilities.
    let mut all: Capabilities = pool
        .extra
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), extra(value)?)))
        .collect();
    let mut put = |name: &str, value: Capability| all.insert(name.to_owned(), value);
    put("volume_backend_name", text(&backend.volume_backend_name));
    put("vendor_name", text(&backend.vendor_name));
    put("driver_version", text(&backend.driver_version));
    put("storage_protocol", storage_protocol(&backend.storage_protocol));
    put("backend_state", text(if backend.up { "up" } else { "down" }));
    put("pool_name", text(&pool.pool_name));
    put("total_capacity_gb", capacity(pool.total_capacity_gb));
    put("free_capacity_gb", capacity(pool.free_capacity_gb));
    put("allocated_capacity_gb", number(pool.allocated_capacity_gb));
    put("provisioned_capacity_gb", number(pool.provisioned_capacity_gb));
    put("reserved_percentage", text(pool.reserved_percentage.to_string()));
    put(
        "max_over_subscription_ratio",
        ratio(pool.max_over_subscription_ratio),
    );
    put(
        "thin_provisioning_support",
        boolean(pool.thin_provisioning_support),
    );
    put(
        "thick_provisioning_support",
        boolean(pool.thick_provisioning_support),
    );
    put("multiattach", boolean(pool.multiattach));
    put("online_extend_support", boolean(pool.online_extend_support));
    put("total_volumes", text(pool.total_volumes.to_string()));
    all
}

fn text(text: impl Into<String>) -> Capability {
    Capability::Text(text.into())
}

fn boolean(value: bool) -> Capability {
    text(if value { "True" } else { "False" })
}

/// As Python writes a float: `10.0`, `0.25`.
fn number(value: f64) -> Capability {
    text(format!("{value:?}"))
}

fn capacity(value: Capacity) -> Capability {
    match value {
        Capacity::Gib(value) => number(value),
        Capacity::Infinite => text("infinite"),
        Capacity::Unknown => text("unknown"),
    }
}

fn ratio(value: OverSubscription) -> Capability {
    match value {
        OverSubscription::Ratio(ratio) => number(ratio),
        OverSubscription::Auto => text("auto"),
    }
}

/// Types may use any variant of a protocol's name (cinder: `common/constants.py`, `*_VARIANT`).
fn storage_protocol(protocol: &str) -> Capability {
    const SPELLINGS: &[&[&str]] = &[
        &["iSCSI", "iscsi"],
        &["FC", "fibre_channel", "fc"],
        &["NVMe-oF", "nvmeof", "NVMeOF"],
        &["NFS", "nfs"],
    ];
    match SPELLINGS.iter().find(|spellings| spellings.contains(&protocol)) {
        Some(spellings) => Capability::List(spellings.iter().map(|spelling| text(*spelling)).collect()),
        None => text(protocol),
    }
}

/// `None` for JSON's `null`: a missing capability.
fn extra(value: &str) -> Option<Capability> {
    if value.starts_with(['[', '{'])
        && let Ok(json) = serde_json::from_str(value)
    {
        return from_json(json);
    }
    Some(text(value))
}

fn from_json(json: serde_json::Value) -> Option<Capability> {
    use serde_json::Value;
    match json {
        Value::Null => None,
        Value::Bool(value) => Some(boolean(value)),
        Value::Number(value) => Some(text(value.to_string())),
        Value::String(value) => Some(text(value)),
        Value::Array(values) => Some(Capability::List(
            values.into_iter().filter_map(from_json).collect(),
        )),
        Value::Object(values) => {
            let values = values
                .into_iter()
                .filter_map(|(name, value)| Some((name, from_json(value)?)));
            Some(Capability::Map(values.collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Capability, capabilities};
    use crate::actors::scheduler::testing;

    #[test]
    fn a_pool_says_in_pythons_words_what_it_is_able_to() {
        let mut stats = testing::backend("h", "lvm", &["p"]);
        stats.pools[0]
            .extra
            .insert("tiers".into(), r#"["gold", {"deep": true}, null]"#.into());
        stats.pools[0].extra.insert("note".into(), "[not json".into());
        stats.pools[0].extra.insert("pool_name".into(), "another".into());
        let all = capabilities(&stats, &stats.pools[0]);
        let text = |value: &str| Capability::Text(value.into());
        assert_eq!(all["thin_provisioning_support"], text("True"));
        assert_eq!(all["total_capacity_gb"], text("100.0"));
        assert_eq!(all["pool_name"], text("p"), "additions override nothing");
        assert_eq!(all["note"], text("[not json"));
        let deep = Capability::Map([("deep".to_owned(), text("True"))].into());
        assert_eq!(all["tiers"], Capability::List(vec![text("gold"), deep]));
    }
}
