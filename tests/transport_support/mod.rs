//! An actor to try the transport with: it adds, sleeps, panics and remembers, as requested.

pub mod net;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pumice::messages::{Call, Cast, Message, Pattern, Topic};
use pumice::model::{Context, Error};
use pumice::transport::{Actor, Endpoint, EndpointBuilder, Serve, Started};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// Its topic.
pub enum Trial {}

impl Topic for Trial {
    const NAME: &'static str = "trial";
    const VERSIONS: (u16, u16) = (1, 2);
}

macro_rules! message {
    ($name:ident, $text:literal, $pattern:ident, since $since:literal, $reply:ty) => {
        impl Message for $name {
            type To = Trial;
            type Reply = $reply;
            const NAME: &'static str = $text;
            const PATTERN: Pattern = Pattern::$pattern;
            const SINCE: u16 = $since;
        }
        impl $pattern for $name {}
    };
}

/// Answers the sum, or refuses if there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Add(pub u32, pub u32);
message!(Add, "add", Call, since 1, u32);

/// Answers when the gate is opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wait;
message!(Wait, "wait", Call, since 1, ());

/// Panics.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Panic;
message!(Panic, "panic", Call, since 1, ());

/// Is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note(pub u32);
message!(Note, "note", Cast, since 1, ());

/// Answers as many bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Echo(pub Vec<u8>);
message!(Echo, "echo", Call, since 1, Vec<u8>);

/// Answers with so many bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inflate(pub u32);
message!(Inflate, "inflate", Call, since 1, Vec<u8>);

/// Not registered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Future2;
message!(Future2, "future", Call, since 3, ());

/// What the trial actors of one endpoint share over their incarnations.
#[derive(Default)]
pub struct Shared {
    /// How many were built.
    pub built: AtomicUsize,
    /// How many of their tasks have ended or been dropped.
    pub tasks_ended: AtomicUsize,
    /// How many `Wait` have begun.
    pub waiting: AtomicUsize,
    /// Whether the factory panics.
    pub factory_panics: std::sync::atomic::AtomicBool,
    /// What was noted.
    pub notes: Mutex<Vec<u32>>,
}

/// The actor.
pub struct Trier {
    shared: Arc<Shared>,
    gate: Arc<Semaphore>,
    own: RefCell<u32>,
}

impl Actor for Trier {
    type Topic = Trial;

    fn started(self: Rc<Self>, started: &Started) {
        let ended = OnDrop(self.shared.clone());
        started.spawn(async move {
            let _ended = ended;
            std::future::pending::<()>().await;
        });
    }
}

struct OnDrop(Arc<Shared>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.tasks_ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Serve<Add> for Trier {
    async fn serve(self: Rc<Self>, _: Context, message: Add) -> Result<u32, Error> {
        *self.own.borrow_mut() += 1;
        message
            .0
            .checked_add(message.1)
            .ok_or_else(|| Error::bad_request("too much"))
    }
}

impl Serve<Wait> for Trier {
    async fn serve(self: Rc<Self>, _: Context, _: Wait) -> Result<(), Error> {
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
        self.gate
            .acquire()
            .await
            .expect("the gate is never closed")
            .forget();
        Ok(())
    }
}

impl Serve<Panic> for Trier {
    async fn serve(self: Rc<Self>, _: Context, _: Panic) -> Result<(), Error> {
        panic!("requested panic");
    }
}

impl Serve<Note> for Trier {
    async fn serve(self: Rc<Self>, _: Context, message: Note) -> Result<(), Error> {
        self.shared.notes.lock().push(message.0);
        Ok(())
    }
}

impl Serve<Echo> for Trier {
    async fn serve(self: Rc<Self>, _: Context, message: Echo) -> Result<Vec<u8>, Error> {
        Ok(message.0)
    }
}

impl Serve<Inflate> for Trier {
    async fn serve(self: Rc<Self>, _: Context, message: Inflate) -> Result<Vec<u8>, Error> {
        Ok(vec![0; message.0 as usize])
    }
}

/// An endpoint with a trial actor behind it, and what to look at it by.
pub struct Bench {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Shared over incarnations.
    pub shared: Arc<Shared>,
    /// A permit lets one `Wait` end.
    pub gate: Arc<Semaphore>,
}

/// Starts a trial actor.
pub fn trier(server: Option<&str>, bound: usize) -> Bench {
    let (shared, gate) = (Arc::<Shared>::default(), Arc::new(Semaphore::new(0)));
    let builder = {
        let (shared, gate) = (shared.clone(), gate.clone());
        EndpointBuilder::new(server.map(str::to_owned), bound, move || {
            shared.built.fetch_add(1, Ordering::SeqCst);
            assert!(
                !shared.factory_panics.load(Ordering::SeqCst),
                "the factory was requested to"
            );
            Rc::new(Trier {
                shared: shared.clone(),
                gate: gate.clone(),
                own: RefCell::new(0),
            })
        })
    };
    let endpoint = builder
        .serves::<Add>()
        .serves::<Wait>()
        .serves::<Panic>()
        .serves::<Note>()
        .serves::<Echo>()
        .serves::<Inflate>()
        .start();
    Bench {
        endpoint,
        shared,
        gate,
    }
}

/// A context.
pub fn context() -> Context {
    Context::internal("trial")
}

/// Long enough for anything that is to happen.
pub const LONG: Duration = Duration::from_secs(20);

/// Waits until something holds; panics if it does not.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(LONG, wait).await.is_ok(),
        "waited in vain until {what}"
    );
}

/// Runs something that must end soon.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, what).await.expect("this ends soon")
}
