//! Copies of a volume from one node to another over loopback TCP, and `dd` on the same disk.

use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pumice::actors::{relay, volume_manager};
use pumice::backend::{BackendState, Options};
use pumice::drivers::VolumeDriver;
use pumice::drivers::file::{FileDriver, FileOptions};
use pumice::messages::api::{
    ApiTopic, BackendStarted, BackendVolumesPage, CompareStorage, CopyProgress, ListBackendVolumesPage,
    Outcome, Progress, Report, StorageDifference,
};
use pumice::messages::volume::{CommandId, VolumeTopic};
use pumice::model::spec::VolumeSource;
use pumice::model::{BackendName, Context, Error, OperationId, ProjectId, VolumeId, VolumeSpec};
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{Actor, Router, Serve, TransportOptions};
use pumice::verbs::volume::{CopyVolumeDataCommand, CreateVolumeCommand, OpenCopySourceCommand};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const GIB: u64 = 1 << 30;

/// An Api actor that knows nothing and passes reports on.
struct Listener(UnboundedSender<Outcome>);

impl Actor for Listener {
    type Topic = ApiTopic;
}

macro_rules! answers {
    ($($message:ty => $reply:ty),+) => {
        $(impl Serve<$message> for Listener {
            async fn serve(self: Rc<Self>, _context: Context, _message: $message) -> Result<$reply, Error> {
                Ok(Default::default())
            }
        })+
    };
}

answers!(BackendStarted => (), CopyProgress => (), Progress => (), CompareStorage => StorageDifference);

impl Serve<ListBackendVolumesPage> for Listener {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        _message: ListBackendVolumesPage,
    ) -> Result<BackendVolumesPage, Error> {
        Ok(BackendVolumesPage {
            volumes: Vec::new(),
            next: None,
        })
    }
}

impl Serve<Report> for Listener {
    async fn serve(self: Rc<Self>, _context: Context, report: Report) -> Result<(), Error> {
        let _ = self.0.send(report.outcome);
        Ok(())
    }
}

/// A volume node with one backend of files.
struct Node {
    router: Router,
    backend: BackendName,
    outcomes: UnboundedReceiver<Outcome>,
}

impl Node {
    fn new(name: &str, folder: &Path) -> Self {
        let router = Router::new(name);
        let backend = BackendName::new(name, "file");
        let options = FileOptions::new(folder, "file");
        let make = move || Arc::new(FileDriver::new(options.clone())) as Arc<dyn VolumeDriver>;
        let state = BackendState::new(backend.clone(), Arc::new(make), None, Options::default());
        let (sender, outcomes) = unbounded_channel();
        let listener = EndpointBuilder::new(None, 256, move || Rc::new(Listener(sender.clone())));
        router.register(
            listener
                .serves::<Report>()
                .serves::<BackendStarted>()
                .serves::<CopyProgress>()
                .serves::<Progress>()
                .serves::<CompareStorage>()
                .serves::<ListBackendVolumesPage>()
                .start(),
        );
        router.register(volume_manager::endpoint(state, router.clone(), 256).start());
        Self {
            router,
            backend,
            outcomes,
        }
    }

    fn volume(&self) -> VolumeSpec {
        VolumeSpec {
            id: VolumeId::new(),
            project_id: ProjectId::from("p"),
            size: 1,
            pool: self.backend.pool("file"),
            multiattach: false,
            readonly: false,
            encrypted: false,
            extra_specs: std::collections::BTreeMap::new(),
            source: VolumeSource::Raw,
            provider_location: None,
            provider_auth: None,
        }
    }

    async fn runs<M: pumice::messages::Cast<To = VolumeTopic>>(&mut self, message: M) -> Result<Outcome> {
        let manager = self.router.server::<VolumeTopic>(&self.backend.to_string());
        manager.cast(&Context::internal("bench"), message).await?;
        self.outcomes.recv().await.context("the node ended")
    }
}

/// Bytes a second of a copy from node to node, directly or through a third, of a volume without a hole; and of `dd`.
pub async fn copies(folder: &Path, through_relay: bool) -> Result<(f64, f64)> {
    let (from, to) = (folder.join("source"), folder.join("destination"));
    std::fs::create_dir_all(&from)?;
    std::fs::create_dir_all(&to)?;
    let listening = if through_relay { "control" } else { "source" };
    let (mut source, mut destination) = (Node::new("source", &from), Node::new("destination", &to));
    let control = Router::new("control");
    control.register(relay::endpoint(control.clone()).start());
    let listener = if through_relay { &control } else { &source.router };
    let listener = listener
        .listen(([127, 0, 0, 1], 0).into(), open_options())
        .await?;
    let address = listener.local_addr().to_string();
    let joins: &[&Router] = if through_relay {
        &[&source.router, &destination.router]
    } else {
        &[&destination.router]
    };
    let _joined: Vec<_> = joins
        .iter()
        .map(|router| router.join(address.clone(), open_options()))
        .collect();
    for router in joins {
        let begun = Instant::now();
        let is_connected = || {
            let peers = router.peers();
            peers
                .iter()
                .any(|peer| peer.state == "connected" && peer.node.as_deref() == Some(listening))
        };
        while !is_connected() {
            ensure!(
                begun.elapsed() < Duration::from_secs(10),
                "the nodes do not find each other"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (volume, copy) = (source.volume(), destination.volume());
    let command = |attempt| CommandId {
        operation: OperationId::new(),
        attempt,
    };
    let remaining_ms = 600_000;
    source
        .runs(CreateVolumeCommand {
            command: command(1),
            volume: volume.clone(),
            remaining_ms,
        })
        .await?;
    destination
        .runs(CreateVolumeCommand {
            command: command(1),
            volume: copy.clone(),
            remaining_ms,
        })
        .await?;
    let path = from.join(volume.storage_name());
    let mut file = std::fs::OpenOptions::new().write(true).open(&path)?;
    let block: Vec<u8> = (0..1_u32 << 20)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0] | 1)
        .collect();
    for _ in 0..GIB >> 20 {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let operation = command(2);
    let opened = source
        .runs(OpenCopySourceCommand {
            command: operation,
            volume: volume.clone(),
            remaining_ms,
        })
        .await?;
    ensure!(opened == Outcome::CopySourceOpened, "{opened:?}");
    let begun = Instant::now();
    let copied = destination
        .runs(CopyVolumeDataCommand {
            command: CommandId {
                attempt: 3,
                ..operation
            },
            volume: copy.clone(),
            source: source.backend.clone(),
            source_volume: volume.id,
            offset: 0,
            length: GIB,
            remaining_ms,
        })
        .await?;
    let took = begun.elapsed();
    ensure!(copied == Outcome::Copied { bytes: GIB }, "{copied:?}");
    let begun = Instant::now();
    let dd = std::process::Command::new("dd")
        .arg(format!("if={}", path.display()))
        .arg(format!("of={}", folder.join("dd").display()))
        .args([
            "bs=1M",
            "iflag=direct",
            "oflag=direct",
            "conv=fsync",
            "status=none",
        ])
        .status()?;
    ensure!(dd.success(), "dd failed");
    let per_second = |took: Duration| GIB as f64 / took.as_secs_f64();
    Ok((per_second(took), per_second(begun.elapsed())))
}

/// The nodes of a measurement have no roles.
fn open_options() -> TransportOptions {
    TransportOptions {
        trusts_every_peer: true,
        ..TransportOptions::default()
    }
}
