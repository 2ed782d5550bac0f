//! Runs reads that may take long to compute on their own threads, never on a web worker.
//!
//! A web worker serves hundreds of connections, and a computation on it delays all of them. A list is read, filtered, sorted and
//! serialised; without an index for its query it reads every record of its scope. So each list states an upper bound of its rows
//! ([`Offload::run`]). Up to [`ROWS_HERE`] it runs on the worker; if there may be more, or the number is unknown, it runs on a
//! thread:
//!
//! - Few run at once, with permits per project (see `admission`). The thread owns the permit: it is returned when the computation
//!   ends, not when the client disconnects.
//! - While it waits and runs it holds no permit of short reads: long lists do not displace them.
//! - It ends at its deadline, and when its client has disconnected, at the next row or batch where it yields.

use std::cell::Cell;
use std::future::{Future, Ready, ready};
use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::admission::{AdmissionQueues, Kind, Permit};
use super::caller::Caller;
use super::fault::Fault;
use super::state::{ServerState, WebState};
use crate::model::ProjectId;

/// Up to so many rows are read and serialised on the web worker itself: with the largest records this takes some ten
/// milliseconds, with usual ones less than one.
pub(super) const ROWS_HERE: usize = 100;

/// The read or change permit of a request, held until the answer or until it is returned.
#[derive(Clone, Default)]
pub(super) struct HeldPermit(Rc<Cell<Option<Permit>>>);

impl HeldPermit {
    pub(super) fn new(permit: Option<Permit>) -> Self {
        Self(Rc::new(Cell::new(permit)))
    }

    pub(super) fn give_back(&self) {
        self.0.take();
    }
}

/// Runs reads that may take long to compute; an extractor for handlers.
pub(super) struct Offload {
    admission: AdmissionQueues,
    held: HeldPermit,
    project: ProjectId,
    time: Duration,
}

impl Offload {
    /// Runs a read of at most so many rows (`None`: unknown) and returns its result.
    ///
    /// # Errors
    /// The read's own; 503 if there are too many such reads, or if it exceeds its deadline.
    pub(super) async fn run<T, F>(
        &self,
        rows: Option<usize>,
        read: impl FnOnce() -> F + Send + 'static,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>>,
    {
        if rows.is_some_and(|rows| rows <= ROWS_HERE) {
            return read().await;
        }
        let deadline = Instant::now() + self.time;
        self.held.give_back();
        let permit = self.admission.take(Kind::Long, self.project.clone());
        let permit = permit.await.map_err(|busy| busy.fault())?;
        // Dropped with this future, when the client has disconnected.
        let (_client, gone) = oneshot::channel::<()>();
        let span = tracing::Span::current();
        let work = move || {
            let _permit = permit;
            let _in_span = span.enter();
            Handle::current().block_on(async {
                tokio::select! {
                    biased;
                    _ = gone => None,
                    done = timeout_at(deadline, read()) => done.ok(),
                }
            })
        };
        let done = web::block(work).await.map_err(Fault::internal)?;
        done.unwrap_or_else(|| {
            let report = format!("a list was given up: it was not complete after {:?}", self.time);
            Err(Fault::unavailable(RETRY_AFTER).with_operator(report))
        })
    }
}

/// `Retry-After` of a list that exceeded its deadline, in seconds.
const RETRY_AFTER: u32 = 1;

impl FromRequest for Offload {
    type Error = Fault;
    type Future = Ready<Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let server = request.app_data::<web::Data<ServerState>>();
        let state = request.app_data::<web::Data<WebState>>();
        ready(match (server, state) {
            (Some(server), Some(state)) => Caller::of(request).map(|caller| Self {
                admission: server.admission.clone(),
                held: request
                    .extensions()
                    .get::<HeldPermit>()
                    .cloned()
                    .unwrap_or_default(),
                project: caller.context.project_id,
                time: state.call_timeout,
            }),
            _ => Err(Fault::internal("the server has no state")),
        })
    }
}

#[cfg(test)]
mod tests;
