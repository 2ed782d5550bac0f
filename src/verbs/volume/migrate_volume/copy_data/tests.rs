//! Copies from a stub manager, whose answers each test defines.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::LocalBoxFuture;
use proptest::prelude::*;

use super::*;
use crate::backend::failure::failure;
use crate::backend::testing::{LONG_MS, Recipe, first, spec};
use crate::backend::{BackendState, Options};
use crate::drivers::VolumeDriver;
use crate::drivers::fake::{Content, FakeDriver, FakeOptions, Fault, Verb};
use crate::drivers::testing::DriverSteps as _;
use crate::flow::Unobserved;
use crate::messages::api::{Failure, FailureKind};
use crate::model::{Context, Error, OperationId};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Router, Serve};
use crate::verbs::volume::{ReadVolumeData, VolumeData};

type Answer = Result<VolumeData, Error>;
type Script = Arc<dyn Fn(ReadVolumeData) -> LocalBoxFuture<'static, Answer> + Send + Sync>;

/// A manager that answers reads with a script.
struct Source(Script);

impl Actor for Source {
    type Topic = VolumeTopic;
}

impl Serve<ReadVolumeData> for Source {
    async fn serve(self: Rc<Self>, _context: Context, question: ReadVolumeData) -> Answer {
        (self.0)(question).await
    }
}

/// A stub of the Api actor that records the progress.
struct StubApi(Arc<Mutex<Vec<u64>>>);

impl Actor for StubApi {
    type Topic = ApiTopic;
}

impl Serve<CopyProgress> for StubApi {
    async fn serve(self: Rc<Self>, _context: Context, progress: CopyProgress) -> Result<(), Error> {
        self.0.lock().push(progress.offset);
        Ok(())
    }
}

fn source_name() -> BackendName {
    BackendName::new("elsewhere", "source")
}

fn register(router: &Router, script: Script) {
    let make = move || Rc::new(Source(script.clone()));
    let endpoint = EndpointBuilder::new(Some(source_name().to_string()), 256, make);
    router.register(endpoint.serves::<ReadVolumeData>().start());
}

fn state_of(name: BackendName, driver: &FakeDriver, options: Options) -> Arc<BackendState> {
    let driver = driver.clone();
    let make = move || Arc::new(driver.clone()) as Arc<dyn VolumeDriver>;
    BackendState::new(name, Arc::new(make), None, options)
}

/// A backend with a volume that is open for this operation, and the script that answers its reads.
fn real_source(
    operation: OperationId,
    gib: u32,
    pieces: &[(u64, Vec<u8>)],
) -> (FakeDriver, VolumeSpec, Script) {
    let (driver, volume) = (FakeDriver::default(), spec(gib));
    let work = Work::within(Duration::from_millis(LONG_MS));
    driver.create(&work, &volume).unwrap();
    for (offset, bytes) in pieces {
        driver.write_volume(volume.id, *offset, bytes);
    }
    let state = state_of(source_name(), &driver, Options::default());
    let within = Duration::from_millis(LONG_MS);
    state
        .copy_sources()
        .open(operation, volume.clone(), Instant::now(), within);
    let script: Script = Arc::new(move |question| {
        let state = Arc::clone(&state);
        Box::pin(async move { question.answer(&state).await })
    });
    (driver, volume, script)
}

/// A backend with an empty volume for the copy.
struct Copies {
    driver: FakeDriver,
    state: Arc<BackendState>,
    router: Router,
    command: CopyVolumeDataCommand,
    reported: Arc<Mutex<Vec<u64>>>,
}

impl Copies {
    fn of(gib: u32, options: Options, driver: FakeDriver) -> Self {
        let volume = spec(gib);
        let work = Work::within(Duration::from_millis(LONG_MS));
        driver.create(&work, &volume).unwrap();
        let router = Router::new("h");
        let reported = Arc::<Mutex<Vec<u64>>>::default();
        let stub = Arc::clone(&reported);
        let endpoint = EndpointBuilder::new(None, 256, move || Rc::new(StubApi(Arc::clone(&stub))));
        router.register(endpoint.serves::<CopyProgress>().start());
        Self {
            state: state_of(volume.pool.backend.clone(), &driver, options),
            driver,
            router,
            command: CopyVolumeDataCommand {
                command: first(),
                volume,
                source: source_name(),
                source_volume: VolumeId::new(),
                offset: 0,
                length: u64::from(gib) << 30,
                remaining_ms: LONG_MS,
            },
            reported,
        }
    }

