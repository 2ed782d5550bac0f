//! Which services are alive and usable: the registry's state, for readers that must not wait for an actor.
//!
//! The Registry actor writes it; the Scheduler reads it for each decision. It survives a panic of either. Locks are held
//! for one look-up or one entry, never across an await.
//!
//! | state | known by | placement |
//! |---|---|---|
//! | up | heartbeats, and a connection to its node, or none because it is this one | uses it |
//! | suspect | the connection ended without a goodbye: its node is dead, or cut off from this one | leaves it out |
//! | stopped | its node said goodbye | leaves it out |
//! | down | no heartbeat for the down time, or none since this process started | leaves it out |

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::messages::registry::{ServiceState, ServiceStatus, ServiceView};
use crate::model::host::host_matches;
use crate::model::{BackendName, Service, ServiceId, Timestamp};

/// The binary name of VolumeManagers for clients.
pub const VOLUME_BINARY: &str = "cinder-volume";
/// The binary name of schedulers for clients.
pub const SCHEDULER_BINARY: &str = "cinder-scheduler";

/// The time after which a silent service is considered down: `down_time`, but at least two and a half report
/// intervals, so that a service is not down between two reports (cinder: `service.py`, `basic_config_check`).
pub fn effective_down_time(report_interval: Duration, down_time: Duration) -> Duration {
    if down_time > report_interval {
        return down_time;
    }
    let raised = report_interval * 5 / 2;
    tracing::warn!(
        ?down_time,
        ?report_interval,
        ?raised,
        "service down_time is too short and was raised"
    );
    raised
}

/// A service, and the time of its last heartbeat.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its record.
    pub service: Service,
    /// The time of the last heartbeat, by both clocks; `None` if there was none since this process started.
    pub heard_at: Option<(Instant, Timestamp)>,
    /// Whether its driver works; `None` where there is none.
    pub backend_up: Option<bool>,
}

/// Host, then binary: the services of one host are adjacent.
pub(super) type Key = (String, String);

/// The end of the connection to the node of a service, until there is another one.
#[derive(Clone, Copy, Debug)]
struct Left {
    at: Instant,
    said_goodbye: bool,
}

impl Left {
    fn reason(self) -> &'static str {
        match self.said_goodbye {
            true => "its node has stopped",
            false => "the connection to its node was lost",
        }
    }
}

/// Why an operator has excluded this service from new work.
fn excluded_by(service: &Service) -> Option<String> {
    if service.disabled {
        return Some(match service.disabled_reason.as_deref() {
            Some(reason) => format!("its service is disabled: {reason}"),
            None => "its service is disabled".to_owned(),
        });
    }
    service.frozen.then(|| "its service is frozen".to_owned())
}

fn note(service: &Service, excluded: &mut BTreeMap<BackendName, String>) {
    let Some(backend) = backend_of(&service.host, &service.binary) else {
        return;
    };
    match excluded_by(service) {
        Some(why) => excluded.insert(backend, why),
        None => excluded.remove(&backend),
    };
}

fn backend_of(host: &str, binary: &str) -> Option<BackendName> {
    (binary == VOLUME_BINARY).then(|| host.parse().ok())?
}

/// See the module.
#[derive(Debug)]
pub struct Liveness {
    down_time: Duration,
    services: RwLock<BTreeMap<Key, Known>>,
    /// The backends of those of them that an operator has excluded, and why: read by each decision, and few. Changed under the lock of `services`.
    excluded: RwLock<BTreeMap<BackendName, String>>,
    /// Services whose nodes were connected and are not any more.
    left: RwLock<BTreeMap<Key, Left>>,
    loaded: watch::Sender<bool>,
}

impl Liveness {
    /// Empty. `down_time` as by [`effective_down_time`].
    pub fn new(down_time: Duration) -> Self {
        Self {
            down_time,
            services: RwLock::default(),
            excluded: RwLock::default(),
            left: RwLock::default(),
            loaded: watch::Sender::new(false),
        }
    }

    /// The time after which a silent service is considered down.
    pub fn down_time(&self) -> Duration {
        self.down_time
    }

    /// Returns once the known services were read from the catalog.
    pub async fn loaded(&self) {
        // It cannot fail: the sender is in `self`.
        let _ = self.loaded.subscribe().wait_for(|loaded| *loaded).await;
    }

    /// Whether [`Liveness::loaded`] would return at once.
    pub fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Why an operator has excluded this backend from new work; `None` if it is not excluded. An unknown service is not
    /// excluded: its first report may be received before its first heartbeat.
    pub fn forbids(&self, backend: &BackendName) -> Option<String> {
        self.excluded.read().get(backend).cloned()
    }

    /// The backends that get no new work, and why: those whose services an operator has excluded, and with `connected_only` those whose nodes
    /// are not connected. Mostly there are none, so this is asked once for a decision among thousands.
    pub fn excluded(&self, connected_only: bool) -> BTreeMap<BackendName, String> {
        let mut excluded = self.excluded.read().clone();
        if connected_only {
            for ((host, binary), left) in &*self.left.read() {
                if let Some(backend) = backend_of(host, binary) {
                    let reason = || left.reason().to_owned();
                    excluded.entry(backend).or_insert_with(reason);
                }
            }
        }
        excluded
    }

