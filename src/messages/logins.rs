//! To the **Logins** actors of control nodes that share a store: attempts to log in at other nodes, so that the limits of failed
//! logins are those of the cluster.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{cast, topic};
use crate::model::UserId;

topic!(
    /// The Logins actor.
    LoginsTopic = "logins", versions 1..=1
);

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptStage {
    /// The password is being checked: counts as a failure until it was right.
    Begun,
    /// The password of this user was right.
    Succeeded(UserId),
}

/// An attempt to log in at a control node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginAttempted {
    /// The random number of the process that it was made at.
    pub at: u64,
    /// The digest of the name.
    pub name: [u8; 16],
    /// The source.
    pub source: IpAddr,
    /// Whether this user logged in from this source before.
    pub is_known: bool,
    /// What became of it.
    pub stage: AttemptStage,
}
cast!(LoginAttempted => LoginsTopic, "login_attempted", since 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_message_has_the_bytes_it_had() {
        let attempted = |stage| LoginAttempted {
            at: 0x0123_4567_89ab_cdef,
            name: [7; 16],
            source: IpAddr::from([192, 0, 2, 1]),
            is_known: true,
            stage,
        };
        let user = UserId::from("ann");
        crate::golden::message(&[
            ("begun", attempted(AttemptStage::Begun)),
            ("succeeded", attempted(AttemptStage::Succeeded(user))),
        ]);
    }
}
