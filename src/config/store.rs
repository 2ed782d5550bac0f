//! `[store]`: where state lives.

use std::path::PathBuf;

use serde::Deserialize;

use super::reading::{Notes, section, settings};
use super::units::{ByteSize, Duration};
use crate::model::volume::Secret;

/// A store engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Embedded, in `node.data_dir`; for one control node.
    Sled,
    /// In etcd; for one control node or several.
    Etcd,
}

settings! { read_plain; Engine: "\"sled\" or \"etcd\"" }

section! {
    /// Where the state of a control node lives.
    Store {
        /// The engine: "sled" is in `node.data_dir`, for one control node; "etcd" is in an etcd of its own or of others.
        engine: Engine = Engine::Sled,
        /// How much of it is kept in memory.
        cache_size: ByteSize = ByteSize::mib(4),
        /// How much memory tables of lists may take, of each kind of record; lists that fit into none walk through their records.
        list_memory: ByteSize = ByteSize::mib(128),
        /// Changes are refused while the disk has less room than this, so that it never runs full in the middle of one.
        min_free_space: ByteSize = ByteSize::mib(64),
        /// How many changes may wait for the disk; further changes wait for a free place.
        queue: usize = 1024,
        /// How often all of it is written to a file in `exports` of `node.data_dir`, as at each clean stop.
        export_interval: Duration = Duration::from_hours(1),
        /// How many of those files are kept.
        export_keep: usize = 24,
        /// Members of etcd, all of one cluster: http://host:port, or https://… for TLS.
        etcd_endpoints: Vec<String> = vec!["http://127.0.0.1:2379".to_owned()],
        /// What all keys in etcd begin with; nothing else may use it. All control nodes of a service have the same.
        etcd_prefix: String = "/pumice/".to_owned(),
        /// PEM certificates that those of etcd's members are checked with. Empty: those of the system.
        etcd_cafile: PathBuf = PathBuf::new(),
        /// The PEM certificate that this node shows to etcd. Empty: none.
        etcd_certfile: PathBuf = PathBuf::new(),
        /// Its PEM key.
        etcd_keyfile: PathBuf = PathBuf::new(),
        /// The user of etcd, if it demands one.
        etcd_user: String = String::new(),
        /// Its password. Better given as `PUMICE_STORE__ETCD_PASSWORD`.
        etcd_password: Secret = Secret::new(""),
        /// How long a change or a current read may take; beyond it etcd is held to be out of reach, and requests are answered 503.
        etcd_timeout: Duration = Duration::from_secs(10),
        /// How often the history of etcd is removed, all of it, by one of the control nodes. "0s" if something else does it.
        etcd_compact_interval: Duration = Duration::from_mins(1),
    }
}

impl Store {
    /// Checks the values together.
    pub(super) fn check(&self, notes: &mut Notes) {
        notes.at_least("store.export_keep", self.export_keep, 1);
        notes.at_least("store.queue", self.queue, 1);
        notes.at_least("store.cache_size", self.cache_size, ByteSize::mib(1));
        if self.engine != Engine::Etcd {
            return;
        }
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        if self.etcd_endpoints.is_empty() || !self.etcd_endpoints.iter().all(is_url) {
            let problem = "must have a URL for each member: http://host:port or https://host:port";
            notes.invalid(&["store.etcd_endpoints"], problem);
        }
        if self.etcd_prefix.is_empty() {
            notes.invalid(&["store.etcd_prefix"], "must not be empty");
        }
        let (certificate, key) = (&self.etcd_certfile, &self.etcd_keyfile);
        if certificate.as_os_str().is_empty() != key.as_os_str().is_empty() {
            let problem = "must be given together with store.etcd_keyfile";
            notes.invalid(&["store.etcd_certfile", "store.etcd_keyfile"], problem);
        }
        notes.at_least("store.etcd_timeout", self.etcd_timeout, Duration::from_secs(1));
    }
}
