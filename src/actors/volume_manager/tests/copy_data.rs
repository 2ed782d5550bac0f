//! Copies between two managers on two nodes, connected by TCP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::drivers::fake::Content;
use crate::drivers::testing::DriverSteps as _;
use crate::messages::api::CopyProgress;
use crate::model::{BackendName, OperationId};
use crate::transport::{CallError, JoinedPeer, ListenerHandle, PeerReport, TransportOptions};
use crate::verbs::volume::{CopyVolumeDataCommand, OpenCopySourceCommand, ReadVolumeData, VolumeData};

impl Serve<CopyProgress> for StubApi {
    async fn serve(self: Rc<Self>, _context: Context, _progress: CopyProgress) -> Result<(), Error> {
        Ok(())
    }
}

/// A node with a manager and an Api actor. Its backend has the node's name.
struct Node {
    name: &'static str,
    driver: FakeDriver,
    state: Arc<BackendState>,
    reports: UnboundedReceiver<Report>,
    router: Router,
    _listener: ListenerHandle,
    at: SocketAddr,
}

fn options(max_frame: usize) -> TransportOptions {
    TransportOptions {
        max_frame,
        trusts_every_peer: true,
        first_backoff: Duration::from_millis(5),
        longest_backoff: Duration::from_millis(50),
        ..TransportOptions::default()
    }
}

impl Node {
    async fn start(name: &'static str, driver: &FakeDriver, max_frame: usize) -> Self {
        let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self::start_at(name, driver, max_frame, anywhere).await
    }

    async fn start_at(name: &'static str, driver: &FakeDriver, max_frame: usize, at: SocketAddr) -> Self {
        let made = driver.clone();
        let state = BackendState::new(
            BackendName::new(name, "fake"),
            Arc::new(move || Arc::new(made.clone()) as Arc<dyn VolumeDriver>),
            None,
            Options::default(),
        );
        let router = Router::new(name);
        let (stub, reports) = stub_api(Vec::new(), Vec::new());
        router.register(stub.serves::<CopyProgress>().start());
        router.register(endpoint(state.clone(), router.clone(), 256).start());
        let listener = router.listen(at, options(max_frame)).await.unwrap();
        Self {
            name,
            driver: driver.clone(),
            state,
            reports,
            router,
            at: listener.local_addr(),
            _listener: listener,
        }
    }

    fn anywhere(&self) -> SocketAddr {
        SocketAddr::new(self.at.ip(), 0)
    }

    fn backend(&self) -> BackendName {
        self.state.backend.clone()
    }

    async fn send<M: Cast + Message<To = VolumeTopic>>(&self, message: M) {
        let context = Context::internal("test");
        self.manager().cast(&context, message).await.unwrap();
    }

    fn manager(&self) -> Handle<VolumeTopic> {
        self.router.server(&self.backend().to_string())
    }

    async fn outcome(&mut self) -> Outcome {
        let report = tokio::time::timeout(Duration::from_secs(20), self.reports.recv());
        report.await.expect("a report in time").expect("a report").outcome
    }

    /// A volume with this content.
    fn volume(&self, pieces: &[(u64, Vec<u8>)]) -> VolumeSpec {
        let mut volume = spec(1);
        volume.pool = self.backend().pool("fake");
        self.driver.create(&work(), &volume).unwrap();
        for (offset, bytes) in pieces {
            self.driver.write_volume(volume.id, *offset, bytes);
        }
        volume
    }
}

/// How the two nodes of a pair are connected.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// With each other.
    Direct,
    /// Each with a node that has a relay.
    ThroughRelay,
}

/// A source and a destination that reach each other, and a volume on each.
struct Pair {
    source: Node,
    destination: Node,
    from: VolumeSpec,
    to: VolumeSpec,
    command: CommandId,
    context: Context,
    joined: Vec<JoinedPeer>,
    relay_node: Option<(Router, ListenerHandle)>,
}

async fn connected(router: &Router, node: &str) {
    let is_it = |peer: &PeerReport| peer.state == "connected" && peer.node.as_deref() == Some(node);
    until("they are connected", || router.peers().iter().any(is_it)).await;
}

impl Pair {
    async fn new(max_frame: usize, pieces: &[(u64, Vec<u8>)]) -> Self {
        Self::connected(Way::Direct, max_frame, pieces).await
    }

