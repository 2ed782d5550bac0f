//! What an engine says of itself, for those who look at the cluster.

use serde::Serialize;

use super::Health;

/// The state of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// `etcd`, `sled` or `memory`.
    pub engine: &'static str,
    /// `well`, or why it accepts no commits.
    pub health: String,
    /// Bytes of the store, if that is known.
    pub size: Option<u64>,
    /// The id of the cluster of servers, if there is one.
    pub cluster: Option<String>,
    /// The revision of the last commit by any node, in a store that nodes share.
    pub last_revision: Option<u64>,
    /// The revision of the last commit that this node shows.
    pub shown_revision: Option<u64>,
    /// The servers, if there are any.
    pub members: Vec<MemberReport>,
}

/// A server of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemberReport {
    /// Its id, if it is known.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Where it is asked; `None` for a member that is not among the configured endpoints.
    pub endpoint: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Whether it is the leader.
    pub is_leader: bool,
    /// Bytes of its database.
    pub size: Option<u64>,
    /// Bytes of its database without free pages.
    pub size_in_use: Option<u64>,
    /// The most bytes of its database; etcd before 3.6 does not say that.
    pub quota: Option<u64>,
    /// Its alarms and errors, or why it was not asked or does not answer.
    pub errors: Vec<String>,
}

/// A health as text.
pub(super) fn health_text(health: &Health) -> String {
    match health {
        Health::Well => "well".to_owned(),
        Health::NoRoom(why) => format!("read-only, no room: {why}"),
        Health::Unreachable(why) => format!("read-only, out of reach: {why}"),
        Health::Broken(why) => format!("failed: {why}"),
    }
}
