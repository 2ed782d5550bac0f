//! What a peer may serve and send: by its certificate, else by who dialed.
//!
//! A node with a certificate has the roles and the backends that stand in it. Without TLS there is only the loopback and the shared
//! secret, which says that a process belongs to the service, not which of its nodes it is. Then only nodes that this one dials are
//! control nodes, since their addresses are in the configuration; one that dials is a volume node with the backends of the host in
//! its name. Either way the table of [`crate::messages::senders`] says what a volume node may send, the context of its messages is
//! not believed, and a backend is served by one node at a time ([`super::peers`]).

use crate::messages::senders::{self, Senders};
use crate::messages::{Message, Topic};
use crate::model::node_identity::host_of;
use crate::model::{BackendName, Context, Error, NodeIdentity, NodeRole};

use super::Address;
use super::header::Announcement;

/// What a peer may serve and send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// What its certificate says.
    Certified(NodeIdentity),
    /// A control node without a certificate.
    Control,
    /// A volume node without a certificate: the backends of this host.
    Volume {
        /// The host in its name.
        host: String,
    },
}

impl Rights {
    /// Those of a volume node with this name that has no certificate.
    pub fn of_volume_node(node: &str) -> Self {
        Self::Volume {
            host: host_of(node).to_owned(),
        }
    }

    /// Whether it may send every message, and its contexts are believed.
    pub fn is_control(&self) -> bool {
        match self {
            Self::Certified(identity) => identity.has(NodeRole::Control),
            Self::Control => true,
            Self::Volume { .. } => false,
        }
    }

    /// Whether this backend is one of its own.
    pub fn owns(&self, backend: &str) -> bool {
        let Ok(backend) = backend.parse::<BackendName>() else {
            return false;
        };
        match self {
            Self::Certified(identity) => identity.backends.contains(&backend),
            Self::Control => true,
            Self::Volume { host } => backend.host == *host,
        }
    }

    /// Whether it may have an actor with this address.
    fn may_serve(&self, address: &Address) -> bool {
        if senders::is_of_volume_nodes(&address.topic) {
            address
                .server
                .as_deref()
                .is_some_and(|backend| self.owns(backend))
        } else {
            self.is_control()
        }
    }

    /// The first actor of an announcement that it may not have.
    pub fn exceeds(&self, announcement: &Announcement) -> Option<Address> {
        let mut endpoints = announcement.endpoints.iter();
        endpoints.find(|address| !self.may_serve(address)).cloned()
    }

    /// Checks the name of a message, before it is decoded.
    ///
    /// # Errors
    /// 403 if no volume node may send it.
    pub fn check_name(&self, topic: &str, message: &str) -> Result<(), Error> {
        if self.is_control() {
            return Ok(());
        }
        match senders::senders(topic, message) {
            Some(Senders::Own(_) | Senders::Free) => Ok(()),
            Some(Senders::Control) | None => Err(Error::forbidden(format!(
                "{message} to {topic} is for control nodes only."
            ))),
        }
    }

    /// Checks the backend that a message is sent for.
    ///
    /// # Errors
    /// 403 if it is not one of the peer's own.
    pub fn check_backend<M: Message>(&self, message: &M) -> Result<(), Error> {
        if self.is_control() {
            return Ok(());
        }
        let topic = <M::To as Topic>::NAME;
        let Some(Senders::Own(backend_of)) = senders::senders(topic, M::NAME) else {
            return Ok(());
        };
        let backend = backend_of(message);
        if backend.as_deref().is_some_and(|backend| self.owns(backend)) {
            return Ok(());
        }
        let backend = backend.unwrap_or_else(|| "no backend".to_owned());
        Err(Error::forbidden(format!(
            "{} to {topic} for {backend}, which is not one of the node's own.",
            M::NAME
        )))
    }

