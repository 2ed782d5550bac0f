//! The actix actor that holds an actor's plain struct and passes messages to it.
//!
//! Each handler runs as a separate task on the actor's arbiter, so that a slow one does not block others (and because
//! actix polls every future of an actor whenever one of them wakes). The tasks are tied to the shell: when it ends,
//! they are aborted, their tickets returned, and their callers get `Lost`.

#![expect(
    clippy::disallowed_methods,
    reason = "the permit that the envelope holds is the bound"
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;

use actix::{Actor as _, ActorContext, Addr, Context, Handler};
use futures_util::FutureExt;
use tokio::task::AbortHandle;

use super::mailbox::Envelope;
use super::stats::{ActorStats, Living};
use super::{Actor, Serve, Started};
use crate::messages::Message;
use crate::panic_text::panic_text;

/// Tasks that end with the actor.
pub(super) struct Tasks {
    running: RefCell<BTreeMap<u64, AbortHandle>>,
    next: Cell<u64>,
    stats: Arc<ActorStats>,
    /// Called when a task panics.
    on_panic: Box<dyn Fn(String)>,
}

impl Tasks {
    /// Begins a task at once, and spawns what is left of it: most handlers need no task. Its `Err` is a panic's text.
    pub(super) fn begin(self: &Rc<Self>, task: impl Future<Output = Result<(), String>> + 'static) {
        let mut task = Box::pin(task);
        // It is polled again by the task, which wakes it from then on.
        match task
            .as_mut()
            .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
        {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(text)) => (self.on_panic)(text),
            Poll::Pending => self.spawn(task),
        }
    }

    /// Runs a task; its `Err` is a panic's text.
    pub(super) fn spawn(self: &Rc<Self>, task: impl Future<Output = Result<(), String>> + 'static) {
        let id = self.next.get();
        self.next.set(id + 1);
        let entry = Entry {
            id,
            tasks: Rc::downgrade(self),
            _living: self.stats.born(),
        };
        let handle = tokio::task::spawn_local(async move {
            let ended = task.await;
            if let Err(text) = ended
                && let Some(tasks) = entry.tasks.upgrade()
            {
                (tasks.on_panic)(text);
            }
            drop(entry);
        });
        self.running.borrow_mut().insert(id, handle.abort_handle());
    }

    /// Runs a background task of the actor; a panic in it ends the actor, which would not work correctly
    /// without the task.
    pub(super) fn spawn_own(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let caught = std::panic::AssertUnwindSafe(task).catch_unwind();
        self.spawn(async move {
            caught
                .await
                .map_err(|panic| format!("a task panicked: {}", panic_text(&*panic)))
        });
    }

    fn abort_all(&self) {
        let running = self.running.take();
        for handle in running.into_values() {
            handle.abort();
        }
    }
}

/// A task's entry in the table, removed when the task ends or is aborted.
struct Entry {
    id: u64,
    tasks: Weak<Tasks>,
    _living: Living,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(tasks) = self.tasks.upgrade() {
            tasks.running.borrow_mut().remove(&self.id);
        }
    }
}

/// A message that is kept for the next incarnation.
pub(super) type Parcel<A> = Box<dyn FnOnce(&Addr<Shell<A>>) + Send>;

/// Receives how an incarnation ends, always on the actor's arbiter.
pub(super) trait Watch<A: Actor>: Send + Sync {
    /// A handler or a task of that incarnation panicked.
    fn panicked(&self, incarnation: u64, text: String);
    /// An incarnation has ended; `held` are the messages that were not started.
    fn ended(self: Arc<Self>, held: Vec<Parcel<A>>);
    /// Its arbiter ended, and the incarnation with it.
    fn vanished(&self, incarnation: u64);
}

/// One incarnation of an actor.
pub(super) struct Shell<A: Actor> {
    actor: Rc<A>,
    watch: Arc<dyn Watch<A>>,
    incarnation: u64,
    tasks: Rc<Tasks>,
    /// Set by the first panic: later messages are kept for the next incarnation.
    ending: Rc<Cell<bool>>,
    held: Vec<Parcel<A>>,
    ended: bool,
    _living: Living,
}

/// Ends the shell, after all messages that are already in the mailbox.
pub(super) struct End;

impl actix::Message for End {
    type Result = ();
}

impl<A: Actor> Shell<A> {
    pub(super) fn launch(
        actor: Rc<A>,
        watch: Arc<dyn Watch<A>>,
        stats: &Arc<ActorStats>,
        incarnation: u64,
    ) -> Addr<Self> {
        let ending = Rc::new(Cell::new(false));
        let on_panic = {
            let (ending, watch) = (Rc::clone(&ending), Arc::clone(&watch));
            Box::new(move |text: String| {
                ending.set(true);
                watch.panicked(incarnation, text);
            })
        };
        let tasks = Rc::new(Tasks {
            running: RefCell::default(),
            next: Cell::new(0),
            stats: Arc::clone(stats),
            on_panic,
        });
        let shell = Self {
            actor,
            watch,
            incarnation,
            tasks,
            ending,
            held: Vec::new(),
            ended: false,
            _living: stats.born(),
        };
        shell.start()
    }
}

impl<A: Actor> actix::Actor for Shell<A> {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let started = Started::new(self.tasks.stats.address().clone(), Rc::clone(&self.tasks));
        let actor = Rc::clone(&self.actor);
        let begun = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| actor.started(&started)));
        if let Err(panic) = begun {
            (self.tasks.on_panic)(format!("its start panicked: {}", panic_text(&*panic)));
        }
    }
}

impl<M: Message, A: Serve<M>> Handler<Envelope<M>> for Shell<A> {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<M>, _: &mut Self::Context) {
        if self.ending.get() {
            self.held.push(Box::new(move |next| next.do_send(envelope)));
        } else {
            self.tasks.begin(envelope.open(Rc::clone(&self.actor)));
        }
    }
}

impl<A: Actor> Handler<End> for Shell<A> {
    type Result = ();

    fn handle(&mut self, _: End, context: &mut Self::Context) {
        self.ended = true;
        self.tasks.abort_all();
        context.stop();
        Arc::clone(&self.watch).ended(std::mem::take(&mut self.held));
    }
}

impl<A: Actor> Drop for Shell<A> {
    fn drop(&mut self) {
        self.tasks.abort_all();
        if !self.ended {
            // Its arbiter was stopped: nothing can run it any more.
            self.watch.vanished(self.incarnation);
        }
    }
}