    /// Whether the node of an enabled backend left so recently that it may soon be back.
    pub fn any_may_be_back(&self, patience: Duration, now: Instant) -> bool {
        let (services, left) = (self.services.read(), self.left.read());
        left.iter().any(|(key, left)| {
            let known = services.get(key);
            now.duration_since(left.at) < patience
                && known.is_some_and(|known| !known.service.disabled && known.service.binary == VOLUME_BINARY)
        })
    }

    /// The record's id of a backend's service, if it is known (`service_uuid` of its volumes).
    pub fn service_id(&self, backend: &BackendName) -> Option<ServiceId> {
        let services = self.services.read();
        let known = services.get(&key(VOLUME_BINARY, &backend.to_string()))?;
        Some(known.service.id)
    }

    /// The expected backends: every known VolumeManager that is not disabled.
    pub fn expected_backends(&self) -> Vec<BackendName> {
        let services = self.services.read();
        let volume = services.values().map(|known| &known.service);
        let wanted = volume.filter(|service| service.binary == VOLUME_BINARY && !service.disabled);
        wanted.filter_map(|service| service.host.parse().ok()).collect()
    }

    /// The state of a service.
    pub fn get(&self, binary: &str, host: &str) -> Option<Known> {
        self.services.read().get(&key(binary, host)).cloned()
    }

    /// All services in order of creation, as this process sees them.
    pub fn statuses(&self, now: Instant) -> Vec<ServiceStatus> {
        let (services, left) = (self.services.read(), self.left.read());
        let status = |(key, known): (&Key, &Known)| ServiceStatus {
            service: known.service.clone(),
            heard_at: known.heard_at.map(|(_, wall)| wall),
            state: self.state(known, left.get(key), now),
            backend_up: known.backend_up,
        };
        let mut statuses: Vec<ServiceStatus> = services.iter().map(status).collect();
        statuses.sort_by_key(|status| status.service.created_at);
        statuses
    }

    fn state(&self, known: &Known, left: Option<&Left>, now: Instant) -> ServiceState {
        let is_heard = |(at, _): (Instant, _)| now.duration_since(at) <= self.down_time;
        match left {
            Some(left) if left.said_goodbye => ServiceState::Stopped,
            _ if !known.heard_at.is_some_and(is_heard) => ServiceState::Down,
            Some(_) => ServiceState::Suspect,
            None => ServiceState::Up,
        }
    }

    /// The node of these services is connected.
    pub(super) fn connected(&self, keys: impl IntoIterator<Item = Key>) {
        let mut left = self.left.write();
        for key in keys {
            left.remove(&key);
        }
    }

    /// The connection to the node of these services has ended.
    pub(super) fn left(&self, keys: impl IntoIterator<Item = Key>, said_goodbye: bool, now: Instant) {
        let mut left = self.left.write();
        for key in keys {
            left.insert(
                key,
                Left {
                    at: now,
                    said_goodbye,
                },
            );
        }
    }

    /// The services of that host, with this `binary`, or all if it is empty. A host without such a service stands for all
    /// its backends (cinder: `service_get` takes the first of them, which leaves the others as they were).
    pub(super) fn services_of(&self, binary: &str, host: &str) -> Vec<Service> {
        let services = self.services.read();
        let of_binary = services
            .values()
            .map(|known| &known.service)
            .filter(|service| binary.is_empty() || service.binary == binary);
        let (exact, within): (Vec<&Service>, Vec<&Service>) = of_binary
            .filter(|service| host_matches(&service.host, host))
            .partition(|service| service.host == host);
        let named = if exact.is_empty() { within } else { exact };
        named.into_iter().cloned().collect()
    }

    /// Replaces the records by those that were read from the catalog: others were removed. Heartbeats are kept.
    pub(super) fn load(&self, read: impl IntoIterator<Item = Service>) {
        let mut services = self.services.write();
        let mut before = std::mem::take(&mut *services);
        let mut excluded = BTreeMap::new();
        for service in read {
            note(&service, &mut excluded);
            let key = key(&service.binary, &service.host);
            let known = before.remove(&key);
            services.insert(
                key,
                Known {
                    service,
                    heard_at: known.as_ref().and_then(|known| known.heard_at),
                    backend_up: known.and_then(|known| known.backend_up),
                },
            );
        }
        *self.excluded.write() = excluded;
        self.left.write().retain(|key, _| !before.contains_key(key));
        drop(services);
        self.loaded.send_replace(true);
    }

    /// Adds or updates a service after a change in the catalog.
    pub(in crate::actors) fn put(&self, service: Service) {
        let mut services = self.services.write();
        note(&service, &mut self.excluded.write());
        match services.entry(key(&service.binary, &service.host)) {
            Entry::Occupied(mut known) => known.get_mut().service = service,
            Entry::Vacant(place) => {
                place.insert(Known {
                    service,
                    heard_at: None,
                    backend_up: None,
                });
            }
        }
    }

