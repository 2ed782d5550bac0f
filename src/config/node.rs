//! `[node]`: which machine this is and what it does.

use std::path::PathBuf;

use serde::Deserialize;

use super::reading::{section, settings};

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// REST API, Api, Quota, Scheduler, Registry, and the state.
    Control,
    /// A VolumeManager for each backend; needs no state and no catalog.
    Volume,
}

settings! { read_plain; Vec<Role>: "a list out of \"control\" and \"volume\"" }

section! {
    /// Which machine this is and what it does.
    Node {
        /// The node's name, also in `host@backend#pool`: keep it. Two nodes need two names, also on one machine. Empty: the
        /// machine's hostname.
        host: String = String::new(),
        /// What this process does.
        roles: Vec<Role> = vec![Role::Control, Role::Volume],
        /// Where state, volumes and credentials are kept. Empty: `$XDG_STATE_HOME/pumice`, else `~/.local/state/pumice`.
        data_dir: PathBuf = PathBuf::new(),
        /// Where the locks of what belongs to the machine are kept (volume groups, exports of the kernel): the same for all
        /// Pumices of a machine, and for its user alone. Containers that share a volume group share this folder.
        lock_dir: PathBuf = PathBuf::from("/run/pumice"),
        /// The availability zone of this node's backends.
        availability_zone: String = "nova".to_owned(),
    }
}

impl Node {
    /// Whether it has this role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}