    async fn connected(way: Way, max_frame: usize, pieces: &[(u64, Vec<u8>)]) -> Self {
        let source = Node::start("one", &FakeDriver::default(), max_frame).await;
        let destination = Node::start("two", &FakeDriver::default(), max_frame).await;
        let mut pair = Self {
            from: source.volume(pieces),
            to: destination.volume(&[]),
            source,
            destination,
            command: first(),
            context: Context::internal("test"),
            joined: Vec::new(),
            relay_node: None,
        };
        match way {
            Way::Direct => pair.join_each_other(max_frame).await,
            Way::ThroughRelay => {
                let router = Router::new("control");
                router.register(crate::actors::relay::endpoint(router.clone()).start());
                let listener = router
                    .listen(pair.source.anywhere(), options(max_frame))
                    .await
                    .unwrap();
                let at = listener.local_addr().to_string();
                for node in [&pair.source, &pair.destination] {
                    pair.joined.push(node.router.join(at.clone(), options(max_frame)));
                    connected(&router, node.name).await;
                }
                connected(&pair.destination.router, "control").await;
                pair.relay_node = Some((router, listener));
            }
        }
        pair
    }

    async fn join_each_other(&mut self, max_frame: usize) {
        let at = self.source.at.to_string();
        self.joined
            .push(self.destination.router.join(at, options(max_frame)));
        connected(&self.destination.router, self.source.name).await;
    }

    async fn open(&mut self) -> Outcome {
        self.source.send(open_source(self.command, &self.from)).await;
        self.command.attempt += 1;
        self.source.outcome().await
    }

    async fn begin_copy(&self) {
        let message = copy_data(self.command, &self.to, &self.source, self.from.id);
        self.destination.send(message).await;
    }

    /// Begins a copy whose first read hangs.
    async fn begin_hanging_copy(&self) {
        let driver = &self.source.driver;
        driver.script(Verb::Read, Fault::Hangs);
        self.begin_copy().await;
        until("it is read", || driver.calls(Verb::Read) > 0).await;
    }

    /// Copies, and compares the contents.
    async fn copy_whole(&mut self) {
        assert_eq!(self.copy().await, Outcome::Copied { bytes: 1 << 30 });
        assert!(Some(self.content()) == self.source.driver.content(self.from.id));
    }

    async fn copy(&mut self) -> Outcome {
        self.begin_copy().await;
        self.destination.outcome().await
    }

    async fn read(&self, operation: OperationId, volume: VolumeId) -> VolumeData {
        self.try_read(operation, volume).await.unwrap()
    }

    async fn try_read(&self, operation: OperationId, volume: VolumeId) -> Result<VolumeData, CallError> {
        let question = ReadVolumeData {
            operation,
            volume,
            offset: 0,
            length: 4096,
        };
        let source = self.source.backend().to_string();
        let manager = self.destination.router.server::<VolumeTopic>(&source);
        manager
            .call(&self.context, question, Duration::from_secs(20))
            .await
    }

    fn content(&self) -> Content {
        self.destination.driver.content(self.to.id).unwrap()
    }
}

fn open_source(command: CommandId, volume: &VolumeSpec) -> OpenCopySourceCommand {
    OpenCopySourceCommand {
        command,
        volume: volume.clone(),
        remaining_ms: LONG_MS,
    }
}

fn copy_data(
    command: CommandId,
    to: &VolumeSpec,
    source: &Node,
    source_volume: VolumeId,
) -> CopyVolumeDataCommand {
    CopyVolumeDataCommand {
        command,
        volume: to.clone(),
        source: source.backend(),
        source_volume,
        offset: 0,
        length: 1 << 30,
        remaining_ms: LONG_MS,
    }
}

fn pieces() -> Vec<(u64, Vec<u8>)> {
    let noise = |length: u32, seed: u32| {
        (0..length)
            .map(|index| (index.wrapping_mul(seed) >> 7).to_le_bytes()[0])
            .collect()
    };
    vec![
        (0, noise(5_000_000, 77)),
        (900_000_000, noise(3_000_001, 7777)),
        ((1 << 30) - 1, vec![1]),
    ]
}

const FRAME: usize = 1 << 20;

#[actix::test]
async fn a_volume_is_copied_from_one_host_to_another() {
    let mut pair = Pair::new(FRAME, &pieces()).await;
    assert_eq!(pair.open().await, Outcome::CopySourceOpened);
    pair.copy_whole().await;
}

#[actix::test]
async fn nodes_that_are_not_connected_copy_through_a_control_node() {
    let mut pair = Pair::connected(Way::ThroughRelay, FRAME, &pieces()).await;
    let directly = pair.try_read(pair.command.operation, pair.from.id).await;
    assert!(matches!(directly, Err(CallError::Unreachable(_))), "{directly:?}");
    pair.open().await;
    pair.copy_whole().await;
}

#[actix::test]
async fn pieces_are_as_small_as_the_frames_have_to_be() {
    for way in [Way::Direct, Way::ThroughRelay] {
        let mut pair = Pair::connected(way, 200 << 10, &pieces()).await;
        pair.open().await;
        pair.copy_whole().await;
    }
}