    /// The context of a peer's message, as far as it is believed.
    pub fn believed(&self, context: Context, node: &str) -> Context {
        match self.is_control() {
            true => context,
            false => context.without_authority(node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::api::{BackendStarted, Outcome, Report};
    use crate::messages::registry::Heartbeat;
    use crate::messages::volume::CommandId;
    use crate::model::{OperationId, Timestamp};

    fn certified(role: NodeRole, backends: &[&str]) -> Rights {
        Rights::Certified(NodeIdentity {
            cluster: "c".to_owned(),
            node: "n".to_owned(),
            roles: [role].into(),
            backends: backends.iter().map(|name| name.parse().unwrap()).collect(),
        })
    }

    fn started(backend: &str) -> BackendStarted {
        BackendStarted {
            backend: backend.parse().unwrap(),
            at: Timestamp(0),
        }
    }

    #[test]
    fn a_volume_node_speaks_for_its_own_backends_only() {
        for rights in [
            certified(NodeRole::Volume, &["h@lvm"]),
            Rights::of_volume_node("h/volume"),
        ] {
            assert!(rights.check_backend(&started("h@lvm")).is_ok());
            let refused = rights.check_backend(&started("other@lvm")).unwrap_err();
            assert!(refused.client.contains("other@lvm"), "{}", refused.client);
            let heartbeat = |binary: &str| Heartbeat {
                binary: binary.to_owned(),
                host: "h@lvm".to_owned(),
                availability_zone: "nova".to_owned(),
                backend_up: None,
            };
            assert!(rights.check_backend(&heartbeat("cinder-volume")).is_ok());
            assert!(rights.check_backend(&heartbeat("cinder-scheduler")).is_err());
            // A report without a backend is the scheduler's.
            let report = |from: Option<&str>| Report {
                command: CommandId {
                    operation: OperationId::new(),
                    attempt: 1,
                },
                from: from.map(|name| name.parse().unwrap()),
                outcome: Outcome::Deleted,
                steps: Vec::new(),
            };
            assert!(rights.check_backend(&report(Some("h@lvm"))).is_ok());
            assert!(rights.check_backend(&report(Some("g@lvm"))).is_err());
            assert!(rights.check_backend(&report(None)).is_err());
        }
        let control = certified(NodeRole::Control, &[]);
        assert!(control.check_backend(&started("other@lvm")).is_ok());
    }

    #[test]
    fn a_message_without_a_row_is_for_control_nodes() {
        let volume = certified(NodeRole::Volume, &["h@lvm"]);
        for (topic, message) in [
            ("api", "list_manageable_volumes"),
            ("api", "run_once"),
            ("quota", "update_quota_set"),
            ("registry", "set_service_disabled"),
            ("scheduler", "get_pools"),
            ("volume", "cancel_operation"),
            ("volume", "set_log_levels"),
            ("anything", "new"),
        ] {
            assert!(volume.check_name(topic, message).is_err(), "{message}");
            assert!(Rights::Control.check_name(topic, message).is_ok());
        }
        assert!(volume.check_name("api", "report").is_ok());
        assert!(volume.check_name("relay", "read_volume_data").is_ok());
    }

    #[test]
    fn a_node_may_announce_its_own_backends_and_the_topics_of_its_role() {
        let announced = |addresses: &[Address]| Announcement {
            endpoints: addresses.to_vec(),
            topics: Vec::new(),
        };
        let (own, other) = (Address::of("volume", "h@lvm"), Address::of("volume", "g@lvm"));
        let (any, api) = (Address::any("volume"), Address::any("api"));
        let volume = certified(NodeRole::Volume, &["h@lvm"]);
        assert_eq!(volume.exceeds(&announced(std::slice::from_ref(&own))), None);
        for wrong in [&other, &any, &api] {
            let announcement = announced(&[own.clone(), wrong.clone()]);
            assert_eq!(volume.exceeds(&announcement).as_ref(), Some(wrong));
            assert_eq!(
                Rights::of_volume_node("h").exceeds(&announcement).as_ref(),
                Some(wrong)
            );
        }
        let control = certified(NodeRole::Control, &[]);
        assert_eq!(control.exceeds(&announced(std::slice::from_ref(&api))), None);
        assert_eq!(control.exceeds(&announced(std::slice::from_ref(&own))), Some(own));
    }

    #[test]
    fn the_context_of_a_volume_node_is_not_believed() {
        let made_up = Context::internal("evil");
        let volume = certified(NodeRole::Volume, &[]);
        assert!(!volume.believed(made_up.clone(), "n").is_admin);
        assert_eq!(Rights::Control.believed(made_up.clone(), "n"), made_up);
    }
}
