//! The **Notifier** actor of a control node: publishes the notifications of the outbox ([`crate::store::catalog::Outbox`]). There is
//! one for each sink, so that a sink that is down holds up no other; they share a thread, which serves no requests.
//!
//! ```text
//!   read the oldest rows ──> publish ──> delete what was accepted, in one commit ──> read again
//!           ^                   └── the sink failed: pause, doubling up to 30 s ──┐
//!           └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Where several control nodes share the store, one of them publishes the queue of a sink, with the rows of all; when it ends, another
//! goes on ([`TaskClaim`]).
//!
//! - *At least once*: a row is deleted after its sink has accepted it. After a crash in between it is published again, with the same
//!   `message_id`.
//! - *In order per resource*: of one resource only one notification at a time is on its way, whatever becomes of those of others.
//! - *Bounded*: beyond `max_pending` rows the oldest are dropped, counted and logged. Requests never wait for a sink.
//!
//! | file | content |
//! |---|---|
//! | `publisher` | the loop above |
//! | `sink` | what a sink does, and the errors of one |
//! | `message` | the form of a notification on the wire |
//! | `log_sink`, `webhook`, `amqp` | the sinks |
//! | `amqp_tls` | connections to a broker over TLS |

pub mod amqp;
mod amqp_tls;
mod log_sink;
pub mod message;
mod publisher;
mod sink;
pub mod webhook;

use std::rc::Rc;
use std::sync::Arc;

pub use self::amqp::AmqpOptions;
use self::publisher::Publisher;
pub use self::publisher::PublisherOptions;
pub use self::sink::{Sink, SinkError};
pub use self::webhook::WebhookOptions;
use crate::control::ControlNodes;
use crate::control::cluster_tasks::TaskClaim;
use crate::messages::notifier::NotifierTopic;
use crate::model::ClusterTask;
use crate::store::catalog::{Catalog, SinkQueue};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Started};

/// The mailbox of an actor without messages.
const NO_MESSAGES: usize = 1;

/// A sink, with its options.
#[derive(Clone, Debug)]
pub enum SinkOptions {
    /// The service's own log, with the target `pumice::notification`.
    Log,
    /// HTTP requests.
    Webhook(WebhookOptions),
    /// An AMQP broker, as oslo.messaging uses it.
    Amqp(AmqpOptions),
}

impl SinkOptions {
    /// The name of the sink, in the outbox and in addresses. Stored, so never changed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Webhook(_) => "webhook",
            Self::Amqp(_) => "amqp",
        }
    }

    fn open(&self) -> Box<dyn Sink> {
        match self {
            Self::Log => Box::new(log_sink::LogSink),
            Self::Webhook(options) => Box::new(webhook::WebhookSink::new(options.clone())),
            Self::Amqp(options) => Box::new(amqp::AmqpSink::new(options.clone())),
        }
    }
}

/// See the module.
pub struct Notifier {
    catalog: Catalog,
    claim: TaskClaim,
    queue: Arc<SinkQueue>,
    sink: SinkOptions,
    options: PublisherOptions,
}

/// The endpoint of the publisher of a sink, ready to be started and registered.
pub fn endpoint(
    catalog: Catalog,
    nodes: &ControlNodes,
    queue: Arc<SinkQueue>,
    sink: SinkOptions,
    options: PublisherOptions,
) -> EndpointBuilder<Notifier> {
    let server = Some(sink.name().to_owned());
    let claim = TaskClaim::new(
        catalog.clone(),
        nodes.clone(),
        ClusterTask::publishing(sink.name()),
    );
    let make = move || {
        Rc::new(Notifier {
            claim: claim.clone(),
            catalog: catalog.clone(),
            queue: Arc::clone(&queue),
            sink: sink.clone(),
            options,
        })
    };
    EndpointBuilder::new(server, NO_MESSAGES, make)
}

impl Actor for Notifier {
    type Topic = NotifierTopic;

    fn started(self: Rc<Self>, started: &Started) {
        let publisher = Publisher::new(
            self.catalog.clone(),
            Arc::clone(&self.queue),
            self.sink.open(),
            self.claim.clone(),
            self.options,
        );
        started.spawn(publisher.run());
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