    /// Records a heartbeat. `false` if the service is unknown.
    pub(super) fn heard(&self, binary: &str, host: &str, backend_up: Option<bool>, now: Instant) -> bool {
        let mut services = self.services.write();
        let Some(known) = services.get_mut(&key(binary, host)) else {
            return false;
        };
        known.heard_at = Some((now, Timestamp::now()));
        known.backend_up = backend_up;
        true
    }
}

impl From<ServiceStatus> for ServiceView {
    fn from(status: ServiceStatus) -> Self {
        Self {
            service: status.service,
            heard_at: status.heard_at,
            up: status.state.is_up(),
            backend_up: status.backend_up,
        }
    }
}

pub(super) fn key(binary: &str, host: &str) -> Key {
    (host.to_owned(), binary.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Liveness, VOLUME_BINARY, effective_down_time, key};
    use crate::messages::registry::ServiceState;
    use crate::model::{BackendName, Service, ServiceId, Timestamp};

    fn service(host: &str) -> Service {
        Service {
            id: ServiceId::new(),
            binary: VOLUME_BINARY.into(),
            host: host.into(),
            availability_zone: "nova".into(),
            disabled: false,
            disabled_reason: None,
            frozen: false,
            created_at: Timestamp::now(),
            updated_at: None,
        }
    }

    #[test]
    fn a_service_is_up_until_it_was_silent_for_the_down_time() {
        let (liveness, now) = (Liveness::new(Duration::from_secs(60)), Instant::now());
        liveness.put(service("h@lvm"));
        let state = |later| liveness.statuses(now + Duration::from_secs(later))[0].state;
        assert_eq!(state(0), ServiceState::Down, "no heartbeat since the start");
        assert!(liveness.heard(VOLUME_BINARY, "h@lvm", Some(true), now));
        assert_eq!(state(60), ServiceState::Up);
        assert_eq!(state(61), ServiceState::Down);
        assert!(!liveness.heard(VOLUME_BINARY, "x@lvm", None, now));
    }

    #[test]
    fn a_lost_connection_is_told_apart_from_a_goodbye_and_ends_with_the_next_one() {
        let (liveness, now) = (Liveness::new(Duration::from_secs(60)), Instant::now());
        let backend = BackendName::new("h", "lvm");
        liveness.put(service("h@lvm"));
        liveness.heard(VOLUME_BINARY, "h@lvm", Some(true), now);
        let state = |later| liveness.statuses(now + Duration::from_secs(later))[0].state;
        let keys = || [key(VOLUME_BINARY, "h@lvm")];
        liveness.left(keys(), false, now);
        assert_eq!((state(0), state(61)), (ServiceState::Suspect, ServiceState::Down));
        assert!(liveness.excluded(true)[&backend].contains("lost"));
        assert!(liveness.any_may_be_back(Duration::from_secs(1), now));
        assert!(!liveness.any_may_be_back(Duration::from_secs(1), now + Duration::from_secs(1)));
        liveness.left(keys(), true, now);
        assert_eq!(
            (state(0), state(61)),
            (ServiceState::Stopped, ServiceState::Stopped)
        );
        assert!(ServiceState::Suspect.is_up() && !ServiceState::Stopped.is_up());
        liveness.connected(keys());
        assert_eq!(state(0), ServiceState::Up);
        assert_eq!(liveness.excluded(true).get(&backend), None);
    }

    #[test]
    fn a_service_that_is_no_longer_in_the_catalog_is_forgotten_and_heartbeats_are_not() {
        let (liveness, now) = (Liveness::new(Duration::from_secs(60)), Instant::now());
        for host in ["h@lvm", "gone@lvm"] {
            liveness.put(service(host));
            liveness.heard(VOLUME_BINARY, host, Some(true), now);
        }
        liveness.load([service("h@lvm")]);
        let statuses = liveness.statuses(now);
        assert_eq!(statuses.len(), 1);
        assert_eq!(
            (statuses[0].service.host.as_str(), statuses[0].state),
            ("h@lvm", ServiceState::Up)
        );
    }

    #[test]
    fn a_disabled_or_frozen_service_gets_no_new_work() {
        let (liveness, backend) = (
            Liveness::new(Duration::from_secs(60)),
            BackendName::new("h", "lvm"),
        );
        assert_eq!(liveness.forbids(&backend), None);
        let mut service = service("h@lvm");
        service.frozen = true;
        liveness.put(service.clone());
        assert_eq!(liveness.forbids(&backend).unwrap(), "its service is frozen");
        assert_eq!(liveness.expected_backends(), vec![backend.clone()]);
        service.disabled = true;
        service.disabled_reason = Some("new disks".into());
        liveness.put(service);
        assert_eq!(
            liveness.forbids(&backend).unwrap(),
            "its service is disabled: new disks"
        );
        assert!(liveness.expected_backends().is_empty());
    }

    #[test]
    fn a_down_time_shorter_than_the_reports_is_raised() {
        let seconds = Duration::from_secs;
        assert_eq!(effective_down_time(seconds(10), seconds(60)), seconds(60));
        assert_eq!(effective_down_time(seconds(10), seconds(10)), seconds(25));
    }
}