    fn new() -> Self {
        Self::of(1, Options::default(), FakeDriver::default())
    }

    /// Copies from a volume of the same size with this content.
    fn from(mut self, pieces: &[(u64, Vec<u8>)]) -> (Self, FakeDriver, Content) {
        let operation = self.command.command.operation;
        let (source, volume, script) = real_source(operation, self.command.volume.size, pieces);
        self.command.source_volume = volume.id;
        register(&self.router, script);
        let content = source.content(volume.id).unwrap();
        (self, source, content)
    }

    fn with_script(
        self,
        script: impl Fn(ReadVolumeData) -> LocalBoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Self {
        register(&self.router, Arc::new(script));
        self
    }

    /// Copies as [`Copies::from`], where every third read is answered by another script.
    fn with_disturbed_source(
        mut self,
        disturb: impl Fn(ReadVolumeData) -> LocalBoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> (Self, Content) {
        let (source, volume, script) = real_source(self.command.command.operation, 1, &pieces());
        self.command.source_volume = volume.id;
        let asked = AtomicUsize::new(0);
        let copies =
            self.with_script(
                move |question| match asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
                    true => disturb(question),
                    false => script(question),
                },
            );
        (copies, source.content(volume.id).unwrap())
    }

    fn task(&self) -> Task<CopyVolumeDataCommand> {
        let (state, router) = (self.state.clone(), self.router.clone());
        Task::new(state, router, Context::internal("test"), self.command.clone())
    }

    async fn run(&self) -> Result<Outcome, Failure> {
        let _running = self.state.workers.begin_command(self.command.command);
        let report = self.task().run(Rc::new(Unobserved)).await.expect("not stopping");
        report.result.map_err(|error| failure(&error))
    }

    fn content(&self) -> Content {
        self.driver.content(self.command.volume.id).unwrap()
    }

    async fn fails_as(&self, kind: FailureKind) -> Failure {
        let failure = self.run().await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure:?}");
        failure
    }
}

fn patient_for(patience: Duration) -> Options {
    Options {
        copy_source_patience: patience,
        ..Options::default()
    }
}

const MIB: u64 = 1 << 20;

fn pieces() -> [(u64, Vec<u8>); 3] {
    [
        (5, vec![1; 700_000]),
        (300 * MIB, vec![2; 3_000_000]),
        ((1 << 30) - 7, vec![3; 7]),
    ]
}

#[actix::test]
async fn the_data_of_a_volume_is_copied_and_a_failed_copy_can_be_repeated() {
    Recipe {
        command: |fixture| {
            let command = first();
            let (_, source, script) = real_source(command.operation, 5, &pieces());
            register(&fixture.router, script);
            CopyVolumeDataCommand {
                command,
                volume: fixture.volume.clone(),
                source: source_name(),
                source_volume: source.id,
                offset: 0,
                length: 5 << 30,
                remaining_ms: LONG_MS,
            }
        },
        is_done: |fixture, command| {
            pieces().iter().all(|(offset, bytes)| {
                fixture
                    .driver
                    .read_volume(command.volume.id, *offset, bytes.len())
                    == *bytes
            })
        },
        after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
    }
    .check()
    .await;
}

fn run_one<T>(test: impl Future<Output = T>) -> T {
    actix::System::new().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]
    #[test]
    fn a_copy_is_equal_to_its_source_wherever_it_began_and_whatever_it_held(
        pieces in proptest::collection::vec((0_u64..24 * MIB, 1_usize..1_500_000, any::<u8>()), 0..6),
        began in prop_oneof![Just(0), 0..24 * MIB],
        reads_zeros_when_new: bool,
    ) {
        let pieces: Vec<_> = pieces.into_iter().map(|(offset, length, byte)| (offset, vec![byte; length])).collect();
        run_one(async {
            let driver = FakeDriver::new(FakeOptions { reads_zeros_when_new, ..FakeOptions::default() });
            let (mut copies, source, content) = Copies::of(1, Options::default(), driver).from(&pieces);
            // The data that an earlier attempt has copied.
            copies.command.offset = began;
            let (id, source_id) = (copies.command.volume.id, copies.command.source_volume);
            let durable = source.read_volume(source_id, 0, usize::try_from(began).unwrap());
            copies.driver.write_volume(id, 0, &durable);
            let outcome = copies.run().await;
            assert_eq!(outcome, Ok(Outcome::Copied { bytes: 1 << 30 }));
            assert!(copies.content() == content);
        });
    }
}