#[actix::test]
async fn a_volume_is_read_only_by_the_operation_it_was_opened_for() {
    let mut pair = Pair::new(FRAME, &pieces()).await;
    let (operation, id) = (pair.command.operation, pair.from.id);
    assert_eq!(pair.read(operation, id).await, VolumeData::NotOpen);
    pair.open().await;
    assert!(matches!(pair.read(operation, id).await, VolumeData::Bytes { .. }));
    let other = pair.source.volume(&pieces());
    assert_eq!(pair.read(operation, other.id).await, VolumeData::NotOpen);
    assert_eq!(pair.read(first().operation, id).await, VolumeData::NotOpen);
    let question = ReadVolumeData {
        operation,
        volume: id,
        offset: (1 << 30) - 1,
        length: 2,
    };
    let manager = pair.source.manager();
    let beyond = manager
        .call(&pair.context, question, Duration::from_secs(20))
        .await;
    assert!(matches!(beyond, Err(CallError::Refused(_))), "{beyond:?}");
}

#[actix::test]
async fn whatever_is_done_to_a_volume_closes_it() {
    let mut pair = Pair::new(FRAME, &pieces()).await;
    let (operation, id) = (pair.command.operation, pair.from.id);
    pair.open().await;
    pair.source
        .send(take_snapshot(&pair.from, SnapshotId::new()))
        .await;
    pair.source.outcome().await;
    assert_eq!(pair.read(operation, id).await, VolumeData::NotOpen);
    // The same operation opens it again, and its last stage deletes it.
    pair.open().await;
    assert!(matches!(pair.read(operation, id).await, VolumeData::Bytes { .. }));
    let message = DeleteVolumeCommand {
        command: CommandId {
            attempt: pair.command.attempt + 1,
            ..pair.command
        },
        volume: pair.from.clone(),
        remaining_ms: LONG_MS,
    };
    pair.source.send(message).await;
    assert_eq!(pair.source.outcome().await, Outcome::Deleted);
    assert_eq!(pair.read(operation, id).await, VolumeData::NotOpen);
}

#[actix::test]
async fn a_source_that_is_started_anew_has_to_be_opened_again() {
    let mut pair = Pair::new(FRAME, &pieces()).await;
    pair.open().await;
    // The first read waits until the source is deleted.
    pair.begin_hanging_copy().await;
    let (driver, at) = (pair.source.driver.clone(), pair.source.at);
    pair.source.state.workers.stop();
    pair.source.router.shutdown(Duration::ZERO).await;
    drop(pair.source);
    pair.source = Node::start_at("one", &driver, FRAME, at).await;
    let Outcome::Failed(failure) = pair.destination.outcome().await else {
        panic!("it was not open");
    };
    assert_eq!(failure.kind, FailureKind::Busy, "{failure:?}");
    assert!(failure.operator.contains("not open"), "{failure:?}");
    pair.command.attempt += 1;
    assert_eq!(pair.open().await, Outcome::CopySourceOpened);
    pair.copy_whole().await;
}

#[actix::test]
async fn a_slow_source_blocks_no_worker_of_the_destination() {
    let mut pair = Pair::new(FRAME, &pieces()).await;
    pair.open().await;
    pair.begin_hanging_copy().await;
    let workers = pair.destination.state.workers.clone();
    until("nothing runs", || workers.running() == 0).await;
    // The source serves its other volumes meanwhile.
    let volume = pair.source.volume(&[]);
    pair.source.send(extend(&volume, 2)).await;
    assert_eq!(pair.source.outcome().await, Outcome::Extended);
    let message = CancelOperation {
        command: pair.command,
    };
    pair.destination.send(message).await;
    assert_failed(&pair.destination.outcome().await, FailureKind::Cancelled);
}

#[actix::test]
async fn two_hosts_copy_from_each_other() {
    let mut pair = Pair::new(FRAME, &pieces()).await;
    pair.open().await;
    let (back_from, back_to) = (pair.destination.volume(&pieces()), pair.source.volume(&[]));
    let back = first();
    pair.destination.send(open_source(back, &back_from)).await;
    pair.destination.outcome().await;
    pair.begin_copy().await;
    let command = CommandId { attempt: 2, ..back };
    let message = copy_data(command, &back_to, &pair.destination, back_from.id);
    pair.source.send(message).await;
    for node in [&mut pair.destination, &mut pair.source] {
        assert_eq!(node.outcome().await, Outcome::Copied { bytes: 1 << 30 });
    }
    let copied = pair.source.driver.content(back_to.id);
    assert!(copied == pair.destination.driver.content(back_from.id));
}