#[actix::test]
async fn a_copy_goes_on_from_what_is_durable() {
    let (mut copies, source, _) = Copies::new().from(&pieces());
    copies.command.offset = 301 * MIB;
    copies.run().await.unwrap();
    let id = copies.command.volume.id;
    assert_eq!(copies.driver.read_volume(id, 5, 10), [0; 10]);
    assert_eq!(copies.driver.read_volume(id, 301 * MIB, 10), [2; 10]);
    // Known zeros of the storage are not read.
    assert!(source.calls(Verb::Read) < 10, "{}", source.calls(Verb::Read));
}

#[actix::test]
async fn only_durable_data_is_reported() {
    let options = Options {
        copy_sync_interval: Duration::ZERO,
        ..Options::default()
    };
    let (copies, _, _) = Copies::of(1, options, FakeDriver::default()).from(&[(0, vec![7; 9_000_000])]);
    copies.run().await.unwrap();
    // The stub may receive the last report after the copy has ended.
    while copies.reported.lock().last() != Some(&(1 << 30)) {
        tokio::task::yield_now().await;
    }
    let reported = copies.reported.lock().clone();
    assert!(reported.is_sorted(), "{reported:?}");
    assert!(reported.len() > 1, "{reported:?}");
    assert!(copies.driver.calls(Verb::Sync) >= reported.len());
}

#[actix::test]
async fn a_source_that_does_not_know_the_operation_has_to_be_opened_again() {
    let begun = Instant::now();
    let copies = Copies::new().with_script(|_| Box::pin(async { Ok(VolumeData::NotOpen) }));
    let failure = copies.fails_as(FailureKind::Busy).await;
    assert!(failure.operator.contains("not open"), "{failure:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[actix::test]
async fn a_source_that_does_not_answer_is_waited_for_but_not_without_end() {
    let copies = Copies::of(1, patient_for(Duration::from_millis(300)), FakeDriver::default());
    let failure = copies.fails_as(FailureKind::Busy).await;
    assert!(failure.operator.contains("unreachable"), "{failure:?}");
    let copies = copies.with_script(|_| Box::pin(async { Err(Error::unavailable("later", 1)) }));
    copies.fails_as(FailureKind::Busy).await;
}

#[actix::test]
async fn a_source_that_is_overloaded_for_a_while_is_asked_again() {
    let (copies, content) =
        Copies::new().with_disturbed_source(|_| Box::pin(async { Err(Error::unavailable("later", 1)) }));
    copies.run().await.unwrap();
    assert!(copies.content() == content);
}

#[actix::test]
async fn a_damaged_piece_is_never_written() {
    let damaged = |question: ReadVolumeData| -> LocalBoxFuture<'static, Answer> {
        let mut data = VolumeData::of(&question, vec![5; usize::try_from(question.length).unwrap()]);
        if let VolumeData::Bytes { bytes, .. } = &mut data {
            bytes[100] = 6;
        }
        Box::pin(async { Ok(data) })
    };
    let patience = patient_for(Duration::from_millis(300));
    let copies = Copies::of(1, patience, FakeDriver::default()).with_script(damaged);
    let failure = copies.fails_as(FailureKind::Busy).await;
    assert!(failure.operator.contains("damaged"), "{failure:?}");
    assert!(copies.content() == Content::default());
    // It is read again.
    let (copies, content) = Copies::new().with_disturbed_source(damaged);
    copies.run().await.unwrap();
    assert!(copies.content() == content);
}

#[actix::test]
async fn a_piece_of_another_place_is_not_taken_for_the_one_that_was_asked_for() {
    let copies = Copies::of(1, patient_for(Duration::from_millis(300)), FakeDriver::default()).with_script(
        |mut question| {
            question.offset += 1;
            let bytes = vec![5; usize::try_from(question.length).unwrap()];
            let data = VolumeData::of(&question, bytes);
            Box::pin(async { Ok(data) })
        },
    );
    copies.fails_as(FailureKind::Busy).await;
    assert!(copies.content() == Content::default());
}

#[actix::test]
async fn a_short_piece_and_a_failed_read_are_failures() {
    let copies = Copies::new().with_script(|question| {
        let data = VolumeData::of(&question, vec![5; 100]);
        Box::pin(async { Ok(data) })
    });
    let failure = copies.fails_as(FailureKind::Backend).await;
    assert!(failure.operator.contains("less than"), "{failure:?}");
    let client = "The volume's data could not be read on its backend.";
    assert_eq!(failure.client, client);
    let (copies, source, _) = Copies::new().from(&pieces());
    source.script(Verb::Read, Fault::broken());
    let failure = copies.fails_as(FailureKind::Backend).await;
    assert!(failure.operator.contains("scripted fault"), "{failure:?}");
    assert!(!failure.client.contains("scripted"));
    source.lose(copies.command.source_volume);
    let failure = copies.fails_as(FailureKind::Backend).await;
    assert!(failure.operator.contains("no such volume"), "{failure:?}");
}

#[actix::test]
async fn a_failed_write_is_a_failure_and_a_panicking_driver_is_used_again() {
    let (copies, _, content) = Copies::new().from(&pieces());
    copies.driver.script(Verb::Write, Fault::no_space());
    copies.fails_as(FailureKind::NoSpace).await;
    copies.driver.script(Verb::Write, Fault::PanicsAfter);
    copies.driver.script(Verb::Sync, Fault::Panics);
    copies.run().await.unwrap();
    assert!(copies.content() == content);
}

#[actix::test]
async fn a_copy_ends_at_its_deadline() {
    let mut copies = Copies::new();
    copies.command.remaining_ms = 300;
    let copies = copies.with_script(|_| Box::pin(std::future::pending()));
    copies.fails_as(FailureKind::TimedOut).await;
}

#[actix::test]
async fn a_cancelled_copy_ends_while_it_waits_and_while_it_writes() {
    let copies = Copies::new().with_script(|_| Box::pin(std::future::pending()));
    let cancel = |copies: &Copies| {
        let (workers, command) = (copies.state.workers.clone(), copies.command.command);
        actix::spawn(async move {
            while !workers.cancel(command) {
                tokio::task::yield_now().await;
            }
        })
    };
    let cancelling = cancel(&copies);
    copies.fails_as(FailureKind::Cancelled).await;
    cancelling.await.unwrap();
    let (copies, _, _) = Copies::new().from(&pieces());
    copies.driver.script(Verb::Write, Fault::Hangs);
    let (driver, workers) = (copies.driver.clone(), copies.state.workers.clone());
    let command = copies.command.command;
    let cancelling = actix::spawn(async move {
        while driver.calls(Verb::Write) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(workers.cancel(command));
    });
    copies.fails_as(FailureKind::Cancelled).await;
    cancelling.await.unwrap();
}

#[actix::test]
async fn a_manager_that_stops_leaves_the_copy_in_the_journal() {
    let copies = Copies::new().with_script(|_| Box::pin(std::future::pending()));
    let workers = copies.state.workers.clone();
    actix::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        workers.stop();
    });
    assert!(copies.task().run(Rc::new(Unobserved)).await.is_none());
}

#[actix::test]
async fn nothing_is_copied_into_a_volume_that_is_deleted_or_too_small() {
    let (copies, _, _) = Copies::new().from(&pieces());
    let id = copies.command.volume.id.0;
    copies.state.inventory().insert_tombstone(id);
    copies.fails_as(FailureKind::Request).await;
    let (mut copies, _, _) = Copies::new().from(&pieces());
    copies.command.length += 1;
    let failure = copies.fails_as(FailureKind::Backend).await;
    assert!(failure.operator.contains("bytes"), "{failure:?}");
    assert!(copies.content() == Content::default());
}
